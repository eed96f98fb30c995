"""Retention: when mail has reached its end, and what happens then.

Rule: pending mail expires first, by a record, and its sender is notified. Only mail with a final status is removed;
that needs no record, since no counter counts it. Mail is kept until its last change is older than the retention of
its receiver's project, which may be another one for mail that was read. To expire is no change: mail that was pending
until the end is gone when the retention is over, or a little later (`expired_stays_ms`), so that its sender has time
to send it again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from .groups import group_retention
from .model.records import Expired, SessionForgotten
from .sending import acceptance

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from maestro_schemas.groups import Group
    from maestro_schemas.limits import Limits
    from maestro_schemas.messages import Message

    from .model.session_registry import SessionState
    from .model.state import State

# Per turn of the loop, over all mailboxes: about 5 ms, so that no send waits long for it.
EXPIRIES_AT_ONCE = 256
# How many ids the notification of the sender lists; of the others it gives the number.
_LISTED_MAX = 20
_ADDRESSES_SHOWN = 4


# The share of its retention for which mail that has expired stays at least.
_EXPIRED_SHARE = 8


class Retention(NamedTuple):
    """How long the mail of one project is kept after its last change."""

    keeps_ms: int
    # Of mail that was read; 0 is `keeps_ms`.
    after_reading_ms: int = 0

    @property
    def read_ms(self) -> int:
        """The retention of mail that was read."""
        return self.after_reading_ms or self.keeps_ms

    @property
    def expired_stays_ms(self) -> int:
        """How long mail stays at least after it expired."""
        return self.keeps_ms // _EXPIRED_SHARE


class RetentionPolicy(NamedTuple):
    """The retention of each project."""

    default: Retention
    # For projects with a retention of their own.
    by_project: Mapping[str, Retention] = {}

    @classmethod
    def of(cls, limits: Limits, projects: Mapping[str, Mapping[str, int]]) -> RetentionPolicy:
        """The policy of the settings. A project that sets only its `retention` has it for read mail too."""
        default = Retention(limits.retention_ms, limits.read_retention_ms)
        by_project = {}
        for project, own in projects.items():
            inherited_ms = 0 if "retention_ms" in own else default.after_reading_ms
            keeps_ms = own.get("retention_ms", default.keeps_ms)
            by_project[project] = Retention(keeps_ms, own.get("read_retention_ms", inherited_ms))
        return cls(default, by_project)

    def of_session(self, state: State, session: str) -> Retention:
        """The retention of this receiver's mail."""
        found = state.sessions.get(session)
        return self.default if found is None else self.of_project(found.session.project_id)

    def of_project(self, project: str) -> Retention:
        """The retention of a project."""
        return self.by_project.get(project, self.default)

    def keeps_ms(self, state: State, session: str) -> int:
        """How long this receiver's mail is kept that was not read, and links to it."""
        return self.of_session(state, session).keeps_ms

    @property
    def shortest_ms(self) -> int:
        """The shortest retention of any mail: the sweeper's pace."""
        return min(min(each.keeps_ms, each.read_ms) for each in (self.default, *self.by_project.values()))

    @property
    def longest_ms(self) -> int:
        """The longest retention of any mail: the timeline's."""
        return max(max(each.keeps_ms, each.read_ms) for each in (self.default, *self.by_project.values()))


def changed_ms(message: Message) -> int:
    """When a message last changed, by its own times. Its expiry is no change."""
    times_ms = (message.created_at, message.offered_at, message.delivered_at, message.read_at)
    return max(time_ms for time_ms in times_ms if time_ms is not None)


def is_over(message: Message, now_ms: int) -> bool:
    """Whether a pending message has outlived its time to live, so that no reader may see it any more."""
    return message.status == "pending" and message.expires_at is not None and message.expires_at <= now_ms


def shown(message: Message, now_ms: int) -> Message:
    """The message as a reader sees it now: expired as soon as its time is over, even before the record of that."""
    return replace(message, status="expired") if is_over(message, now_ms) else message


def due(state: State, session: str, now_ms: int, most: int) -> list[Message]:
    """Up to `most` messages of this (loaded) mailbox whose time is over; sets the mailbox's next deadline."""
    mailbox = state.mailboxes.get(session)
    if mailbox is None:  # the session was forgotten meanwhile
        return []
    over = mailbox.expired(now_ms)
    if len(over) > most:
        state.deadlines.set(session, now_ms)
    elif mailbox.next_expiry_ms is not None:
        state.deadlines.set(session, mailbox.next_expiry_ms)
    return over[:most]


def overdue(state: State, policy: RetentionPolicy, session: str, message_id: str, now_ms: int) -> Message | None:
    """A (loaded) message if it is pending and older than its retention, else None."""
    mailbox = state.mailboxes.get(session)
    entry = mailbox.get(message_id) if mailbox is not None else None
    if entry is None or entry.message.status != "pending":
        return None
    return entry.message if changed_ms(entry.message) + policy.keeps_ms(state, session) <= now_ms else None


def expire(state: State, messages: Iterable[Message], now_ms: int) -> None:
    """Expire these pending messages, and notify each sender of its own in one message.

    The notification's record comes first: a crash may tear a batch, and then the same messages expire again and find
    the notification already there. Its id is made from the last message's, since with further messages behind the
    same ones it must be another notification.
    """
    by_sender: dict[str, list[Message]] = {}
    # Take each message once: its time to live and its retention may end in the same turn, and a round of the sweep
    # may find the messages of the last round. A second record would lower the mailbox's counters once more.
    for message in {(message.receiver, message.id): message for message in messages}.values():
        by_sender.setdefault(message.sender, []).append(message)
    for sender, theirs in by_sender.items():
        found = state.sessions.get(sender)
        # The post office's own messages end here: it is no session, so no notification follows.
        if found is not None and found.session.active:
            # With the mark of the receiver: the deliveries of one message have one id, and expire separately.
            key = f"expired_{theirs[-1].id}_{state.sessions.mark_of(theirs[-1].receiver)}"
            acceptance.notify(state, sender, key, _notification(theirs), now_ms)
        for message in theirs:
            offered = message.offered_at is not None
            record = Expired(message.id, message.receiver, sender, message.seq, now_ms, offered)
            state.apply(record, replace(message, status="expired"))


def ended_long_ago(state: State, policy: RetentionPolicy, found: SessionState, now_ms: int) -> bool:
    """Whether an ended session's last sign of life is older than its retention. (An ended session may still read.)"""
    last_ms = max(found.session.completed_at or 0, found.last_activity_ms)
    return last_ms + policy.keeps_ms(state, found.session.id) <= now_ms


def forget(state: State, policy: RetentionPolicy, session: str, now_ms: int) -> bool:
    """Forget a session that ended longer ago than its retention and has no mail left; whether it was forgotten.

    The caller checks that its folders are empty and that no entry of it waits in the outbox.
    """
    found = state.sessions.get(session)
    mailbox = state.mailboxes.get(session)
    if found is None or found.session.active or not ended_long_ago(state, policy, found, now_ms):
        return False
    if mailbox is not None and (mailbox.pending or mailbox.held or mailbox.unfiled or mailbox.being_read):
        return False
    group_retention.take_out(state, session, now_ms)
    state.apply(SessionForgotten(now_ms, session, found.session.project_id), None)
    return True


def group_is_over(state: State, policy: RetentionPolicy, group: Group, now_ms: int) -> bool:
    """Whether a group has had no active member for the retention of its project."""
    return group_retention.is_over(state, group, policy.of_project(group.project_id).keeps_ms, now_ms)


def forget_group(state: State, policy: RetentionPolicy, name: str, now_ms: int) -> bool:
    """Delete a group without active members whose time is over; whether it was deleted."""
    group = state.groups.get(name)
    if group is None or not group_is_over(state, policy, group, now_ms):
        return False
    group_retention.delete(state, group, now_ms)
    return True


def _notification(messages: list[Message]) -> str:
    """The text for a sender; the deliveries of one message are one line."""
    by_id: dict[str, list[Message]] = {}
    for message in messages:
        by_id.setdefault(message.id, []).append(message)
    one = len(by_id) == 1
    what, it = ("A message", "it") if one else (f"{len(by_id):,} messages", "them")
    lines = [f"{what} of yours expired before the receiver confirmed {it}, and will not be shown any more:"]
    audience = messages[0].audience
    if one and audience is not None:
        those = f"{len(messages)} of its {audience.size} receivers"
        lines = [f"A message of yours expired before {those} confirmed it, and will not be shown to them any more:"]
    lines += [
        f"  {message_id} to {_receivers(deliveries)}" for message_id, deliveries in list(by_id.items())[:_LISTED_MAX]
    ]
    if len(by_id) > _LISTED_MAX:
        lines.append(f"  and {len(by_id) - _LISTED_MAX:,} more: `maestro message dead` lists them")
    again = messages[0].id if one else "ID"
    lines.append(f"To send {'it' if one else 'one of them'} again: maestro message retry {again}")
    return "\n".join(lines)


def _receivers(deliveries: list[Message]) -> str:
    audience = deliveries[0].audience
    names = ", ".join(each.receiver for each in deliveries[:_LISTED_MAX])
    if audience is None:
        return names
    more = f" and {len(deliveries) - _LISTED_MAX} more" if len(deliveries) > _LISTED_MAX else ""
    return f"{', '.join(audience.to[:_ADDRESSES_SHOWN])} ({len(deliveries)} of {audience.size}): {names}{more}"
