"""Wire HTTP: requests as no proper client sends them, over a plain socket.

Rule: what is sent is exactly the bytes that a test wrote; what comes back is read until its end, within bounds.
"""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any, NamedTuple

from maestro_schemas.errors import CODES

if TYPE_CHECKING:
    from support.gateways import Gateway

WAIT_S = 20.0
HOST = b"Host: localhost\r\n"
JSON = b"Content-Type: application/json"
UPGRADE = (
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)
# Of errors without a code of the post office.
_HTTP_STATUS = {"NOT_FOUND": 404, "METHOD_NOT_ALLOWED": 405, "UNSUPPORTED_MEDIA_TYPE": 415}


class Reply(NamedTuple):
    """One answer off a socket; header names are lower case. `rest`: what came behind it."""

    status: int
    headers: dict[str, str]
    body: bytes
    rest: bytes = b""

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


def connect(gateway: Gateway, *, source: str | None = None) -> socket.socket:
    """A connection whose every operation is bounded. `source`: the address to come from."""
    return socket.create_connection(
        gateway.address, timeout=WAIT_S, source_address=(source, 0) if source is not None else None
    )


def head(target: str = "/health/live", *lines: bytes, method: str = "GET", host: bytes = HOST) -> bytes:
    """A request's head."""
    return (
        f"{method} {target} HTTP/1.1\r\n".encode("latin-1")
        + host
        + b"".join(line + b"\r\n" for line in lines)
        + b"\r\n"
    )


def ask(gateway: Gateway, raw: bytes) -> Reply:
    """Send `raw` on a connection of its own; the first answer."""
    with connect(gateway) as wire:
        wire.sendall(raw)
        return read(wire)


def read(wire: socket.socket, held: bytes = b"") -> Reply:
    """The next answer on a connection; `held`: what was read behind the one before."""
    while b"\r\n\r\n" not in held:
        held += _some(wire)
    top, _, rest = held.partition(b"\r\n\r\n")
    first, *lines = top.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    length = int(headers.get("content-length", "0"))
    while len(rest) < length:
        rest += _some(wire)
    return Reply(int(first.split()[1]), headers, rest[:length], rest[length:])


def refused(reply: Reply, code: str) -> dict[str, Any]:
    """The body of a refusal in the documented shape."""
    body: dict[str, Any] = reply.json
    assert (body["error"], body["code"]) == (True, code)
    assert body["statusCode"] == reply.status == (CODES[code][0] if code in CODES else _HTTP_STATUS[code])
    assert set(body) <= {"error", "statusCode", "code", "message", "hint", "details", "limit", "actual", "retryAfter"}
    assert "Traceback" not in body["message"]
    assert "/maestro_" not in reply.body.decode()
    assert reply.headers["content-type"] == "application/json"
    strict(reply)
    return body


def strict(reply: Reply) -> None:
    """The headers that make a browser strict."""
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["x-frame-options"] == "DENY"
    assert reply.headers["referrer-policy"] == "no-referrer"
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["cross-origin-resource-policy"] == "same-origin"
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert not [name for name in reply.headers if name.startswith("access-control-")]


def is_closed(wire: socket.socket) -> bool:
    """Whether the gateway has closed the connection, or does within the time."""
    try:
        while wire.recv(65_536):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


def own_address() -> str:
    """An address of this machine by which other machines reach it; loopback where it has no other. Nothing is sent to
    find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        found: str = probe.getsockname()[0]
        return found


def _some(wire: socket.socket) -> bytes:
    some = wire.recv(65_536)
    assert some, "the connection ended within an answer"
    return some
