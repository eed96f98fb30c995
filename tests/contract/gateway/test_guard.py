"""The requests that the gateway refuses: a real process, and bytes that no correct client sends."""

from __future__ import annotations

import http.client
import time
from typing import TYPE_CHECKING

import pytest

from maestro_schemas.errors import MaestroError
from maestro_schemas.http_limits import DOCS, HttpLimits
from support import wire_http
from support.gateways import Gateway
from support.wire_http import JSON, UPGRADE, ask, connect, head, is_closed, read, refused, strict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.post_office import PostOffice

BODY_MAX = HttpLimits().body_bytes_max
SESSION = b'{"id": "zoe", "name": "zoe"}'
CHUNKED = b"Transfer-Encoding: chunked"


@pytest.fixture(scope="module")
def standing(office: PostOffice) -> Iterator[Gateway]:
    """A gateway in front of that broker, with timeouts of a fraction of a second."""
    office.environ |= {"MAESTRO_HTTP_HEAD_TIMEOUT": "700ms", "MAESTRO_HTTP_BODY_TIMEOUT": "700ms"}
    office.environ |= {"MAESTRO_HTTP_LINGER": "300ms"}
    with Gateway(office) as gateway:
        yield gateway


@pytest.fixture
def gateway(office: PostOffice, standing: Gateway) -> Gateway:
    """The same broker, after a session `zoe` that an earlier test has started was ended."""
    with office.client() as client:
        if has_zoe(office):
            client.end_session("zoe")
    return standing


def post(*lines: bytes, body: bytes = SESSION, host: bytes = wire_http.HOST) -> bytes:
    """A call that would start the session `zoe`."""
    length = b"Content-Length: %d" % len(body)
    return head("/api/sessions", JSON, length, *lines, method="POST", host=host) + body


def has_zoe(office: PostOffice) -> bool:
    with office.client() as client:
        return "zoe" in {session["id"] for session in client.sessions(active=True)}


# --- names and pages -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:4568", "[::1]", "[0:0::1]:80"])
def test_the_names_it_answers_under(gateway: Gateway, name: str) -> None:
    reply = ask(gateway, head(host=f"Host: {name}\r\n".encode()))
    assert reply.status == 200
    strict(reply)


@pytest.mark.parametrize(
    "name",
    [
        "rebound.example",
        "localhost.rebound.example",
        "127.0.0.1.rebound.example",
        "192.0.2.1",
        "0.0.0.0",
        "localhost.",
        "user@localhost",
        "localhost:port",
        "",
        "[::1",
        "localhost, localhost",
        "127.1",
        "\xe9",
    ],
)
def test_a_name_that_points_here_is_refused(office: PostOffice, gateway: Gateway, name: str) -> None:
    """DNS rebinding: the page's own name, whose owner has pointed it at this machine."""
    host = f"Host: {name}\r\n".encode("latin-1")
    refused(ask(gateway, head(host=host)), "HOST_REFUSED")
    refused(ask(gateway, post(host=host)), "HOST_REFUSED")
    refused(ask(gateway, head("/ws", *UPGRADE, host=host)), "HOST_REFUSED")
    assert not has_zoe(office)


@pytest.mark.parametrize("host", [b"", wire_http.HOST * 2, wire_http.HOST + b"Host: rebound.example\r\n"])
def test_one_host_header(gateway: Gateway, host: bytes) -> None:
    refused(ask(gateway, head(host=host)), "BAD_REQUEST")


def test_the_host_of_an_absolute_target_counts(gateway: Gateway) -> None:
    """RFC 9112 section 3.2.2: the target's host replaces Host."""
    assert ask(gateway, head("http://localhost:4568/health/live?a=b")).status == 200
    assert ask(gateway, head("http://127.0.0.1/health/live", host=b"Host: rebound.example\r\n")).status == 200
    assert ask(gateway, head("http://localhost")).json["links"]
    refused(ask(gateway, head("http://rebound.example/health/live")), "HOST_REFUSED")
    refused(ask(gateway, head("ftp://localhost/health/live")), "BAD_REQUEST")
    refused(ask(gateway, head("http://me@localhost/health/live")), "BAD_REQUEST")


STRANGE_PAGES = [
    b"Origin: http://page.example",
    b"Origin: null",
    b"Origin: file://",
    b"Origin: http://localhost@b.example",
]


@pytest.mark.parametrize(
    "line",
    [
        *STRANGE_PAGES,
        b"Origin: http://localhost.b.example",
        b"Origin: http://localhost:3000",
        b"Origin: http://localhost:99999x",
        b"Origin: http://127.0.0.1",
        b"Sec-Fetch-Site: cross-site",
        b"Sec-Fetch-Site: same-site",
    ],
)
def test_a_page_of_another_site(office: PostOffice, gateway: Gateway, line: bytes) -> None:
    """A page can have a call sent, and the browser asks for no consent for a form's body."""
    refused(ask(gateway, post(line)), "ORIGIN_REFUSED")
    refused(ask(gateway, head("/api/messages/msg_1", line, method="DELETE")), "ORIGIN_REFUSED")
    refused(ask(gateway, head("/ws", *UPGRADE, line)), "ORIGIN_REFUSED")
    assert not has_zoe(office)
    # The page can have this sent, and can't read the answer.
    strict(ask(gateway, head("/health/live", line)))


@pytest.mark.parametrize("line", [b"Sec-Fetch-Site: none", b"Sec-Fetch-Site: same-origin"])
def test_a_page_of_ours_by_its_site(gateway: Gateway, line: bytes) -> None:
    assert ask(gateway, post(line)).status == 201


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost:4568", "http://localhost:4568"),
        ("LOCALHOST:4568", "http://localhost:4568"),
        ("localhost:9000", "http://localhost:9000"),  # a tunnel's end
        ("localhost", "http://localhost"),
        ("localhost:80", "http://localhost"),
        ("localhost", "https://localhost:443"),
        ("[::1]", "https://[::1]"),
        ("[::1]:443", "https://[0:0::1]"),
        ("[::ffff:127.0.0.1]:1", "http://127.0.0.1:1"),
    ],
)
def test_a_page_of_ours(gateway: Gateway, host: str, origin: str) -> None:
    """The page has the host and the port that it asks."""
    line = f"Host: {host}\r\n".encode()
    assert ask(gateway, post(f"Origin: {origin}".encode(), host=line)).status == 201


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost:4568", "http://localhost:3000"),
        ("localhost:4568", "http://localhost"),
        ("localhost", "http://localhost:443"),
        ("localhost:80", "https://localhost"),
        ("127.0.0.1:4568", "http://localhost:4568"),
    ],
)
def test_a_page_of_another_port(office: PostOffice, gateway: Gateway, host: str, origin: str) -> None:
    """A page of another server on this machine."""
    line, named = f"Origin: {origin}".encode(), f"Host: {host}\r\n".encode()
    refused(ask(gateway, post(line, host=named)), "ORIGIN_REFUSED")
    refused(ask(gateway, head("/ws", *UPGRADE, line, host=named)), "ORIGIN_REFUSED")
    refused(ask(gateway, head("/api/sessions/bob/mail", line, host=named)), "ORIGIN_REFUSED")
    assert not has_zoe(office)


def test_no_page_is_given_leave(gateway: Gateway) -> None:
    """The request that a browser sends before a call with JSON gets no consent."""
    ask_leave = (b"Origin: http://localhost:3000", b"Access-Control-Request-Method: POST")
    reply = ask(gateway, head("/api/sessions", *ask_leave, method="OPTIONS"))
    assert reply.status == 405
    strict(reply)


# --- bodies --------------------------------------------------------------------------------------------------


def test_a_gigabyte_by_its_length(gateway: Gateway) -> None:
    """Refused by its length alone, before a byte of it is read."""
    with connect(gateway) as wire:
        wire.sendall(head("/api/sessions", JSON, b"Content-Length: 1000000000", method="POST"))
        body = refused(read(wire), "FRAME_TOO_LARGE")
        assert (body["limit"], body["actual"]) == (BODY_MAX, 1_000_000_000)
        assert is_closed(wire)


def test_a_gigabyte_that_asks_first(gateway: Gateway) -> None:
    """A request with `Expect: 100-continue` is refused without 100."""
    lines = (JSON, b"Content-Length: 1000000000", b"Expect: 100-continue")
    refused(ask(gateway, head("/api/sessions", *lines, method="POST")), "FRAME_TOO_LARGE")


@pytest.mark.parametrize("top", [b"Content-Length: 1000000000", CHUNKED])
def test_a_gigabyte_that_comes_all_the_same(gateway: Gateway, top: bytes) -> None:
    """The connection is cut after a few megabytes, and the refusal has arrived by then."""
    piece = b"x" * 65_536
    if top == CHUNKED:
        piece = b"10000\r\n" + piece + b"\r\n"
    sent = 0
    with connect(gateway) as wire:
        wire.sendall(head("/api/sessions", JSON, top, method="POST"))
        try:
            while sent < 1_000_000_000:
                wire.sendall(piece)
                sent += len(piece)
        except ConnectionError:
            pass
        body = refused(read(wire), "FRAME_TOO_LARGE")
    assert body["limit"] == BODY_MAX < body["actual"]
    # The kernel's own buffers took some of it.
    assert sent < 64 << 20
    assert ask(gateway, head()).status == 200


def test_a_body_at_the_limit(gateway: Gateway) -> None:
    raw = SESSION.ljust(BODY_MAX)
    assert ask(gateway, post(body=raw)).status == 201
    refused(ask(gateway, post(body=raw + b" ")), "FRAME_TOO_LARGE")


@pytest.mark.parametrize("first", [b"", b'{"id": '])
def test_a_slow_body(gateway: Gateway, first: bytes) -> None:
    with connect(gateway) as wire:
        wire.sendall(head("/api/sessions", JSON, b"Content-Length: 30", method="POST") + first)
        body = refused(read(wire), "REQUEST_TIMEOUT")
        assert body["limit"] == 700
        assert is_closed(wire)


def test_a_trailer_is_no_header(gateway: Gateway) -> None:
    """RFC 9110 section 6.5.1: a trailer must not become part of the head."""
    size = b"%x\r\n" % len(SESSION)
    top = head("/api/sessions", JSON, CHUNKED, method="POST") + size + SESSION
    assert ask(gateway, top + b"\r\n0\r\nHost: rebound.example\r\nX-Session-ID: absent\r\n\r\n").status == 201


@pytest.mark.parametrize("junk", [b"5;" + b"x" * 200_000, b"0\r\nX: " + b"x" * 200_000])
def test_chunk_extensions_and_trailers_are_limited(gateway: Gateway, junk: bytes) -> None:
    """Chunk extensions and trailers count as head."""
    with connect(gateway) as wire:
        wire.sendall(head("/api/sessions", JSON, CHUNKED, method="POST"))
        for at in range(0, len(junk), 20_000):
            try:
                wire.sendall(junk[at : at + 20_000])
            except ConnectionError:
                break
        refused(read(wire), "HEAD_TOO_LARGE")


# --- heads ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [b"GET", b"GET / HTTP/1.1\r\nHost: loc", b"\r\n\r\n"])
def test_a_slow_head(gateway: Gateway, first: bytes) -> None:
    with connect(gateway) as wire:
        wire.sendall(first)
        refused(read(wire), "REQUEST_TIMEOUT")
        assert is_closed(wire)


def test_a_slow_head_after_a_request(gateway: Gateway) -> None:
    """Each request's time runs from its own first byte."""
    with connect(gateway) as wire:
        wire.sendall(head() + b"GET / HT")
        first = read(wire)
        assert first.status == 200
        refused(read(wire, first.rest), "REQUEST_TIMEOUT")


def test_a_connection_that_says_nothing(gateway: Gateway) -> None:
    """Closed without an answer: a browser would take it for the answer to its next request."""
    with connect(gateway) as wire:
        assert wire.recv(100) == b""


@pytest.mark.parametrize(
    "raw",
    [
        head("/health/live", b"X: " + b"x" * 33_000),
        head("/" + "x" * 33_000),
        head("/health/live", *(b"X-%d: y" % number for number in range(5_000))),
        b"GET /health/live HTTP/1.1\r\nX: " + b"x" * 33_000,
        b"\r\n" * 20_000,
    ],
    ids=["value", "target", "count", "unended", "blank"],
)
def test_a_huge_head(gateway: Gateway, raw: bytes) -> None:
    body = refused(ask(gateway, raw), "HEAD_TOO_LARGE")
    assert body["limit"] == HttpLimits().head_bytes_max < body["actual"]


def test_a_large_head(gateway: Gateway) -> None:
    assert ask(gateway, head("/health/live", b"X: " + b"x" * 31_000)).status == 200


def test_many_requests_at_once_are_no_huge_head(gateway: Gateway) -> None:
    """The limit is for each request, and the answers come in order."""
    with connect(gateway) as wire:
        wire.sendall((head() + head("/nowhere")) * 1_000)
        rest = b""
        for number in range(2_000):
            reply = read(wire, rest)
            rest = reply.rest
            assert reply.status == (404 if number % 2 else 200)


# --- malformed -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        head("*", method="OPTIONS"),
        head("a:443", method="CONNECT"),
        head("/\xff"),
        head("/health/live", b"X : y"),
        head("/health/live", b"X: a\0b"),
        head("/health/live", b"X: a\rb"),
        head("/ws", b"Connection: Upgrade", b"Upgrade: websocket"),
        head("/ws", *UPGRADE, b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="),
    ],
)
def test_bytes_that_are_no_request(gateway: Gateway, raw: bytes) -> None:
    """uvicorn would answer in plain text."""
    with connect(gateway) as wire:
        wire.sendall(raw)
        refused(read(wire), "BAD_REQUEST")
        assert is_closed(wire)


@pytest.mark.parametrize(
    "lines",
    [
        (b"Content-Length: 5", CHUNKED),
        (CHUNKED, b"Content-Length: 5"),
        (b"Content-Length: 5", b"Content-Length: 6"),
        (b"Content-Length: 5, 6",),
        (b"Content-Length: +5",),
        (b"Content-Length: -1",),
        (b"Content-Length: 99999999999999999999999",),
        (b"Transfer-Encoding: xchunked",),
        (b"Transfer-Encoding: chunked, identity",),
    ],
)
def test_a_body_of_two_lengths(office: PostOffice, gateway: Gateway, lines: tuple[bytes, ...]) -> None:
    """Request smuggling: bytes behind the body are not run as a request."""
    with connect(gateway) as wire:
        wire.sendall(head("/api/sessions", JSON, *lines, method="POST") + b"0\r\n\r\n" + post())
        reply = read(wire)
        refused(reply, "BAD_REQUEST")
        assert reply.rest == b""
        assert is_closed(wire)
    assert not has_zoe(office)


def test_garbage_behind_a_request(gateway: Gateway) -> None:
    """The answer that is due comes first, and the refusal is the last on the connection."""
    with connect(gateway) as wire:
        wire.sendall(post() + head("/health") + b"\0\1\2garbage\r\n\r\n" + head())
        first = read(wire)
        second = read(wire, first.rest)
        third = read(wire, second.rest)
        assert (first.status, second.status) == (201, 200)
        refused(third, "BAD_REQUEST")
        assert (third.rest, is_closed(wire)) == (b"", True)


def test_a_broken_chunk(gateway: Gateway) -> None:
    """The broken request gets the refusal, and the one before it its answer."""
    with connect(gateway) as wire:
        wire.sendall(head() + head("/api/sessions", JSON, CHUNKED, method="POST") + b"ZZ\r\n")
        first = read(wire)
        assert first.status == 200
        refused(read(wire, first.rest), "BAD_REQUEST")
        assert is_closed(wire)


@pytest.mark.parametrize("path", ["%00", "a%00b", "%zz", "%", "%2", "%0a", "%1b%5b", "%7f", "%ff%fe", "%c0%af"])
def test_a_path_with_a_wrong_escape_or_character(gateway: Gateway, path: str) -> None:
    refused(ask(gateway, head(f"/api/messages/{path}")), "BAD_REQUEST")
    refused(ask(gateway, head(f"/{path}", *UPGRADE)), "BAD_REQUEST")


@pytest.mark.parametrize(
    "path", ["/api/messages/..%2f..%2fetc", "/../../etc/passwd", "//page.example/health", "/%c3%a9"]
)
def test_a_path_that_leads_nowhere(gateway: Gateway, path: str) -> None:
    reply = ask(gateway, head(path))
    assert (reply.status, reply.json["error"]) == (404, True)


@pytest.mark.parametrize("method", ["TRACE", "OPTIONS", "PUT", "PROPFIND"])
def test_other_methods(gateway: Gateway, method: str) -> None:
    reply = ask(gateway, head("/api/sessions", method=method))
    assert (reply.status, reply.json["code"]) == (405, "METHOD_NOT_ALLOWED")
    strict(reply)


def test_head_has_no_body(gateway: Gateway) -> None:
    with connect(gateway) as wire:
        wire.sendall(head("/health/live", b"Connection: close", method="HEAD"))
        seen = b""
        while some := wire.recv(65_536):
            seen += some
    assert seen.startswith(b"HTTP/1.1 200 ")
    assert seen.endswith(b"\r\n\r\n")


def test_an_upgrade_to_an_unknown_protocol(gateway: Gateway) -> None:
    """Java's client asks for h2c by default; it is answered as HTTP/1.1."""
    with connect(gateway) as wire:
        wire.sendall(head("/health/live", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c"))
        assert read(wire).status == 200
        assert is_closed(wire)


def test_no_header_changes_the_address_of_a_peer(office: PostOffice, gateway: Gateway) -> None:
    """Forwarded addresses are not believed, and change nothing."""
    assert (
        ask(gateway, head("/health/live", b"X-Forwarded-For: 192.0.2.9", b"X-Forwarded-Host: b.example")).status
        == 200
    )


# --- connections ---------------------------------------------------------------------------------------------


def test_a_thousand_idle_connections(open_office: PostOffice) -> None:
    """A new client is then served at once."""
    with Gateway(open_office) as gateway:
        idle = [connect(gateway) for _ in range(1_000)]
        try:
            began_s = time.monotonic()
            assert ask(gateway, post()).status == 201
            assert time.monotonic() - began_s < wire_http.WAIT_S / 2
        finally:
            for wire in idle:
                wire.close()


def test_more_idle_connections_than_allowed(open_office: PostOffice) -> None:
    """The connection that is idle for the longest time is closed. A request makes a connection the youngest."""
    open_office.environ["MAESTRO_HTTP_IDLE_CONNECTIONS_MAX"] = "3"
    with Gateway(open_office) as gateway:
        wires = [connect(gateway) for _ in range(3)]
        wires[0].sendall(head())
        assert read(wires[0]).status == 200
        wires.append(connect(gateway))
        assert wires[1].recv(100) == b""
        for wire in (wires[0], *wires[2:]):
            wire.sendall(head())
            assert read(wire).status == 200
            wire.close()
        wires[1].close()


def test_more_connections_than_allowed(open_office: PostOffice) -> None:
    open_office.environ["MAESTRO_HTTP_CONNECTIONS_MAX"] = "2"
    with Gateway(open_office) as gateway:
        busy = [connect(gateway) for _ in range(2)]
        for wire in busy:
            wire.sendall(head("/api/sessions", JSON, b"Content-Length: 30", b"Expect: 100-continue", method="POST"))
            assert wire.recv(100).startswith(b"HTTP/1.1 100")
        with connect(gateway) as wire:
            reply = read(wire)
            body = refused(reply, "BUSY")
            assert (body["limit"], reply.headers["retry-after"]) == (2, "1")
            assert is_closed(wire)
        for wire in busy:
            wire.close()


def test_a_client_that_reads_no_answer_is_disconnected(open_office: PostOffice) -> None:
    open_office.environ["MAESTRO_HTTP_STALL_TIMEOUT"] = "500ms"
    with open_office.client("ann") as client:
        for _ in range(40):
            client.send("bob", "x" * 9_000)
    with Gateway(open_office) as gateway:
        with connect(gateway) as wire:
            try:
                for _ in range(10_000):
                    wire.sendall(head("/api/sessions/bob/messages") * 100)
            except ConnectionError:
                pass
            else:
                raise AssertionError("a million answers were taken in")
        assert ask(gateway, head()).status == 200


def test_the_limits_are_shown(gateway: Gateway) -> None:
    shown = ask(gateway, head("/health")).json["limits"]
    expected = HttpLimits()._replace(head_timeout_ms=700, body_timeout_ms=700, linger_ms=300)
    assert shown == expected._asdict()
    assert list(DOCS) == list(HttpLimits._fields)


def test_a_limit_out_of_range(open_office: PostOffice) -> None:
    for text in ("0", "soon", "9" * 5_000):
        open_office.environ["MAESTRO_HTTP_HEAD_TIMEOUT"] = text
        with pytest.raises(MaestroError) as raised:
            Gateway(open_office).start()
        assert raised.value.code == "BAD_SETTING"


def test_a_connection_is_kept(gateway: Gateway) -> None:
    """The guard closes no connection of a correct client."""
    connection = http.client.HTTPConnection(*gateway.address, timeout=wire_http.WAIT_S)
    for _ in range(20):
        connection.request("GET", "/health/live")
        reply = connection.getresponse()
        assert (reply.status, reply.getheader("connection")) == (200, None)
        reply.read()
    connection.close()
