"""Listing: one page of the inbox, printed and marked.

Rule: fetch under a lease, write out, flush, and only then confirm. A message that was not written out is not
confirmed, and its lease is released, so that the next `maestro inbox` gets it at once. It is on the fast path, so it
imports nothing that costs time.
"""

from __future__ import annotations

import time

from maestro_cli import exit_codes
from maestro_cli.output import streams
from maestro_clients.protocol.commands import DEFAULT_LEASE_MS
from maestro_clients.protocol.new_ids import new_session_id
from maestro_schemas.errors import MaestroError

from .page import PrintedPage, compose, count_to_ask_for, mark, outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from maestro_cli.context import CommandContext
    from maestro_clients.one_shot_client import AnyClient

    from .page import Marking


def show(
    client: AnyClient,
    context: CommandContext,
    marking: Marking,
    statuses: list[str],
    filters: Mapping[str, Any],
    *,
    unread: bool,
    chars_max: int,
    count_max: int | None = None,
    quiet: bool,
    as_json: bool,
) -> int:
    """Fetch, print at most `chars_max` characters, confirm; returns the exit code. `unread`: as for `compose`. Raises
    MaestroError, and as `streams.say`."""
    # Any id that only this process has.
    reader = new_session_id()
    asked = count_to_ask_for(count_max, chars_max)
    reply = client.inbox(
        status=statuses, limit=asked, lease_ms=DEFAULT_LEASE_MS, reader=reader, people=True, **filters
    )
    page: PrintedPage | None = None
    confirmed = False
    try:
        context.locate(reply["messages"], client)
        page = compose(
            reply,
            chars_max,
            marking=marking,
            unread=unread,
            is_filtered=bool(filters),
            as_json=as_json,
            now_ms=time.time_ns() // 1_000_000,
        )
        if page.shown or not quiet:
            streams.say(page.text)
        problem = mark(client, marking, page.shown)
        confirmed = True
    finally:
        # A confirmation ends its message's lease. A message that was only shown again, or not shown, keeps its lease.
        if reply["messages"] and (
            page is None or page.left_out or not confirmed or (unread and marking == "delivered")
        ):
            _release(client, statuses, filters, len(reply["messages"]), reader)
    if problem is not None:
        # The page was printed, so the one JSON object of this command is out already.
        streams.complain(problem, as_json=False)
        return exit_codes.of(problem)
    done = outcome(marking, page.shown)
    if done and not as_json:
        streams.say(done)
    return exit_codes.DONE


def _release(client: AnyClient, statuses: list[str], filters: Mapping[str, Any], count: int, reader: str) -> None:
    """End the lease: the same reader leases the same messages again, for 1 ms."""
    try:
        client.inbox(status=statuses, limit=count, lease_ms=1, reader=reader, **filters)
    except MaestroError:
        # The lease expires by itself. Until then, another reader is notified that the mail is being shown.
        return
