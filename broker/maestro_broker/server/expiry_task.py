"""Expiry task: expires mail, forgets sessions and deletes groups when their time is over.

Rule: a turn does a bounded amount of work, and writes a record only if the log has space for it, from the reserve if
need be. The sweeper finds candidates; only this task, in the main thread, decides.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar

from maestro_broker.commit.disk_admission import RECORD_BYTES
from maestro_broker.core import retention
from maestro_broker.core.groups import group_retention
from maestro_broker.core.model.reads import Read
from maestro_runtime import paths
from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import DELIVERY_BYTES_MAX, GROUP_MEMBERS_CEILING
from maestro_schemas.replies import PruneReply

from . import message_loader

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Iterator

    from maestro_broker.commit.disk_admission import DiskAdmission
    from maestro_broker.core.model.state import State
    from maestro_broker.views.spool import Spool
    from maestro_broker.views.sweeper import Sweeper
    from maestro_schemas.messages import Message
    from maestro_schemas.requests import Prune

    from .mailbox_loader import MailboxLoader

    # Returns a delivery (by its receiver and id) if its time is over.
    Ends = Callable[[str, str, int], Message | None]

T = TypeVar("T")

# Each is a file to read: about 2 ms together.
_OVERDUE_AT_ONCE = 32
_SESSIONS_AT_ONCE = 32
_GROUPS_AT_ONCE = 8
_MAILBOXES_AT_ONCE = 64
# A notification of a sender, which lists up to twenty ids.
_NOTIFICATION_BYTES = 2_560
_WAIT_MS = 1_000
_SOON_MS = 20


class ExpiryTask:
    """Work that finds no disk space, or whose mailbox is not loaded, waits for a later turn."""

    def __init__(
        self,
        data: str,
        *,
        state: State,
        policy: retention.RetentionPolicy,
        spool: Spool,
        loader: MailboxLoader,
        sweeper: Sweeper,
        disk: DiskAdmission,
    ) -> None:
        self._outbox = paths.outbox_dir(data)
        self._state = state
        self._policy = policy
        self._spool = spool
        self._sweeper = sweeper
        self._loader = loader
        self._disk = disk
        self._next_ms = 0

    @property
    def next_ms(self) -> int:
        """When the next turn is due."""
        expiry_ms = self._state.deadlines.next_ms()
        return self._next_ms if expiry_ms is None else min(self._next_ms, expiry_ms)

    def turn(self, now_ms: int) -> None:
        """Do a part of everything that waits."""
        state, sweeper = self._state, self._sweeper
        has_findings = any((sweeper.gone, sweeper.overdue, sweeper.idle, sweeper.groups))
        self._next_ms = now_ms + (_SOON_MS if has_findings else _WAIT_MS)
        for session, message_id in _taken(sweeper.gone, len(sweeper.gone)):
            mailbox = state.mailboxes.get(session)
            if mailbox is not None:
                mailbox.drop(message_id)
        overdue = self._overdue(now_ms)
        retention.expire(state, self._over(now_ms, len(overdue)) + overdue, now_ms)
        sweeper.count("expired", len(overdue))
        for session in _taken(sweeper.idle, _SESSIONS_AT_ONCE):
            needed = RECORD_BYTES + group_retention.record_bytes(state, session)
            if not self._disk.reserve(needed):
                sweeper.idle.append(session)
            elif not self._waits_in_outbox(session) and retention.forget(state, self._policy, session, now_ms):
                sweeper.count("sessions")
        for name in _taken(sweeper.groups, _GROUPS_AT_ONCE):
            if not self._disk.reserve(RECORD_BYTES + DELIVERY_BYTES_MAX * GROUP_MEMBERS_CEILING):
                sweeper.groups.append(name)
            elif retention.forget_group(state, self._policy, name, now_ms):
                sweeper.count("groups")

    def prune(self, request: Prune) -> PruneReply:
        """Raises MaestroError INVALID, BUSY."""
        number = request.round
        if number is None:
            if request.older_than_ms is not None and request.older_than_ms < 0:
                raise MaestroError("INVALID", "olderThanMs is 0 or more", "Leave it out for the retention.")
            number = self._sweeper.ask(dry_run=request.dry_run, older_than_ms=request.older_than_ms)
            if number is None:
                raise MaestroError(
                    "BUSY", "another prune is going on", "Wait until it is done: `maestro status`.", retry_after_s=1.0
                )
        report = self._sweeper.report(number)
        if report is None:
            raise MaestroError(
                "INVALID", f"round {number} of the sweep is over, and another has begun", "Start one without `round`."
            )
        return report

    def _over(self, now_ms: int, taken: int) -> list[Message]:
        """Mail that has outlived the time to live that its sender gave it."""
        state = self._state
        found: list[Message] = []
        for session in state.deadlines.due(now_ms, _MAILBOXES_AT_ONCE):
            left = retention.EXPIRIES_AT_ONCE - len(found) - taken
            if left <= 0:
                state.deadlines.set(session, now_ms)
                continue
            mailbox = state.mailboxes.get(session)
            if (
                mailbox is not None
                and mailbox.pending  # without pending mail nothing can expire, whatever its folder holds
                and not mailbox.loaded
                and not self._loader.is_loaded(state, Read("pending", session, ""), now_ms)
            ):
                continue  # its deadline is set again once it is loaded
            over = self._with_others(retention.due(state, session, now_ms, left), self._is_over, now_ms, left)
            if over and not self._has_space(over):
                state.deadlines.set(session, now_ms + _WAIT_MS)
                continue
            found += over
        return found

    def _with_others(self, due: list[Message], ends: Ends, now_ms: int, most: int) -> list[Message]:
        """These deliveries, and the others of the same messages that end now, so that a sender gets one notification
        of a message that went to several sessions. It begins with no further message above `most`."""
        state = self._state
        found: dict[tuple[str, str], Message] = {}
        for message in due:
            if len(found) >= most:
                state.deadlines.set(message.receiver, now_ms)
                break
            if (message.receiver, message.id) in found:
                continue
            found[message.receiver, message.id] = message
            if message.audience is not None and message.audience.size > 1:
                found |= {(other.receiver, other.id): other for other in self._others(message, ends, now_ms)}
        return list(found.values())

    def _others(self, message: Message, ends: Ends, now_ms: int) -> Iterator[Message]:
        state = self._state
        filed = None if state.is_unfiled(message.id) else self._spool.sent(message.sender, message.id)
        sent = state.sent(message.id, filed)
        for receiver in sent.file.receivers if sent is not None else ():
            mailbox = state.mailboxes.get(receiver)
            if mailbox is None:  # its session was forgotten
                continue
            if not mailbox.knows(message.id):
                message_loader.load(state, self._spool, Read("file", receiver, message.id))
            other = ends(receiver, message.id, now_ms)
            if other is not None:
                yield other

    def _is_over(self, session: str, message_id: str, now_ms: int) -> Message | None:
        entry = self._state.mailbox(session).get(message_id)
        return entry.message if entry is not None and retention.is_over(entry.message, now_ms) else None

    def _is_overdue(self, session: str, message_id: str, now_ms: int) -> Message | None:
        return retention.overdue(self._state, self._policy, session, message_id, now_ms)

    def _overdue(self, now_ms: int) -> list[Message]:
        """Pending mail that is older than its retention."""
        state = self._state
        found: list[Message] = []
        waiting = self._sweeper.overdue
        if not waiting or not self._disk.reserve(_NOTIFICATION_BYTES * _OVERDUE_AT_ONCE):
            return found
        # With a retention of seconds, rounds follow each other faster than this task and find the same mail again.
        for session, message_id in dict.fromkeys(_taken(waiting, _OVERDUE_AT_ONCE)):
            message_loader.load(state, self._spool, Read("file", session, message_id))
            message = self._is_overdue(session, message_id, now_ms)
            if message is None:
                continue
            ending = self._with_others([message], self._is_overdue, now_ms, 1)
            # Above the bound the others come by themselves, with a notification of their own.
            is_small = len(found) + len(ending) <= retention.EXPIRIES_AT_ONCE
            found += ending if is_small and self._has_space(ending) else [message]
        return found

    def _has_space(self, over: list[Message]) -> bool:
        senders = len({message.sender for message in over})
        return self._disk.reserve(RECORD_BYTES * len(over) + _NOTIFICATION_BYTES * senders)

    def _waits_in_outbox(self, session: str) -> bool:
        try:
            return bool(os.listdir(os.path.join(self._outbox, session)))
        except FileNotFoundError:
            return False


def _taken(waiting: deque[T], most: int) -> list[T]:
    """Up to `most` items, the oldest first."""
    return [waiting.popleft() for _ in range(min(most, len(waiting)))]
