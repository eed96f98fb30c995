"""Send flow: a message is sent or queued, and the outcome is reported.

Rule: it reports "sent" only after the broker has confirmed that the message is on disk, and "queued" only after the
outbox has it. The id is chosen before the first attempt, so that every retry is the same send. It is on the fast
path, so it imports nothing that costs time.
"""

from __future__ import annotations

from maestro_cli.output import streams
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import short_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager
    from typing import Any

    from maestro_cli.context import CommandContext
    from maestro_clients.attachments.outgoing_files import OutgoingFile
    from maestro_clients.client import Client
    from maestro_clients.durable_send import SendOutcome
    from maestro_clients.one_shot_client import AnyClient
    from maestro_schemas.documents import OutgoingDoc

_ERROR_STATUS = 400
# A longer command is not repeated in a hint.
_COMMAND_CHARS_MAX = 300


def send(
    context: CommandContext,
    outgoing: OutgoingDoc,
    *,
    as_json: bool,
    client: AnyClient | None = None,
    retry_of: str | None = None,
    files: Sequence[OutgoingFile] = (),
    label: str | None = None,
) -> int:
    """Send or queue, and report it; returns the exit code. `waiting.send` is the one that waits.

    `client`: the command's connection, where it has one. `retry_of`: the id of the dead message that this one
    repeats. `files`: those that the message names. `label`: as for `sentence`. Raises MaestroError for a refusal, and
    as `streams.say`.
    """
    if client is None and not files:
        result, queued = _over_own_connection(context, outgoing)
    else:
        result, queued = handed_over(context, outgoing, client, files)
    if queued is not None:
        document, line = queued_report(context, outgoing, queued, label)
        done = f"The message is in the outbox, as {document['id']}."
        if as_json:
            streams.say(streams.json_line(document), done=done)
        else:
            streams.tell(line, done=done)
        return 0
    outcome = accepted(result)
    if retry_of is not None:
        outcome["retryOf"] = retry_of
    if as_json:
        streams.say(streams.json_line(outcome), done=was_sent(outcome))
    else:
        streams.tell(sentence(outcome, outgoing, label), done=was_sent(outcome))
    return code(outcome)


def _over_own_connection(context: CommandContext, outgoing: OutgoingDoc) -> tuple[Any, SendOutcome | None]:
    """As `handed_over`. Without the class of the one-shot client, which has a method for every command."""
    connection = context.one_shot_connection()
    if connection is None:
        return handed_over(context, outgoing, None)
    try:
        body = {"as": context.speaker(), "messages": [outgoing]}
        result = judged(connection.ask(b"send", body))
    finally:
        connection.close()
    return handed_over(context, outgoing, None) if result is None else (result, None)


def handed_over(
    context: CommandContext,
    outgoing: OutgoingDoc,
    client: AnyClient | None,
    files: Sequence[OutgoingFile] = (),
) -> tuple[Any, SendOutcome | None]:
    """The broker's result, or the outcome of a message that was queued. Raises MaestroError for a refusal."""
    full: Client | None = None
    if client is not None:
        from maestro_clients import one_shot_client

        if not isinstance(client, one_shot_client.OneShotClient):
            full = client
        elif not files:
            result = judged(client.ask_once("send", {"messages": [outgoing]}))
            if result is not None:
                return result, None
    with _upload(files):
        from maestro_clients.durable_send import send_or_queue

        sent = send_or_queue(
            context.data,
            context.environ,
            context.caller,
            outgoing,
            autostart=context.autostart,
            client=full,
            files=files,
        )
    return (sent.result, None) if sent.queued_path is None else (None, sent)


def _upload(files: Sequence[OutgoingFile]) -> AbstractContextManager[object]:
    """What a person sees while large files are on their way."""
    from contextlib import nullcontext

    if not files:
        return nullcontext()
    from maestro_cli.output.progress import progress
    from maestro_clients.texts.byte_counts import size

    return progress(f"sending {size(sum(len(file.content) for file in files))}")


def judged(answer: tuple[int, dict[str, Any]] | None) -> dict[str, Any] | None:
    """The result in the reply to a send of one message. None where it is not known, or the broker asks for another
    attempt. Raises the MaestroError of a refusal: a second attempt would be recorded as a second refusal."""
    if answer is None:
        return None
    status, body = answer
    results = [{"error": body}] if status >= _ERROR_STATUS else body.get("results")
    if not isinstance(results, list) or len(results) != 1 or not isinstance(results[0], dict):
        return None
    result: dict[str, Any] = results[0]
    if "error" in result:
        refusal = MaestroError.from_body(result["error"])
        if refusal.code in ("INVALID", "UNKNOWN_COMMAND"):
            from maestro_clients.protocol.older_brokers import explained

            refusal = explained(refusal)
        if refusal.kind in ("busy", "unreachable"):
            return None
        raise refusal
    return result


def queued_report(
    context: CommandContext, outgoing: OutgoingDoc, sent: SendOutcome, label: str | None = None
) -> tuple[dict[str, Any], str]:
    """The JSON and the line for a message that is in the outbox."""
    from maestro_schemas.names import canonical_id, mark_of

    # The id that the message gets, unless another session had the sender's mark first: then this is still its key.
    message_id = canonical_id(outgoing["id"], mark_of(context.caller.session or ""))
    document: dict[str, Any] = {
        "status": "queued", "id": message_id, "to": outgoing["to"], "path": sent.queued_path
    }  # fmt: skip
    to = _shown(label or outgoing["to"])
    line = f"Queued in the outbox, to {to} ({short_id(message_id)}). No broker answered; it will be sent " + (
        "by the next command that reaches it." if context.is_remote else "when a broker runs (maestro up)."
    )
    if sent.reason is not None and sent.reason.code == "BAD_SETTING":
        # Waiting does not repair a wrong setting: a person must.
        document["reason"] = sent.reason.body()
        streams.note(f"maestro: the broker can't start: {sent.reason.message}")
        streams.note(f"  next: {streams.step(sent.reason)} Then: maestro up")
    return document, line


def accepted(result: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON of a send: `status` is `accepted` (or `queued`); `duplicate` where this send was accepted before."""
    found: dict[str, Any] = {**result, "status": "accepted"}
    if result["status"] == 200:
        found["duplicate"] = True
    return found


def explained(error: MaestroError, outgoing: OutgoingDoc) -> MaestroError:
    """A refusal with the next step of this command. Where an audience must be confirmed, those whom it would reach
    are noted first, each with what is known of it."""
    if error.code == "CONFIRM_FANOUT":
        import shlex
        import sys
        import time

        from maestro_cli.output import fan_out_lines

        receivers = (error.details or {}).get("receivers", [])
        for line in fan_out_lines.preview(receivers, time.time_ns() // 1_000_000):
            streams.note(line)
        words = shlex.join(["maestro", *sys.argv[1:], "--yes"])
        error.hint = f"To send it: {words}" if len(words) <= _COMMAND_CHARS_MAX else "The same command with --yes."
    elif error.code == "TEXT_TOO_LONG":
        error.hint = "Send the whole as a file, and say in the text what it is: --attach PATH."
    elif error.code == "RECEIVER_NOT_FOUND" and any("," in each for each in _listed(outgoing["to"])):
        error.hint = f"{error.hint} For several receivers, repeat the option: --to ann --to bob."
    return error


def _listed(to: str | list[str]) -> list[str]:
    return [to] if isinstance(to, str) else to


def was_sent(outcome: Mapping[str, Any]) -> str:
    """For an error after the send, as `streams.say` takes it."""
    return f"The message was sent, as {outcome['id']}."


def code(outcome: Mapping[str, Any]) -> int:
    """The exit code of an accepted send: `exit_codes.PARTLY` where some of several receivers refused."""
    if not outcome.get("refused"):
        return 0
    from maestro_cli import exit_codes

    return exit_codes.PARTLY


def _shown(to: str | list[str]) -> str:
    if isinstance(to, str):
        return to
    from maestro_clients.texts.fence import addresses

    return addresses(to)


def sentence(outcome: Mapping[str, Any], outgoing: OutgoingDoc, label: str | None = None) -> str:
    """The same JSON in words. `label`: what the receiver is called, where the message names its id."""
    if "accepted" in outcome:
        return _of_several(outcome, outgoing)
    # Its name; else what was typed for it, unless that is not the one that got it.
    is_named = "toName" in outcome or "originalTo" in outcome
    to = _receiver(outcome) if is_named and "to" in outcome else label or outgoing["to"]
    where = f"to {_shown(to)} ({short_id(outcome['id'])})"
    if "originalTo" in outcome:
        where += f", because {_shown(label or outgoing['to'])} had ended"
    retried = outcome.get("retryOf")
    if outcome.get("duplicate"):
        first = "Sent before" if retried is None else f"{short_id(retried)} was retried before"
        return f"{first}, {where}; it is {outcome.get('state', 'on disk')} now."
    again = "" if retried is None else "again "
    removed = outcome.get("charsRemoved", 0)
    less = f" Without {removed:,} hidden character{'' if removed == 1 else 's'}, taken out of it." if removed else ""
    # An id is no name.
    name = _shown(to) if to != outcome.get("to") else ""
    expected = _named(_expectation(outcome, outgoing), name)
    return f"Sent {again}{where}. It is on disk.{less} {expected}".rstrip()


def _named(expected: str, name: str) -> str:
    """The words about a receiver, with its name."""
    for start in ("Its agent", "Its receiver"):
        if name and expected.startswith(start):
            return name + expected.removeprefix(start)
    return expected


def _receiver(outcome: Mapping[str, Any]) -> str:
    """What the sender can write to again: the name; the id where it has none, or one that is no plain word."""
    name = outcome.get("toName", "")
    # As `visible_text.is_token`, whose import costs more than this, for the names that hooks give.
    return name if name.replace("-", "a").replace("_", "a").isalnum() else str(outcome["to"])


def _of_several(outcome: Mapping[str, Any], outgoing: OutgoingDoc) -> str:
    import time

    from maestro_cli.output import fan_out_lines

    lines = [fan_out_lines.sent(outcome, time.time_ns() // 1_000_000)]
    note = fan_out_lines.quiet_note(outcome, outgoing.get("metadata"))
    return "\n".join([*lines, note] if note else lines)


def _expectation(outcome: Mapping[str, Any], outgoing: OutgoingDoc) -> str:
    import time

    from maestro_clients.texts import presence_words

    return presence_words.expectation(outcome, time.time_ns() // 1_000_000, outgoing.get("metadata"))
