"""Wake task: passes what happens to the policy of waking, and makes the files that it asks for.

Rule: nothing is asked for in turns. A commit, a report of the presence watch, an outcome of the waker or a time that
the policy named leads to a look at one session, whose sign is read at that moment. Where the kernel does not report
changes of signs, no agent is woken, since none is known to be idle. A defect in here ends the waking of agents, and
never the broker: mail is accepted and shown as before.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

from maestro_broker.core import presence
from maestro_broker.core.context import RequestContext
from maestro_broker.core.model.reads import Read
from maestro_broker.core.waking.wake_table import WakeTable
from maestro_broker.files import disk
from maestro_broker.waking.waker import WAYS
from maestro_schemas.sessions import WakeState
from maestro_schemas.texts.waking import HOOKED, not_installed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from collections.abc import Set as AbstractSet

    from maestro_broker.core.model.session_registry import SessionState
    from maestro_broker.core.model.signs import Signs
    from maestro_broker.core.model.state import Change, State
    from maestro_broker.files.wake_files import WakeFiles
    from maestro_broker.server.mailbox_loader import MailboxLoader
    from maestro_broker.views.signs.session_signs import SessionSigns
    from maestro_broker.waking.waker import Waker

_log = logging.getLogger(__name__)

_DEFECT = "an unexpected error has ended the waking of agents; the next start of the broker begins it again"
# Sessions that are looked at in one turn of the loop; each may take 0.1 ms.
_AT_ONCE_MAX = 64
# When a file is tried again that could not be made: on a full disk, and for another reason.
_FULL_AGAIN_MS = 1_000
_AGAIN_MS = 60_000


class WakeTask:
    """The wakes of all sessions of a data directory."""

    def __init__(
        self,
        *,
        files: WakeFiles,
        state: State,
        signs: SessionSigns,
        topics: AbstractSet[str],
        loader: MailboxLoader,
        waker: Waker,
        unseen: Callable[[], str | None],
    ) -> None:
        """`unseen`: why changes of signs are not noticed, or None."""
        self._state = state
        self._signs = signs
        self._topics = topics
        self._loader = loader
        self._waker = waker
        self._unseen = unseen
        self._files = files
        self._table = WakeTable(state.limits)
        # Sessions whose mail from before is looked for, once it is in memory.
        self._unknown: dict[str, None] = {}
        self._has_failed = False

    def __bool__(self) -> bool:
        """Whether a session can be woken, so that what is committed matters."""
        return len(self._table) > 0 and not self._has_failed

    @property
    def fd(self) -> int | None:
        """Readable when a wake was carried out, or could not be."""
        return self._waker.fd

    @property
    def next_ms(self) -> int | None:
        """When the next turn is due."""
        if self._has_failed:
            return None
        if self._unknown:
            return 0
        next_ms = self._table.next_ms
        return None if next_ms is None or self._unseen() is not None else next_ms

    def committed(self, changes: Iterable[Change]) -> None:
        """These changes are durable."""
        with self._contained():
            self._table.committed(changes)

    def changed(self, session: str) -> None:
        """Something of this session, or of its signs, has changed."""
        with self._contained():
            found = self._state.sessions.get(session)
            by = None if found is None else _waker_of(found)
            if by is None:
                if self._table.drop(session):
                    self._unknown.pop(session, None)
                    self._waker.forget(session)
                    self._remove(session)
            elif self._table.put(session, by) and self._state.mailbox(session).unoffered:
                self._unknown[session] = None

    def collect(self) -> None:
        """Take what became of wakes that the waker carries out."""
        with self._contained():
            for outcome in self._waker.outcomes():
                if outcome.result == "failed":
                    self._table.failed(outcome.session, outcome.reason or "", is_lasting=outcome.is_lasting)
                self._table.look(outcome.session)

    def turn(self, now_ms: int) -> None:
        """Look at the sessions that are due."""
        with self._contained():
            for session in list(self._unknown):
                self._find(session, now_ms)
            if self._unseen() is not None:
                return
            for session in self._table.due(now_ms, _AT_ONCE_MAX):
                found = self._state.sessions.get(session)
                if found is not None:
                    self._look(found, now_ms)

    def state(self, found: SessionState, now_ms: int) -> WakeState | None:
        """What senders and people see of a session's wakes."""
        unseen = _DEFECT if self._has_failed else self._unseen()
        by, agent = found.session.wake_by, found.session.agent
        if unseen is not None:
            return WakeState("off", by, reason=unseen)
        if agent is not None and by is None and agent in HOOKED:
            return WakeState("off", reason=not_installed(agent))
        known = None
        with self._contained():  # it is asked for at each send
            known = self._table.state(found.session.id, now_ms)
        return WakeState("off", by, reason=_DEFECT) if self._has_failed else known

    def stats(self) -> dict[str, Any]:
        """For `maestro status`."""
        return {**self._table.stats(), "waker": self._waker.stats()}

    @contextlib.contextmanager
    def _contained(self) -> Iterator[None]:
        """End the waking of agents, and nothing else, at an error that is not expected."""
        try:
            yield
        except Exception:  # noqa: BLE001 - logged, and shown for each session
            self._has_failed = True
            _log.exception("waking met an unexpected error")

    def _look(self, found: SessionState, now_ms: int) -> None:
        session = found.session.id
        context = RequestContext(now_ms, self._topics, signs=self._signs_now)
        sign = presence.sign(context, found)
        step = self._table.step(session, sign, now_ms, watched=context.is_watched(session))
        if step.action == "make":
            self._make(session, step.content, now_ms)
        elif step.action == "touch":
            self._table.touched(session, now_ms, was_there=self._files.touch(session))
        elif step.action == "withdraw":
            self._table.withdrawn(session, was_there=self._remove(session))
        elif step.action == "remove":
            self._remove(session)

    def _signs_now(self, found: SessionState, _now_ms: int) -> Signs:
        return self._signs.read(found).signs

    def _make(self, session: str, content: str, now_ms: int) -> None:
        try:
            self._files.make(session, content)
        except OSError as error:
            reason = f"its wake file could not be made: {error.strerror or error}"
            again_ms = _FULL_AGAIN_MS if error.errno in disk.FULL else _AGAIN_MS
            self._table.failed(session, reason, again_ms=now_ms + again_ms)
            return
        by = self._table.made(session, now_ms)
        if by in WAYS:
            self._waker.wake(session, by)

    def _remove(self, session: str) -> bool:
        try:
            return self._files.remove(session)
        except OSError:  # such as on a file system that is read-only now
            return False

    def _find(self, session: str, now_ms: int) -> None:
        """Pass on what waits in a mailbox, once it is in memory."""
        mailbox = self._state.mailbox(session)
        if mailbox.loaded or self._loader.is_loaded(self._state, Read("pending", session, ""), now_ms):
            del self._unknown[session]
            self._table.found(session, mailbox.unoffered_messages())


def _waker_of(found: SessionState) -> str | None:
    session = found.session
    return session.wake_by if found.active and session.wake == "idle" and found.key is None else None
