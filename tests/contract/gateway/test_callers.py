"""The callers of the gateway: programs of other users, of other machines, and those without an owner that is known.

Rule: a real gateway process; another user is a real uid, and these tests skip aloud without root.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as connect_websocket

from support import components, wire_http
from support.cli_shell import open_shell
from support.gateways import WITHOUT_OWNERS, Gateway
from support.wire_http import JSON, UPGRADE, ask, connect, head, own_address, read, refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.post_office import PostOffice

OTHER_UID = 65_534
SESSION = b'{"id": "zoe", "name": "zoe"}'


def post(*lines: bytes, body: bytes = SESSION, target: str = "/api/sessions", host: bytes = wire_http.HOST) -> bytes:
    """A call with a body; by default it would start the session `zoe`."""
    return head(target, JSON, b"Content-Length: %d" % len(body), *lines, method="POST", host=host) + body


def has_zoe(office: PostOffice) -> bool:
    with office.client() as client:
        return "zoe" in {session["id"] for session in client.sessions(active=True)}


@pytest.fixture
def gateway(standing: Gateway) -> Gateway:
    """A gateway that only this machine can reach."""
    return standing


# --- other users ---------------------------------------------------------------------------------------------

_STRANGER = """
import os, socket, sys
host, port, uid, then, family, source = sys.argv[1:]
os.setuid(int(uid))
# Not by create_connection, which imports a codec, and that user may not read our interpreter's files.
wire = socket.socket(int(family))
wire.settimeout(20)
if source:
    wire.bind((source, 0))
wire.connect((host, int(port)))
sent = sys.stdin.buffer.read()
if then == "vanish":
    wire.sendall(sent)
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
    wire.close()
elif then == "close":
    wire.sendall(sent)
    wire.close()
else:
    wire.sendall(sent)
    while some := wire.recv(65536):
        sys.stdout.buffer.write(some)
"""


def as_uid(
    gateway: Gateway, uid: int, raw: bytes, then: str = "read", *, to: str = "", family: int = 0, source: str = ""
) -> bytes:
    """The answer to a program of another user. `to`: the gateway's address as that program names it. `family`: of its
    socket. `source`: the address that it comes from."""
    components.require_root("running a program as another user")
    host, port = gateway.address
    words = [to or host, str(port), str(uid), then, str(int(family or socket.AF_INET)), source]
    command = [sys.executable, "-c", _STRANGER, *words]
    return subprocess.run(command, input=raw, capture_output=True, check=True, timeout=30).stdout


def test_another_user_is_refused(office: PostOffice, gateway: Gateway) -> None:
    for raw in (head("/health"), post(), head("/ws", *UPGRADE)):
        answer = as_uid(gateway, OTHER_UID, raw)
        assert answer.startswith(b"HTTP/1.1 403 ")
        assert b'"PEER_REFUSED"' in answer
    assert not has_zoe(office)
    assert as_uid(gateway, 0, head("/health", b"Connection: close")).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("source", "to", "family"),
    [
        # `curl --interface ADDRESS http://127.0.0.1:4568/`
        ("own", "127.0.0.1", socket.AF_INET),
        ("127.9.9.9", "127.0.0.1", socket.AF_INET),
        ("", "::ffff:127.0.0.1", socket.AF_INET6),
        ("::ffff:own", "::ffff:127.0.0.1", socket.AF_INET6),
    ],
)
def test_another_user_is_refused_from_any_address(
    office: PostOffice, gateway: Gateway, source: str, to: str, family: int
) -> None:
    """The kernel is asked whatever address the program comes from."""
    source = source.replace("own", own_address())
    for raw in (head("/api/sessions"), post(), head("/ws", *UPGRADE)):
        answer = as_uid(gateway, OTHER_UID, raw, to=to, family=family, source=source)
        assert answer.startswith(b"HTTP/1.1 403 "), answer[:400]
        assert b'"PEER_REFUSED"' in answer
    assert not has_zoe(office)
    calls = head("/api/sessions", b"Connection: close")
    assert as_uid(gateway, os.getuid(), calls, to=to, family=family, source=source).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("then", ["close", "vanish"])
def test_another_user_that_has_gone_already(office: PostOffice, gateway: Gateway, then: str) -> None:
    """A closed socket has no owner. The kernel shows root's number for it, which must not count."""
    os.kill(gateway.pid, signal.SIGSTOP)  # it looks only when the other has gone
    try:
        as_uid(gateway, OTHER_UID, post(), then)
    finally:
        os.kill(gateway.pid, signal.SIGCONT)
    assert ask(gateway, head("/health")).status == 200
    assert not has_zoe(office)


# --- beyond this machine -------------------------------------------------------------------------------------


@pytest.fixture
def exposed(open_office: PostOffice) -> Iterator[Gateway]:
    """A gateway that other machines could reach, while a test runs. `ann` and `bob` have no tokens; `eve` has one."""
    with open_office.client() as client:
        client.start_session("eve", token="a secret", role="orchestrator")
    with Gateway(open_office, "--host", "0.0.0.0") as gateway:
        gateway.url = gateway.url.replace("0.0.0.0", "127.0.0.1")
        yield gateway


EVE = (b"X-Session-ID: eve", b"Authorization: Bearer a secret")


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ((), "NO_SESSION"),
        ((b"Authorization: Bearer a secret",), "NO_SESSION"),
        ((b"X-Session-ID: eve",), "TOKEN_REQUIRED"),
        ((b"X-Session-ID: eve", b"Authorization: Basic a secret"), "TOKEN_REQUIRED"),
        ((b"X-Session-ID: eve", b"Authorization: Bearer another"), "TOKEN_MISMATCH"),
        ((b"X-Session-ID: ann",), "TOKEN_REQUIRED"),
        ((b"X-Session-ID: ann", b"Authorization: Bearer anything"), "TOKEN_REQUIRED"),
        ((b"X-Session-ID: absent", b"Authorization: Bearer anything"), "UNKNOWN_SESSION"),
    ],
)
def test_beyond_this_machine_every_call_needs_a_token(
    open_office: PostOffice, exposed: Gateway, lines: tuple[bytes, ...], code: str
) -> None:
    for raw in (
        head("/api/sessions", *lines),
        head("/api/v1/sessions/bob/messages", *lines),
        head("/api/sessions/ann/mail", *lines),
        head("/api/messages/msg_1", *lines, method="DELETE"),
        head("/metrics", *lines),
        head("/health/../api/sessions", *lines),
        head("/ws", *UPGRADE, *lines),
        post(*lines),
    ):
        reply = ask(exposed, raw)
        refused(reply, code)
        assert reply.headers["www-authenticate"] == "Bearer"
    assert not has_zoe(open_office)


def test_beyond_this_machine_with_a_token(open_office: PostOffice, exposed: Gateway) -> None:
    assert ask(exposed, head("/health")).status == 200
    assert ask(exposed, head("/health/live")).status == 200
    assert ask(exposed, head("/api/sessions", *EVE)).status == 200
    refused(ask(exposed, post(*EVE)), "TOKEN_REQUIRED")
    assert ask(exposed, post(*EVE, body=b'{"id": "zoe", "token": "hers"}')).status == 201
    text = b'{"message": "hello"}'
    lines = (*EVE, JSON, b"Content-Length: %d" % len(text))
    assert ask(exposed, head("/api/sessions/bob/messages", *lines, method="POST") + text).status == 201
    # Another's mailbox stays another's.
    refused(ask(exposed, head("/api/sessions/bob/messages", *EVE)), "FORBIDDEN")


def test_beyond_this_machine_no_session_writes_under_another_name(exposed: Gateway) -> None:
    """The legacy calls name the sender in the body."""
    text = b'{"content": "hello", "senderSessionId": "ann"}'
    lines = (*EVE, JSON, b"Content-Length: %d" % len(text))
    refused(ask(exposed, head("/api/sessions/bob/prompt", *lines, method="POST") + text), "FORBIDDEN")


def test_the_names_of_one_that_others_can_reach(exposed: Gateway) -> None:
    """Also the address that the connection reached, and the machine's name."""
    for name in ("127.0.0.1", "localhost", socket.gethostname()):
        assert ask(exposed, head(host=f"Host: {name}:80\r\n".encode())).status == 200
    for name in ("0.0.0.0", "192.0.2.1", "rebound.example"):
        refused(ask(exposed, head(host=f"Host: {name}\r\n".encode())), "HOST_REFUSED")
    with socket.create_connection(("127.0.0.2", exposed.address[1]), wire_http.WAIT_S) as wire:
        wire.sendall(head(host=b"Host: 127.0.0.2\r\n"))
        assert read(wire).status == 200


def test_another_loopback_address_is_loopback(open_office: PostOffice) -> None:
    with Gateway(open_office, "--host", "127.0.0.2") as gateway:
        assert ask(gateway, head("/api/sessions", host=b"Host: 127.0.0.2\r\n")).status == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "own"])
def test_another_user_of_a_gateway_that_others_can_reach(open_office: PostOffice, host: str) -> None:
    """From each address, also with a session's token."""
    with open_office.client() as client:
        client.start_session("eve", token="a secret", role="orchestrator")
    place = own_address()
    with Gateway(open_office, "--host", host.replace("own", place)) as gateway:
        for to in {place} if host == "own" else {"127.0.0.1", place}:
            named = f"Host: {to}\r\n".encode()
            answer = as_uid(gateway, OTHER_UID, head("/api/sessions", *EVE, host=named), to=to)
            assert answer.startswith(b"HTTP/1.1 403 "), answer[:400]
            raw = head("/api/sessions", *EVE, b"Connection: close", host=named)
            assert as_uid(gateway, os.getuid(), raw, to=to).startswith(b"HTTP/1.1 200 ")


def test_it_is_said_that_others_can_reach_it(open_office: PostOffice, exposed: Gateway) -> None:
    with open(os.path.join(open_office.data, "logs", "gateway.log"), encoding="utf-8") as log:
        assert "not encrypted" in log.read()


def test_up_says_that_others_can_reach_it() -> None:
    with open_shell(MAESTRO_HTTP="1", MAESTRO_HTTP_PORT="0") as shell:
        done = shell.done("up", "--http-host", "0.0.0.0")
        assert "other machines can reach the gateway: traffic is not encrypted" in done.err
        shell.done("down")


# --- where the kernel does not tell --------------------------------------------------------------------------


@pytest.fixture
def unsure(open_office: PostOffice) -> Iterator[Gateway]:
    """A gateway on loopback whose kernel knows no owners. `ann` and `bob` have no tokens; `eve` has one."""
    with open_office.client() as client:
        client.start_session("eve", token="a secret", role="orchestrator")
    with Gateway(open_office, first=WITHOUT_OWNERS) as gateway:
        yield gateway


def test_where_the_kernel_does_not_tell_every_caller_needs_a_token(open_office: PostOffice, unsure: Gateway) -> None:
    for lines, code in (
        ((), "NO_SESSION"),
        ((b"X-Session-ID: ann",), "TOKEN_REQUIRED"),
        ((b"X-Session-ID: ann", b"Authorization: Bearer x"), "TOKEN_REQUIRED"),
        ((b"X-Session-ID: eve", b"Authorization: Bearer x"), "TOKEN_MISMATCH"),
    ):
        for raw in (head("/api/sessions", *lines), head("/ws", *UPGRADE, *lines), post(*lines)):
            refused(ask(unsure, raw), code)
    assert ask(unsure, head("/health")).status == 200
    assert ask(unsure, head("/api/sessions", *EVE)).status == 200
    refused(ask(unsure, post(*EVE)), "TOKEN_REQUIRED")
    assert not has_zoe(open_office)
    refused(
        ask(unsure, post(*EVE, target="/api/sessions/bob/mail", body=b'{"message": "x", "fromSessionId": "ann"}')),
        "FORBIDDEN",
    )


def test_where_the_kernel_does_not_tell_no_stream_changes_its_session(unsure: Gateway) -> None:
    """A frame `auth` can't name a session without a token either."""
    named = {"X-Session-ID": "eve", "Authorization": "Bearer a secret"}
    with connect_websocket(f"{unsure.ws_url}/ws", additional_headers=named) as events:
        events.send(json.dumps({"type": "auth", "sessionId": "ann"}))
        assert json.loads(events.recv(timeout=wire_http.WAIT_S))["code"] == "TOKEN_REQUIRED"
        with pytest.raises(ConnectionClosed):
            events.recv(timeout=wire_http.WAIT_S)
    answer = unsure.ask("GET", "/api/sessions/ann/messages/stream", headers=named)
    assert answer.json["code"] == "FORBIDDEN"


def test_a_program_that_has_gone_needs_a_token_too(office: PostOffice, gateway: Gateway) -> None:
    """Also one of the own user: its closed socket has no owner."""
    os.kill(gateway.pid, signal.SIGSTOP)
    try:
        with connect(gateway) as wire:
            wire.sendall(post())
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    finally:
        os.kill(gateway.pid, signal.SIGCONT)
    assert ask(gateway, head("/health")).status == 200
    assert not has_zoe(office)


# --- bodies without credentials ------------------------------------------------------------------------------

CONNECTIONS = 300
GROWTH_MAX = 20 << 20


@pytest.mark.parametrize(
    ("target", "lines", "status"),
    [
        ("/api/sessions", (), 401),
        ("/api/sessions/bob/messages", (b"X-Session-ID: eve",), 401),
        ("/api/sessions/bob/messages", (b"X-Session-ID: eve", b"Authorization: Bearer another"), 401),
        ("/api/nowhere", (), 401),
        # Open to all, and its body is of no use.
        ("/health/live", (), None),
    ],
    ids=["none", "no token", "wrong token", "nowhere", "open"],
)
def test_bodies_without_credentials_cost_no_memory(
    open_office: PostOffice, exposed: Gateway, target: str, lines: tuple[bytes, ...], status: int | None
) -> None:
    """300 connections send a megabyte each, all but the last byte."""
    size = 1 << 20
    top = head(target, JSON, b"Content-Length: %d" % size, *lines, method="POST")
    # The first requests make what a gateway makes once.
    assert ask(exposed, head("/api/sessions", *EVE)).status == 200
    refused(ask(exposed, head("/api/sessions")), "NO_SESSION")
    before = resident_bytes(exposed.pid)
    wires = []
    most = before
    try:
        for _ in range(CONNECTIONS):
            wire = connect(exposed)
            wires.append(wire)
            try:
                wire.sendall(top + bytes(size - 1))
            except ConnectionError:
                pass
            else:
                if status is not None:
                    assert read(wire).status == status
            most = max(most, resident_bytes(exposed.pid))
    finally:
        for wire in wires:
            wire.close()
    print(f"{CONNECTIONS} connections: {(most - before) / (1 << 20):+.1f} MiB")
    assert most - before < GROWTH_MAX
    assert ask(exposed, head("/api/sessions", *EVE)).status == 200


def resident_bytes(pid: int) -> int:
    """The resident memory of a process (proc(5))."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
