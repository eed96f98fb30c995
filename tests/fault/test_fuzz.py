"""Fuzz: any request of the protocol's shape, any bytes on the sockets, any HTTP request, and mail that must arrive.

Rule: no answer is INTERNAL and no HTTP status is 500; memory and descriptors stay flat; what was accepted is there at
the end. A run prints its seed; MAESTRO_SEED=N repeats it. The long forms are those of the issue's figures.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import typing
from typing import TYPE_CHECKING, Any

import msgpack
import msgspec
import pytest

from maestro_schemas.commands import COMMANDS
from maestro_schemas.errors import MaestroError
from maestro_wire import zmtp
from support.gateways import Gateway

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.post_office import PostOffice

WORDS = ["", "a", "ann", "bob", "parent", "operator", "maestro", "@all", "-x", "..", "a/b", "x" * 65]
WORDS += ["ä", "\x00", "\u202e"]
TEXTS = ["hello", " ", "x" * 20_000, "\x1b[2J", "\U000e0041", "e\u0301", "\ud7ff"]
NUMBERS = [0, 1, -1, 2, 255, 1 << 31, 1 << 53, (1 << 63) - 1, -(1 << 63), (1 << 64) - 1]
NOT_FUZZED = {"shutdown", "prune"}
# Growth of the broker after its caches are warm.
GROWTH_MIB_MAX = 48


def seeded(capsys: pytest.CaptureFixture[str]) -> random.Random:
    """A generator whose seed is printed."""
    seed = int(os.environ.get("MAESTRO_SEED", "0")) or random.randrange(1, 1 << 31)
    with capsys.disabled():
        print(f"\nseed {seed}: MAESTRO_SEED={seed} repeats it")
    return random.Random(seed)


def resident_mib(pid: int) -> float:
    """The memory of a process."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def descriptors(pid: int) -> int:
    """The open files of a process."""
    return len(os.listdir(f"/proc/{pid}/fd"))


class Control:
    """A sender and a receiver that no fuzzed request can speak for: their tokens are not in any."""

    def __init__(self, office: PostOffice) -> None:
        self._office = office
        self._sent: list[str] = []
        for name in ("control_from", "control_to"):
            office.session(name, token=f"tok_{name}_0123456789abcdef", role="orchestrator")

    def _client(self, name: str) -> Any:
        return self._office.client(name, f"tok_{name}_0123456789abcdef", patient=True, timeout_s=60.0)

    def send(self) -> None:
        """One more message that must be there at the end."""
        with self._client("control_from") as client:
            text = f"number {len(self._sent)}"
            sent = client.send("control_to", text, message_id=f"c{len(self._sent)}")
            self._sent.append(sent["id"])

    def check(self) -> None:
        """Each is there once."""
        with self._client("control_to") as client:
            found: list[str] = []
            while page := client.inbox(since=len(found), limit=1_000)["messages"]:
                found += [message["id"] for message in page]
        assert found == self._sent


def _value(kind: Any, rng: random.Random, ids: list[str], depth: int = 0) -> Any:
    """A value of a field's type, or at times of another."""
    if rng.random() < 0.08 or depth > 4:
        return rng.choice([None, True, 1.5, b"\xff", [], {}, "x", -7, {"a": [1, {"b": None}]}])
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _value(parts[0], rng, ids, depth)
    if origin is typing.Literal:
        return rng.choice([*parts, "other"])
    if origin is not None and origin not in (list, tuple, dict):
        return _value(rng.choice([part for part in parts if part is not msgspec.UnsetType]), rng, ids, depth)
    if origin in (list, tuple):
        count = rng.choice([0, 1, 2, 3, 40, 300])
        return [_value(parts[0], rng, ids, depth + 1) for _ in range(count if depth < 2 else 1)]
    if origin is dict:
        return {rng.choice(WORDS): rng.choice([1, "x", None, [1]]) for _ in range(rng.randrange(3))}
    if kind is str:
        return rng.choice([*WORDS, *TEXTS, *ids[-40:]])
    if kind is int:
        return rng.choice([*NUMBERS, rng.randrange(1 << 20)])
    if kind is bool:
        return rng.random() < 0.5
    if kind is type(None):
        return None
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _body(kind, rng, ids, depth + 1)
    return rng.choice([1, "x", None, {"a": 1}, [1, 2], 1e300])


def _body(shape: type[msgspec.Struct], rng: random.Random, ids: list[str], depth: int = 0) -> dict[str, Any]:
    body = {}
    for field in msgspec.structs.fields(shape):
        if field.required or rng.random() < 0.4:
            body[field.encode_name] = _value(field.type, rng, ids, depth)
    if rng.random() < 0.02:
        body["unknown"] = 1
    return body


def fuzz_wire(office: PostOffice, count: int, kills: int, capsys: pytest.CaptureFixture[str]) -> None:
    """`count` requests, with `kills` of the broker among them."""
    rng = seeded(capsys)
    office.start()
    control = Control(office)
    office.sessions("ann", "bob")
    ids = ["ann", "bob", "m1"]
    killed_at = {count * (number + 1) // (kills + 1) for number in range(kills)}
    warm = resident_mib(office.pid)
    opened = descriptors(office.pid)
    codes: dict[str, int] = {}
    client = office.client(patient=True, timeout_s=60.0)
    for number in range(count):
        if number in killed_at:
            office.kill()
            office.start()
        if number % max(1, count // 50) == 0:
            control.send()
        if number == count // 4:
            warm, opened = resident_mib(office.pid), descriptors(office.pid)
        command = rng.choice(COMMANDS)
        if command.name in NOT_FUZZED:
            continue
        body = _body(command.request, rng, ids)
        if rng.random() < 0.6:
            body["as"] = {"session": rng.choice(["ann", "bob"])}
        try:
            reply: Any = client.call(command.name, body)
        except MaestroError as error:
            codes[error.code] = codes.get(error.code, 0) + 1
            assert error.code != "INTERNAL", (command.name, body, error)
            continue
        codes["done"] = codes.get("done", 0) + 1
        for result in reply.get("results", []) if isinstance(reply, dict) else []:
            assert result.get("error", {}).get("code") != "INTERNAL", (command.name, body, result)
            if isinstance(result.get("id"), str) and result.get("status") == 201:
                ids.append(result["id"])
    grown = resident_mib(office.pid) - warm
    with capsys.disabled():
        print(f"{count:,} requests, {kills} kills: {dict(sorted(codes.items()))}; memory {grown:+.1f} MiB")
    assert codes.get("done", 0) > count // 50, "the fuzz reaches what lies behind the checks"
    if not kills:
        assert grown < GROWTH_MIB_MAX
        assert abs(descriptors(office.pid) - opened) <= 4
    control.check()


def _openings(rng: random.Random) -> Iterator[bytes]:
    """What one connection sends: noise, a changed handshake, or frames behind a whole one."""
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL" + bytes(16) + b"\x00" + bytes(31)
    ready = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"
    request = zmtp.message([b"M1", b"1", b"hello", msgpack.packb({})])
    kind = rng.randrange(5)
    if kind == 0:
        yield rng.randbytes(rng.randrange(1, 400))
        return
    whole = bytearray(greeting + ready + request * rng.randrange(4))
    if kind == 1:
        for _ in range(rng.randrange(1, 6)):
            whole[rng.randrange(len(whole))] = rng.randrange(256)
    elif kind == 2:
        whole = whole[: rng.randrange(len(whole))]
    elif kind == 3:
        flags = rng.randrange(256)
        whole += bytes([flags]) + rng.randbytes(rng.randrange(12))
    else:
        frames = [rng.randbytes(rng.choice([0, 1, 2, 64, 300])) for _ in range(rng.randrange(1, 9))]
        whole += zmtp.message(frames)
    cut = rng.randrange(len(whole) + 1)
    yield bytes(whole[:cut])
    yield bytes(whole[cut:])


def fuzz_zmtp(office: PostOffice, count: int, capsys: pytest.CaptureFixture[str]) -> None:
    """`count` connections to the socket of requests."""
    rng = seeded(capsys)
    office.start()
    control = Control(office)
    path = office.router().removeprefix("ipc://")
    warm, opened = resident_mib(office.pid), descriptors(office.pid)
    for number in range(count):
        if number % max(1, count // 50) == 0:
            control.send()
        if number == count // 4:
            warm, opened = resident_mib(office.pid), descriptors(office.pid)
        with socket.socket(socket.AF_UNIX) as peer, contextlib.suppress(ConnectionError, TimeoutError):
            peer.settimeout(5.0)
            peer.connect(path)
            for part in _openings(rng):
                peer.sendall(part)
            if rng.random() < 0.1:
                peer.shutdown(socket.SHUT_WR)
                while peer.recv(4_096):
                    pass
    assert office.client().hello()["pid"] == office.pid
    grown = resident_mib(office.pid) - warm
    with capsys.disabled():
        print(f"{count:,} connections: memory {grown:+.1f} MiB")
    assert grown < GROWTH_MIB_MAX
    assert abs(descriptors(office.pid) - opened) <= 4
    control.check()


PATHS = [
    "/api/sessions",
    "/api/sessions/ann",
    "/api/sessions/ann/messages",
    "/api/messages/m1",
    "/api/messages/m1/thread",
    "/mail",
    "/ws",
    "/events",
    "/openapi.json",
    "/metrics",
    "/",
    "/api/%ff",
    "/api/../x",
    "/docs",
]
HEADERS = [
    b"X-Session-ID: ann",
    b"X-Session-ID: \xff",
    b"Authorization: Bearer x",
    b"Content-Encoding: gzip",
    b"Expect: 100-continue",
    b"Idempotency-Key: k",
    b"Content-Type: text/plain",
    b"Content-Type: application/json",
    b"Upgrade: websocket",
    b"Connection: upgrade",
    b"Transfer-Encoding: chunked",
    b"Last-Event-ID: 999",
    b"Range: bytes=0-1",
]
BODIES = [b"", b"{}", b'{"message":"x","to":"bob"}', b"[1", b"\xff\xfe", b'{"id":"m1","role":"worker"}', b"x" * 5_000]


def _http_request(rng: random.Random) -> bytes:
    method = rng.choice([b"GET", b"POST", b"PATCH", b"DELETE", b"PUT", b"OPTIONS", b"HEAD", b"G\xc3T"])
    query = rng.choice(["", "?limit=1", "?limit=-1", "?since=x", "?limit=99999999999999999999", "?%00=1"])
    body = rng.choice(BODIES)
    lines = [method + b" " + (rng.choice(PATHS) + query).encode() + b" HTTP/1.1", b"Host: localhost"]
    lines += rng.sample(HEADERS, rng.randrange(4))
    if rng.random() < 0.9:
        lines.append(b"Content-Length: " + str(len(body)).encode())
    lines.append(b"Connection: close")
    raw = bytearray(b"\r\n".join(lines) + b"\r\n\r\n" + body)
    if rng.random() < 0.3:
        for _ in range(rng.randrange(1, 4)):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
    return bytes(raw)


def fuzz_http(office: PostOffice, count: int, capsys: pytest.CaptureFixture[str]) -> None:
    """`count` requests to a gateway."""
    rng = seeded(capsys)
    office.start()
    control = Control(office)
    office.sessions("ann", "bob")
    statuses: dict[bytes, int] = {}
    with Gateway(office) as gateway:
        warm, opened = resident_mib(gateway.pid), descriptors(gateway.pid)
        for number in range(count):
            if number % max(1, count // 50) == 0:
                control.send()
            if number == count // 4:
                warm, opened = resident_mib(gateway.pid), descriptors(gateway.pid)
            request = _http_request(rng)
            with socket.create_connection(gateway.address, timeout=5.0) as peer, contextlib.suppress(OSError):
                peer.sendall(request)
                peer.shutdown(socket.SHUT_WR)
                answer = peer.recv(64)
                status = answer[9:12]
                statuses[status] = statuses.get(status, 0) + 1
                assert status != b"500", (request, answer)
        grown = resident_mib(gateway.pid) - warm
        with capsys.disabled():
            print(f"{count:,} requests: {dict(sorted(statuses.items()))}; memory {grown:+.1f} MiB")
        assert grown < GROWTH_MIB_MAX
        assert abs(descriptors(gateway.pid) - opened) <= 8
    control.check()


def test_any_request_of_the_protocols_shape(post_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    fuzz_wire(post_office, 1_500, 1, capsys)


def test_any_bytes_on_the_socket(post_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    fuzz_zmtp(post_office, 600, capsys)


def test_any_request_over_http(post_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    fuzz_http(post_office, 300, capsys)


@pytest.mark.long
def test_a_hundred_thousand_requests(post_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    fuzz_wire(post_office, 100_000, 0, capsys)


@pytest.mark.long
def test_many_requests_beside_kills(post_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    fuzz_wire(post_office, 20_000, 20, capsys)


@pytest.mark.long
def test_fifty_thousand_connections(post_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    fuzz_zmtp(post_office, 50_000, capsys)


@pytest.mark.long
def test_ten_thousand_requests_over_http(post_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    fuzz_http(post_office, 10_000, capsys)
