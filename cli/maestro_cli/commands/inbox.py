"""`maestro inbox`: show what has come.

Rule: only the command line's words; what is done is `inbox_once`, as by the quick way, or `inbox_watch`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from maestro_cli import arguments
from maestro_cli.context import CommandContext
from maestro_cli.inbox import listing
from maestro_cli.inbox.page import DELIVERED, GONE, READ
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from maestro_cli.inbox.page import Marking

inbox = App(
    name="inbox",
    help_epilogue="""\
A message is marked delivered after it was printed; `maestro message read ID`,
or --mark-read, tells its sender that it was read. At most 20,000 characters are
printed at once (the setting print_chars_max); what is left comes with the next
call.

Examples:
  maestro inbox
  maestro inbox --quiet
  maestro inbox --unread --mark-read
  maestro inbox --watch --json
  maestro inbox --watch --exec 'jq -r .message >> mail.log'
  maestro inbox --watch --limit 1 --timeout 10m""",
)


@inbox.default
def run(
    *,
    mark_read: Annotated[bool, Parameter(help="Also acknowledge what is shown: its senders are told.")] = False,
    clear: Annotated[bool, Parameter(help="Delete what is shown.")] = False,
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], help="Print nothing when there is nothing.")] = False,
    watch: Annotated[
        bool, Parameter(name=["--watch", "-w"], help="Print each message as it comes, until interrupted.")
    ] = False,
    unread: Annotated[bool, Parameter(help="Also what was shown before and not acknowledged.")] = False,
    limit: Annotated[
        int | None,
        Parameter(name=["--limit", "-n"], metavar="N", help="At most so many messages; --watch ends after them."),
    ] = None,
    timeout: Annotated[
        str | None,
        Parameter(
            metavar="DURATION", help="End --watch after so long, for example 10m; exit code 7 when nothing came."
        ),
    ] = None,
    command: Annotated[
        str | None,
        Parameter(
            name="--exec",
            metavar="CMD",
            allow_leading_hyphen=True,
            help="With --watch: instead of printing, run CMD in a shell for each message, with its JSON on standard "
            "input. It is delivered when CMD ends with 0; else the watch ends, and it stays undelivered.",
        ),
    ] = None,
    as_json: Annotated[
        bool,
        Parameter(
            name="--json", help='Print {"messages": [...], "count", "hasMore"}; with --watch one message per line.'
        ),
    ] = False,
) -> int:
    """Show the inbox."""
    if mark_read and clear:
        raise MaestroError("INVALID", "--mark-read and --clear exclude each other", "Leave one of them off.")
    if timeout is not None and not watch:
        raise MaestroError("INVALID", "--timeout is for --watch", "Add --watch, or leave --timeout off.")
    if unread and watch:
        raise MaestroError(
            "INVALID", "--unread lists old mail and --watch waits for new mail", "Run `maestro inbox --unread` first."
        )
    if command is not None and (not watch or as_json):
        raise MaestroError("INVALID", "--exec is for --watch, without --json", "CMD gets the JSON; add --watch.")
    count_max = None if limit is None else arguments.positive("--limit", limit)
    marking: Marking = READ if mark_read else GONE if clear else DELIVERED
    context = CommandContext.here()
    context.session()
    if watch:
        from maestro_cli.inbox.watching import Watch

        timeout_s = None if timeout is None else arguments.duration_ms("--timeout", timeout) / 1000
        watching = Watch(
            context, marking, count_max=count_max, timeout_s=timeout_s, as_json=as_json, quiet=quiet, command=command
        )
        return watching.run()
    with context.client() as client:
        return listing.show(
            client, context.environ, marking, count_max=count_max, unread=unread, quiet=quiet, as_json=as_json
        )
