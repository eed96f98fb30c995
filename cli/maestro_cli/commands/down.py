"""`maestro down`: stop the broker and the HTTP gateway, and wait until they have ended.

Rule: ended means that the process has exited, so that the next `maestro up` finds the data directory free.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext
from maestro_cli.output import streams
from maestro_schemas.errors import MaestroError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import Option

DETAILS = """\
Nothing is lost: every accepted message is on disk. If none runs, it reports so,
exit code 0. A broker that does not answer is ended by the pid in its lock.

Examples:
  maestro down
  maestro down && maestro up --set rate_limit=600"""

_STOP_TIMEOUT_S = 30.0


def run(
    *, as_json: Annotated[bool, Option(name="--json", help='Print {"stopped": true, "pid": N} as JSON.')] = False
) -> int:
    """Stop the broker, and the HTTP gateway."""
    context = CommandContext.here()
    context.check_local("stop")
    gateway = stop_gateway(context)
    if gateway is not None and not as_json:
        streams.tell(f"The HTTP gateway (pid {gateway}) has stopped.")
    pid = stop_broker(context)
    if pid is None:
        streams.say(streams.json_line({"stopped": False}) if as_json else f"No broker runs for {context.data}.")
        return 0
    report = {"stopped": True, "pid": pid}
    streams.say(streams.json_line(report) if as_json else f"The broker (pid {pid}) has stopped.")
    return 0


def stop_gateway(context: CommandContext) -> int | None:
    """Stop the HTTP gateway; its pid, or None where none ran. It comes before the broker: it would start another one
    for its next request."""
    from maestro_clients.processes import gateway_process

    gateway = gateway_process.stop(context.data)
    return None if gateway is None else gateway.pid


def stop_broker(context: CommandContext) -> int | None:
    """Stop the broker; its pid, or None where none ran."""
    return _stop_by_request(context) or _stop_by_pid(context)


def _stop_by_request(context: CommandContext) -> int | None:
    """The pid of the broker, which has ended; None where none answers at its socket."""
    from maestro_cli.processes.process_exit import BrokerExit
    from maestro_clients.client import Client
    from maestro_runtime.traces import lock_file

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
    from maestro_clients.processes import lock_holder

    holder = lock_holder.stop(context.data)
    if holder is not None:
        streams.note(f"note: the broker (pid {holder.pid}) did not answer at its socket; it was ended by its pid.")
    return None if holder is None else holder.pid
