"""Agent forms: what each agent says to a hook, and what it takes for an answer.

Rule: an input has every field that the agent was seen to give (Claude Code 2.1.330, Codex 0.169.0, Gemini CLI
0.61.0, Qwen Code 0.24.4), and for OpenCode what our plugin gives; an answer's schema is closed, also where the
agent's is not, so that nothing is said that no agent reads.
"""

from __future__ import annotations

from typing import Any

SESSION = "01994c7e-53a8-7b10-9d3e-8e6f2c1a4b5d"

_CONTEXT_EVENTS = {
    "claude-code": {"SessionStart", "UserPromptSubmit", "PostToolUse", "Stop"},
    "codex": {"SessionStart", "UserPromptSubmit", "PostToolUse"},
    "gemini-cli": {"SessionStart", "BeforeAgent", "AfterTool"},
    "qwen-code": {"SessionStart", "UserPromptSubmit", "PostToolUse"},
    "opencode": {"SessionStart", "UserPromptSubmit", "PostToolUse", "Stop"},
}
_WATCH_PATHS = {"type": "array", "items": {"type": "string", "pattern": "^/"}, "minItems": 1, "maxItems": 1}
_WATCHERS = (("claude-code", "SessionStart"), ("opencode", "SessionStart"))
_DECISIONS = {"codex": "block", "gemini-cli": "deny", "qwen-code": "block"}


def said(agent: str, event: str, /, **more: Any) -> dict[str, Any]:
    """What the agent writes to the hook's standard input; `more` replaces or adds fields."""
    common: dict[str, Any] = {
        "session_id": SESSION,
        "transcript_path": f"/scratch/{agent}/{SESSION}.jsonl",
        "cwd": "/scratch/project",
        "hook_event_name": event,
    }
    return {**common, **_BESIDE[agent](event), **more}


def _claude_code(event: str) -> dict[str, Any]:
    turn = {"prompt_id": "6f1f", "permission_mode": "default"}
    beside: dict[str, dict[str, Any]] = {
        "SessionStart": {"source": "startup"},
        "UserPromptSubmit": {**turn, "prompt": "Go on, please."},
        "PostToolUse": {
            **turn,
            "effort": {"level": "high"},
            "tool_name": "Bash",
            "tool_input": {"command": "ls", "description": "List"},
            "tool_response": {"stdout": "a.py", "stderr": "", "interrupted": False},
            "tool_use_id": "toolu_01",
            "duration_ms": 12,
        },
        "PermissionRequest": {**turn, "tool_name": "Bash", "tool_input": {"command": "ls", "description": "List"}},
        "Notification": {
            "message": "Claude needs your permission to use Bash",
            "notification_type": "permission_prompt",
        },
        "Stop": {
            **turn,
            "effort": {"level": "high"},
            "stop_hook_active": False,
            "last_assistant_message": "Done.",
            "background_tasks": [],
            "session_crons": [],
        },
        "SessionEnd": {"prompt_id": "6f1f", "reason": "other"},
        "FileChanged": {"file_path": "/scratch/data/messages/by-receiver/sess_1/.wake", "event": "add"},
    }
    return beside[event]


def _codex(event: str) -> dict[str, Any]:
    model = {"model": "gpt-5.2-codex", "permission_mode": "default"}
    turn = {**model, "turn_id": "turn-1"}
    beside: dict[str, dict[str, Any]] = {
        "SessionStart": {**model, "source": "startup"},
        "UserPromptSubmit": {**turn, "prompt": "Go on, please."},
        "PostToolUse": {
            **turn,
            "tool_name": "Bash",
            "tool_input": {"command": "ls"},
            "tool_response": "a.py\n",
            "tool_use_id": "call_1",
        },
        "PermissionRequest": {**turn, "tool_name": "Bash", "tool_input": {"command": "ls"}},
        "Stop": {**turn, "stop_hook_active": False, "last_assistant_message": None},
        "SessionEnd": {"reason": "other"},
    }
    return beside[event]


def _gemini_cli(event: str) -> dict[str, Any]:
    beside: dict[str, dict[str, Any]] = {
        "SessionStart": {"source": "startup"},
        "BeforeAgent": {"prompt": "Go on, please."},
        "AfterTool": {
            "tool_name": "run_shell_command",
            "tool_input": {"command": "ls"},
            "tool_response": {"llmContent": "a.py", "returnDisplay": "a.py"},
        },
        "Notification": {
            "notification_type": "ToolPermission",
            "message": "Tool Confirm Shell Command requires execution",
            "details": {"type": "exec", "title": "Confirm Shell Command", "command": "ls", "rootCommand": "ls"},
        },
        "AfterAgent": {"prompt": "Go on.", "prompt_response": "Done.", "stop_hook_active": False},
        "SessionEnd": {"reason": "exit"},
    }
    return {"timestamp": "2026-11-22T22:40:00.000Z", **beside[event]}


def _qwen_code(event: str) -> dict[str, Any]:
    turn = {"prompt_id": f"{SESSION}########0"}
    beside: dict[str, dict[str, Any]] = {
        "SessionStart": {"source": "startup", "model": "qwen3-coder-plus"},
        "UserPromptSubmit": {**turn, "prompt": "Go on, please.", "submitted_prompt": "Go on, please."},
        "PostToolUse": {
            **turn,
            "tool_name": "run_shell_command",
            "tool_input": {"command": "ls"},
            "tool_response": {"llmContent": "a.py", "returnDisplay": "a.py"},
            "tool_use_id": "toolu_01",
            "tool_call_id": "call_1",
            "duration_ms": 12,
        },
        "PermissionRequest": {**turn, "tool_name": "run_shell_command", "tool_input": {"command": "ls"}},
        "Notification": {
            "message": "Qwen Code needs your permission to use run_shell_command",
            "notification_type": "permission_prompt",
            "title": "Permission needed",
        },
        "Stop": {
            **turn,
            "stop_hook_active": False,
            "last_assistant_message": "Done.",
            "background_tasks": [],
            "crons": [],
            "context_usage": 0.1,
            "context_limit": 131_072,
            "input_tokens": 1,
        },
        "SessionEnd": {"reason": "prompt_input_exit"},
    }
    return {"timestamp": "2026-11-30T10:10:07.026Z", "permission_mode": "default", **beside[event]}


def _opencode(event: str) -> dict[str, Any]:
    beside: dict[str, dict[str, Any]] = {
        "SessionStart": {"source": "startup"},
        "UserPromptSubmit": {"prompt": "Go on, please."},
        "PostToolUse": {"tool_name": "bash"},
        "PermissionRequest": {"tool_name": "bash"},
        "Notification": {"notification_type": "idle_prompt"},
        "Stop": {"stop_hook_active": False},
        "SessionEnd": {"reason": "other"},
    }
    return beside[event]


_BESIDE = {
    "claude-code": _claude_code,
    "codex": _codex,
    "gemini-cli": _gemini_cli,
    "qwen-code": _qwen_code,
    "opencode": _opencode,
}


def answer_schema(agent: str, event: str) -> dict[str, Any]:
    """The JSON Schema of what the agent reads from the hook's standard output."""
    if event in _CONTEXT_EVENTS[agent]:
        context = {
            "type": "object",
            "properties": {
                "hookEventName": {"const": event},
                "additionalContext": {"type": "string", "minLength": 1},
                **({"watchPaths": _WATCH_PATHS} if (agent, event) in _WATCHERS else {}),
            },
            "required": ["hookEventName", "additionalContext"],
            "additionalProperties": False,
        }
        return {
            "type": "object",
            "properties": {"hookSpecificOutput": context},
            "required": ["hookSpecificOutput"],
            "additionalProperties": False,
        }
    return {
        "type": "object",
        "properties": {"decision": {"const": _DECISIONS[agent]}, "reason": {"type": "string", "pattern": "\\S"}},
        "required": ["decision", "reason"],
        "additionalProperties": False,
    }


def text_of(answer: dict[str, Any]) -> str:
    """What of an answer enters the context."""
    text = answer["reason"] if "reason" in answer else answer["hookSpecificOutput"]["additionalContext"]
    assert isinstance(text, str)
    return text


def reach_of_idle(agent: str) -> str:
    """What a sender is answered while the agent is idle: a process of a test is no screen that Codex could show."""
    return "wake" if agent in ("claude-code", "opencode") else "prompt"
