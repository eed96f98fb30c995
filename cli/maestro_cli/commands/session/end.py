"""`maestro session end`: end a session, which then no longer sends or receives.

Rule: the mail in its mailbox stays until the retention.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext
from maestro_cli.output import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import Option
    from maestro_schemas.vocabularies import EndStatus

USAGE = "maestro session end [ID] [OPTIONS]"
DETAILS = """\
A session may be ended by itself, by its parent, and by the operator (a shell
without a session).

Examples:
  maestro session end
  maestro session end sess_1770536761607_k3v9x2m1a --status failed"""


def run(
    session_id: Annotated[str | None, Option(name="ID", help="The session's id. Default: this shell's own.")] = None,
    /,
    *,
    status: Annotated[EndStatus, Option(help="How it ended. Default: completed.")] = "completed",
    as_json: Annotated[bool, Option(name="--json", help="Print the session as JSON.")] = False,
) -> int:
    """End a session."""
    context = CommandContext.here()
    chosen = session_id or context.session()
    with context.client() as client:
        session = client.end_session(chosen, status=status)
    sentence = f"Ended {session['id']}: {session['status']}."
    streams.say(streams.json_line(session) if as_json else sentence, done=sentence)
    if not as_json and session["id"] == context.own_session:
        # Each later command of this shell would be refused.
        streams.note("This shell still names it. To leave it: unset MAESTRO_SESSION_ID MAESTRO_SESSION_TOKEN")
    return 0
