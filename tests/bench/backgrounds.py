"""Backgrounds: the broker's other work while the latency of sends is measured.

Rule: each begins before its first measured send, ends after the last, and says what it really did meanwhile, with a
figure that is 0 where it did nothing. Work that needs Python time runs in a process of its own.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import zmq

from bench.filling import until_filed
from bench.paced import TEXT, Crew
from bench.processes import calls_that_read
from bench.sweep import MAILBOXES, old_message
from maestro_clients.client import Client
from maestro_clients.processes import broker_process
from maestro_clients.protocol.callers import Caller
from maestro_clients.protocol.new_ids import new_message_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.synchronize import Event

    from bench.run import Bench

# More notices than libzmq keeps for one subscriber (10,000), what the socket holds, and what a reader has at its end.
_FLOOD = 6_000
_BATCH = 200
_READ_MESSAGES = 1_000
_READ_TEXT = "x" * 256
_READ_MAILBOXES = 3
# A checkpoint is due after 30,000 records (spool_writer.py): every three seconds here. A refusal is a record too, and
# costs the spool writer a line of the timeline. The mail is the data that the checkpoint must sync.
_WRITES_PER_S = 1_500
_REFUSALS_PER_S = 9_000
_ROUND_S = 0.05


class Background(Protocol):
    """One at a time: `begin` returns once it is under way; `end` when it is over, with what it did: a number that
    must not be 0, and the words for it."""

    def begin(self) -> None: ...
    def end(self) -> tuple[float, str]: ...


class _Task(NamedTuple):
    router: str
    receivers: tuple[str, ...]


class SlowSubscriber:
    """Subscribes to everything and never reads; it is as far behind as libzmq lets it be before the first send."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        with bench.client() as operator:
            operator.start_session("flood_a", role="orchestrator")
            operator.start_session("flood_b")

    def begin(self) -> None:
        """Subscribe, and flood it with notices of mail that is deleted at once."""
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.setsockopt(zmq.RCVHWM, 1)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.connect(self._bench.endpoints.notices)
        self._socket.subscribe(b"")
        self._before = self._lsn()
        with self._bench.client("flood_a") as sender, self._bench.client("flood_b") as receiver:
            while not sender.stats()["watchers"]:
                time.sleep(0.01)
            for _ in range(0, _FLOOD, _BATCH):
                results = sender.send_many(
                    [{"id": new_message_id(), "to": "flood_b", "message": "x"} for _ in range(_BATCH)]
                )
                receiver.delete([result["id"] for result in results])

    def end(self) -> tuple[float, str]:
        """What it can still get, now that it reads, shows what was dropped."""
        records = self._lsn() - self._before
        got = 0
        while self._socket.poll(200):
            self._socket.recv_multipart()
            got += 1
        self._socket.close()
        self._context.term()
        lost = max(0, 2 * records - got)
        return float(lost), f"{got:,} of about {2 * records:,} notices reached it, the rest were dropped"

    def _lsn(self) -> int:
        with self._bench.client() as operator:
            lsn: int = operator.hello()["headLsn"]
            return lsn


class Sweeping:
    """Rounds of the sweep, one after the other, through everything that the post office holds and, in the first of
    them, `old` messages past their retention."""

    def __init__(self, bench: Bench, old: int) -> None:
        self._bench = bench
        with bench.client() as operator:
            operator.start_session("sweep_a", role="orchestrator")
            for number in range(MAILBOXES):
                operator.start_session(f"old_{number}")
        for number in range(old):
            old_message(bench.data, f"old_{number % MAILBOXES}", number)

    def begin(self) -> None:
        """The first round."""
        self._crew = Crew(_sweep, [_Task(self._bench.endpoints.router, ())], endless=True)
        self._crew.begin()

    def end(self) -> tuple[float, str]:
        """Files looked at."""
        rounds, looked_at, removed = self._crew.stop()[0]
        return float(looked_at), f"{rounds} rounds begun, {looked_at:,} files looked at, {removed:,} messages removed"


def _sweep(task: _Task, ready: Callable[[], None], stopping: Event) -> tuple[int, int, int]:
    rounds = looked_at = removed = 0
    with Client(task.router) as operator:
        operator.hello()
        ready()
        while not stopping.is_set():
            report = operator.prune()
            rounds += 1
            while not report["done"]:  # also when it is to stop: the next one can't begin beside it
                time.sleep(0.05)
                report = operator.prune(number=report["round"])
            looked_at += report["lookedAt"]
            removed += report["swept"].get("messages", 0)
    return rounds, looked_at, removed


class InboxReads:
    """Mailboxes of 1,000 messages, each read by itself again and again, and from the files each time: the broker is
    given room for one of them in memory, and there are three."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._names = tuple(f"read_{number}" for number in range(_READ_MAILBOXES))
        bench.stop()
        bench.environ["MAESTRO_LOADED_MESSAGES_MAX"] = str(_READ_MESSAGES)
        bench.endpoints = broker_process.ensure(bench.data, bench.environ, autostart=True)
        with bench.client() as operator:
            operator.start_session("writer", role="orchestrator")
            for name in self._names:
                operator.start_session(name)
        with bench.client("writer") as writer:
            for name in self._names:
                for _ in range(0, _READ_MESSAGES, _BATCH):
                    writer.send_many(
                        [{"id": new_message_id(), "to": name, "message": _READ_TEXT} for _ in range(_BATCH)]
                    )
        until_filed(bench)

    def begin(self) -> None:
        """The first reading."""
        self._before = calls_that_read(self._bench.endpoints.pid)
        self._crew = Crew(_read, [_Task(self._bench.endpoints.router, self._names)], endless=True)
        self._crew.begin()

    def end(self) -> tuple[float, str]:
        """Whole readings from files."""
        readings, messages = self._crew.stop()[0]
        # A file is read with two calls, and a send needs some as well.
        calls = calls_that_read(self._bench.endpoints.pid) - self._before
        from_files = float(readings) if calls >= messages else 0.0
        return (
            from_files,
            f"{readings} readings of {_READ_MESSAGES:,} messages, {calls:,} calls of read by the broker",
        )


def _read(task: _Task, ready: Callable[[], None], stopping: Event) -> tuple[int, int]:
    readings = messages = 0
    with Client(task.router) as operator:
        operator.hello()
        ready()
        while not stopping.is_set():
            name = task.receivers[readings % len(task.receivers)]
            page = operator.inbox(session=name, since=0, limit=_READ_MESSAGES)
            messages += page["count"]
            while page["hasMore"]:
                page = operator.inbox(session=name, since=page["upTo"], limit=_READ_MESSAGES)
                messages += page["count"]
            readings += 1
    assert messages == readings * _READ_MESSAGES
    return readings, messages


class Checkpoints:
    """Enough records that a checkpoint is due every few seconds, each with thousands of new files.
    `times_s`: when each was seen to be over (within 20 ms; the steady clock)."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.times_s: list[float] = []
        with bench.client() as operator:
            operator.start_session("writer", role="orchestrator")
            self._names = tuple(f"written_{number}" for number in range(64))
            for name in self._names:
                operator.start_session(name)

    def begin(self) -> None:
        """The first batch."""
        self._before = self._lsn()
        heads = os.path.join(self._bench.data, "heads")
        task = _Task(self._bench.endpoints.router, self._names)
        self._crews = [Crew(_write, [task], endless=True), Crew(_look, [heads], endless=True)]
        for crew in self._crews:
            crew.begin()

    def end(self) -> tuple[float, str]:
        """Checkpoints made."""
        written = self._crews[0].stop()[0]
        seen = self._crews[1].stop()[0]
        self.times_s += seen
        made = len(seen) if self._lsn() > self._before else 0  # by its own account
        until_filed(self._bench)
        return float(made), f"{made} checkpoints, {written:,} messages of another sender"

    def _lsn(self) -> int:
        with self._bench.client() as operator:
            lsn: int = operator.stats()["checkpointLsn"]
            return lsn


def _write(task: _Task, ready: Callable[[], None], stopping: Event) -> int:
    """Mail, and sends that are refused; how many were accepted."""
    written = rounds = 0
    mail, refusals = int(_WRITES_PER_S * _ROUND_S), int(_REFUSALS_PER_S * _ROUND_S)
    with Client(task.router, Caller("writer"), timeout_s=60.0) as client:
        client.hello()
        ready()
        began_s = time.monotonic()
        while not stopping.wait(max(0.0, began_s + rounds * _ROUND_S - time.monotonic())):
            to = [task.receivers[(rounds * mail + one) % len(task.receivers)] for one in range(mail)]
            to += ["absent"] * refusals
            for begin in range(0, len(to), _BATCH):
                batch: Any = [
                    {"id": new_message_id(), "to": one, "message": TEXT} for one in to[begin : begin + _BATCH]
                ]
                written += sum(result["status"] == 201 for result in client.send_many(batch))
            rounds += 1
    return written


def _look(heads: str, ready: Callable[[], None], stopping: Event) -> list[float]:
    """A checkpoint's last step replaces this file."""
    seen: list[float] = []
    ready()
    last = _identity(heads)
    while not stopping.wait(0.02):
        now = _identity(heads)
        if now != last:
            seen.append(time.monotonic())
            last = now
    return seen


def _identity(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return 0, 0
    return status.st_ino, status.st_mtime_ns
