"""Anthropic API: a turn as the Messages API streams it, which is what Claude Code reads.

Rule: encodes and decodes; knows no socket and no script.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from agents.turns import Call, Say

if TYPE_CHECKING:
    from agents.turns import Request, Turn


def is_model_call(request: Request) -> bool:
    """Whether the agent asks its model for a turn of the conversation.

    It also asks small models for titles and summaries, without the tools of its trade.
    """
    if request.path != "/v1/messages":
        return False
    return any(tool.get("name") == "Bash" for tool in request.body.get("tools", []))


def stream(turn: Turn, number: int, request: Request) -> bytes:
    """The turn as server-sent events."""
    message: dict[str, Any] = {
        "id": f"msg_stand_in_{number}",
        "type": "message",
        "role": "assistant",
        "model": "claude-stand-in",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    opened, delta = _block(turn, number)
    reason = "tool_use" if isinstance(turn, Call) else "end_turn"
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": opened},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": None},
            "usage": {"output_tokens": 1},
        },
        {"type": "message_stop"},
    ]
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


def aside(request: Request) -> tuple[str, bytes]:
    """The answer to any other request, as a content type and a body."""
    if request.path.endswith("/count_tokens"):
        return "application/json", json.dumps({"input_tokens": 1}).encode()
    if request.body.get("stream"):
        return "text/event-stream", stream(Say("{}"), 0, request)
    message = {
        "id": "msg_stand_in_aside",
        "type": "message",
        "role": "assistant",
        "model": "claude-stand-in",
        "content": [{"type": "text", "text": "{}"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    return "application/json", json.dumps(message).encode()


def _block(turn: Turn, number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    if isinstance(turn, Call):
        opened = {"type": "tool_use", "id": f"toolu_stand_in_{number}", "name": turn.tool, "input": {}}
        return opened, {"type": "input_json_delta", "partial_json": json.dumps(turn.arguments)}
    return {"type": "text", "text": ""}, {"type": "text_delta", "text": turn.text}
