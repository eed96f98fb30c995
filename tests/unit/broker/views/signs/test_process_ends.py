"""The ends of real processes: each is noticed once, and no descriptor is left over."""

from __future__ import annotations

import os
import select
import subprocess
from typing import TYPE_CHECKING, Self

import pytest

from maestro_broker.views.signs.process_ends import ProcessEnds
from maestro_runtime.process_identity import pid_start

if TYPE_CHECKING:
    from collections.abc import Iterator

_PATIENCE_S = 20.0


@pytest.fixture
def poller() -> Iterator[select.epoll]:
    made = select.epoll()
    before = len(os.listdir("/proc/self/fd"))
    yield made
    assert len(os.listdir("/proc/self/fd")) == before
    made.close()


class Sleeper:
    """A process, as a pid with its start."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL)
        start = pid_start(self._process.pid)
        assert start is not None
        self.name = (self._process.pid, start)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._process.wait()

    def kill(self) -> None:
        self._process.kill()


def ended(ends: ProcessEnds, poller: select.epoll) -> set[str]:
    [(fd, _)] = poller.poll(_PATIENCE_S)
    return ends.ended(fd)


def test_the_sessions_of_a_process_that_ends(poller: select.epoll) -> None:
    ends = ProcessEnds(poller, 10)
    with Sleeper() as shared, Sleeper() as own:
        assert ends.follow("ann", [shared.name])
        assert ends.follow("bob", [shared.name, own.name])
        assert ends.follow("bob", [shared.name, own.name])
        assert len(ends) == 2
        shared.kill()
        assert ended(ends, poller) == {"ann", "bob"}
        assert len(ends) == 1
        own.kill()
        assert ended(ends, poller) == {"bob"}
        assert (len(ends), poller.poll(0), ends.ended(0)) == (0, [], set())


def test_a_session_that_leaves_its_process(poller: select.epoll) -> None:
    ends = ProcessEnds(poller, 10)
    with Sleeper() as first, Sleeper() as second:
        ends.follow("ann", [first.name])
        ends.follow("bob", [first.name])
        ends.follow("ann", [second.name])
        assert len(ends) == 2
        ends.follow("bob", [])
        assert len(ends) == 1
        first.kill()
        assert poller.poll(0.1) == []
        ends.close()
        assert len(ends) == 0


def test_a_process_that_has_ended_or_whose_pid_is_anothers(poller: select.epoll) -> None:
    ends = ProcessEnds(poller, 10)
    with Sleeper() as process:
        pid, start = process.name
        assert not ends.follow("ann", [(pid, start + "1")])
    assert not ends.follow("ann", [process.name])
    assert (len(ends), ends.unwatched) == (0, set())


def test_more_processes_than_may_be_watched(poller: select.epoll) -> None:
    ends = ProcessEnds(poller, 1)
    with Sleeper() as first, Sleeper() as second:
        assert ends.follow("ann", [first.name])
        assert ends.follow("bob", [second.name])
        assert (ends.unwatched, ends.reason) == ({"bob"}, "1 are watched, and that is the limit")
        first.kill()
        assert ended(ends, poller) == {"ann"}
        assert ends.follow("bob", [second.name])
        assert (len(ends), ends.unwatched) == (1, set())
        ends.close()


def test_a_system_that_has_no_descriptor_left(poller: select.epoll, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_pid: int) -> int:
        raise OSError(24, "Too many open files")

    ends = ProcessEnds(poller, 10)
    with Sleeper() as process:
        monkeypatch.setattr(os, "pidfd_open", refuse)
        assert ends.follow("ann", [process.name])
        assert (ends.unwatched, ends.reason) == ({"ann"}, "Too many open files")
        assert ends.follow("ann", [])
        assert ends.unwatched == set()
