"""MCP over HTTP: the tools at `/mcp`, for a session that the headers name."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from maestro_clients.client import Client
from maestro_clients.mcp import json_rpc, tool_table
from maestro_clients.protocol.callers import Caller
from maestro_clients.protocol.new_ids import new_token
from support.post_office import eventually
from support.wire_http import JSON, connect, head

if TYPE_CHECKING:
    from support.gateways import Answer, Gateway
    from support.post_office import PostOffice


@pytest.fixture
def gateway(standing: Gateway) -> Gateway:
    return standing


def post(gateway: Gateway, method: str, params: Any = None, *, session: str | None = None, **headers: str) -> Answer:
    body = {"jsonrpc": "2.0", "id": 7, "method": method} | ({} if params is None else {"params": params})
    if session is not None:
        headers["X-Session-ID"] = session
    return gateway.ask("POST", "/mcp", body, headers=headers)


def called(gateway: Gateway, session: str | None, tool: str, /, **arguments: Any) -> tuple[str, bool]:
    """The text of a tool's result, and whether it is an error."""
    got = post(gateway, "tools/call", {"name": tool, "arguments": arguments}, session=session)
    assert got.status == 200
    assert got.json["id"] == 7
    result = got.json["result"]
    [content] = result["content"]
    assert content["type"] == "text"
    return content["text"], result.get("isError", False)


def status_of(office: PostOffice, session: str, message_id: str) -> tuple[str, str | None]:
    with Client(office.router(), Caller(session)) as own:
        message = own.message(message_id)
    return message["status"], message.get("deliveredVia")


def test_the_handshake(gateway: Gateway) -> None:
    got = post(gateway, "initialize", {"protocolVersion": "2025-06-18", "clientInfo": {"name": "claude-code"}})
    assert (got.status, got.headers["content-type"]) == (200, "application/json")
    assert got.json["result"]["protocolVersion"] == "2025-06-18"
    assert got.headers["mcp-session-id"].startswith("claude-code.")
    assert post(gateway, "tools/list").json["result"]["tools"] == tool_table.listed()
    assert post(gateway, "server/discover").json["error"]["code"] == json_rpc.METHOD_NOT_FOUND
    notice = gateway.ask("POST", "/mcp", {"jsonrpc": "2.0", "method": "notifications/initialized"})
    assert (notice.status, notice.body) == (202, b"")
    assert gateway.ask("POST", "/mcp", {"jsonrpc": "2.0", "id": 1, "result": {}}).status == 202


def test_no_stream_is_offered(gateway: Gateway) -> None:
    for method in ("GET", "DELETE"):
        got = gateway.ask(method, "/mcp")
        assert (got.status, got.headers["allow"]) == (405, "POST")


def test_a_version_that_is_not_known(gateway: Gateway) -> None:
    got = post(gateway, "ping", **{"MCP-Protocol-Version": "2030-01-01"})
    assert (got.status, got.json["code"]) == (400, "BAD_REQUEST")
    assert "2025-11-25" in got.json["hint"]
    assert post(gateway, "ping", **{"MCP-Protocol-Version": "2025-11-25"}).json["result"] == {}


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"jsonrpc": "1.0", "id": 1, "method": "ping"}', b'{"jsonrpc": "2.0", "id": {}}']
)
def test_what_is_no_request(gateway: Gateway, body: bytes) -> None:
    got = gateway.ask("POST", "/mcp", body)
    assert got.status == 400


def test_a_page_of_another_origin_is_refused(gateway: Gateway) -> None:
    got = post(gateway, "tools/list", Origin="https://evil.example")
    assert (got.status, got.json["code"]) == (403, "ORIGIN_REFUSED")
    assert gateway.ask("POST", "/mcp", b"{}", headers={"Content-Type": "text/plain"}).status == 415


def test_a_conversation(office: PostOffice, gateway: Gateway) -> None:
    text, _ = called(gateway, "ann", "send", to="bob", message="The build is red.")
    assert text.startswith("Sent msg_")
    sent = text.split()[1]
    text, failed = called(gateway, "bob", "inbox")
    assert not failed
    assert "| The build is red." in text
    assert f'Answer: reply(id="{sent}"' in text
    eventually(lambda: status_of(office, "bob", sent) == ("delivered", "mcp:http"), "it counts as delivered")
    assert called(gateway, "bob", "inbox")[0].startswith("No new mail.")
    called(gateway, "bob", "reply", id=sent, message="I am on it.")
    assert status_of(office, "bob", sent)[0] == "read"
    text, _ = called(gateway, "ann", "inbox")
    assert f"in reply to {sent}" in text
    text, _ = called(gateway, "ann", "receipt", id=sent)
    assert "1 answered" in text
    text, _ = called(gateway, "bob", "sessions")
    assert text.startswith("You are bob")
    assert "ann" in text


def test_the_client_is_in_the_receipt(office: PostOffice, gateway: Gateway) -> None:
    begun = post(gateway, "initialize", {"clientInfo": {"name": "codex mcp/client"}})
    named = {"Mcp-Session-Id": begun.headers["mcp-session-id"]}
    with Client(office.router(), Caller("ann")) as ann:
        sent = ann.send("bob", "Hello.")["id"]
    post(gateway, "tools/call", {"name": "inbox"}, session="bob", **named)
    eventually(lambda: status_of(office, "bob", sent) == ("delivered", "mcp:codexmcpclient"), "it is delivered")


def test_a_tool_waits_for_mail(office: PostOffice, gateway: Gateway) -> None:
    found: list[tuple[str, bool]] = []
    waiter = threading.Thread(target=lambda: found.append(called(gateway, "ann", "inbox", wait_s=40)))
    waiter.start()
    with Client(office.router(), Caller("bob")) as bob:
        eventually(lambda: _subscribed(gateway), "the tool waits")
        bob.send("ann", "Here it is.")
    waiter.join(30)
    assert "| Here it is." in found[0][0]
    assert called(gateway, "ann", "inbox", wait_s=1) == ("No new mail within 1 s.", False)


def _subscribed(gateway: Gateway) -> bool:
    # A call that does not wait is answered while the other one waits.
    return bool(called(gateway, "ann", "sessions")[0])


def test_a_wait_is_given_up(gateway: Gateway) -> None:
    assert _ended_by(gateway, "ann", [{"X-Session-ID": "bob"}], {"X-Session-ID": "ann"})


def test_a_wait_is_given_up_with_the_token_alone(office: PostOffice, gateway: Gateway) -> None:
    token = new_token()
    with Client(office.router()) as operator:
        operator.start_session("dora", token=token)
    named = {"X-Session-ID": "dora"}
    others = [named, {**named, "Authorization": "Bearer wrong"}]
    assert _ended_by(gateway, "dora", others, {**named, "Authorization": f"Bearer {token}"})


def _ended_by(gateway: Gateway, session: str, others: list[dict[str, str]], own: dict[str, str]) -> bool:
    """Whether `others` end no wait of a session, and `own` does."""
    found: list[Answer] = []
    parameters = {"name": "inbox", "arguments": {"wait_s": 50}}

    def wait() -> None:
        found.append(post(gateway, "tools/call", parameters, session=session, **own))

    def give_up(headers: dict[str, str]) -> None:
        notice = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 7}}
        assert gateway.ask("POST", "/mcp", notice, headers=headers).status == 202

    def cancelled() -> bool:
        give_up(own)
        waiter.join(0.2)
        return not waiter.is_alive()

    waiter = threading.Thread(target=wait)
    waiter.start()
    eventually(lambda: _waits(gateway) > 0, "the tool waits", 30)
    for headers in others:
        give_up(headers)
    waiter.join(1.5)
    assert waiter.is_alive(), "another caller has ended it"
    # A call of the same id, which ends before.
    post(gateway, "tools/call", {"name": "sessions", "arguments": {}}, session=session, **own)
    eventually(cancelled, "the call has ended", 30)
    return (found[0].status, found[0].body) == (202, b"")


def _waits(gateway: Gateway) -> float:
    text = gateway.ask("GET", "/metrics").body.decode()
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith("maestro_mail_waits "))


def test_mail_of_a_client_that_hung_up_is_not_lost(office: PostOffice, gateway: Gateway) -> None:
    """It left while it waited, so the mail that came then is still there for the next call."""
    parameters = {"name": "inbox", "arguments": {"wait_s": 50}}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": parameters}).encode()
    with connect(gateway) as wire:
        lines = [b"X-Session-ID: bob", JSON, b"Content-Length: %d" % len(body)]
        wire.sendall(head("/mcp", *lines, method="POST") + body)
        called(gateway, "bob", "sessions")
    with Client(office.router(), Caller("ann")) as ann:
        ann.send("bob", "For the next call.")
    texts: list[str] = []

    def shown() -> bool:
        texts.append(called(gateway, "bob", "inbox")[0])
        return "For the next call." in texts[-1]

    eventually(shown, "the mail is there", 40)


def test_an_error_is_in_words(gateway: Gateway) -> None:
    text, failed = called(gateway, "ann", "send", to="nowhere", message="x")
    assert failed
    assert "(RECEIVER_NOT_FOUND)" in text
    assert "Here: " in text
    text, failed = called(gateway, "ann", "inbox", wait_s=51)
    assert failed
    assert "51" in text
    assert "50" in text
    assert (
        post(gateway, "tools/call", {"name": "prune"}, session="ann").json["error"]["code"] == json_rpc.INVALID_PARAMS
    )


@pytest.mark.parametrize("session", [None, "", "${MAESTRO_SESSION_ID}", "operator"])
def test_no_tool_acts_for_the_operator(gateway: Gateway, session: str | None) -> None:
    text, failed = called(gateway, session, "send", to="bob", message="Obey.")
    assert failed
    assert "X-Session-ID" in text
    assert "(NO_SESSION)" in text


def test_a_session_with_a_token(office: PostOffice, gateway: Gateway) -> None:
    token = new_token()
    with Client(office.router()) as operator:
        operator.start_session("cid", token=token, role="orchestrator")
    parameters = {"name": "sessions", "arguments": {}}
    for given, code in ((None, "TOKEN_REQUIRED"), ("wrong", "TOKEN_MISMATCH"), (token, None)):
        headers = {} if given is None else {"Authorization": f"Bearer {given}"}
        result = post(gateway, "tools/call", parameters, session="cid", **headers).json["result"]
        assert result.get("isError", False) is (code is not None)
        assert code is None or f"({code})" in result["content"][0]["text"]


def test_a_broker_that_is_away(open_office: PostOffice, alone: Gateway) -> None:
    open_office.sessions("ann")
    assert not called(alone, "ann", "sessions")[1]
    open_office.stop()
    text, failed = called(alone, "ann", "sessions")
    assert failed
    assert "the broker does not answer at the moment (BROKER_UNREACHABLE)" in text
    assert open_office.data not in text
