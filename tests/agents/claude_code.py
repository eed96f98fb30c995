"""Claude Code: how it is started without a person, on a scratch HOME, with a stand-in for its model.

Rule: this module holds only the peculiarities of Claude Code; `clients` finds the program and runs it.
"""

from __future__ import annotations

import json
import os

from agents import anthropic_api

NAME = "claude-code"
PACKAGE = "@anthropic-ai/claude-code"
API = anthropic_api
SHELL_TOOL = "Bash"
# The binary itself: the package's own command is put in place by a script that is not run.
PROGRAM = "@anthropic-ai/claude-code-*/claude"
SETTINGS = ".claude/settings.json"


def shell_call(command: str) -> dict[str, str]:
    """The arguments of a call of its shell tool."""
    return {"command": command, "description": "a step of the test"}


def environ(url: str) -> dict[str, str]:
    """The environment that leads it to the scripted model."""
    return {
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": "dummy",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL": "1",
    }


def prepare(home: str, url: str) -> None:
    """Write its settings. They allow every shell command and our MCP tools, since no person can be asked."""
    os.makedirs(os.path.join(home, ".claude"))
    with open(os.path.join(home, SETTINGS), "w", encoding="utf-8") as file:
        json.dump({"permissions": {"allow": ["Bash", "mcp__maestro__*"]}}, file)


def approve(program: list[str], environ: dict[str, str], work: str) -> None:
    """Do nothing: hooks in the user's settings run without approval."""


def prompt(text: str, resume: str | None) -> list[str]:
    """The arguments for one turn of the conversation, or of an earlier one."""
    return ["-p", *(["--resume", resume] if resume else []), text]


def ask_person(home: str, work: str) -> None:
    """Allow no command, and answer the questions of a first start."""
    with open(os.path.join(home, SETTINGS), "w", encoding="utf-8") as file:
        json.dump({}, file)
    answered = {
        "hasCompletedOnboarding": True,
        "projects": {work: {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}},
        "customApiKeyResponses": {"approved": [environ("")["ANTHROPIC_API_KEY"]], "rejected": []},
    }
    with open(os.path.join(home, ".claude.json"), "w", encoding="utf-8") as file:
        json.dump(answered, file)


def interactive(text: str, *more: str) -> list[str]:
    """The arguments for its screen, with a first prompt, if any. By default this version would judge commands by
    itself."""
    return ["--permission-mode", "default", *more, *([text] if text else [])]


def asking_call(command: str) -> dict[str, str]:
    """The arguments of a call of its shell tool for which a person is asked."""
    return shell_call(command)
