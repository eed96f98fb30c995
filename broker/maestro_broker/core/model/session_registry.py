"""Session registry: all sessions, by id and by name.

Rule: an active session has its id and its name for itself, and an address means the active session that has it. Only
an address that no active session has finds an ended one: that with this id, or else the one with this name that ended
last. No look-up takes longer among more sessions. Only hashes of tokens are kept. One session is built in: the
operator, who is always active, is in no list, and is never recorded.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from itertools import islice
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import NAME_CHARS_MAX
from maestro_schemas.names import (
    NO_MARK,
    NO_PROJECT,
    OPERATOR,
    PARENT_ADDRESS,
    SYSTEM_SENDER,
    likeness,
    mark_of,
    plain_name,
)
from maestro_schemas.sessions import Session, StoredSession
from maestro_schemas.texts.near_words import guess
from maestro_schemas.texts.visible_text import is_token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from maestro_broker.core.validation import RateWindow

_UNKNOWN_MAX = 64
# Former names that are kept, in memory alone: a restart forgets them.
_FORMER_MAX = 1_024
# Sessions that an error names, and sessions that an unknown address is compared with: among 200 that takes 0.3 ms.
_SHOWN_MAX = 10
_SUGGESTED_FROM_MAX = 200
_WHO_IS_HERE = "`maestro session list` shows who is here."
_encode = msgspec.msgpack.Encoder().encode
# The person who owns this post office. An orchestrator, so that every session may write to it, and of no project.
_OPERATOR = Session(
    id=OPERATOR, role="orchestrator", project_id=NO_PROJECT, status="idle", started_at=0, last_activity=0
)


class SessionState:
    """A session in memory. `last_activity_ms` is newer than the recorded time in `session`; a crash loses it."""

    __slots__ = (
        "_reply_bytes",
        "active",
        "changes",
        "key",
        "last_activity_ms",
        "mark",
        "salt",
        "session",
        "starts",
        "token_hash",
    )

    def __init__(self, stored: StoredSession) -> None:
        self.last_activity_ms = 0
        # The changes of this session, and the starts that it requested, in the last minute.
        self.changes: RateWindow | None = None
        self.starts: RateWindow | None = None
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
        self._reply_bytes = 0

    def stored(self, session: Session) -> StoredSession:
        """What is recorded when the session has changed to `session`: its token, key and mark stay."""
        return StoredSession(session=session, token_hash=self.token_hash, key=self.key, salt=self.salt)

    def public(self) -> Session:
        """The session as every client may see it, with its last activity up to now."""
        return replace(self.session, last_activity=self.last_activity_ms)

    @property
    def reply_bytes(self) -> int:
        """The session's bytes in a reply, within a few."""
        if not self._reply_bytes:
            self._reply_bytes = len(_encode(self.session))
        return self._reply_bytes


class SessionRegistry:
    """All known sessions."""

    def __init__(self) -> None:
        self.operator = SessionState(StoredSession(session=_OPERATOR))
        self._by_id: dict[str, SessionState] = {OPERATOR: self.operator}
        # The session with an id. The dict's own method, because each request asks twice.
        self.get: Callable[[str], SessionState | None] = self._by_id.get
        # Active sessions by their exact name.
        self._by_name: dict[str, dict[str, None]] = {}
        # Active sessions by what their id and their name look like.
        self._alike: dict[str, dict[str, None]] = {}
        # Ended sessions by name: when each ended, and its id, in that order.
        self._ended: dict[str, list[tuple[int, str]]] = {}
        # When each session was started, and its id, in that order: all sessions (None), the active, and the ended.
        self._orders: dict[bool | None, list[tuple[int, str]]] = {None: [], True: [], False: []}
        # The active ones in the same order, by what an audience names them by: see `_kinds`.
        self._among: dict[tuple[str, str], list[tuple[int, str]]] = {}
        # The session that each mark belongs to, with those of known senders that are no sessions any more.
        self._by_mark: dict[str, str] = {mark_of(name): name for name in (SYSTEM_SENDER, OPERATOR)}
        # Unknown addresses with the suggestion for each. A suggestion takes 0.3 ms among 200 sessions, so a batch of
        # 256 messages to one unknown address would otherwise block the broker for 150 ms.
        self._unknown: dict[str, str] = {}
        # Names that active sessions had before they were renamed, and whose each was.
        self._former: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        # Sessions that were put or dropped since `take_changed`.
        self._changed: set[str] = set()
        # The starts of the last minute that a key requested without naming a session, by the key's name.
        self.starts_by_key: dict[str, RateWindow] = {}

    def __iter__(self) -> Iterator[SessionState]:
        """All sessions but the operator."""
        return (found for found in self._by_id.values() if found is not self.operator)

    @property
    def active_count(self) -> int:
        """The number of active sessions."""
        return len(self._orders[True])

    @property
    def counts(self) -> Mapping[str, int]:
        """How many sessions have each status."""
        return self._counts

    def by_id(self, session_id: str) -> SessionState:
        """The session with this id, which is known."""
        return self._by_id[session_id]

    def mark_of(self, session_id: str) -> str:
        """The mark of a session, or of the post office itself."""
        found = self._by_id.get(session_id)
        return found.mark if found is not None else mark_of(session_id)

    def name_of(self, session_id: str) -> str | None:
        """The name of a session; None where it has none or is not known."""
        found = self._by_id.get(session_id)
        return found.session.name if found is not None else None

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
        session = stored.session
        self._changed.add(session.id)
        found = self._by_id.get(session.id)
        if found is not None:
            self._unlist(found.session)
            self._keep_former(found.session, session)
            found.take(stored)
        else:
            found = self._by_id[session.id] = SessionState(stored)
            self._by_mark[found.mark] = session.id
        self._list(session)

    def drop(self, session_id: str) -> None:
        """Remove a session, if it is known."""
        found = self._by_id.pop(session_id, None)
        if found is not None:
            self._changed.add(session_id)
            self._unlist(found.session)
            self._by_mark.pop(found.mark, None)

    def take_changed(self) -> set[str]:
        """The sessions that were put or dropped since the last call."""
        if not self._changed:
            return self._changed
        changed, self._changed = self._changed, set()
        return changed

    def holders(self, text: str, but: str) -> list[SessionState]:
        """The active sessions, other than `but`, that have this id, or this name or one that looks like it."""
        alike = likeness(text)
        others = (self._by_id[session_id] for session_id in self._alike.get(alike, ()) if session_id != but)
        # Ids that differ in case alone are different ids; names that look alike are one name.
        return [
            other
            for other in others
            if other.session.id == text or (other.session.name is not None and likeness(other.session.name) == alike)
        ]

    def among(self, kind: str, value: str) -> Iterator[SessionState]:
        """The active sessions of this `project`, `role` or `parent`, in the order of their start."""
        return (self._by_id[session_id] for _, session_id in self._among.get((kind, value), ()))

    def page(self, after: tuple[int, str] | None, *, active: bool | None) -> Iterator[SessionState]:
        """The sessions in the order of their start, from the one after `after` on. False as `active` leaves the
        active ones out, True the ended ones."""
        order = self._orders[active]
        begin = bisect_right(order, after) if after is not None else 0
        return (self._by_id[session_id] for _, session_id in islice(order, begin, None))

    def resolve(self, address: str, asking: Session | None, not_found: str) -> SessionState:
        """The session that an id, a name, or `parent` (of the calling session) addresses.

        Raises MaestroError with the code `not_found`, or AMBIGUOUS_NAME with `details.ids`.
        """
        if address == PARENT_ADDRESS:
            parent = asking.parent_session_id if asking is not None else None
            if parent is None or parent not in self._by_id:
                raise MaestroError(
                    not_found,
                    "this session has no parent",
                    "Name the receiver: `maestro session list` shows them, and `operator` is the person.",
                )
            return self._by_id[parent]
        by_id = self._by_id.get(address)
        if by_id is not None and by_id.active:
            return by_id
        if len(address) > NAME_CHARS_MAX:
            raise _no_session(not_found, address, f"Check the id: {_WHO_IS_HERE}")  # longer than any id or name
        name = plain_name(address)
        named = self._by_name.get(name, ())
        if len(named) == 1:
            return self._by_id[next(iter(named))]
        if named:
            # Data of an earlier version may have two.
            raise MaestroError(
                "AMBIGUOUS_NAME",
                f"{len(named)} active sessions are called {address!r}: {', '.join(named)}",
                "Use one of these ids instead of the name.",
                details={"ids": list(named)},
            )
        if by_id is not None:
            return by_id
        renamed = self._by_id.get(self._former.get(name, ""))
        if renamed is not None and renamed.active:
            raise _no_session(not_found, address, f"It is called {_shown_address(renamed.session)} now: use that.")
        # Ended sessions are found by name too, so that a sender learns that the session has ended.
        ended = self._ended.get(name)
        if ended:
            return self._by_id[ended[-1][1]]
        if address not in self._unknown:
            if len(self._unknown) >= _UNKNOWN_MAX:
                self._unknown.clear()
            self._unknown[address] = self._suggest(address)
        raise _no_session(not_found, address, self._unknown[address])

    def _keep_former(self, before: Session, session: Session) -> None:
        """Remember the name that an active session gives up."""
        name = before.name
        if name is None or name == session.name or not (before.active and session.active):
            return
        self._former.pop(name, None)
        if len(self._former) >= _FORMER_MAX:
            del self._former[next(iter(self._former))]
        self._former[name] = session.id

    def _suggest(self, address: str) -> str:
        """The sessions that were started last, and those of them that look like the address."""
        newest = [
            self._by_id[session_id].session
            for _, session_id in islice(reversed(self._orders[True]), _SUGGESTED_FROM_MAX)
        ]
        if not newest:
            return f"No session is active here. {_WHO_IS_HERE}"
        shown = list(dict.fromkeys(map(_shown_address, newest)))
        known = dict.fromkeys([*shown, *(session.id for session in newest)])
        near = guess(address, known, most=3)
        more = self.active_count - len(shown[:_SHOWN_MAX])
        rest = f", and {more:,} more: `maestro session list`" if more > 0 else ""
        return f"{near}Here: {', '.join(shown[:_SHOWN_MAX])}{rest}."

    def _list(self, session: Session) -> None:
        self._unknown.clear()
        self._counts[session.status] = self._counts.get(session.status, 0) + 1
        started = (session.started_at, session.id)
        for order in (None, session.active):
            insort(self._orders[order], started)
        name = session.name
        if session.active:
            if name is not None:
                self._by_name.setdefault(name, {})[session.id] = None
                self._former.pop(name, None)
            for alike in _likenesses(session):
                self._alike.setdefault(alike, {})[session.id] = None
            for kind in _kinds(session):
                insort(self._among.setdefault(kind, []), started)
        elif name is not None:
            insort(self._ended.setdefault(name, []), (session.completed_at or 0, session.id))

    def _unlist(self, session: Session) -> None:
        self._unknown.clear()
        self._counts[session.status] -= 1
        if not self._counts[session.status]:
            del self._counts[session.status]
        started = (session.started_at, session.id)
        for order in (None, session.active):
            _take_out(self._orders[order], started)
        name = session.name
        if session.active:
            if name is not None:
                _forget(self._by_name, name, session.id)
            for alike in _likenesses(session):
                _forget(self._alike, alike, session.id)
            for kind in _kinds(session):
                _take_out(self._among[kind], started)
                if not self._among[kind]:
                    del self._among[kind]
        elif name is not None:
            ended = self._ended[name]
            _take_out(ended, (session.completed_at or 0, session.id))
            if not ended:
                del self._ended[name]


def _likenesses(session: Session) -> set[str]:
    return {likeness(text) for text in (session.id, session.name) if text is not None}


def _kinds(session: Session) -> tuple[tuple[str, str], ...]:
    kinds = ("project", session.project_id), ("role", session.role)
    return kinds if session.parent_session_id is None else (*kinds, ("parent", session.parent_session_id))


def _take_out(order: list[tuple[int, str]], item: tuple[int, str]) -> None:
    del order[bisect_left(order, item)]


def _forget(index: dict[str, dict[str, None]], key: str, session_id: str) -> None:
    bearers = index[key]
    del bearers[session_id]
    if not bearers:
        del index[key]


def _no_session(code: str, address: str, hint: str) -> MaestroError:
    return MaestroError(code, f"there is no session {address[:80]!r}", hint)


def _shown_address(session: Session) -> str:
    """The name, where it is one word: an error must not repeat a sentence that another session chose."""
    return session.name if session.name is not None and is_token(session.name) else session.id
