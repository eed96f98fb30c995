"""`maestro session notify`: a short and a long text for one session or several, each as a message of its own."""

from __future__ import annotations

from maestro_cli.context import CommandContext
from maestro_cli.output import streams
from maestro_cli.sending import send_flow
from maestro_schemas.errors import MaestroError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import AsOption, Option, OutcomeOption, YesOption

USAGE = "maestro session notify SESSION[,SESSION...] [OPTIONS]"
DETAILS = """\
A compatible name of `maestro send`. A session that does not take it stops no
other; the exit code is then that of the first refusal.

Examples:
  maestro session notify sess_1_abc --message "Main is red." \\
      --detail "The last green build is 4711." """.rstrip()


def run(
    sessions: Annotated[str, Option(name="SESSION", help="Ids or names, with commas between them.")],
    /,
    *,
    message: Annotated[str, Option(metavar="TEXT", any_text=True, help="The short form.")],
    detail: Annotated[str | None, Option(metavar="TEXT", any_text=True, help="The long form.")] = None,
    speaks_as: AsOption = None,
    yes: YesOption = False,
    as_json: OutcomeOption = False,
) -> int:
    """Notify sessions."""
    from maestro_clients.protocol.documented_words import notice_message

    context = CommandContext.here(speaks_as, sure=yes)
    context.sender()
    text, metadata = notice_message(message, detail)
    return to_each(context, named(sessions), text, metadata, as_json=as_json)


def named(sessions: str) -> list[str]:
    """The addresses of a list with commas. Raises MaestroError INVALID for a list of none."""
    found = [word.strip() for word in sessions.split(",") if word.strip()]
    if not found:
        raise MaestroError("INVALID", f"{sessions[:80]!r} names no session", "Give ids or names, with commas.")
    return found


def to_each(context: CommandContext, to: list[str], text: str, metadata: dict[str, object], *, as_json: bool) -> int:
    """Send one message to each; returns the exit code of the first that was refused, else 0."""
    from maestro_cli import exit_codes
    from maestro_clients.protocol.new_ids import new_message_id

    code = 0
    for address in to:
        try:
            sent = send_flow.send(
                context,
                {"id": new_message_id(), "to": address, "message": text, "metadata": metadata},  # type: ignore[typeddict-item]
                as_json=as_json,
            )
        except MaestroError as error:
            if len(to) == 1:
                raise
            streams.complain(error, as_json=as_json, extra={"to": address})
            sent = exit_codes.of(error)
        code = code or sent
    return code
