"""`maestro send`, which is `maestro session send`: send one message, and wait for its receipt if asked to.

Rule: the arguments become a message here; `sending.send_flow` sends it.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext
from maestro_cli.sending import send_flow
from maestro_schemas.errors import MaestroError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Annotated, Literal

    from maestro_cli.options import (
        ANSWERS,
        AsOption,
        AttachOption,
        FileOption,
        MessageOption,
        OnEndedOption,
        Option,
        OutcomeOption,
        PriorityOption,
        RequireAckOption,
        SetOption,
        TemplateOption,
        TimeoutOption,
        WaitOption,
        WaitReplyOption,
        YesOption,
    )
    from maestro_clients.attachments.outgoing_files import OutgoingFile
    from maestro_schemas.documents import MetadataDoc, OutgoingDoc
    from maestro_schemas.vocabularies import MessageType

DETAILS = """\
The sender is the session of this shell: MAESTRO_SESSION_ID and
MAESTRO_SESSION_TOKEN. When no broker answers, the message is queued in the
outbox and sent when one runs; that too is exit code 0. `--to operator` writes
to the person, who writes with `--as operator`; an agent's shell refuses that.

A message to several has one id. Each receiver takes or refuses it by itself;
where some refuse, the exit code is 8. An answer goes to the sender alone.
Without a type, priority or --require-ack that asks for something, it wakes no
agent. Repeat --to for several receivers: a comma is part of a name.

A text of several words stands in quotes; without one it is read from a pipe. A
text that begins with `-` and has no blank stands behind `--`.

Examples:
  maestro send bob "Review PR in task_456"
  maestro send bob "Stop, main is red" --priority high
  git diff --stat | maestro send bob
  maestro send bob --file report.md --task task_456
  maestro send bob "The fix." --attach cart.patch --attach shot.png
  maestro send operator "May I force-push?" --type request
  maestro send bob "Yes, on your own branch." --as operator
  maestro send bob "Done." --reply-to k3v9
  maestro send bob "Deploy?" --require-ack --wait read --timeout 5m
  maestro send bob "Which port?" --wait-reply --timeout 5m
  maestro send --to ann --to bob --message "Read decisions/7 first."
  maestro send bob --template review --set pr="PR 123"
  maestro send @workers "Stop, main is red." --priority high --yes \\
      --wait delivered
  maestro send @workers --type request --dry-run"""


def run(
    receiver: Annotated[
        str | None, Option(name="TO", help="The receiver, as for --to, which may be repeated for several.")
    ] = None,
    text: Annotated[
        str | None,
        Option(name="TEXT", any_text=True, help="The text, in quotes. Without one it is read from a pipe."),
    ] = None,
    /,
    *,
    to: Annotated[
        list[str] | None,
        Option(
            name=["--to", "-t"],
            metavar="SESSION",
            help="The receiver: a session's id, its name, `parent`, `operator`, or several: @all, @workers, "
            "@orchestrators, @project, @project:NAME, @children, @GROUP. It may be repeated.",
        ),
    ] = None,
    message: MessageOption = None,
    file: FileOption = None,
    attach: AttachOption = None,
    template: TemplateOption = None,
    settings: SetOption = None,
    priority: PriorityOption = None,
    kind: Annotated[MessageType | None, Option(name="--type", help="The kind of the message.")] = None,
    task: Annotated[str | None, Option(metavar="ID", help="The id of the task that it is about.")] = None,
    reply_to: Annotated[
        str | None, Option(metavar="MSG", help="The id of the message that it answers; both form a thread.")
    ] = None,
    ttl: Annotated[
        str | None,
        Option(
            metavar="DURATION",
            help="How long it may wait for its receiver, for example 1h. Default: the retention.",
        ),
    ] = None,
    expires_at: Annotated[
        str | None,
        Option(name="--expires-at", metavar="TIME", help="Until when it may wait, for example 2026-11-22T10:00."),
    ] = None,
    on_ended: OnEndedOption = None,
    require_ack: RequireAckOption = False,
    data: Annotated[
        str | None, Option(metavar="JSON", any_text=True, help="Any JSON value for the receiver's programs.")
    ] = None,
    wait: WaitOption = None,
    wait_reply: WaitReplyOption = False,
    replies: Annotated[
        int | None,
        Option(
            numbers=ANSWERS,
            metavar="N",
            help="With --wait-reply and several receivers: return after N answers, not one of each.",
        ),
    ] = None,
    timeout: TimeoutOption = None,
    yes: YesOption = False,
    dry_run: Annotated[
        bool,
        Option(name="--dry-run", help="Send nothing: print who would get it, and when. The text may be left off."),
    ] = False,
    message_id: Annotated[
        str | None,
        Option(name="--id", metavar="MSG", help="Your own id for it: repeating the command sends it once."),
    ] = None,
    speaks_as: AsOption = None,
    as_json: OutcomeOption = False,
) -> int:
    """Send a message."""
    from maestro_clients.protocol.new_ids import new_message_id

    context = CommandContext.here(speaks_as, sure=yes)
    if receiver is not None:
        from maestro_cli.addressing import words

        to, message, file = words.send_words((receiver, text), to, message, file)
    if not to and template is None:
        from maestro_cli.addressing import words

        raise words.no_receiver(context)
    context.sender()
    text = None
    if template is not None or settings is not None:
        from maestro_cli.templates import template_send

        said = template_send.filled(template, settings, message, file, context.environ)
        text, kind, task = said.text, kind or said.kind, task or said.task
        priority, require_ack = priority or said.priority, require_ack or said.requires_ack
        to = to or said.to
        if not to:
            raise MaestroError(
                "INVALID", f"--to is missing, and the template {template!r} names no receiver", "Add --to SESSION."
            )
    if reply_to is not None:
        from maestro_cli.addressing import message_ids

        reply_to = message_ids.resolved(context, reply_to, for_reply=True)
    if dry_run:
        from maestro_cli.sending import dry_run as rehearsal

        _check_alone(wait, timeout, replies, wait_reply=wait_reply)
        metadata = _metadata(priority, kind, task, reply_to, data, requires_ack=require_ack)
        return rehearsal.show(context, _receivers(to or []), metadata, on_ended, is_confirmed=yes, as_json=as_json)
    if text is None:
        if message is None and file is None:
            from maestro_cli.addressing import words

            message = words.piped_in(words.send_form(to[0] if to else "bob"))
        text = _text(message, file)
    outgoing: OutgoingDoc = {
        "id": new_message_id() if message_id is None else message_id,
        "to": _receivers(to or []),
        "message": text,
    }
    metadata = _metadata(priority, kind, task, reply_to, data, requires_ack=require_ack)
    if metadata:
        outgoing["metadata"] = metadata
    if ttl is not None:
        from maestro_cli.arguments import duration_ms

        outgoing["ttlMs"] = duration_ms("--ttl", ttl)
    if expires_at is not None:
        from maestro_cli.arguments import instant_ms

        outgoing["expiresAt"] = instant_ms("--expires-at", expires_at)
    if on_ended is not None:
        outgoing["onEnded"] = on_ended
    if yes:
        outgoing["confirm"] = True
    files: Sequence[OutgoingFile] = ()
    if attach:
        from maestro_cli.sending import attaching

        files = attaching.add(context, outgoing, attach)
    try:
        return _sent(context, outgoing, files, wait, timeout, replies, wait_reply=wait_reply, as_json=as_json)
    except MaestroError as error:
        raise send_flow.explained(error, outgoing) from None


def _sent(
    context: CommandContext,
    outgoing: OutgoingDoc,
    files: Sequence[OutgoingFile],
    wait: Literal["delivered", "read"] | None,
    timeout: str | None,
    replies: int | None,
    *,
    wait_reply: bool,
    as_json: bool,
) -> int:
    if wait is not None or timeout is not None or wait_reply or replies is not None:
        from maestro_cli.sending import waiting

        awaited = waiting.awaited(wait, timeout, reply=wait_reply, replies=replies)
        if awaited is not None:
            return waiting.send(context, outgoing, awaited, as_json=as_json, files=files)
    return send_flow.send(context, outgoing, as_json=as_json, files=files)


def _check_alone(wait: str | None, timeout: str | None, replies: int | None, *, wait_reply: bool) -> None:
    if wait is not None or timeout is not None or replies is not None or wait_reply:
        raise MaestroError(
            "INVALID", "--dry-run sends nothing, so there is nothing to wait for", "Leave the other option off."
        )


def _text(message: str | None, file: str | None) -> str:
    if message is not None and file is None:
        return _checked("--message", message)
    from maestro_cli.arguments import text_of

    return text_of(message, file)


def _receivers(to: list[str]) -> str | list[str]:
    return _checked("--to", to[0]) if len(to) == 1 else [_checked("--to", each) for each in to]


def _checked(option: str, text: str) -> str:
    """As `arguments.checked_text`, which is imported only for a text that needs the check."""
    if text.isascii():
        return text
    from maestro_cli.arguments import checked_text

    return checked_text(option, text)


def _metadata(
    priority: str | None,
    kind: str | None,
    task: str | None,
    reply_to: str | None,
    data: str | None,
    *,
    requires_ack: bool,
) -> MetadataDoc:
    metadata: MetadataDoc = {}
    if priority is not None and priority != "medium":
        metadata["priority"] = priority
    if kind is not None:
        metadata["type"] = kind
    if task is not None:
        metadata["taskId"] = _checked("--task", task)
    if reply_to is not None:
        metadata["inReplyTo"] = _checked("--reply-to", reply_to)
    if requires_ack:
        metadata["requiresAck"] = True
    if data is not None:
        from maestro_cli.arguments import json_value

        metadata["data"] = json_value("--data", _checked("--data", data))
    return metadata
