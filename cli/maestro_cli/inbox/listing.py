"""Inbox once: what has come is shown, and that is all.

Rule: fetch under a lease, write out, flush, and only then confirm. What was not written out is not confirmed, and
its lease is given back, so that the next `maestro inbox` has it at once. For the usual way and for the quick one; so
it imports nothing that costs.
"""

from __future__ import annotations

import time

from maestro_cli import exit_codes
from maestro_cli.output import streams
from maestro_clients.protocol.commands import DEFAULT_LEASE_MS
from maestro_clients.protocol.new_ids import new_session_id
from maestro_schemas.errors import MaestroError

from .page import PrintedPage, compose, count_to_ask_for, mark

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from .page import AnyClient, Marking


def show(
    client: AnyClient,
    environ: Mapping[str, str],
    marking: Marking,
    *,
    count_max: int | None = None,
    unread: bool = False,
    quiet: bool,
    as_json: bool,
) -> int:
    """Fetch, print, confirm; the exit code. Raises MaestroError, and as `output.say`."""
    chars_max = client.hello()["limits"]["print_chars_max"]
    statuses = ["pending", "delivered"] if unread else ["pending"]
    # Any id will do: it only has to be this process's own.
    reader = new_session_id()
    asked = count_to_ask_for(count_max, chars_max)
    reply = client.inbox(status=statuses, limit=asked, lease_ms=DEFAULT_LEASE_MS, reader=reader)
    page: PrintedPage | None = None
    confirmed = False
    try:
        now_ms = time.time_ns() // 1_000_000
        page = compose(client, environ, reply, chars_max, unread=unread, as_json=as_json, now_ms=now_ms)
        if page.shown or not quiet:
            streams.say(page.text)
        problem = mark(client, marking, page.shown)
        confirmed = True
    finally:
        # A confirmation ends its message's lease; what was only shown again, or not shown, still has one.
        if reply["messages"] and (page is None or page.left_out or not confirmed or unread):
            _give_back(client, statuses, len(reply["messages"]), reader)
    if problem is not None:
        # The text is out, so the one JSON object of this command is too.
        streams.complain(problem, as_json=False)
        return exit_codes.of(problem)
    return exit_codes.DONE


def _give_back(client: AnyClient, statuses: list[str], count: int, reader: str) -> None:
    """Let the lease of what was not shown run out now: the same read again, for a millisecond."""
    try:
        client.inbox(status=statuses, limit=count, lease_ms=1, reader=reader)
    except MaestroError:
        # It runs out by itself; meanwhile another reader is told that the mail is being shown.
        return
