"""Retention view: what the sweeper's thread reads of the main loop's state.

Rule: read only. No lock is needed, because every answer is one dictionary lookup or one copy of a dictionary's
values, during which CPython runs no other thread, and because the main loop replaces records and never changes them.
An answer may be outdated a moment later, which is harmless: the main loop decides again before it expires a message
or forgets a session, and a file is removed only if its own content says that it is old.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maestro_broker.core import retention

if TYPE_CHECKING:
    from maestro_broker.core.model.state import State
    from maestro_broker.core.retention import Retention, RetentionPolicy
    from maestro_schemas.sessions import Session


class RetentionView:
    """The retention of each session's mail, and the sessions, as they are now."""

    def __init__(self, state: State, policy: RetentionPolicy) -> None:
        self._state = state
        self._policy = policy

    def of_session(self, session: str) -> Retention:
        """How long mail to this session is kept after its last change."""
        return self._policy.of_session(self._state, session)

    def longest_ms(self) -> int:
        """The longest retention of any project."""
        return self._policy.longest_ms

    def shortest_ms(self) -> int:
        """The shortest retention of any project."""
        return self._policy.shortest_ms

    def sessions(self) -> list[Session]:
        """All sessions that are known now."""
        return [found.session for found in list(self._state.sessions)]

    def has_session(self, session: str) -> bool:
        """Whether the session is known."""
        return self._state.sessions.get(session) is not None

    def ended_long_ago(self, session: str, now_ms: int) -> bool:
        """Whether the session has ended, and its last activity is older than its retention."""
        found = self._state.sessions.get(session)
        if found is None or found.active:
            return False
        return retention.ended_long_ago(self._state, self._policy, found, now_ms)

    def groups_without_members(self, now_ms: int) -> list[str]:
        """The groups that have had no active member for their retention."""
        known = list(self._state.groups.values())
        return [group.name for group in known if retention.group_is_over(self._state, self._policy, group, now_ms)]

    def is_unfiled(self, receiver: str, message_id: str) -> bool:
        """Whether a record of this message still waits to be written to the spool."""
        mailbox = self._state.mailboxes.get(receiver)
        return mailbox is not None and mailbox.is_unfiled(message_id)
