"""Kill points: the writes and syncs of one piece of work, at each of which a broker is killed.

Rule: a first life logs the calls. Each further life begins with a copy of the same data directory, and strace sends
SIGKILL in place of one call. strace counts the calls of each thread separately; a number is used only if no thread
reaches it before the broker serves.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from fault import injection
from maestro_schemas.errors import MaestroError
from support.post_office import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from support.post_office import PostOffice

    # Sends one request; its answer.
    Work = Callable[[PostOffice], dict[str, Any]]

# The calls that change the disk or make it durable. Opening is left out: the start opens more files than any work.
CALLS = (
    "pwrite64",
    "write",
    "fdatasync",
    "fsync",
    "syncfs",
    "link",
    "linkat",
    "rename",
    "symlinkat",
    "unlink",
    "mkdir",
)
_ALSO_ON_SOME_MACHINES = ("renameat", "renameat2", "symlink", "unlinkat", "mkdirat")
_END = "exit_group"


class KillPoint(NamedTuple):
    """The `number`th call of this name in the thread that first reaches this number."""

    call: str
    number: int


class Killed(NamedTuple):
    """What became of one life."""

    # recovery, work (the request had no answer), filing (it had one, and the stop went on), or never.
    place: str
    answer: dict[str, Any] | None


class KillSweep:
    """Kills `work` at its calls. The office's data directory, at rest, is the beginning of each life."""

    def __init__(self, office: PostOffice, work: Work) -> None:
        injection.require_strace()
        self._office = office
        self._work = work
        self._template = f"{office.data}.template"
        shutil.copytree(office.data, self._template, symlinks=True)

    def points(self) -> list[KillPoint]:
        """All, in the order in which the first life reached them; it also shows that the work succeeds."""
        office = self._office
        log = os.path.join(office.root, "points")
        office.launcher = injection.launcher([*CALLS, *_ALSO_ON_SOME_MACHINES, _END], log=log)
        self._begin()
        office.await_ready()
        self._work(office)
        office.stop()
        office.launcher = []
        # strace ends after the broker.
        eventually(lambda: _is_whole(log), "the log of the calls is whole")
        counts: Counter[tuple[str, str]] = Counter()
        reached: set[KillPoint] = set()
        found: list[KillPoint] = []
        serves = False
        for thread, call, rest in injection.logged(log):
            counts[thread, call] += 1
            point = KillPoint(call, counts[thread, call])
            if point not in reached:
                reached.add(point)
                if serves and call != _END:
                    found.append(point)
            serves = serves or ("rename" in call and "/endpoints" in rest)  # the last step of a start
        return found

    def kill_at(self, point: KillPoint) -> Killed:
        """One life, and the start of the next one."""
        office = self._office
        office.launcher = injection.kill_at(point.call, point.number)
        self._begin()
        answer = None
        try:
            office.await_ready()
        except MaestroError:
            place = "recovery"
        else:
            place = "work"
            try:
                answer = self._work(office)
            except MaestroError as error:
                assert error.retryable, error
                ended = office.wait_end()
            else:
                place = "filing"
                office.send_signal(signal.SIGTERM)
                ended = office.wait_end()
            place = place if ended else "never"
            assert ended in (0, -signal.SIGKILL)
        office.launcher = []
        office.start()
        return Killed(place, answer)

    def _begin(self) -> None:
        shutil.rmtree(self._office.data)
        shutil.copytree(self._template, self._office.data, symlinks=True)
        self._office.begin()


def _is_whole(log: str) -> bool:
    """Whether the broker's end is in it."""
    with open(log, encoding="utf-8", errors="replace") as file:
        return f"{_END}(" in file.read()[-500:]
