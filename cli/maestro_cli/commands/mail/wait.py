"""`maestro mail wait`: wait for one mail, and show it."""

from __future__ import annotations

from maestro_cli import exit_codes
from maestro_cli.commands.compatible.watch import milliseconds
from maestro_cli.context import CommandContext
from maestro_cli.output import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import Option

DETAILS = """\
A compatible name of `maestro inbox --watch --limit 1`. When the time is over
without mail, it says so, and the exit code is 0.

Examples:
  maestro mail wait
  maestro mail wait --timeout 60000"""


def run(
    *,
    timeout: Annotated[
        str, Option(metavar="DURATION", help="How long, for example 60000 (ms) or 1m. Default: 30s.")
    ] = "30s",
    as_json: Annotated[
        bool, Option(name="--json", help="Print the message as JSON on one line; null if none came.")
    ] = False,
) -> int:
    """Wait for mail."""
    from maestro_cli.inbox.watching import Watch

    context = CommandContext.here().at_mailbox(sure=False)
    watching = Watch(
        context,
        "delivered",
        count_max=1,
        timeout_s=milliseconds(timeout) / 1000,
        as_json=as_json,
        quiet=True,
        reports_timeout=False,
    )
    code = watching.run()
    if code != exit_codes.TIMED_OUT:
        return code
    streams.say("null" if as_json else "No mail came.")
    return 0
