"""Process ends: when a process of a session has ended, as the kernel reports it (pidfd_open(2)).

Rule: one descriptor for each process, and never more than a number that was given. A process without one is looked
for when a client asks, as all are where the system has no pidfd.
"""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING

from maestro_runtime.process_identity import is_alive

if TYPE_CHECKING:
    from collections.abc import Iterable

    # A pid, and the start that tells it from a later process.
    Process = tuple[int, str]


class ProcessEnds:
    """The processes of sessions; `poller` becomes ready when one has ended."""

    def __init__(self, poller: select.epoll, count_max: int) -> None:
        self.count_max = count_max
        # Sessions with a process that has no descriptor, and why the last one has none.
        self.unwatched: set[str] = set()
        self.reason = ""
        self._poller = poller
        self._fds: dict[Process, int] = {}
        self._processes: dict[int, Process] = {}
        self._sessions: dict[Process, set[str]] = {}
        self._of_session: dict[str, tuple[Process, ...]] = {}

    def __len__(self) -> int:
        return len(self._fds)

    def follow(self, session: str, processes: Iterable[Process]) -> bool:
        """Wait for the end of these processes of a session, in place of those before. False where one has ended
        already, so that its session must be looked at again."""
        wanted = tuple(processes)
        before = self._of_session.get(session, ())
        if wanted == before and session not in self.unwatched:
            return True
        self.unwatched.discard(session)
        found = {process: self._open(process) for process in wanted if process not in self._fds}
        watched = tuple(process for process in wanted if process in self._fds)
        for process in watched:
            self._sessions[process].add(session)
        for process in set(before).difference(watched):
            self._leave(process, session)
        self._of_session.pop(session, None)
        if watched:
            self._of_session[session] = watched
        if None in found.values():
            self.unwatched.add(session)
        return False not in found.values()

    def ended(self, fd: int) -> set[str]:
        """The sessions of the process that has ended, to which this descriptor belongs. It is closed."""
        process = self._processes.get(fd)
        return self._close(process) if process is not None else set()

    def close(self) -> None:
        """Wait for none any more."""
        for process in tuple(self._fds):
            self._close(process)

    def _open(self, process: Process) -> bool | None:
        """Whether the process runs, and has a descriptor now; None where it can have none."""
        if len(self._fds) >= self.count_max:
            self.reason = f"{self.count_max:,} are watched, and that is the limit"
            return None
        try:
            fd = os.pidfd_open(process[0])
        except ProcessLookupError:
            return False
        except OSError as error:
            self.reason = error.strerror or str(error)
            return None
        # The descriptor is of the process that has this pid now.
        if not is_alive(*process):
            os.close(fd)
            return False
        self._poller.register(fd, select.EPOLLIN)
        self._fds[process] = fd
        self._processes[fd] = process
        self._sessions[process] = set()
        return True

    def _leave(self, process: Process, session: str) -> None:
        self._sessions[process].discard(session)
        if not self._sessions[process]:
            self._close(process)

    def _close(self, process: Process) -> set[str]:
        fd = self._fds.pop(process)
        del self._processes[fd]
        # Before the descriptor is closed: a child that was forked would keep it in the poller.
        self._poller.unregister(fd)
        os.close(fd)
        sessions = self._sessions.pop(process)
        for session in sessions:
            left = tuple(one for one in self._of_session.pop(session) if one != process)
            if left:
                self._of_session[session] = left
        return sessions
