"""Transport: the connection under a channel.

Rule: it carries whole messages, and only `receive` blocks, as long as its argument says. A broker on this machine is
reached over a plain Unix socket (`unix`), any other by libzmq (`libzmq`), which alone has CURVE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from maestro_schemas.errors import MaestroError

from . import unix
from .addresses import SCHEME, unix_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maestro_clients.protocol.codec import Frames


class Transport(Protocol):
    """An open connection, or one that libzmq tries to open."""

    @property
    def socket(self) -> Any:
        """For a poller: readable when `receive` may have something."""

    @property
    def descriptors(self) -> Sequence[int]:
        """For an event loop: one is readable when `receive` or `refused` may have something new."""

    @property
    def unannounced(self) -> bool:
        """Whether messages are there that no descriptor announces: to be asked after each `send` and `receive`."""

    @property
    def holds_back(self) -> bool:
        """Whether bytes are unsent; `receive` sends them when it can."""

    def send(self, frames: Frames) -> None:
        """Send a message, or keep it until that is possible. A lost message is sent again when it is due."""

    def send_all(self, messages: Sequence[Frames]) -> None:
        """As `send` of each message in order, by one system call where that is possible."""

    def receive(self, wait_s: float, spin_s: float = 0.0) -> Sequence[Sequence[bytes]]:
        """The messages that have arrived, after a wait of at most `wait_s` for the first; often none. The first
        `spin_s` of the wait are awake; not over libzmq, whose thread sleeps in any case.

        Raises unix.ConnectionLostError where the connection is over, MaestroError UNSUPPORTED_PROTOCOL where the peer
        is no broker.
        """

    def may_answer(self) -> bool:
        """After some silence: whether the broker may still be there."""

    def refused(self) -> MaestroError | None:
        """The error because of which no connection can ever be made, if there is one."""

    def close(self) -> None:
        """Close, without sending the unsent bytes. In a forked child the parent's connection stays open."""


def connect(address: str) -> Transport | None:
    """None where no broker listens now. Raises MaestroError BROKER_UNREACHABLE for text that is no address,
    NOT_PRIVATE where another user listens, and as `curve.configure_curve`."""
    path = unix_path(address)
    if path is not None:
        return unix.open_at(path)
    if address.startswith(SCHEME):
        raise MaestroError(
            "BROKER_UNREACHABLE",
            f"{address!r} can't be connected to: it is no path",
            "The file `endpoints` in the data directory of a running broker has its address.",
        )
    from .libzmq import LibzmqTransport

    return LibzmqTransport(address)
