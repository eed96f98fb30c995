"""Gemini API: a turn as streamGenerateContent sends it, which is what Gemini CLI reads.

Rule: encodes and decodes; knows no socket and no script.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from agents.turns import Call

if TYPE_CHECKING:
    from agents.turns import Request, Turn


def is_model_call(request: Request) -> bool:
    """Whether the agent asks its model for a turn of the conversation.

    It also asks small models for other things, without the tools of its trade.
    """
    return request.path.endswith(":streamGenerateContent") and bool(request.body.get("tools"))


def stream(turn: Turn, number: int, request: Request) -> bytes:
    """The turn as server-sent events; Gemini's events have no names."""
    return f"data: {json.dumps(_response(_part(turn), number))}\n\n".encode()


def aside(request: Request) -> tuple[str, bytes]:
    """The answer to any other request, as a content type and a body."""
    if request.path.endswith(":countTokens"):
        return "application/json", json.dumps({"totalTokens": 1}).encode()
    answer = _response({"text": "{}"}, 0)
    if request.path.endswith(":streamGenerateContent"):
        return "text/event-stream", f"data: {json.dumps(answer)}\n\n".encode()
    return "application/json", json.dumps(answer).encode()


def _part(turn: Turn) -> dict[str, Any]:
    if isinstance(turn, Call):
        return {"functionCall": {"name": turn.tool, "args": turn.arguments}}
    return {"text": turn.text}


def _response(part: dict[str, Any], number: int) -> dict[str, Any]:
    return {
        "candidates": [{"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2},
        "modelVersion": "gemini-stand-in",
        "responseId": f"stand-in-{number}",
    }
