"""Render: documents as lines for a reader.

Rule: plain text of full words. What a caller chose (texts, names, tasks) is shown as `fence` says, so that none of it
can pass for a line of ours.
"""

from __future__ import annotations

import os
import sys

from maestro_clients.texts.ages import UNITS, age, moment
from maestro_clients.texts.fence import audience, behind, data_line, joined, message_fields, named, removal
from maestro_schemas.names import OPERATOR
from maestro_schemas.texts.visible_text import one_line

from .marks import wants_style

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from maestro_clients.texts.display_names import DisplayNames
    from maestro_clients.texts.short_ids import ShortIds
    from maestro_schemas.documents import EventDoc, MessageDoc, SessionDoc

BAR = "  | "


def plain(text: object) -> str:
    """One line, on which what a reader can't see is shown as `?`."""
    return one_line(text)


def duration(milliseconds: float) -> str:
    """`7d`, `1h 30m`, `30s`, `250 ms`: at most two units."""
    if milliseconds < 1000:
        return f"{milliseconds:g} ms"
    seconds, parts = int(milliseconds // 1000), []
    for length, unit in UNITS:
        if seconds >= length:
            parts.append(f"{seconds // length}{unit}")
            seconds %= length
    return " ".join(parts[:2])


def value_shown(value: object, unit: str) -> str:
    """A setting's value: `7d`, `64 KiB`, `on`, `10,000 characters`."""
    if not isinstance(value, int):
        return str(value)
    if unit == "ms":
        return duration(value)
    if unit == "bytes":
        from maestro_clients.texts.byte_counts import size

        return size(value)
    if unit == "switch":
        return "on" if value else "off"
    return f"{value:,} characters" if unit == "chars" else f"{value:,}"


def message_block(message: MessageDoc, names: DisplayNames, now_ms: int, short: ShortIds | None = None) -> str:
    """One message as it is shown: a line that says what it is, what its sender chose behind bars, what to do about
    it. `short`: the forms of ids that a person types."""
    own_id = message["id"] if short is None else short.of(message["id"])
    metadata = message.get("metadata") or {}
    words, chosen = message_fields(message, names.unfit_name(message["from"]))
    sender = names.sender(message["from"])
    if wants_style(sys.stdout, os.environ):
        from .styles import styled

        name, blank, about = sender.partition(" ")
        sender, words = styled(name, "bold") + blank + about, emphasized(words)
    head = [f"{own_id} from {sender}", moment(message["createdAt"], now_ms)]
    head += [age(message["createdAt"], now_ms), *words]
    if message["status"] == "delivered":
        head.append("shown before")
    lines = [", ".join(head) + audience(message)]
    if "inReplyTo" in metadata:
        answered, thread = metadata["inReplyTo"], metadata.get("threadId", "?")
        if short is not None:
            # The thread's id is that of its first message, which is of use to programs.
            lines.append(f"  in reply to {named(short.of(answered))}")
        else:
            lines.append(f"  in reply to {named(answered)}, thread {named(thread)}")
    if (original := names.original_receiver(message)) is not None:
        lines.append(f"  for {original}, who had ended")
    lines += [BAR + line for line in chosen]
    lines += behind(BAR, message["message"])
    lines += [BAR + line for line in data_line(message)]
    if taken_out := removal(message):
        lines.append(f"  {taken_out}")
    if message.get("attachments"):
        from maestro_clients.texts import file_lines

        lines += [f"  {line}" for line in file_lines.lines(message)]
    if metadata.get("requiresAck") and message["status"] != "read":
        lines.append(f"  it asks for an acknowledgement: maestro message read {own_id}")
    return "\n".join(lines)


def emphasized(words: list[str]) -> list[str]:
    """The words about a message, in which a high priority stands out on a terminal."""
    from .styles import styled

    return [styled(word, "bold", "yellow") if word == "high priority" else word for word in words]


def history(message: MessageDoc, now_ms: int) -> list[str]:
    """The steps of a message's delivery, one on each line, the earliest first."""
    if message["status"] == "failed":
        failure = message.get("failure", {"code": "?", "message": "no reason was kept"})
        when = moment(message["createdAt"], now_ms)
        return [f"  {when}  refused, after it waited in the outbox: {failure['code']}: {plain(failure['message'])}"]
    steps: list[tuple[int, str]] = [
        (message["createdAt"], f"accepted as number {message['seq']} for {message['to']}")
    ]
    # A message that is shown whole is offered and delivered in one step.
    offered, delivered = (message.get("offeredAt"), message.get("offeredVia")), message.get("deliveredAt")
    # Only hooks run in a turn that a wake began.
    woken, woken_before = _woken(message), False
    if "offeredAt" in message and offered != (delivered, message.get("deliveredVia")):
        by = f" by {named(message['offeredVia'])}" if "offeredVia" in message else ""
        woken_before = not message.get("deliveredVia", "").startswith("hook:")
        steps.append((message["offeredAt"], f"offered{by}{woken if woken_before else ''}: its id was shown"))
    if "deliveredAt" in message:
        by = named(message.get("deliveredVia", "unknown"))
        steps.append((message["deliveredAt"], f"delivered by {by}{'' if woken_before else woken}"))
    if "readAt" in message:
        steps.append((message["readAt"], "read: the receiver acknowledged it"))
    lines = [f"  {moment(at, now_ms)}  {what}" for at, what in sorted(steps, key=lambda step: step[0])]
    if "expiresAt" in message:
        word = "expired" if message["status"] == "expired" else "expires"
        lines.append(f"  {moment(message['expiresAt'], now_ms)}  {word}, unless it was delivered before")
    return lines


def _woken(message: MessageDoc) -> str:
    if "wokenBy" not in message:
        return ""
    return f", in a turn that a wake began ({named(message['wokenBy'])})"


def session_lines(session: SessionDoc, now_ms: int, *, state: str = "", wake: str = "") -> list[str]:
    """A session, one field a line. `state`: what is known of it now, and `wake`: of its wakes, in words."""
    rows: list[tuple[str, object]]
    if session["id"] == OPERATOR:
        rows = [("id", OPERATOR), ("is", "the person who owns this post office, always there, and in no list")]
        if session["lastActivity"]:
            rows.append(("last seen", age(session["lastActivity"], now_ms)))
        rows.append(("token", "none: the kernel's word for the user counts"))
        return [f"{label + ':':13}{plain(value)}" for label, value in rows]
    rows = [("id", session["id"])]
    rows += [(label, named(session[key])) for label, key in _SESSION_FIELDS if key in session]  # type: ignore[literal-required]
    rows.append(("started", f"{moment(session['startedAt'], now_ms)}, {age(session['startedAt'], now_ms)}"))
    if state:
        rows.append(("state", state))
    if wake:
        rows.append(("wake", wake))
    rows.append(("last seen", age(session["lastActivity"], now_ms)))
    if "completedAt" in session:
        rows.append(("ended", f"{moment(session['completedAt'], now_ms)}, {age(session['completedAt'], now_ms)}"))
    if session.get("taskIds"):
        rows.append(("tasks", ", ".join(map(named, session["taskIds"]))))
    if session.get("needsInput", {}).get("active"):
        rows.append(("needs input", named(joined(session["needsInput"].get("message", "yes")))))
    for note in session.get("timeline", [])[-_NOTES_MAX:]:
        said = f"{note['type']}: {named(joined(note['message']))}"
        rows.append(("reported", f"{moment(note['timestamp'], now_ms)}, {said}"))
    rows.append(("token", "needed to speak for it" if session.get("hasToken") else "none: anyone may speak for it"))
    return [f"{label + ':':13}{plain(value)}" for label, value in rows]


def event_line(event: EventDoc, now_ms: int) -> str:
    """One line of the timeline."""
    parts = [moment(event["at"], now_ms), f"{event['lsn']:>6}", f"{event['event']:<17}"]
    if "id" in event:
        parts.append(event["id"])
    # A refused message has no receiver.
    ends = [event[end] for end in ("from", "to") if end in event]
    if ends:
        parts.append(" -> ".join(map(named, ends)))
    if "session" in event:
        parts.append(event["session"])
    if "group" in event:
        changes = [f"+{each}" for each in event.get("joined", ())] + [f"-{each}" for each in event.get("left", ())]
        parts.append(" ".join([f"@{event['group']}", *changes]))
    parts += [f"{key}={named(event[key])}" for key in _EVENT_EXTRAS if key in event]  # type: ignore[literal-required]
    return "  ".join(map(plain, parts))


def table(rows: Mapping[str, Any], *, indent: str = "  ") -> list[str]:
    """Label and value, the values in one column."""
    width = max(map(len, rows), default=0) + 2
    return [f"{indent}{label:<{width}}{plain(value)}" for label, value in rows.items()]


# How many lines of a session's own timeline are shown.
_NOTES_MAX = 3
_SESSION_FIELDS = (
    ("name", "name"),
    ("role", "role"),
    ("status", "status"),
    ("project", "projectId"),
    ("parent", "parentSessionId"),
    ("agent", "agent"),
    ("directory", "cwd"),
)
_EVENT_EXTRAS = (
    "seq",
    "code",
    "via",
    "wokenBy",
    "by",
    "priority",
    "type",
    "taskId",
    "threadId",
    "projectId",
    "status",
)
