"""Unanswered: the errors that a request without a reply ends with.

Rule: the only I/O is the test whether a broker listens. Imports no libzmq, since most commands need none.
"""

from __future__ import annotations

from maestro_clients.transports.addresses import is_remote, listens
from maestro_schemas.errors import MaestroError


def unanswered(address: str, *, connected: bool) -> MaestroError:
    """The error of a request after its deadline: TIMEOUT where a broker listens, else BROKER_UNREACHABLE."""
    if not connected or not listens(address):
        return unreachable(address)
    return MaestroError(
        "TIMEOUT",
        f"the broker at {address.partition('#')[0]} did not answer in time",
        "It is not known whether the request was done: repeat it with the same ids, which is safe.",
    )


def unreachable(address: str) -> MaestroError:
    """The error for an address where no broker listens."""
    if is_remote(address):
        return MaestroError(
            "BROKER_UNREACHABLE",
            f"no broker can be reached at {address.partition('#')[0]}",
            "Look whether `maestro up --tcp` runs there, and no firewall bars this port or the next. "
            "Repeating a request with the same ids is safe.",
        )
    return MaestroError(
        "BROKER_UNREACHABLE",
        f"no broker listens at {address}",
        "`maestro up` starts one. Repeating a request with the same ids is safe.",
    )


def closed() -> MaestroError:
    """The error for a client that is used after its `close`."""
    return MaestroError("BAD_REQUEST", "this client is closed", "Make a new one.")


def not_ours() -> MaestroError:
    """The error for requests of another process, or of a closed client."""
    return MaestroError(
        "BAD_REQUEST",
        "these requests are no longer this client's: it was closed, or another process made them",
        "Start again with a new client; repeating them with the same ids is safe.",
    )
