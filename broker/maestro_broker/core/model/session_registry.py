"""Sessions: who is here, by id and by name.

Rule: ids are found whatever the status; names among the active first, where one that several bear is an error that
lists them, and else the one that ended last. Holds token hashes, never tokens.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from msgspec.structs import replace

from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import NAME_CHARS_MAX
from maestro_schemas.names import PARENT_ADDRESS
from maestro_schemas.sessions import Session, StoredSession

if TYPE_CHECKING:
    from collections.abc import Iterator

_STRANGERS_MAX = 64
_WHO_IS_HERE = "`maestro session list` shows who is here."


class SessionState:
    """A session in memory. `last_activity_ms` is soft; `session` carries it as it was when last recorded."""

    __slots__ = ("active", "key", "last_activity_ms", "session", "token_hash")

    def __init__(self, stored: StoredSession) -> None:
        self.last_activity_ms = 0
        self.take(stored)

    def take(self, stored: StoredSession) -> None:
        """As it was recorded now."""
        self.session = stored.session
        self.active = stored.session.active
        self.token_hash = stored.token_hash
        self.key = stored.key
        self.last_activity_ms = max(self.last_activity_ms, stored.session.last_activity)

    def public(self) -> Session:
        """The session as everybody may see it, with the activity of this moment."""
        return replace(self.session, last_activity=self.last_activity_ms)


class SessionRegistry:
    """All sessions known."""

    def __init__(self) -> None:
        self._by_id: dict[str, SessionState] = {}
        self._by_name: dict[str, dict[str, None]] = {}
        # Addresses that nobody has, with what was suggested: it takes 0.3 ms to find among 200 sessions, and a batch
        # of 256 messages to one of them would else hold up everybody for 150 ms.
        self._strangers: dict[str, str] = {}
        self.active_count = 0

    def __iter__(self) -> Iterator[SessionState]:
        return iter(self._by_id.values())

    def get(self, session_id: str) -> SessionState | None:
        """By id."""
        return self._by_id.get(session_id)

    def put(self, stored: StoredSession) -> None:
        """Take in a new or changed session."""
        self._strangers.clear()
        session = stored.session
        old = self._by_id.get(session.id)
        if old is not None:
            self._unlist(old.session)
            old.take(stored)
        else:
            self._by_id[session.id] = SessionState(stored)
        if session.active:
            self.active_count += 1
            if session.name is not None:
                self._by_name.setdefault(session.name, {})[session.id] = None

    def drop(self, session_id: str) -> None:
        """Forget a session, if it is there."""
        self._strangers.clear()
        found = self._by_id.pop(session_id, None)
        if found is not None:
            self._unlist(found.session)

    def resolve(self, address: str, asking: Session | None, not_found: str) -> SessionState:
        """An id, a name (of the one active session that bears it, else of the last that did), or `parent` of the
        asking session.

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
            raise _stranger(
                not_found, address, f"Check the id: {_WHO_IS_HERE}"
            )  # neither an id nor a name is so long
        if address in self._strangers:
            raise _stranger(not_found, address, self._strangers[address])
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
        # An ended one is found by its name too, so that a sender hears that it has ended, and not that it never was.
        ended = [found for found in self._by_id.values() if found.session.name == address]
        if ended:
            return max(ended, key=lambda found: found.session.completed_at or 0)
        if len(self._strangers) >= _STRANGERS_MAX:
            self._strangers.clear()
        hint = self._strangers[address] = self._suggest(address)
        raise _stranger(not_found, address, hint)

    def _suggest(self, address: str) -> str:
        active = [state.session.id for state in self._by_id.values() if state.session.active]
        near = difflib.get_close_matches(address, [*self._by_name, *active[-200:]], n=3)
        return f"Did you mean {' or '.join(near)}? {_WHO_IS_HERE}" if near else f"Check the id: {_WHO_IS_HERE}"

    def _unlist(self, session: Session) -> None:
        if not session.active:
            return
        self.active_count -= 1
        if session.name is not None:
            bearers = self._by_name[session.name]
            del bearers[session.id]
            if not bearers:
                del self._by_name[session.name]


def _stranger(code: str, address: str, hint: str) -> MaestroError:
    return MaestroError(code, f"there is no session {address[:80]!r}", hint)
