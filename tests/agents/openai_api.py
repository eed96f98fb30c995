"""OpenAI API: a turn as the Responses API streams it, which Codex reads, and as chat completions, which others read.

Rule: encodes and decodes; knows no socket and no script. The path of a request says which of the two it wants.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from agents.turns import Call, Say

if TYPE_CHECKING:
    from agents.turns import Request, Turn

_CHAT = "/chat/completions"
_CHAT_USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}


def is_model_call(request: Request) -> bool:
    """Whether the agent asks its model for a turn of the conversation."""
    if request.path.endswith(_CHAT):
        # A title or a summary is asked for without tools.
        return bool(request.body.get("tools"))
    return request.path.endswith("/responses")


def stream(turn: Turn, number: int, request: Request) -> bytes:
    """The turn as server-sent events."""
    return _chat(turn, number) if request.path.endswith(_CHAT) else _responses(turn, number)


def aside(request: Request) -> tuple[str, bytes]:
    """The answer to any other request, as a content type and a body."""
    if request.path.endswith(_CHAT):
        if request.body.get("stream"):
            return "text/event-stream", _chat(Say("A title"), 0)
        message = {"role": "assistant", "content": "A title"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        done = {"id": "chat_stand_in", "object": "chat.completion", "created": 1, "model": "gpt-stand-in"}
        return "application/json", json.dumps({**done, "choices": [choice], "usage": _CHAT_USAGE}).encode()
    listed = {"object": "list", "data": [], "models": []} if request.path.endswith("/models") else {}
    return "application/json", json.dumps(listed).encode()


def _responses(turn: Turn, number: int) -> bytes:
    item = _item(turn, number)
    response: dict[str, Any] = {"id": f"resp_stand_in_{number}", "object": "response", "output": []}
    usage = {
        "input_tokens": 1,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 1,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 2,
    }
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": {**response, "status": "in_progress"}},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {
            "type": "response.completed",
            "response": {**response, "status": "completed", "output": [item], "usage": usage},
        },
    ]
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


def _chat(turn: Turn, number: int) -> bytes:
    delta: dict[str, Any] = {"role": "assistant"}
    if isinstance(turn, Call):
        function = {"name": turn.tool, "arguments": json.dumps(turn.arguments)}
        call = {"index": 0, "id": f"call_stand_in_{number}", "type": "function", "function": function}
        delta |= {"content": None, "tool_calls": [call]}
    else:
        delta["content"] = turn.text
    reason = "tool_calls" if isinstance(turn, Call) else "stop"
    head = {"id": f"chat_stand_in_{number}", "object": "chat.completion.chunk", "created": 1, "model": "gpt-stand-in"}
    chunks: list[dict[str, Any]] = [
        {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
        {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]},
        {**head, "choices": [], "usage": _CHAT_USAGE},
    ]
    return b"".join(f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks) + b"data: [DONE]\n\n"


def _item(turn: Turn, number: int) -> dict[str, Any]:
    if isinstance(turn, Call):
        return {
            "type": "function_call",
            "id": f"fc_stand_in_{number}",
            "call_id": f"call_stand_in_{number}",
            "name": turn.tool,
            "arguments": json.dumps(turn.arguments),
            "status": "completed",
        }
    return {
        "type": "message",
        "id": f"msg_stand_in_{number}",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": turn.text, "annotations": []}],
    }
