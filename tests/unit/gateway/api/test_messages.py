"""The answer to a message that was accepted, where it can't be looked at again."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from starlette.requests import Request

from maestro_gateway.api.bodies import SendBody
from maestro_gateway.api.messages import send
from maestro_schemas.errors import MaestroError
from maestro_schemas.messages import Message


class Accepting:
    """A client whose broker accepts a reply, and then has no more to say than `error`."""

    def __init__(self, error: MaestroError) -> None:
        self._error = error

    async def send(self, receiver: str, _text: str, *, message_id: str, **_rest: Any) -> dict[str, Any]:
        """Accepted."""
        facts = {"seq": 7, "createdAt": 1_000, "expiresAt": 3_000, "threadId": "msg_0", "state": "pending"}
        return {"id": message_id, "status": 201, "to": f"{receiver}-id", **facts}

    async def message(self, _message_id: str, **_rest: Any) -> dict[str, Any]:
        """Gone."""
        raise self._error


def request_of(client: Accepting) -> Request:
    app = SimpleNamespace(state=SimpleNamespace(gateway=SimpleNamespace(post=SimpleNamespace(client=client))))
    headers = [(b"x-session-id", b"ann")]
    return Request({"type": "http", "headers": headers, "path_params": {"session": "bob"}, "app": app})


@pytest.mark.parametrize("code", ["MESSAGE_NOT_FOUND", "BROKER_UNREACHABLE", "TIMEOUT"])
def test_what_was_accepted_is_answered_so(code: str) -> None:
    """Its receiver deleted it at once, or the broker went away since: it is on disk all the same."""
    body = msgspec.convert(
        {"id": "msg_1", "message": "hello", "ttlMs": 2_000, "metadata": {"inReplyTo": "msg_0"}}, SendBody
    )
    answer = asyncio.run(send(request_of(Accepting(MaestroError(code, "no"))), body=body))
    assert answer.status_code == 201
    assert answer.headers["location"] == "/api/messages/msg_1"
    shown = json.loads(bytes(answer.body))
    assert shown == {
        "id": "msg_1",
        "seq": 7,
        "from": "ann",
        "to": "bob-id",
        "message": "hello",
        "metadata": {"inReplyTo": "msg_0", "threadId": "msg_0"},
        "status": "pending",
        "createdAt": 1_000,
        "expiresAt": 3_000,
    }
    msgspec.convert(shown, Message)
