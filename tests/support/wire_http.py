"""Wire HTTP: requests as no proper client sends them, over a plain socket.

Rule: what is sent is exactly the bytes that a test wrote; what comes back is read until its end, within bounds.
"""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from support.gateways import Gateway

WAIT_S = 20.0
HOST = b"Host: localhost\r\n"


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


def _some(wire: socket.socket) -> bytes:
    some = wire.recv(65_536)
    assert some, "the connection ended within an answer"
    return some
