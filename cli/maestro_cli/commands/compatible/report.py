"""`maestro report`: a line for the timeline of this shell's session, which those who follow it see at once."""

from __future__ import annotations

from maestro_cli.context import CommandContext
from maestro_cli.output import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Literal

    from maestro_cli.options import Option

USAGE = "maestro report KIND MESSAGE [OPTIONS]"
DETAILS = """\
A compatible name: Maestro's agents report with it. `complete` also ends the
session. The line is part of the session, for `maestro session show` and for
those who follow it by `session watch` or over HTTP; it is no message.

Examples:
  maestro report progress "The parser is done; the tests are next."
  maestro report complete "All tests pass." """.rstrip()

# The type of the line, as Maestro's programs know it.
_TYPES = {"progress": "progress", "blocked": "task_blocked", "error": "error", "complete": "task_completed"}


def run(
    kind: Annotated[
        Literal["progress", "blocked", "error", "complete"], Option(name="KIND", help="What kind of line it is.")
    ],
    message: Annotated[str, Option(name="MESSAGE", help="What happened, in at most 1,000 characters.")],
    /,
    *,
    as_json: Annotated[bool, Option(name="--json", help="Print the session as JSON.")] = False,
) -> int:
    """Report."""
    context = CommandContext.here()
    own = context.session()
    # The broker sets the time.
    note = {"type": _TYPES[kind], "message": message, "timestamp": 0}
    with context.client() as client:
        session = client.touch_session(own, note=note)
        if kind == "complete":
            session = client.end_session(own)
    done = f"Reported {kind}." + (f" Ended {session['id']}." if kind == "complete" else "")
    streams.say(streams.json_line(session) if as_json else done, done=done)
    return 0
