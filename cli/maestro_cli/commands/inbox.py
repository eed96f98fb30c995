"""`maestro inbox`: show what has come.

Rule: fetch under a lease, write out, flush, and only then confirm. What was not written out is not confirmed, and
its lease is given back, so that the next `maestro inbox` has it at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from maestro_cli import arguments, exit_codes, output
from maestro_cli.desk import Desk, now_ms
from maestro_cli.inbox_page import Marking, Page, compose, count_to_ask_for
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from maestro_clients.blocking import Client

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
    marking = Marking.READ if mark_read else Marking.GONE if clear else Marking.DELIVERED
    desk = Desk.here()
    desk.session()
    if watch:
        from maestro_cli.inbox_watch import Watch

        timeout_s = None if timeout is None else arguments.duration_ms("--timeout", timeout) / 1000
        watching = Watch(
            desk, marking, count_max=count_max, timeout_s=timeout_s, as_json=as_json, quiet=quiet, command=command
        )
        return watching.run()
    with desk.client() as client:
        return _show_once(client, desk, marking, count_max, unread=unread, quiet=quiet, as_json=as_json)


def _show_once(
    client: Client, desk: Desk, marking: Marking, count_max: int | None, *, unread: bool, quiet: bool, as_json: bool
) -> int:
    from maestro_clients.fresh import new_session_id
    from maestro_schemas.limits import DEFAULT_LEASE_MS

    chars_max = client.hello()["limits"]["print_chars_max"]
    statuses = ["pending", "delivered"] if unread else ["pending"]
    # Any id will do: it only has to be this process's own.
    reader = new_session_id()
    asked = count_to_ask_for(count_max, chars_max)
    reply = client.inbox(status=statuses, limit=asked, lease_ms=DEFAULT_LEASE_MS, reader=reader)
    page: Page | None = None
    confirmed = False
    try:
        page = compose(client, desk, reply, chars_max, unread=unread, as_json=as_json, now_ms=now_ms())
        if page.shown or not quiet:
            output.say(page.text)
        problem = marking.apply(client, page.shown)
        confirmed = True
    finally:
        # A confirmation ends its message's lease; what was only shown again, or not shown, still has one.
        if reply["messages"] and (page is None or page.left_out or not confirmed or unread):
            _give_back(client, statuses, len(reply["messages"]), reader)
    if problem is not None:
        # The text is out, so the one JSON object of this command is too.
        output.complain(problem, as_json=False)
        return exit_codes.of(problem)
    return exit_codes.DONE


def _give_back(client: Client, statuses: list[str], count: int, reader: str) -> None:
    """Let the lease of what was not shown run out now: the same read again, for a millisecond."""
    try:
        client.inbox(status=statuses, limit=count, lease_ms=1, reader=reader)
    except MaestroError:
        # It runs out by itself; meanwhile another reader is told that the mail is being shown.
        return
