"""`maestro session show`: one session.

Rule: by id, or by a name that only one active session has.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext, now_ms
from maestro_cli.output import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import Option

USAGE = "maestro session show [ID] [OPTIONS]"
DETAILS = """\
Examples:
  maestro session show
  maestro session show bob --json"""


def run(
    session_id: Annotated[str | None, Option(name="ID", help="Id or name. Default: this shell's own.")] = None,
    /,
    *,
    as_json: Annotated[bool, Option(name="--json", help="Print the session as JSON.")] = False,
) -> int:
    """Show a session."""
    context = CommandContext.here()
    chosen = session_id or context.session()
    with context.client() as client:
        session = client.session(chosen)
    if as_json:
        streams.say_json(session)
    else:
        from maestro_cli.output import screen
        from maestro_cli.output.render import session_lines
        from maestro_clients.texts import wake_words
        from maestro_clients.texts.presence_words import brief

        now, presence = now_ms(), session.get("presence")
        source = f" (by {presence['by']})" if presence is not None and "by" in presence else ""
        state, wake = f"{brief(presence, now)}{source}", wake_words.row(session, now)
        streams.say(screen.fit("\n".join(session_lines(session, now, state=state, wake=wake))))
    return 0
