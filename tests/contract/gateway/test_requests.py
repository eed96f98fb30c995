"""Requests that mean two things, or that end early: each is answered, and each has one meaning.

Rule: a real gateway process, and bytes over a plain socket.
"""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
from typing import TYPE_CHECKING

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as connect_websocket

from support.post_office import eventually
from support.wire_http import JSON, UPGRADE, WAIT_S, Reply, ask, connect, head, is_closed, read, refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.gateways import Gateway
    from support.post_office import PostOffice

TEXT = b'{"message": "hello"}'
ANN = b"X-Session-ID: ann"
MESSAGES = "/api/sessions/bob/messages"


def post(*lines: bytes, body: bytes = TEXT, target: str = MESSAGES) -> bytes:
    """A send from `ann` to `bob`."""
    return head(target, JSON, b"Content-Length: %d" % len(body), ANN, *lines, method="POST") + body


@pytest.fixture
def gateway(standing: Gateway) -> Gateway:
    """A gateway that no test of this module changes."""
    return standing


@pytest.fixture
def unsent(office: PostOffice) -> Iterator[None]:
    """The test sends nothing to `bob`."""
    before = head_of_bob(office)
    yield
    assert head_of_bob(office) == before


def head_of_bob(office: PostOffice) -> int:
    """The number of the last message that `bob` got."""
    with office.client("bob") as client:
        return client.inbox(since=0, limit=1_000)["upTo"]


# --- the peer ends its side ------------------------------------------------------------------------------------


def half_closed(gateway: Gateway, raw: bytes) -> tuple[list[Reply], bool]:
    """The answers to `raw` from a client that says by its half-close that this was all, and whether the connection
    was closed behind them."""
    with connect(gateway) as wire:
        wire.sendall(raw)
        wire.shutdown(socket.SHUT_WR)
        seen = b""
        while some := wire.recv(65_536):
            seen += some
        replies = []
        while seen:
            replies.append(read(wire, seen))
            seen = replies[-1].rest
        return replies, is_closed(wire)


def test_a_half_close_behind_a_request(office: PostOffice, gateway: Gateway) -> None:
    """Answered, and then closed: what was accepted is said."""
    before = head_of_bob(office)
    replies, closed = half_closed(gateway, post())
    assert ([reply.status for reply in replies], closed) == ([201], True)
    assert head_of_bob(office) == before + 1


@pytest.mark.parametrize(
    ("raw", "statuses"),
    [
        (head("/api/sessions"), [200]),
        (head("/api/nowhere"), [404]),
        (post(body=b"no JSON"), [400]),
        (b"GET /health/live HTTP/1.0\r\nHost: localhost\r\n\r\n", [200]),
        (post() + head("/health/live") + post(), [201, 200, 201]),
        (head("/health/live") + b"\0garbage\r\n\r\n", [200, 400]),
    ],
    ids=["get", "unknown", "refused", "1.0", "pipelined", "garbage"],
)
def test_a_half_close_behind_any_request(gateway: Gateway, raw: bytes, statuses: list[int]) -> None:
    replies, closed = half_closed(gateway, raw)
    assert ([reply.status for reply in replies], closed) == (statuses, True)


@pytest.mark.parametrize(
    "raw",
    [
        head(MESSAGES, JSON, ANN, b"Content-Length: 20", method="POST") + TEXT[:7],
        head(MESSAGES, JSON, ANN, b"Transfer-Encoding: chunked", method="POST") + b"5\r\n{",
        head(MESSAGES, JSON, ANN, b"Content-Length: 20", method="POST"),
        b"GET /health/live HTTP/1.1\r\nHost: loc",
        b"GE",
    ],
    ids=["body", "chunk", "no body", "head", "method"],
)
@pytest.mark.usefixtures("unsent")
def test_a_half_close_within_a_request(gateway: Gateway, raw: bytes) -> None:
    """The rest will never come: 400, and nothing happens."""
    replies, closed = half_closed(gateway, raw)
    [reply] = replies
    refused(reply, "BAD_REQUEST")
    assert closed


def test_a_half_close_without_a_request(gateway: Gateway) -> None:
    assert half_closed(gateway, b"") == ([], True)


def test_a_half_close_behind_an_answer(gateway: Gateway) -> None:
    with connect(gateway) as wire:
        wire.sendall(head())
        assert read(wire).status == 200
        wire.shutdown(socket.SHUT_WR)
        assert is_closed(wire)


def test_a_half_close_before_a_stream_gets_the_stream(office: PostOffice, gateway: Gateway) -> None:
    """A client that closes its whole socket later is noticed all the same."""
    with connect(gateway) as wire:
        wire.sendall(head("/api/sessions/bob/messages/stream"))
        wire.shutdown(socket.SHUT_WR)
        seen = b""
        while b"retry:" not in seen:
            seen += wire.recv(65_536)
        with office.client("ann") as client:
            client.send("bob", "while it follows")
        while b"message:created" not in seen:
            seen += wire.recv(65_536)
        assert open_streams(gateway) == 1
    with office.client("ann") as client:
        client.send("bob", "an event that no client reads")
    eventually(lambda: open_streams(gateway) == 0, "the stream of a client that has gone ends")


def test_a_stream_ends_with_its_client(gateway: Gateway) -> None:
    with connect(gateway) as wire:
        wire.sendall(head("/api/sessions/bob/messages/stream"))
        seen = b""
        while b"retry:" not in seen:
            seen += wire.recv(65_536)
        assert open_streams(gateway) == 1
    eventually(lambda: open_streams(gateway) == 0, "the stream of a client that has gone ends")


def open_streams(gateway: Gateway) -> int:
    [line] = [
        line
        for line in gateway.ask("GET", "/metrics").body.decode().splitlines()
        if line.startswith("maestro_event_streams ")
    ]
    return int(float(line.split()[1]))


def test_mail_that_a_half_closed_client_gets_is_read(office: PostOffice, gateway: Gateway) -> None:
    with office.client("ann") as client:
        message = client.send("bob", "read me")["id"]
    with connect(gateway) as wire:
        wire.sendall(head("/api/sessions/bob/mail"))
        wire.shutdown(socket.SHUT_WR)
        seen = b""
        while some := wire.recv(65_536):
            seen += some
    assert b"read me" in seen
    assert seen.endswith(b"\r\n0\r\n\r\n")
    eventually(lambda: office.status_of(message) == "read", "it counts as read")


@pytest.mark.parametrize("reset", [False, True])
def test_mail_that_a_vanished_client_did_not_get_is_not_read(
    office: PostOffice, gateway: Gateway, *, reset: bool
) -> None:
    """A closed socket looks as a half-closed one, until its machine refuses the answer."""
    with office.client("ann") as client:
        message = client.send("bob", "read me")["id"]
    before = requests_to(gateway, "/mail")
    with connect(gateway) as wire:
        # The gateway learns who this is while it is there.
        wire.sendall(head())
        assert read(wire).status == 200
        os.kill(gateway.pid, signal.SIGSTOP)
        try:
            wire.sendall(head("/api/sessions/bob/mail"))
            if reset:
                wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes((1, 0, 0, 0, 0, 0, 0, 0)))
            wire.close()
        finally:
            os.kill(gateway.pid, signal.SIGCONT)
    if not reset:  # which also takes the request back
        eventually(lambda: requests_to(gateway, "/mail") == before + 1, "the call is over")
    assert gateway.ask("GET", "/health").status == 200
    assert office.status_of(message) == "pending"


def requests_to(gateway: Gateway, ending: str) -> int:
    """The finished requests whose route ends so."""
    lines = gateway.ask("GET", "/metrics").body.decode().splitlines()
    counts = [line for line in lines if line.startswith("maestro_http_requests_total{") and f'{ending}"' in line]
    return sum(int(float(line.rsplit(" ", 1)[1])) for line in counts)


# --- bodies that are not JSON as it is -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "body"),
    [
        ((b"Content-Encoding: gzip",), gzip.compress(TEXT, mtime=0)),
        ((b"Content-Encoding: deflate",), TEXT),
        ((b"Content-Encoding: br",), TEXT),
        ((b"Content-Encoding: identity, gzip",), TEXT),
        ((b"Content-Encoding: gzip", b"Content-Encoding: identity"), gzip.compress(TEXT, mtime=0)),
        ((b"Content-Encoding: GZIP",), gzip.compress(TEXT, mtime=0)),
    ],
)
@pytest.mark.usefixtures("unsent")
def test_a_compressed_body(gateway: Gateway, lines: tuple[bytes, ...], body: bytes) -> None:
    reply = ask(gateway, post(*lines, body=body))
    error = refused(reply, "UNSUPPORTED_MEDIA_TYPE")
    # RFC 9110 section 15.5.16
    assert reply.headers["accept-encoding"] == "identity"
    assert "compressed" in error["message"]


def test_a_body_that_is_said_to_be_as_it_is(gateway: Gateway) -> None:
    assert ask(gateway, post(b"Content-Encoding: identity")).status == 201


@pytest.mark.parametrize("kind", ["application/json; charset=utf-16", 'application/json;charset="latin-1"'])
@pytest.mark.usefixtures("unsent")
def test_json_of_another_charset(gateway: Gateway, kind: str) -> None:
    """RFC 8259 section 8.1: JSON between programs is in UTF-8."""
    raw = head(MESSAGES, f"Content-Type: {kind}".encode(), b"Content-Length: 20", ANN, method="POST") + TEXT
    refused(ask(gateway, raw), "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize("kind", ["application/json; charset=UTF-8", 'application/json ; Charset="utf-8"'])
def test_json_of_the_usual_charset(gateway: Gateway, kind: str) -> None:
    raw = head(MESSAGES, f"Content-Type: {kind}".encode(), b"Content-Length: 20", ANN, method="POST") + TEXT
    assert ask(gateway, raw).status == 201


@pytest.mark.usefixtures("unsent")
def test_a_part_of_a_body(gateway: Gateway) -> None:
    """RFC 9110 section 14.5: a server that takes no parts answers 400, and does not take a part for the whole."""
    refused(ask(gateway, post(b"Content-Range: bytes 0-19/40")), "BAD_REQUEST")


# --- twice -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (b"X-Session-ID: ann", b"X-Session-ID: bob"),
        (b"X-Session-ID: ann", b"x-session-id: ann"),
        (b"Idempotency-Key: a", b"Idempotency-Key: b"),
        (b"Authorization: Bearer a", b"Authorization: Bearer b"),
        (b"Authorization: Bearer a", b"Authorization: Basic b"),
        (b"Content-Type: application/json", b"Content-Type: text/plain"),
        (b"Last-Event-ID: 1", b"Last-Event-ID: 2"),
        (b"Origin: http://localhost", b"Origin: http://localhost"),
        (b"Sec-Fetch-Site: none", b"Sec-Fetch-Site: same-origin"),
        (b"Content-Range: bytes 0-1/2", b"Content-Range: bytes 0-19/20"),
    ],
    ids=lambda line: line.decode(),
)
@pytest.mark.usefixtures("unsent")
def test_a_header_twice(gateway: Gateway, first: bytes, second: bytes) -> None:
    """Another program on the way may read the other one."""
    length = b"Content-Length: %d" % len(TEXT)
    lines = [line for line in (JSON, ANN) if line.split(b":")[0].lower() != first.split(b":")[0].lower()]
    raw = head(MESSAGES, length, *lines, first, second, method="POST") + TEXT
    assert first.split(b":")[0].decode().lower() in refused(ask(gateway, raw), "BAD_REQUEST")["message"]
    refused(ask(gateway, head("/api/sessions", first, second)), "BAD_REQUEST")
    refused(ask(gateway, head("/ws", *UPGRADE, first, second)), "BAD_REQUEST")


@pytest.mark.parametrize(
    "target",
    [
        f"{MESSAGES}?limit=1&limit=2",
        f"{MESSAGES}?status=pending&status=",
        "/api/sessions/bob/messages/stream?since=1&since=2",
        "/api/sessions?active=true&%61ctive=false",
    ],
)
def test_a_parameter_twice(gateway: Gateway, target: str) -> None:
    assert "twice" in refused(ask(gateway, head(target)), "INVALID")["message"]


@pytest.mark.parametrize("query", ["sessionId=ann&sessionId=bob", "since=1&since=2"])
def test_a_parameter_of_a_websocket_twice(gateway: Gateway, query: str) -> None:
    refused(ask(gateway, head(f"/ws?{query}", *UPGRADE)), "INVALID")


def test_a_websocket_with_two_names(gateway: Gateway) -> None:
    """The header and the address name different sessions."""
    named = {"X-Session-ID": "ann"}
    with connect_websocket(f"{gateway.ws_url}/ws?sessionId=bob", additional_headers=named) as events:
        assert json.loads(events.recv(timeout=WAIT_S))["code"] == "INVALID"
        with pytest.raises(ConnectionClosed) as closed:
            events.recv(timeout=WAIT_S)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4_400
    with connect_websocket(f"{gateway.ws_url}/ws?sessionId=ann", additional_headers=named) as events:
        events.send('{"type": "ping"}')
        assert json.loads(events.recv(timeout=WAIT_S))["type"] == "pong"
