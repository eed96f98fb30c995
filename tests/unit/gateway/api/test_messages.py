"""What `send` answers: the message that the broker returns with its acceptance, and nothing of its own."""

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

MESSAGE = {
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
BODY = msgspec.convert(
    {"id": "msg_1", "message": "hello", "ttlMs": 2_000, "metadata": {"inReplyTo": "msg_0"}}, SendBody
)


class Answering:
    """A client that answers a send with `result`, or raises it, and can do nothing else."""

    def __init__(self, result: dict[str, Any] | MaestroError) -> None:
        self._result = result

    async def send(self, receiver: str, text: str, *, message_id: str, whole: bool, **_rest: Any) -> dict[str, Any]:
        """The result, if the request is the right one."""
        assert (receiver, text, message_id, whole) == ("bob", "hello", "msg_1", True)
        if isinstance(self._result, MaestroError):
            raise self._result
        return self._result


def request_of(client: Answering) -> Request:
    app = SimpleNamespace(state=SimpleNamespace(gateway=SimpleNamespace(broker=SimpleNamespace(client=client))))
    headers = [(b"x-session-id", b"ann")]
    return Request({"type": "http", "headers": headers, "path_params": {"session": "bob"}, "app": app})


@pytest.mark.parametrize(("status", "repeated"), [(201, None), (200, "true")])
def test_what_was_accepted_is_answered_so(status: int, repeated: str | None) -> None:
    """The message is the broker's own, without a second request."""
    client = Answering({"id": "msg_1", "status": status, "to": "bob-id", "state": "pending", "message": MESSAGE})
    answer = asyncio.run(send(request_of(client), body=BODY))
    assert answer.status_code == 201
    assert answer.headers["location"] == "/api/messages/msg_1"
    assert answer.headers.get("idempotent-replayed") == repeated
    assert json.loads(bytes(answer.body)) == MESSAGE


def test_a_repeat_of_a_deleted_message_says_so() -> None:
    client = Answering({"id": "msg_1", "status": 200, "to": "bob-id", "state": "deleted"})
    answer = asyncio.run(send(request_of(client), body=BODY))
    assert answer.status_code == 201
    assert json.loads(bytes(answer.body)) == {"id": "msg_1", "to": "bob-id", "status": "deleted"}


@pytest.mark.parametrize("code", ["INTERNAL", "FORBIDDEN", "BROKER_UNREACHABLE", "TIMEOUT"])
def test_an_error_of_the_broker_is_the_answer(code: str) -> None:
    with pytest.raises(MaestroError) as caught:
        asyncio.run(send(request_of(Answering(MaestroError(code, "no"))), body=BODY))
    assert caught.value.code == code
