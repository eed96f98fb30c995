"""`maestro mail send`: mail to sessions, each as a message of its own."""

from __future__ import annotations

from maestro_cli.commands.compatible.notify import named, to_each
from maestro_cli.context import CommandContext
from maestro_schemas.errors import MaestroError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

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

USAGE = "maestro mail send [SESSION[,SESSION...]] [OPTIONS]"
DETAILS = """\
A compatible name of `maestro send`, with a subject and Maestro's types of mail.
A session that does not take it stops no other; the exit code is then that of
the first refusal. `maestro inbox` shows such mail as every other message.

Examples:
  maestro mail send sess_1_abc --type query --subject "Which port?" \\
      --message "For the test server."
  maestro mail send --to-coordinator --type status_update --subject "Half done" """.rstrip()


def run(
    sessions: Annotated[str | None, Option(name="SESSION", help="Ids or names, with commas between them.")] = None,
    /,
    *,
    kind: MailTypeOption,
    subject: SubjectOption,
    message: TextOption = None,
    to_coordinator: Annotated[bool, Option(help="To the session that started this one.")] = False,
    to_team_member: Annotated[
        str | None, Option(metavar="ID", help="To the active sessions with this `teamMemberId` in their metadata.")
    ] = None,
    task_id: Annotated[str | None, Option(metavar="ID", help="The id of the task that it is about.")] = None,
    priority: MailPriorityOption = None,
    reply_to: Annotated[str | None, Option(metavar="MSG", help="The id of the mail that it answers.")] = None,
    speaks_as: AsOption = None,
    yes: YesOption = False,
    as_json: OutcomeOption = False,
) -> int:
    """Send mail."""
    from maestro_clients.protocol.documented_words import TEXT_FIELDS, mail_message

    context = CommandContext.here(speaks_as, sure=yes)
    context.sender()
    to = [] if sessions is None else named(sessions)
    if to_coordinator:
        to.append("parent")
    if to_team_member is not None:
        to += _members(context, to_team_member)
    if not to:
        raise MaestroError(
            "INVALID", "the mail has no receiver", "Name a session, or give --to-coordinator or --to-team-member."
        )
    body = {} if message is None else {TEXT_FIELDS[kind]: message}
    if task_id is not None:
        body["task_id"] = task_id
    text, metadata = mail_message(kind, subject, body, priority=priority, reply_to=reply_to)
    if task_id is not None:
        metadata["taskId"] = task_id
    return to_each(context, to, text, metadata, as_json=as_json)


def _members(context: CommandContext, member: str) -> list[str]:
    """Raises MaestroError RECEIVER_NOT_FOUND."""
    with context.client() as client:
        active = client.sessions(active=True)
    found = [session["id"] for session in active if session.get("metadata", {}).get("teamMemberId") == member]
    if not found:
        raise MaestroError(
            "RECEIVER_NOT_FOUND",
            f"no active session has {member[:80]!r} as the `teamMemberId` of its metadata",
            "Name a session; `maestro session list` shows who is here.",
        )
    return found
