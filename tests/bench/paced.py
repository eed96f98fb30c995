"""Paced sends: a client that sends when it is time to, whatever has become of what it sent before.

Rule: open loop. A send's time counts from when it was due, not from when the client got round to it, so that a broker
that stands still is charged for every send that was to come meanwhile.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import select
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.references import RECORD_BYTES
from maestro_clients.channel.core import ChannelCore, body_of
from maestro_clients.client import Client
from maestro_clients.mailbox.watcher import Watcher
from maestro_clients.protocol import commands
from maestro_clients.protocol.callers import Caller
from maestro_clients.protocol.codec import decode, encoder
from maestro_clients.protocol.new_ids import new_message_id
from maestro_clients.transports.addresses import unix_path
from maestro_clients.transports.unix import open_at

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from multiprocessing.synchronize import Event

    from maestro_clients.protocol.codec import Frames
    from maestro_clients.transports.unix import UnixTransport

TEXT = "x" * 512
_WAIT_S = 60.0
_PR_SET_TIMERSLACK = 29


class Pace(NamedTuple):
    """`messages` sends of `session` at `rate_per_s`, to each of `receivers` in turn."""

    router: str
    session: str
    receivers: tuple[str, ...]
    rate_per_s: float
    messages: int


class Timed(NamedTuple):
    """One send: when it was due, when its `accepted` was in hand, and when the client had written it, all by the
    machine's steady clock (s)."""

    id: str
    due_s: float
    accepted_s: float
    written_s: float

    @property
    def ms(self) -> float:
        """How long the sender waited, from when the send was due."""
        return (self.accepted_s - self.due_s) * 1000


class Watch(NamedTuple):
    """A watcher of `session` that takes `messages` messages."""

    data: str
    environ: Mapping[str, str]
    session: str
    messages: int


class Syncs(NamedTuple):
    """`records` records that are written to a file in `directory` at `rate_per_s`, each with its own fdatasync."""

    directory: str
    rate_per_s: float
    records: int


def send_paced(pace: Pace, ready: Callable[[], None] = lambda: None) -> list[Timed]:
    """Send, once `ready` returned; the times in the order of the answers. Raises AssertionError where one send was
    refused, or not answered within a minute."""
    _wake_in_time()
    path = unix_path(pace.router)
    transport = open_at(path) if path is not None else None
    assert transport is not None, f"no broker listens at {pace.router}"
    requests, encode, speaker = ChannelCore(decode), encoder(), Caller(pace.session).as_body()
    waiting: dict[bytes, tuple[float, float]] = {}
    done: list[Timed] = []
    try:
        _greet(transport, requests, encode)
        ready()
        began_s = time.monotonic()
        sent, readable = 0, False
        while True:
            now_s = time.monotonic()
            due: list[tuple[bytes, float]] = []
            frames: list[Frames] = []
            while sent < pace.messages and (due_s := began_s + sent / pace.rate_per_s) <= now_s:
                item = {"id": new_message_id(), "to": pace.receivers[sent % len(pace.receivers)], "message": TEXT}
                body = encode({"as": speaker, "messages": (item,)})
                request_id, request = requests.request("send", body, now_s, _WAIT_S)
                due.append((request_id, due_s))
                frames.append(request)
                sent += 1
            if due:
                # By one call, so that a client that woke up late catches up instead of falling behind further.
                transport.send_all(frames)
                now_s = time.monotonic()
                waiting |= {request_id: (due_s, now_s) for request_id, due_s in due}
            if readable:
                requests.receive(transport.receive(0.0), time.monotonic())
            while requests.ended:
                request_id, outcome = requests.ended.popitem()
                answer = body_of(outcome)
                [result] = answer["results"]
                assert result["status"] == 201, f"a send was refused: {answer}"
                due_s, written_s = waiting.pop(request_id)
                done.append(Timed(result["id"], due_s, time.monotonic(), written_s))
            if len(done) == pace.messages:
                return done
            next_s = began_s + sent / pace.rate_per_s if sent < pace.messages else now_s + _WAIT_S
            more = [transport.socket] if transport.holds_back else []
            ready_now = select.select([transport.socket], more, [], max(0.0, next_s - time.monotonic()))
            readable = any(ready_now)
            assert readable or sent < pace.messages, f"{len(waiting)} sends were not answered"
    finally:
        transport.close()


def _greet(transport: UnixTransport, requests: ChannelCore, encode: Callable[[Mapping[str, Any]], bytes]) -> None:
    """The wire is open once a first request was answered."""
    command, body, *_ = commands.hello()
    _, frames = requests.request(command, encode(body), time.monotonic(), _WAIT_S)
    transport.send(frames)
    give_up_s = time.monotonic() + _WAIT_S
    while not requests.ended:
        requests.receive(transport.receive(1.0), time.monotonic())
        assert time.monotonic() < give_up_s, "the broker does not answer"
    requests.ended.clear()


def sync_paced(job: Syncs, ready: Callable[[], None]) -> list[float]:
    """What the disk alone takes meanwhile, in ms from when each was due: no more than a send can be charged with."""
    _wake_in_time()
    path = os.path.join(job.directory, "disk.probe")
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    times: list[float] = []
    try:
        os.write(fd, bytes(job.records * RECORD_BYTES))
        os.fsync(fd)
        ready()
        began_s = time.monotonic()
        for number in range(job.records):
            due_s = began_s + number / job.rate_per_s
            time.sleep(max(0.0, due_s - time.monotonic()))
            os.pwrite(fd, b"x" * RECORD_BYTES, number * RECORD_BYTES)
            os.fdatasync(fd)
            times.append((time.monotonic() - due_s) * 1000)
    finally:
        os.close(fd)
        os.unlink(path)
    return times


def _wake_in_time() -> None:
    """Else the kernel may wake us 50 us late, which would count as the broker's."""
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)


def send_at_once(pace: Pace, ready: Callable[[], None]) -> tuple[float, float]:
    """As many as there can be, 16 in flight, without a pace; when it began and ended (s)."""
    outgoing: Any = (
        {
            "id": new_message_id(),
            "to": pace.receivers[number % len(pace.receivers)],
            "message": TEXT,
        }
        for number in range(pace.messages)
    )
    with Client(pace.router, Caller(pace.session), timeout_s=_WAIT_S) as client:
        client.hello()
        ready()
        began_s = time.monotonic()
        accepted = sum(result["status"] == 201 for result in client.pipeline(outgoing, in_flight=16))
        assert accepted == pace.messages, f"{accepted} of {pace.messages} were accepted"
        return began_s, time.monotonic()


def watch(job: Watch, ready: Callable[[], None]) -> dict[str, float]:
    """When each message's body was in hand (s), by id."""
    got: dict[str, float] = {}
    with Watcher(job.data, job.environ, Caller(job.session)) as watcher:
        watcher.next_message(0.1)  # it has looked once, and waits for notices from now on
        ready()
        while len(got) < job.messages:
            message = watcher.next_message(_WAIT_S / 4)
            if message is None:
                break
            got[message["id"]] = time.monotonic()
    return got


class Crew:
    """Processes that work at the same time: each of `jobs` is given to `work` in a process of its own, which calls
    what it gets as its second argument once it is ready, and goes on when all are and `begin` was called.

    `stopping` is set by `stop`, for work that has no end of its own: then it is the third argument.
    """

    def __init__(self, work: Callable[..., Any], jobs: Sequence[Any], *, endless: bool = False) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._barrier = spawn.Barrier(len(jobs) + 1)
        self._stopping: Event = spawn.Event()
        self._pipes = [spawn.Pipe(duplex=False) for _ in jobs]
        extra = (self._stopping,) if endless else ()
        self._processes = [
            spawn.Process(
                target=_work,
                args=(work, job, self._barrier, pipe[1], *extra),
                daemon=True,
            )
            for job, pipe in zip(jobs, self._pipes, strict=True)
        ]
        for process in self._processes:
            process.start()
        for _, sending in self._pipes:
            sending.close()  # so that a process that dies is an end of file, and not a wait

    def begin(self) -> None:
        """Once all are ready."""
        self._barrier.wait(_WAIT_S)

    def stop(self) -> list[Any]:
        """Tell endless work to end; the results."""
        self._stopping.set()
        return self.results()

    def results(self) -> list[Any]:
        """What each returned, in the order of the jobs. Raises EOFError where one failed; its error was printed."""
        found = [receiving.recv() for receiving, _ in self._pipes]
        for process in self._processes:
            process.join()
        return found


def _work(work: Callable[..., Any], job: Any, barrier: Any, sending: Any, *extra: Any) -> None:
    gc.disable()  # else what was measured so far is searched for cycles again and again, and the broker is charged
    sending.send(work(job, lambda: barrier.wait(_WAIT_S), *extra))
