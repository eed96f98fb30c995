"""`maestro session needs-input`: say that this shell's session waits for a person."""

from __future__ import annotations

from maestro_cli.context import CommandContext, now_ms

from . import own_session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Any

    from maestro_cli.options import Option

DETAILS = """\
A compatible name: Maestro's hooks call it when a turn ends. `maestro who` then
shows that the session waits for a person, and for what. It prints nothing
without --json.

Examples:
  maestro session needs-input --message "PostgreSQL or SQLite?"
  maestro session needs-input --source stop"""

# At these the agent's turn has ended. A tool that failed is none of them.
_TURN_ENDS = frozenset({"stop", "notification", "permission_request", "manual"})


def run(
    *,
    message: Annotated[str | None, Option(metavar="TEXT", any_text=True, help="What it waits for.")] = None,
    source: Annotated[
        str | None,
        Option(metavar="WORD", help="What says so, such as `stop`: the session is idle then, where its turn ends."),
    ] = None,
    as_json: Annotated[bool, Option(name="--json", help="Print the session as JSON.")] = False,
) -> int:
    """Say that the session waits for a person."""
    context = CommandContext.here()
    waits: dict[str, Any] = {"active": True, "since": now_ms()} | ({"message": message} if message else {})
    changes: dict[str, Any] = {"status": "idle"} if source in _TURN_ENDS else {}
    with context.client() as client:
        session = client.touch_session(context.session(), needsInput=waits, **changes)
    return own_session.report(session, as_json=as_json)
