"""`maestro whoami`: the session that speaks in this shell."""

from __future__ import annotations

from maestro_cli.context import CommandContext
from maestro_cli.output import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import Option

DETAILS = """\
A compatible name of `maestro session show`, in one line. In a person's shell
without a session it is the operator.

Examples:
  maestro whoami
  maestro whoami --json"""


def run(
    *,
    as_json: Annotated[
        bool, Option(name="--json", help="Print the session as JSON; of the operator its id alone.")
    ] = False,
) -> int:
    """Say who speaks."""
    from maestro_clients.texts.fence import named
    from maestro_schemas.names import OPERATOR

    context = CommandContext.here()
    if not context.own_session:
        context = context.at_mailbox(sure=False)
        line = f"{OPERATOR}: the person who owns this post office. This shell belongs to no session."
        streams.say(streams.json_line({"id": OPERATOR}) if as_json else line)
        return 0
    with context.client() as client:
        session = client.session(context.session())
    called = f" named {named(session['name'])}" if "name" in session else ""
    under = f", parent {session['parentSessionId']}" if "parentSessionId" in session else ""
    ended = f" It has ended: {session['status']}." if "completedAt" in session else ""
    line = f"{session['id']}: {session['role']}{called}, project {named(session['projectId'])}{under}.{ended}"
    streams.say(streams.json_line(session) if as_json else line)
    return 0
