"""Render: documents as lines for a reader.

Rule: plain text of full words; each line of a message's text begins with a bar, so that no text can pass for a
line of ours; what others chose (names, ids, tasks) is without unprintable characters.
"""

from __future__ import annotations

import time

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from maestro_schemas.documents import EventDoc, MessageDoc, PersonDoc, SessionDoc

BAR = "  | "
_AGES = ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s"))


def plain(text: object) -> str:
    """One line of printable characters."""
    return "".join(character if character.isprintable() else "?" for character in str(text))


def age(at_ms: int, now_ms: int) -> str:
    """`3m ago`; `just now` within a second, and for a clock that ran ahead."""
    seconds = (now_ms - at_ms) // 1000
    for length, unit in _AGES:
        if seconds >= length:
            return f"{seconds // length}{unit} ago"
    return "just now"


def moment(at_ms: int, now_ms: int) -> str:
    """Local time of day, with the date when that is not today's."""
    when = time.localtime(at_ms / 1000)
    same_day = when[:3] == time.localtime(now_ms / 1000)[:3]
    return time.strftime("%H:%M:%S" if same_day else "%Y-%m-%d %H:%M:%S", when)


def duration(milliseconds: float) -> str:
    """`7d`, `1h 30m`, `30s`, `250 ms`: at most two units."""
    if milliseconds < 1000:
        return f"{milliseconds:g} ms"
    seconds, parts = int(milliseconds // 1000), []
    for length, unit in _AGES:
        if seconds >= length:
            parts.append(f"{seconds // length}{unit}")
            seconds %= length
    return " ".join(parts[:2])


def size(count: int) -> str:
    """Bytes with a unit: `64 KiB`."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:g} {unit}" if value == int(value) else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def value_shown(value: object, unit: str) -> str:
    """A setting's value: `7d`, `64 KiB`, `on`, `10,000 characters`."""
    if not isinstance(value, int):
        return str(value)
    if unit == "ms":
        return duration(value)
    if unit == "bytes":
        return size(value)
    if unit == "switch":
        return "on" if value else "off"
    return f"{value:,} characters" if unit == "chars" else f"{value:,}"


def text_lines(text: str) -> list[str]:
    """The text of a message, each line behind a bar."""
    return [BAR + line for line in text.splitlines() or [""]]


def correspondent(session_id: str, session: SessionDoc | PersonDoc | None) -> str:
    """`bob (worker, sess_1)` where the session is known, else the id."""
    if session is None:
        return plain(session_id)
    name = session.get("name")
    return f"{plain(name)} ({session['role']}, {session_id})" if name else f"{session_id} ({session['role']})"


def message_block(
    message: MessageDoc, sender: str, now_ms: int, *, original_receiver: str | None = None, bold: bool = False
) -> str:
    """One message as it is shown: a line that says what it is, its text behind bars, what to do about it.

    `original_receiver`: the label of the session that it was sent to, where it was redirected.
    """
    metadata = message.get("metadata") or {}
    head = [f"{message['id']} from {sender}", f"{moment(message['createdAt'], now_ms)}, "]
    head[1] += age(message["createdAt"], now_ms)
    priority = metadata.get("priority", "medium")
    if priority != "medium":
        head.append(f"{plain(priority)} priority")
    if "type" in metadata:
        head.append(plain(metadata["type"]))
    if "taskId" in metadata:
        head.append(f"task {plain(metadata['taskId'])}")
    if message["status"] == "delivered":
        head.append("shown before")
    first = ", ".join(head)
    lines = [f"\x1b[1m{first}\x1b[0m" if bold else first]
    if "inReplyTo" in metadata:
        lines.append(f"  in reply to {plain(metadata['inReplyTo'])}, thread {plain(metadata.get('threadId', '?'))}")
    if "originalTo" in message:
        lines.append(f"  for {original_receiver or plain(message['originalTo'])}, who had ended")
    lines += text_lines(message["message"])
    if "data" in metadata:
        from . import json_text

        data = json_text.line(metadata["data"], ascii_only=False)
        lines += [f"  data: {line}" for line in data.splitlines()]
    if metadata.get("requiresAck") and message["status"] != "read":
        lines.append(f"  it asks for an acknowledgement: maestro message read {message['id']}")
    return "\n".join(lines)


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
    if "offeredAt" in message and offered != (delivered, message.get("deliveredVia")):
        by = f" by {plain(message['offeredVia'])}" if "offeredVia" in message else ""
        steps.append((message["offeredAt"], f"offered{by}: its id was shown"))
    if "deliveredAt" in message:
        steps.append((message["deliveredAt"], f"delivered by {plain(message.get('deliveredVia', 'unknown'))}"))
    if "readAt" in message:
        steps.append((message["readAt"], "read: the receiver acknowledged it"))
    lines = [f"  {moment(at, now_ms)}  {what}" for at, what in sorted(steps, key=lambda step: step[0])]
    if "expiresAt" in message:
        word = "expired" if message["status"] == "expired" else "expires"
        lines.append(f"  {moment(message['expiresAt'], now_ms)}  {word}, unless it was delivered before")
    return lines


def session_lines(session: SessionDoc, now_ms: int) -> list[str]:
    """A session, one field a line."""
    rows: list[tuple[str, object]] = [("id", session["id"])]
    rows += [(label, session[key]) for label, key in _SESSION_FIELDS if key in session]  # type: ignore[literal-required]
    rows.append(("started", f"{moment(session['startedAt'], now_ms)}, {age(session['startedAt'], now_ms)}"))
    rows.append(("last seen", age(session["lastActivity"], now_ms)))
    if "completedAt" in session:
        rows.append(("ended", f"{moment(session['completedAt'], now_ms)}, {age(session['completedAt'], now_ms)}"))
    if session.get("taskIds"):
        rows.append(("tasks", ", ".join(session["taskIds"])))
    if session.get("needsInput", {}).get("active"):
        rows.append(("needs input", session["needsInput"].get("message", "yes")))
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
        parts.append(" -> ".join(ends))
    if "session" in event:
        parts.append(event["session"])
    parts += [f"{key}={event[key]}" for key in _EVENT_EXTRAS if key in event]  # type: ignore[literal-required]
    return "  ".join(plain(part) for part in parts)


def table(rows: Mapping[str, Any], *, indent: str = "  ") -> list[str]:
    """Label and value, the values in one column."""
    width = max(map(len, rows), default=0) + 2
    return [f"{indent}{label:<{width}}{plain(value)}" for label, value in rows.items()]


_SESSION_FIELDS = (
    ("name", "name"),
    ("role", "role"),
    ("status", "status"),
    ("project", "projectId"),
    ("parent", "parentSessionId"),
    ("agent", "agent"),
    ("directory", "cwd"),
)
_EVENT_EXTRAS = ("seq", "code", "via", "by", "priority", "type", "taskId", "threadId", "projectId", "status")
