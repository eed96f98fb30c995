"""Session registry: all sessions, by id and by name.

Rule: an id finds its session whatever the status. A name finds the active session with that name, or else the one
that ended last; a name of several active sessions is an error that lists them. Only hashes of tokens are kept.
"""

from __future__ import annotations

import difflib
import heapq
from typing import TYPE_CHECKING

from msgspec.structs import replace

from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import NAME_CHARS_MAX
from maestro_schemas.names import NO_MARK, OPERATOR, PARENT_ADDRESS, SYSTEM_SENDER, mark_of
from maestro_schemas.sessions import Session, StoredSession
from maestro_schemas.texts.visible_text import is_token

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNKNOWN_MAX = 64
# Sessions that an error names, and sessions that an unknown address is compared with.
_SHOWN_MAX = 10
_COMPARED_MAX = 200
# How much of two names must be the same: one wrong letter of three is near, `search` and `service` are not.
_NEAR = 0.66
_WHO_IS_HERE = "`maestro session list` shows who is here."


class SessionState:
    """A session in memory. `last_activity_ms` is newer than the recorded time in `session`; a crash loses it."""

    __slots__ = ("active", "key", "last_activity_ms", "mark", "salt", "session", "token_hash")

    def __init__(self, stored: StoredSession) -> None:
        self.last_activity_ms = 0
        # What the ids of its messages end with; it never changes.
        self.salt = stored.salt
        self.mark = mark_of(stored.session.id, stored.salt)
        self.take(stored)

    def take(self, stored: StoredSession) -> None:
        """Take over the recorded state."""
        self.session = stored.session
        self.active = stored.session.active
        self.token_hash = stored.token_hash
        self.key = stored.key
        self.last_activity_ms = max(self.last_activity_ms, stored.session.last_activity)

    def stored(self, session: Session) -> StoredSession:
        """What is recorded when the session has changed to `session`: its token, key and mark stay."""
        return StoredSession(session=session, token_hash=self.token_hash, key=self.key, salt=self.salt)

    def public(self) -> Session:
        """The session as every client may see it, with its last activity up to now."""
        return replace(self.session, last_activity=self.last_activity_ms)


class SessionRegistry:
    """All known sessions."""

    def __init__(self) -> None:
        self._by_id: dict[str, SessionState] = {}
        self._by_name: dict[str, dict[str, None]] = {}
        # The session that each mark belongs to, with those of known senders that are no sessions any more.
        self._by_mark: dict[str, str] = {mark_of(name): name for name in (SYSTEM_SENDER, OPERATOR)}
        # Unknown addresses with the suggestion for each. A suggestion takes 0.3 ms among 200 sessions, so a batch of
        # 256 messages to one unknown address would otherwise block the broker for 150 ms.
        self._unknown: dict[str, str] = {}
        self.active_count = 0

    def __iter__(self) -> Iterator[SessionState]:
        return iter(self._by_id.values())

    def get(self, session_id: str) -> SessionState | None:
        """The session with this id."""
        return self._by_id.get(session_id)

    def mark_of(self, session_id: str) -> str:
        """The mark of a session, or of the post office itself."""
        found = self._by_id.get(session_id)
        return found.mark if found is not None else mark_of(session_id)

    def owner_of(self, mark: str) -> str | None:
        """The session whose mark this is."""
        return self._by_mark.get(mark)

    def reserve_mark(self, mark: str, sender: str) -> None:
        """Keep the mark of a sender that is no session any more and whose sent messages are still known."""
        self._by_mark.setdefault(mark, sender)

    def free_salt(self, session_id: str) -> int:
        """The first salt with which a new session's mark is not another's. Almost always 0: marks have 36 bits. A
        session that was made to collide is not refused, so no session can block the id of another."""
        salt = 0
        while True:
            mark = mark_of(session_id, salt)
            if mark != NO_MARK and self._by_mark.get(mark, session_id) == session_id:
                return salt
            salt += 1

    def put(self, stored: StoredSession) -> None:
        """Add or replace a session."""
        self._unknown.clear()
        session = stored.session
        old = self._by_id.get(session.id)
        if old is not None:
            self._unlist(old.session)
            old.take(stored)
        else:
            found = self._by_id[session.id] = SessionState(stored)
            self._by_mark[found.mark] = session.id
        if session.active:
            self.active_count += 1
            if session.name is not None:
                self._by_name.setdefault(session.name, {})[session.id] = None

    def drop(self, session_id: str) -> None:
        """Remove a session, if it is known."""
        self._unknown.clear()
        found = self._by_id.pop(session_id, None)
        if found is not None:
            self._unlist(found.session)
            self._by_mark.pop(found.mark, None)

    def resolve(self, address: str, asking: Session | None, not_found: str) -> SessionState:
        """The session that an id, a name, or `parent` (of the calling session) addresses.

        Raises MaestroError with the code `not_found`, or AMBIGUOUS_NAME with `details.ids`.
        """
        if address == PARENT_ADDRESS:
            parent = asking.parent_session_id if asking is not None else None
            if parent is None or parent not in self._by_id:
                raise MaestroError(
                    not_found, "this session has no parent", "Name the receiver: `maestro session list` shows them."
                )
            return self._by_id[parent]
        state = self._by_id.get(address)
        if state is not None:
            return state
        if len(address) > NAME_CHARS_MAX:
            raise _no_session(not_found, address, f"Check the id: {_WHO_IS_HERE}")  # longer than any id or name
        if address in self._unknown:
            raise _no_session(not_found, address, self._unknown[address])
        named = list(self._by_name.get(address, ()))
        if len(named) == 1:
            return self._by_id[named[0]]
        if named:
            raise MaestroError(
                "AMBIGUOUS_NAME",
                f"{len(named)} active sessions are called {address!r}: {', '.join(named)}",
                "Use one of these ids instead of the name.",
                details={"ids": named},
            )
        # Ended sessions are found by name too, so that a sender learns that the session has ended.
        ended = [found for found in self._by_id.values() if found.session.name == address]
        if ended:
            return max(ended, key=lambda found: found.session.completed_at or 0)
        if len(self._unknown) >= _UNKNOWN_MAX:
            self._unknown.clear()
        hint = self._unknown[address] = self._suggest(address)
        raise _no_session(not_found, address, hint)

    def _suggest(self, address: str) -> str:
        """The sessions with the latest signs of life, and those of them that look like the address."""
        active = (state for state in self._by_id.values() if state.active)
        latest = heapq.nlargest(_COMPARED_MAX, active, key=lambda state: state.last_activity_ms)
        if not latest:
            return f"No session is active here. {_WHO_IS_HERE}"
        shown = list(dict.fromkeys(_shown_address(state.session) for state in latest))
        ids = [state.session.id for state in latest]
        near = difflib.get_close_matches(address, dict.fromkeys([*shown, *ids]), n=3, cutoff=_NEAR)
        guess = f"Did you mean {' or '.join(near)}? " if near else ""
        more = self.active_count - len(shown[:_SHOWN_MAX])
        rest = f", and {more:,} more: `maestro session list`" if more > 0 else ""
        return f"{guess}Here: {', '.join(shown[:_SHOWN_MAX])}{rest}."

    def _unlist(self, session: Session) -> None:
        if not session.active:
            return
        self.active_count -= 1
        if session.name is not None:
            bearers = self._by_name[session.name]
            del bearers[session.id]
            if not bearers:
                del self._by_name[session.name]


def _no_session(code: str, address: str, hint: str) -> MaestroError:
    return MaestroError(code, f"there is no session {address[:80]!r}", hint)


def _shown_address(session: Session) -> str:
    """The name, where it is one word: an error must not repeat a sentence that another session chose."""
    return session.name if session.name is not None and is_token(session.name) else session.id
