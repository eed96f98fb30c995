"""A REST call is one request to the broker."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from maestro_gateway import app
from maestro_gateway.http.responses import CONNECTION
from maestro_gateway.options import GatewayOptions
from support.post_office import own_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from support.post_office import PostOffice

TOKEN = "tok_0123456789abcdef"
M1, M2 = own_id("ann", "m1"), own_id("ann", "m2")
CALLS = [
    ("GET", "", None, 200),
    ("GET", "/thread", None, 200),
    ("PATCH", "", {"status": "read"}, 200),
    ("DELETE", "", None, 204),
]


class OwnUser:
    """What the server says of the connection of a program of the gateway's user."""

    is_own = True


def ask(
    office: PostOffice, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
) -> tuple[int, list[str]]:
    """The status of one call's answer, and the commands that the broker was asked for it."""
    asked: list[str] = []

    async def run() -> int:
        application = app.make(GatewayOptions(office.data, office.environ))
        async with application.router.lifespan_context(application):
            client = application.state.gateway.broker.client
            call = client.call

            async def counted(command: str, *rest: Any, **more: Any) -> Any:
                asked.append(command)
                return await call(command, *rest, **more)

            client.call = counted

            async def from_own_user(scope: Any, receive: Any, send: Any) -> None:
                await application({**scope, "state": {CONNECTION: OwnUser()}}, receive, send)

            transport = httpx.ASGITransport(from_own_user)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
                return (await http.request(method, path, json=body, headers=headers)).status_code

    return asyncio.run(run()), asked


@pytest.fixture
def office(open_office: PostOffice) -> PostOffice:
    """A broker with message M1 from ann to bob, and M2 from ann to carol, a session with a token."""
    open_office.session("carol", token=TOKEN)
    open_office.client("ann").send("bob", "hello", message_id=M1)
    open_office.client("ann").send("carol", "hello", message_id=M2)
    return open_office


def test_a_send_is_one_request(office: PostOffice) -> None:
    headers = {"X-Session-ID": "ann", "Idempotency-Key": "k"}
    path, body = "/api/sessions/bob/messages", {"message": "hello"}
    assert ask(office, "POST", path, body, headers) == (201, ["send"])
    assert ask(office, "POST", path, body, headers) == (201, ["send"]), "a repeat"


@pytest.mark.parametrize(("method", "rest", "body", "status"), CALLS)
@pytest.mark.parametrize(
    ("message_id", "headers"),
    [
        (M1, {}),
        (M1, {"X-Session-ID": "bob"}),
        (M2, {"Authorization": f"Bearer {TOKEN}"}),
        (M2, {"Authorization": f"Bearer {TOKEN}", "X-Session-ID": "carol"}),
    ],
    ids=["receiver", "named receiver", "receiver with a token", "named receiver with a token"],
)
def test_a_call_about_a_message_is_one_request(
    office: PostOffice,
    method: str,
    rest: str,
    body: object,
    status: int,
    message_id: str,
    headers: dict[str, str],
) -> None:
    found, asked = ask(office, method, f"/api/messages/{message_id}{rest}", body, headers)
    assert (found, len(asked)) == (status, 1), asked


@pytest.mark.parametrize(("method", "rest", "body", "status"), CALLS)
def test_a_receiver_with_a_token_is_not_spoken_for_without_it(
    office: PostOffice, method: str, rest: str, body: object, status: int
) -> None:
    del status
    found, asked = ask(office, method, f"/api/messages/{M2}{rest}", body)
    assert (found, len(asked)) == (401, 1)
    assert office.status_of(M2) == "pending"


@pytest.mark.parametrize(("method", "rest", "body", "status"), CALLS[:2])
def test_a_sender_reads_what_it_sent_in_one_request(
    office: PostOffice, method: str, rest: str, body: object, status: int
) -> None:
    found, asked = ask(office, method, f"/api/messages/{M1}{rest}", body, {"X-Session-ID": "ann"})
    assert (found, len(asked)) == (status, 1)
