"""Listener: one way into the broker, for requests and for notices.

Rule: sends never block. A reply or a notice that cannot be sent is dropped: the client repeats its request, and the
watcher sees a gap in `seq`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .publisher import Publisher


class IncomingRequest(Struct, gc=False):
    """One request as it arrived. A Struct, as each object below that is made for every request: the constructor of a
    NamedTuple is Python, and takes four times as long."""

    peer: Any  # whatever the listener's `reply` takes
    uid: int | None  # of the peer's process; None over TCP, or if the kernel does not say
    frames: list[bytes]
    public: str | None = None  # over TCP: the public key that the peer has proved to hold


class DelimitedPeer(Struct, frozen=True):
    """A peer whose request began with an empty frame, as each of a REQ does. Its reply begins with one too."""

    peer: Any


class OutgoingReply(Struct, gc=False):
    """A reply that waits for the commit."""

    peer: Any
    request_id: bytes
    status: bytes
    body: bytes


def without_delimiter(peer: Any, frames: list[bytes]) -> tuple[Any, list[bytes]]:
    """Where the reply goes, and the request's own frames."""
    if frames[0] or len(frames) == 1:
        return peer, frames
    return DelimitedPeer(peer), frames[1:]


class Listener(Protocol):
    """Two sockets: one for requests and replies, one for notices."""

    @property
    def notices(self) -> Publisher:
        """The socket of notices, with its subscriptions."""

    def bind(self) -> None:
        """Listen. Raises MaestroError."""

    def receive(self, most: int) -> Iterator[IncomingRequest]:
        """Yield up to `most` requests that have arrived."""

    def reply(self, peer: Any, request_id: bytes, status: bytes, body: bytes) -> None:
        """Send a reply, at the latest with the next `flush`; drop it if the peer is gone or does not read."""

    def flush(self) -> None:
        """Send all replies of this batch."""

    def close(self) -> None:
        """Stop listening; send what can be sent within half a second."""
