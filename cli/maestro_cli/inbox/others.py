"""Others' mail: the mail of another session, shown to the operator.

Rule: it takes no lease and confirms nothing, so the receiver finds its inbox as it was.
"""

from __future__ import annotations

from maestro_cli import exit_codes
from maestro_cli.context import now_ms
from maestro_cli.output import streams
from maestro_schemas.errors import MaestroError

from .page import compose, count_to_ask_for

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from maestro_cli.context import CommandContext


def check(*, marks: bool) -> None:
    """Raises MaestroError INVALID for an option that would change another session's mail."""
    if marks:
        raise MaestroError(
            "INVALID",
            "--session only shows mail, so it excludes --mark-read, --clear and --watch",
            "Leave them off. To follow a session: maestro log --follow --session SESSION",
        )


def show(
    context: CommandContext,
    session: str,
    filters: Mapping[str, Any],
    *,
    count_max: int | None,
    unread: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Print a page of the session's new mail; returns the exit code. Raises MaestroError, and as `streams.say`."""
    statuses = ["pending", "delivered"] if unread else ["pending"]
    with context.client() as client:
        owner = client.session(session)["id"]
        reply = client.inbox(session=owner, status=statuses, limit=1, people=True, **filters)
        chars_max = reply["printCharsMax"]
        if reply["messages"]:
            asked = count_to_ask_for(count_max, chars_max)
            reply = client.inbox(session=owner, status=statuses, limit=asked, people=True, **filters)
            context.locate(reply["messages"], client)
    page = compose(reply, chars_max, marking=None, unread=unread, as_json=as_json, now_ms=now_ms())
    if page.shown or not quiet:
        streams.say(page.text)
    return exit_codes.DONE
