"""`maestro session prompt`: say something to a session as its next instruction."""

from __future__ import annotations

from maestro_cli.context import CommandContext
from maestro_cli.sending import send_flow
from maestro_schemas.errors import MaestroError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Literal

    from maestro_cli.options import AsOption, FileOption, MessageOption, Option, OutcomeOption, YesOption
    from maestro_schemas.documents import OutgoingDoc

USAGE = "maestro session prompt SESSION [OPTIONS]"
DETAILS = """\
A compatible name: the same as `maestro send --to SESSION --type command`. The
message waits until the agent's next turn, or wakes it where that is set up.

Examples:
  maestro session prompt sess_1_abc --message "Run the tests again." """.rstrip()


def run(
    session: Annotated[str, Option(name="SESSION", help="The session's id or name.")],
    /,
    *,
    message: MessageOption = None,
    file: FileOption = None,
    mode: Annotated[
        Literal["send", "paste"], Option(help="For a terminal that shows it: whether it is sent off, or only pasted.")
    ] = "send",
    speaks_as: AsOption = None,
    yes: YesOption = False,
    as_json: OutcomeOption = False,
) -> int:
    """Prompt a session."""
    from maestro_cli.arguments import text_of
    from maestro_clients.protocol.new_ids import new_message_id

    context = CommandContext.here(speaks_as, sure=yes)
    if session == context.sender():
        raise MaestroError("INVALID", f"{session} can't prompt itself", "Name another session.")
    outgoing: OutgoingDoc = {
        "id": new_message_id(),
        "to": session,
        "message": text_of(message, file),
        "metadata": {"type": "command", "data": {"mode": mode}},
    }
    try:
        return send_flow.send(context, outgoing, as_json=as_json)
    except MaestroError as error:
        raise send_flow.explained(error, outgoing) from None
