"""`maestro message reply`: answer a message; the answer is sent to its sender.

Rule: the answer is an ordinary message. Its metadata names the message that it answers, and both form a thread.
"""

from __future__ import annotations

from maestro_cli import arguments
from maestro_cli.addressing.message_ids import resolve
from maestro_cli.context import CommandContext
from maestro_cli.output import streams
from maestro_cli.sending import send_flow
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import SYSTEM_SENDER, short_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Annotated

    from maestro_cli.options import (
        AsOption,
        AttachOption,
        FileOption,
        MessageOption,
        OnEndedOption,
        Option,
        OutcomeOption,
        PriorityOption,
        RequireAckOption,
        TimeoutOption,
        WaitOption,
        WaitReplyOption,
        YesOption,
    )
    from maestro_clients.attachments.outgoing_files import OutgoingFile
    from maestro_schemas.documents import MessageDoc, OutgoingDoc, PersonDoc

DETAILS = """\
ID is a message's id or the beginning of it. `last` is the newest message that
you were shown; a newer one that waits is named. The sender is the session of
this shell, or with `--as operator` the person. An answer to a message to
several goes to its sender alone; for all of them:
maestro send @workers "text" --reply-to ID.

Examples:
  maestro reply last "Done."
  maestro reply k3v9 "Yes." --as operator
  git diff | maestro reply last
  maestro reply last "Which one?" --wait-reply --timeout 5m
  maestro reply last "Here." --attach log.txt"""


def run(
    message_id: Annotated[
        str, Option(name="ID", help="The message to answer: its id, the beginning of it, or `last`.")
    ],
    text: Annotated[
        str | None,
        Option(name="TEXT", any_text=True, help="The text, in quotes. Without one it is read from a pipe."),
    ] = None,
    /,
    *,
    message: MessageOption = None,
    file: FileOption = None,
    attach: AttachOption = None,
    priority: PriorityOption = None,
    on_ended: OnEndedOption = None,
    require_ack: RequireAckOption = False,
    wait: WaitOption = None,
    wait_reply: WaitReplyOption = False,
    timeout: TimeoutOption = None,
    speaks_as: AsOption = None,
    yes: YesOption = False,
    as_json: OutcomeOption = False,
) -> int:
    """Answer a message."""
    context = CommandContext.here(speaks_as, sure=yes)
    context.sender()
    text = _text(message_id, text, message, file)
    awaited = None
    if wait is not None or timeout is not None or wait_reply:
        from maestro_cli.sending import waiting

        awaited = waiting.awaited(wait, timeout, reply=wait_reply)
    with context.client() if awaited is None else context.full_client() as client:
        found = client.message_with_people(resolve(client, message_id, for_reply=True))
        answered = found["message"]
        outgoing = _answer(answered, text, context.session())
        if priority is not None and priority != "medium":
            outgoing["metadata"]["priority"] = priority
        if require_ack:
            outgoing["metadata"]["requiresAck"] = True
        if on_ended is not None:
            outgoing["onEnded"] = on_ended
        label = _label(found.get("people", {}), outgoing["to"])
        files: Sequence[OutgoingFile] = ()
        if attach:
            from maestro_cli.sending import attaching

            files = attaching.add(context, outgoing, attach)
        try:
            if awaited is not None:
                return waiting.send(
                    context, outgoing, awaited, client=client, as_json=as_json, files=files, label=label
                )
            code = send_flow.send(context, outgoing, client=client, as_json=as_json, files=files, label=label)
        except MaestroError as error:
            raise send_flow.explained(error, outgoing) from None
    size = answered.get("audience", {"size": 0})["size"]
    if size > 1 and not as_json:
        streams.tell(
            f"  It went to the sender alone, not to the {size} sessions that got {short_id(answered['id'])}."
        )
    return code


def _text(message_id: str, text: str | None, message: str | None, file: str | None) -> str:
    """The text, however it was given. Raises MaestroError INVALID."""
    from maestro_cli.addressing import words

    _, message, file = words.send_words((message_id, text), None, message, file)
    if message is None and file is None:
        if any(map(str.isspace, message_id)):
            raise MaestroError(
                "INVALID",
                "the message to answer is missing",
                f"maestro reply last {words.quoted(message_id)}",
            )
        return words.piped_in(f'maestro reply {message_id} "text"')
    return arguments.text_of(message, file)


def _label(people: Mapping[str, PersonDoc], to: str | list[str]) -> str | None:
    """The name of the receiver, where it has one."""
    return people[to].get("name") if isinstance(to, str) and to in people else None


def _answer(message: MessageDoc, text: str, own: str) -> OutgoingDoc:
    """Raises MaestroError INVALID for a message that can't be answered."""
    from maestro_clients.protocol.new_ids import new_message_id

    if message["from"] == SYSTEM_SENDER:
        raise MaestroError(
            "INVALID",
            f"{message['id']} is from the post office itself, which reads no mail",
            "It needs no answer.",
        )
    if message["from"] == own and "audience" in message:
        import shlex

        to = " ".join(f"--to {shlex.quote(address)}" for address in message["audience"]["to"])
        raise MaestroError(
            "INVALID",
            f"{message['id']} was sent by this session to {message['audience']['size']} sessions, and an answer goes "
            "to one",
            f"To add to it for the same addresses: maestro send {to} --reply-to {message['id']} --message TEXT",
        )
    return {
        "id": new_message_id(),
        # An answer to one's own message adds to it, for the same receiver.
        "to": message["to"] if message["from"] == own else message["from"],
        "message": text,
        "metadata": {"type": "response", "inReplyTo": message["id"]},
    }
