"""`maestro down`: stop the broker and the HTTP gateway, and wait until they have ended.

Rule: ended means that the process has exited, so that the next `maestro up` finds the data directory free.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext
from maestro_cli.output import streams

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


def run(
    *, as_json: Annotated[bool, Option(name="--json", help='Print {"stopped": true, "pid": N} as JSON.')] = False
) -> int:
    """Stop the broker, and the HTTP gateway."""
    from maestro_cli.processes import broker_stop
    from maestro_clients.processes import gateway_process

    context = CommandContext.here()
    context.check_local("stop")
    # First: the gateway would start another broker for its next request.
    gateway = gateway_process.stop(context.data)
    if gateway is not None and not as_json:
        streams.say(f"The HTTP gateway (pid {gateway.pid}) has stopped.")
    pid = broker_stop.stop(context)
    if pid is None:
        streams.say(streams.json_line({"stopped": False}) if as_json else f"No broker runs for {context.data}.")
        return 0
    report = {"stopped": True, "pid": pid}
    streams.say(streams.json_line(report) if as_json else f"The broker (pid {pid}) has stopped.")
    return 0
