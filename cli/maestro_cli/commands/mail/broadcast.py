"""`maestro mail broadcast`: one mail to many sessions."""

from __future__ import annotations

from maestro_cli.context import CommandContext
from maestro_cli.sending import send_flow
from maestro_schemas.errors import MaestroError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Any, Literal

    from maestro_cli.options import (
        AsOption,
        MailPriorityOption,
        MailTypeOption,
        Option,
        OutcomeOption,
        SubjectOption,
        TextOption,
        YesOption,
    )

DETAILS = """\
A compatible name of `maestro send --to @project` (`my-workers`: @children;
`team`: each sibling). Many receivers are confirmed with --yes.

Examples:
  maestro mail broadcast --type notification --subject "Main is red" --yes
  maestro mail broadcast --type directive --subject "Stop" --scope my-workers"""

_AUDIENCES = {"all": "@project", "my-workers": "@children"}


def run(
    *,
    kind: MailTypeOption,
    subject: SubjectOption,
    message: TextOption = None,
    scope: Annotated[
        Literal["all", "my-workers", "team"],
        Option(
            help="all: the sessions of the project. my-workers: those that this session started. team: the other "
            "sessions of its parent."
        ),
    ] = "all",
    priority: MailPriorityOption = None,
    speaks_as: AsOption = None,
    yes: YesOption = False,
    as_json: OutcomeOption = False,
) -> int:
    """Send mail to many."""
    from maestro_clients.protocol.documented_words import TEXT_FIELDS, mail_message
    from maestro_clients.protocol.new_ids import new_message_id

    context = CommandContext.here(speaks_as, sure=yes)
    context.sender()
    text, metadata = mail_message(
        kind, subject, {} if message is None else {TEXT_FIELDS[kind]: message}, priority=priority
    )
    outgoing: Any = {
        "id": new_message_id(),
        "to": _AUDIENCES.get(scope) or _siblings(context),
        "message": text,
        "metadata": metadata,
    }
    if yes:
        outgoing["confirm"] = True
    try:
        return send_flow.send(context, outgoing, as_json=as_json)
    except MaestroError as error:
        raise send_flow.explained(error, outgoing) from None


def _siblings(context: CommandContext) -> list[str]:
    """Raises MaestroError NO_RECEIVERS."""
    own = context.session()
    with context.client() as client:
        parent = client.session(own).get("parentSessionId")
        found = [] if parent is None else client.sessions(parent_session_id=parent, active=True)
    team = [session["id"] for session in found if session["id"] != own]
    if not team:
        raise MaestroError(
            "NO_RECEIVERS",
            f"{own} is in no team: no other active session has its parent",
            "Leave --scope off for the whole project, or name a session with `maestro mail send`.",
        )
    return team
