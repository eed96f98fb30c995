"""Presence watch: notices of what is known of a session, at once when it changes.

Rule: nothing is asked for in turns. The kernel reports a written state file and an ended process, the registry a
changed session, the sockets a subscription; only the session that is named there is looked at. A state is compared
with the last one, so a notice is a change. Where the kernel reports nothing (another system than Linux, no inotify
left), states are read when a client asks, and `failure` says it.
"""

from __future__ import annotations

import os
import resource
import select
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from maestro_broker.core import presence
from maestro_broker.core.context import RequestContext
from maestro_broker.transport import notices
from maestro_runtime import places
from maestro_schemas.events import TOPIC_SEPARATOR, Event
from maestro_schemas.limits import WATCHED_PROCESSES_MAX
from maestro_schemas.texts.waking import PROMPT_EVENTS

from .folder_changes import FolderChanges
from .process_ends import ProcessEnds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from collections.abc import Set as AbstractSet

    from maestro_broker.core.model.session_registry import SessionState
    from maestro_broker.core.model.signs import Signs
    from maestro_broker.core.model.state import State
    from maestro_broker.transport.listener import Listener
    from maestro_runtime.hook_state import HookState
    from maestro_schemas.sessions import Presence

    from .session_signs import SessionSigns

# This share of the descriptors is for processes.
_SHARE = 4
# Sessions that are looked at in one turn of the loop; each may take 0.1 ms.
_AT_ONCE_MAX = 64
# How long the watch waits after a system's refusal before it asks again.
_AGAIN_MS = 60_000


class _Known(NamedTuple):
    """What was said of a session last. Its time is left out: a new sign of the same state is no change."""

    state: str
    by: str | None
    detail: str | None


# What is known of a session that has given no sign.
_NOTHING = _Known("unknown", "broker", None)


class PresenceWatch:
    """The changes of all sessions of a data directory."""

    def __init__(
        self,
        data: str,
        *,
        state: State,
        signs: SessionSigns,
        listeners: Sequence[Listener],
        topics: AbstractSet[str],
        report: Callable[[str], None],
    ) -> None:
        """`report`: gets each session of which something may have changed."""
        self._report = report
        self._folder = os.path.join(data, "hooks", "state")
        self._state = state
        self._signs = signs
        self._listeners = listeners
        self._topics = topics
        self._known: dict[str, _Known] = {}
        # The signs of hooks that these states are.
        self._last: dict[str, HookState] = {}
        # Sessions to look at, in that order.
        self._due: dict[str, None] = {}
        self._poller: select.epoll | None = None
        self._changes: FolderChanges | None = None
        self._ends: ProcessEnds | None = None
        self._reason = ""
        self._again_ms = 0

    @property
    def fd(self) -> int | None:
        """Readable when the kernel has something to report. None where it never has."""
        return None if self._poller is None else self._poller.fileno()

    @property
    def has_due(self) -> bool:
        """Whether sessions wait to be looked at."""
        return bool(self._due)

    @property
    def failure(self) -> str | None:
        """What is not noticed, and why; None where all is."""
        if (unseen := self.unseen) is not None:
            return f"{unseen}; they are read when a client asks"
        if self._ends is not None and self._ends.unwatched:
            count = len(self._ends.unwatched)
            return f"the end of the processes of {count:,} sessions is not noticed: {self._ends.reason}"
        return None

    @property
    def unseen(self) -> str | None:
        """Why changes of agents' states are not noticed; None where they are."""
        if self._changes is not None and self._changes.is_watching:
            return None
        return f"changes of agents' states are not noticed: {self._reason}"

    def stats(self) -> dict[str, Any]:
        """For `maestro status`."""
        ends = self._ends
        return {
            "folder": self._changes is not None and self._changes.is_watching,
            "processes": 0 if ends is None else len(ends),
            "processesMax": 0 if ends is None else ends.count_max,
            "unwatched": 0 if ends is None else len(ends.unwatched),
        }

    def start(self, now_ms: int) -> None:
        """Begin to watch, and note what is known of each active session: that is no change."""
        if hasattr(select, "epoll") and hasattr(os, "pidfd_open"):
            self._poller = select.epoll()
            files_max = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
            self._ends = ProcessEnds(self._poller, min(WATCHED_PROCESSES_MAX, files_max // _SHARE))
            self._watch_folder(now_ms)
        else:
            self._reason = "this system reports neither changed files nor ended processes"
        self._state.sessions.take_changed()
        for found in self._state.sessions.page(None, active=True):
            known = self._look(found, now_ms)
            self._keep(found.session.id, _Known(known.state, known.by, known.detail))
            self._report(found.session.id)

    def collect(self) -> None:
        """Take what the kernel reports."""
        if self._poller is None or self._changes is None or self._ends is None:
            return
        for fd, _ in self._poller.poll(0):
            if fd == self._changes.fd:
                changed = self._changes.take()
                if changed is None:
                    self._due.update(dict.fromkeys(self._active()))
                else:
                    self._due.update((session, None) for session in changed if not self._is_repeated(session))
            else:
                self._due.update(dict.fromkeys(self._ends.ended(fd)))

    def is_due(self) -> bool:
        """Whether sessions must be looked at: their registration, a subscription or a sign has changed."""
        changed = self._state.sessions.take_changed()
        if changed:
            self._due.update(dict.fromkeys(changed))
        for listener in self._listeners:
            for topic in listener.notices.take_changed():
                session, separator, rest = topic.partition(TOPIC_SEPARATOR)
                if separator and not rest:
                    self._due[session] = None
        return bool(self._due)

    def publish(self, now_ms: int, lsn: int) -> None:
        """Send a notice for each session that is due and whose state has changed. `lsn`: the newest one that is
        durable."""
        for session in list(islice(self._due, _AT_ONCE_MAX)):
            del self._due[session]
            self._report(session)
            found = self._state.sessions.get(session)
            if found is None:
                self._follow(session, ())
                self._keep(session, _NOTHING)
                continue
            now = self._look(found, now_ms)
            known = _Known(now.state, now.by, now.detail)
            if known != self._known.get(session, _NOTHING):
                self._keep(session, known)
                if self._topics:
                    notices.publish_event(self._listeners, _event(found, now, now_ms, lsn))

    def look_after(self, now_ms: int) -> None:
        """Watch the folder again if it was removed; ask the system again for what it refused a while ago."""
        if self._poller is None or now_ms < self._again_ms:
            return
        if self._changes is None or not self._changes.is_watching:
            self._watch_folder(now_ms)
            self._due.update(dict.fromkeys(self._active()))
        elif self._ends is not None and self._ends.unwatched:
            self._again_ms = now_ms + _AGAIN_MS
            self._due.update(dict.fromkeys(self._ends.unwatched))

    def close(self) -> None:
        """Watch nothing any more."""
        for part in (self._ends, self._changes, self._poller):
            if part is not None:
                part.close()
        self._ends = self._changes = self._poller = None

    def _watch_folder(self, now_ms: int) -> None:
        assert self._poller is not None  # noqa: S101 - the callers have looked
        try:
            if self._changes is None:
                changes = FolderChanges()
                self._poller.register(changes.fd, select.EPOLLIN)
                self._changes = changes
            places.make_directory(self._folder)
            self._changes.watch(self._folder)
        except OSError as error:
            self._reason = error.strerror or str(error)
            self._again_ms = now_ms + _AGAIN_MS

    def _look(self, found: SessionState, now_ms: int) -> Presence:
        """What is known of a session at this moment; its running processes are watched from now on."""
        session = found.session.id
        if not found.active:
            self._follow(session, ())
            return presence.of(RequestContext(now_ms), found)
        read = self._signs.read(found)
        if not self._follow(session, read.running):
            read = self._signs.read(found)
            self._follow(session, read.running)
        if read.last is not None:
            self._last[session] = read.last

        def signs(_found: SessionState, _now_ms: int) -> Signs:
            return read.signs

        return presence.of(RequestContext(now_ms, self._topics, signs=signs), found)

    def _follow(self, session: str, running: tuple[tuple[int, str], ...]) -> bool:
        return self._ends is None or self._ends.follow(session, running)

    def _keep(self, session: str, known: _Known) -> None:
        if known == _NOTHING:
            self._known.pop(session, None)
            self._last.pop(session, None)
        else:
            self._known[session] = known

    def _is_repeated(self, session: str) -> bool:
        """Whether the hooks have signed again what is known already: after each tool call, `working`. Then nothing
        else is read."""
        known = self._known.get(session)
        if known is None or known.by != "hook":
            return False
        sign = self._signs.sign(session)
        if sign is None or sign.state != "working" or sign.event in PROMPT_EVENTS:
            return False  # the policy of waking counts prompts, and waits for the next sign of an idle agent
        return sign._replace(at_ms=0) == self._last.get(session)

    def _active(self) -> list[str]:
        return [found.session.id for found in self._state.sessions.page(None, active=True)]


def _event(found: SessionState, known: Presence, now_ms: int, lsn: int) -> Event:
    return Event(
        lsn=lsn,
        at=now_ms,
        event="session.presence",
        session=found.session.id,
        project_id=found.session.project_id,
        status=known.state,
        since=known.since,
        by=known.by,
        detail=known.detail,
    )
