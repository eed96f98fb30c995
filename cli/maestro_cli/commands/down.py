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
exit code 0.

Examples:
  maestro down
  maestro down && maestro up --set rate_limit=600"""

_STOP_TIMEOUT_S = 30.0


def run(
    *, as_json: Annotated[bool, Option(name="--json", help='Print {"stopped": true, "pid": N} as JSON.')] = False
) -> int:
    """Stop the broker, and the HTTP gateway."""
    from maestro_cli.processes.process_exit import BrokerExit
    from maestro_clients.client import Client
    from maestro_clients.processes import gateway_process

    context = CommandContext.here()
    context.check_local("stop")
    # First: the gateway would start another broker for its next request.
    gateway = gateway_process.stop(context.data)
    if gateway is not None and not as_json:
        streams.say(f"The HTTP gateway (pid {gateway.pid}) has stopped.")
    endpoints = context.running()
    if endpoints is None:
        streams.say(streams.json_line({"stopped": False}) if as_json else f"No broker runs for {context.data}.")
        return 0
    with BrokerExit(context.data, endpoints) as end:
        try:
            with Client(endpoints.router, context.as_operator().caller, timeout_s=_STOP_TIMEOUT_S) as client:
                client.shutdown()
        except MaestroError:
            # A broker that ended without an answer has ended, too.
            if context.running() is not None:
                raise
        if not end.wait(_STOP_TIMEOUT_S):
            raise MaestroError(
                "TIMEOUT",
                f"the broker (pid {endpoints.pid}) was asked to stop and has not ended within {_STOP_TIMEOUT_S:g} s",
                f"{context.data}/logs/broker.log shows what it is doing; `kill {endpoints.pid}` asks again.",
            )
    report = {"stopped": True, "pid": endpoints.pid}
    streams.say(streams.json_line(report) if as_json else f"The broker (pid {endpoints.pid}) has stopped.")
    return 0
