"""OpenAI API: a turn as the Responses API streams it, which is what Codex reads.

Rule: encodes and decodes; knows no socket and no script.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from agents.turns import Call

if TYPE_CHECKING:
    from agents.turns import Request, Turn


def is_model_call(request: Request) -> bool:
    """Whether the agent asks its model for a turn of the conversation."""
    return request.path.endswith("/responses")


def stream(turn: Turn, number: int) -> bytes:
    """The turn as server-sent events."""
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


def aside(request: Request) -> tuple[str, bytes]:
    """The answer to any other request, as a content type and a body."""
    listed = {"object": "list", "data": [], "models": []} if request.path.endswith("/models") else {}
    return "application/json", json.dumps(listed).encode()


def _item(turn: Turn, number: int) -> dict[str, Any]:
    if isinstance(turn, Call):
        namespace, _, name = turn.tool.rpartition("/")
        return {
            "type": "function_call",
            "id": f"fc_stand_in_{number}",
            "call_id": f"call_stand_in_{number}",
            "name": name,
            **({"namespace": namespace} if namespace else {}),
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
