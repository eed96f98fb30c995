"""`maestro session siblings`: the other active sessions of this one's parent."""

from __future__ import annotations

from maestro_cli.commands.session.list import table
from maestro_cli.context import CommandContext
from maestro_cli.output import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import Option

DETAILS = """\
A compatible name: `maestro session list` shows all sessions.

Examples:
  maestro session siblings
  maestro session siblings --json"""


def run(
    *,
    as_json: Annotated[bool, Option(name="--json", help="Print the sessions as a JSON array.")] = False,
) -> int:
    """List the siblings."""
    context = CommandContext.here()
    own = context.session()
    with context.client() as client:
        parent = client.session(own).get("parentSessionId")
        found = [] if parent is None else client.sessions(parent_session_id=parent, active=True)
    others = [session for session in found if session["id"] != own]
    if as_json:
        streams.say_json(others)
    else:
        streams.say("\n".join(table(others, context, {})) or "No other active session has the same parent.")
    return 0
