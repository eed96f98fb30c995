"""Retention: when mail's time is over, and what is then to be done and told.

Rule: what is pending expires first, by a record, and its sender hears of it; only what is final is ever removed, and
that needs no record, since no counter counts it. Nothing goes before its last change is older than the retention of
its receiver's project.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from . import acceptance
from .model.records import Expired, SessionForgotten

if TYPE_CHECKING:
    from collections.abc import Iterable

    from maestro_schemas.messages import Message

    from .model.session_registry import SessionState
    from .model.state import State

# In one turn of the loop, all mailboxes together, so that nobody's send waits long for it: about 5 ms.
EXPIRIES_AT_ONCE = 256
# So many are named in what their sender is told; of the rest it hears the number.
_NAMED = 20
_ID_CHARS_MAX = 64


def keeps_ms(state: State, session: str) -> int:
    """How long the mail of this receiver is kept after its last change."""
    found = state.sessions.get(session)
    default_ms = state.limits.retention_ms
    return default_ms if found is None else state.retention_by_project.get(found.session.project_id, default_ms)


def longest_ms(state: State) -> int:
    """The longest retention of any project: so long the timeline is kept."""
    return max([state.limits.retention_ms, *state.retention_by_project.values()])


def changed_ms(message: Message) -> int:
    """When a message last changed, by its own times; the end of its life counts, once it has come."""
    ended_ms = message.expires_at if message.status == "expired" else None
    times_ms = (message.created_at, message.offered_at, message.delivered_at, message.read_at, ended_ms)
    return max(time_ms for time_ms in times_ms if time_ms is not None)


def is_over(message: Message, now_ms: int) -> bool:
    """Whether it is pending past the life that its sender gave it: nobody is to see it any more."""
    return message.status == "pending" and message.expires_at is not None and message.expires_at <= now_ms


def shown(message: Message, now_ms: int) -> Message:
    """The message as it is to be seen now: expired in the moment when it is, though no record says so yet."""
    return replace(message, status="expired") if is_over(message, now_ms) else message


def due(state: State, session: str, now_ms: int, most: int) -> list[Message]:
    """Up to `most` messages of this (loaded) mailbox whose life is over; sets when to look next."""
    mailbox = state.mailboxes.get(session)
    if mailbox is None:  # forgotten since
        return []
    over = mailbox.expired(now_ms)
    if len(over) > most:
        state.deadlines.set(session, now_ms)
    elif mailbox.next_expiry_ms is not None:
        state.deadlines.set(session, mailbox.next_expiry_ms)
    return over[:most]


def overdue(state: State, session: str, message_id: str, now_ms: int) -> Message | None:
    """A (supplied) message that is pending and older than the retention; None where it is not so, or no more."""
    mailbox = state.mailboxes.get(session)
    entry = mailbox.get(message_id) if mailbox is not None else None
    if entry is None or entry.message.status != "pending":
        return None
    return entry.message if changed_ms(entry.message) + keeps_ms(state, session) <= now_ms else None


def expire(state: State, messages: Iterable[Message], now_ms: int) -> None:
    """These pending messages become expired, and each sender hears of its own in one mail.

    The mail's record comes first: a crash may tear a batch, and then the same messages expire again and find the mail
    there. Named by the last of them, for with newcomers behind the same ones it must be another mail.
    """
    by_sender: dict[str, list[Message]] = {}
    # Each once: its own life and the retention may end in the same turn, and a round of the sweep may find what the
    # last one found. A second record would be counted off the mailbox once more.
    for message in {(message.receiver, message.id): message for message in messages}.values():
        by_sender.setdefault(message.sender, []).append(message)
    for sender, theirs in by_sender.items():
        found = state.sessions.get(sender)
        # The post office's own notices end here: it is no session, so that nobody is told of a notice's end.
        if found is not None and found.session.active:
            acceptance.notify(state, sender, f"expired_{theirs[-1].id}"[:_ID_CHARS_MAX], _told(theirs), now_ms)
        for message in theirs:
            offered = message.offered_at is not None
            record = Expired(message.id, message.receiver, sender, message.seq, now_ms, offered)
            state.absorb(record, replace(message, status="expired"))


def ended_long_ago(state: State, found: SessionState, now_ms: int) -> bool:
    """Whether an ended session's last sign of life is older than its retention. (An old one may still read.)"""
    last_ms = max(found.session.completed_at or 0, found.last_activity_ms)
    return last_ms + keeps_ms(state, found.session.id) <= now_ms


def forget(state: State, session: str, now_ms: int) -> bool:
    """A session that ended longer ago than the retention goes, where nothing is left of its mail; whether it went.

    That its folders are empty, and that nothing of it waits in the outbox, is the caller's to know.
    """
    found = state.sessions.get(session)
    mailbox = state.mailboxes.get(session)
    if found is None or found.session.active or not ended_long_ago(state, found, now_ms):
        return False
    if mailbox is not None and (mailbox.pending or mailbox.held or mailbox.unfiled or mailbox.being_read):
        return False
    state.absorb(SessionForgotten(now_ms, session, found.session.project_id), None)
    return True


def _told(messages: list[Message]) -> str:
    one = len(messages) == 1
    what, it = ("A message", "it") if one else (f"{len(messages):,} messages", "them")
    lines = [f"{what} of yours expired before anybody confirmed {it}, and will not be shown any more:"]
    lines += [f"  {message.id} to {message.receiver}" for message in messages[:_NAMED]]
    if len(messages) > _NAMED:
        lines.append(f"  and {len(messages) - _NAMED:,} more: `maestro message dead` lists them")
    again = messages[0].id if one else "ID"
    lines.append(f"To send {'it' if one else 'one of them'} again: maestro message retry {again}")
    return "\n".join(lines)
