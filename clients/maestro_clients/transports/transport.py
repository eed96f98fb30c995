"""Plug: how a line is joined to its broker.

Rule: whole messages go in and come out, and nothing blocks but `receive`, as long as it is told to. A broker on this
machine is spoken to over a plain Unix socket (`direct`), any other by libzmq (`dealer`), which alone has CURVE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from . import unix
from .addresses import unix_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maestro_clients.protocol.codec import Frames
    from maestro_schemas.errors import MaestroError


class Transport(Protocol):
    """An open connection, or one that libzmq keeps trying to open."""

    @property
    def socket(self) -> Any:
        """For a poller: readable when `receive` may have something."""

    @property
    def descriptors(self) -> Sequence[int]:
        """For an event loop: one is readable when `receive` or `refused` may have something new."""

    @property
    def unannounced(self) -> bool:
        """Whether messages are there that no descriptor need tell of: to be asked after each `send` and `receive`."""

    @property
    def holds_back(self) -> bool:
        """Whether something waits to be sent; `receive` sends it as it can."""

    def send(self, frames: Frames) -> None:
        """Send a message, or keep it until that is possible. One that is lost is sent again when it is due."""

    def receive(self, wait_s: float) -> Sequence[Sequence[bytes]]:
        """The messages that have come, having waited for the first at most `wait_s`; often none.

        Raises direct.Lost where the connection is over, MaestroError UNSUPPORTED_PROTOCOL where no broker listens.
        """

    def may_answer(self) -> bool:
        """After some silence: whether the broker may still be there."""

    def refused(self) -> MaestroError | None:
        """Why no connection will ever be, if so."""

    def close(self) -> None:
        """Let go, with what was not sent. In a forked child this is no end for the parent's."""


def connect(address: str) -> Transport | None:
    """None where nobody listens now. Raises MaestroError BROKER_UNREACHABLE for an address that is none, and what
    `curve.configure_curve` raises."""
    path = unix_path(address)
    if path is not None:
        return unix.open_at(path)
    from .libzmq import LibzmqTransport

    return LibzmqTransport(address)
