"""Broker stop: ends the broker of a data directory, and waits until its process has exited.

Rule: it is asked at its socket; one that does not answer there is ended by the pid in its lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maestro_cli.output import streams
from maestro_clients.client import Client
from maestro_clients.processes import lock_holder
from maestro_runtime.traces import lock_file
from maestro_schemas.errors import MaestroError

from .process_exit import BrokerExit

if TYPE_CHECKING:
    from maestro_cli.context import CommandContext

_STOP_TIMEOUT_S = 30.0


def stop(context: CommandContext) -> int | None:
    """The pid of the broker, which has ended; None where none ran. Raises MaestroError."""
    return _stop_by_request(context) or _stop_by_pid(context)


def _stop_by_request(context: CommandContext) -> int | None:
    """The pid of the broker, which has ended; None where none answers at its socket."""
    try:
        endpoints = context.running()
    except MaestroError as error:
        # Another user's process is at the socket. The broker is known by its lock.
        if error.code == "NOT_PRIVATE" and lock_file.holder(context.data) is not None:
            return None
        raise
    if endpoints is None:
        return None
    with BrokerExit(context.data, endpoints) as end:
        try:
            with Client(endpoints.router, context.as_operator().caller, timeout_s=_STOP_TIMEOUT_S) as client:
                client.shutdown()
        except MaestroError as error:
            # A broker that ended without an answer has ended, too.
            if context.running() is not None and error.kind != "unreachable":
                raise
            return None if lock_file.holder(context.data) is not None else endpoints.pid
        return endpoints.pid if end.wait(_STOP_TIMEOUT_S) else None


def _stop_by_pid(context: CommandContext) -> int | None:
    """The pid of the process that held the lock, which has ended; None where none did."""
    holder = lock_holder.stop(context.data)
    if holder is not None:
        streams.note(f"note: the broker (pid {holder.pid}) did not answer at its socket; it was ended by its pid.")
    return None if holder is None else holder.pid
