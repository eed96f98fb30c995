"""Part `scale`: what a message costs as sessions, watchers, stored mail and texts grow; and what memory each takes.

Rule: one send at a time, so that a batch is one message however large the post office is, and the broker's CPU is
counted by the kernel until the last message is filed. Every point is measured in turns with a small post office
beside it, and its cost is given as a multiple of that: what else the machine does hits both. A curve is flat where
that multiple does not grow; its slope is that of the best line through log(size) and log(multiple), 0 for flat and 1
for a cost that grows as the size does.
"""

from __future__ import annotations

import math
import os
import resource
import select
import time
from typing import TYPE_CHECKING, NamedTuple

import zmq

from bench.findings import Plot, Table
from bench.million import fill, until_filed
from bench.paced import Crew
from bench.processes import Cpu, cpu_us, resident_bytes
from bench.references import percentile
from maestro_clients.client import Client
from maestro_clients.processes import broker_process
from maestro_clients.protocol.callers import Caller
from maestro_schemas.events import TOPIC_SEPARATOR

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.synchronize import Event

    from bench.findings import Cell
    from bench.run import Bench
    from maestro_clients.processes.broker_process import Endpoints

PART = "scale"
CROWDS = (1, 10, 100, 1_000)
STORED = (1, 1_000, 10_000, 100_000, 1_000_000)
TEXT_CHARS = (10, 100, 1_000, 10_000)
_TEXT = "x" * 512
_TURNS = 4
_SENDS = 800
_FULL_SECONDS = 60.0
_MAILBOXES = 100
# Of the small data directory: enough that no mailbox is full at the end.
_ONES = 10
_IDLE_SESSIONS = 5_000
_CONNECTIONS = 1_000
_PENDING = 50_000
_FILLED_AT_ONCE = 2_500
_WAIT_S = 60.0
_ACCEPTED = f"{TOPIC_SEPARATOR}message.accepted".encode()
_ALL_IN_MEMORY = {"MAESTRO_LOADED_MESSAGES_MAX": "10000000", "MAESTRO_MAILBOX_IDLE": "1d"}


class Office(NamedTuple):
    """A running broker."""

    data: str
    endpoints: Endpoints

    def client(self, session: str | None = None) -> Client:
        """A connected client; as the operator when no session is named."""
        return Client(self.endpoints.router, Caller(session), timeout_s=_WAIT_S)


class Cost(NamedTuple):
    """Of one message: the sender's time at the median, and the broker's CPU."""

    p50_ms: float
    cpu: Cpu


class Point(NamedTuple):
    """One size, and the small post office in turns with it."""

    size: int
    cost: Cost
    control: Cost

    @property
    def times(self) -> float:
        """The sender's time as a multiple of the control's."""
        return self.cost.p50_ms / self.control.p50_ms

    @property
    def cpu_times(self) -> float:
        """The broker's CPU as a multiple of the control's."""
        return self.cost.cpu.whole / self.control.cpu.whole


class Sender:
    """Sends one at a time, through one of `clients` (by session) after the other."""

    def __init__(self, office: Office, clients: Sequence[tuple[str, Client]], receivers: Sequence[str]) -> None:
        self._office = office
        self._clients = clients
        self._receivers = receivers
        self._count = 0

    def send(self, text: str, count: int) -> tuple[list[float], Cpu]:
        """The senders' times in ms, and the broker's CPU of all, until the last is filed."""
        times: list[float] = []
        pid = self._office.endpoints.pid
        before = cpu_us(pid)
        for _ in range(count):
            session, client = self._clients[self._count % len(self._clients)]
            began_s = time.perf_counter()
            result = client.send(self._receivers[self._count % len(self._receivers)], text)
            times.append((time.perf_counter() - began_s) * 1000)
            self._count += 1
        # Not by asking the broker, which would cost it time, and the more the more sessions it has.
        link = os.path.join(self._office.data, "messages/by-sender", session, f"{result['id']}.json")
        give_up_s = time.monotonic() + _WAIT_S
        while not os.path.lexists(link):
            assert time.monotonic() < give_up_s, f"{link} was not filed"
            time.sleep(0.005)
        return times, cpu_us(pid).each(before, 1)


def scale(bench: Bench) -> None:
    """All curves, and the memory."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    sends = max(_TURNS * 5, int(_SENDS * min(1.0, bench.seconds / _FULL_SECONDS)))
    share = min(1.0, bench.messages / 100_000)
    crowds = [size for size in CROWDS if size <= max(bench.messages, 10)]
    small = _start(bench, "small")
    large = Office(bench.data, bench.endpoints)
    ones = [f"one_{number}" for number in range(_ONES)]
    try:
        for office in (small, large):
            with office.client() as operator:
                operator.start_session("one_a", role="orchestrator")
                for name in ones:
                    operator.start_session(name)
        with small.client("one_a") as client:
            control = Sender(small, [("one_a", client)], ones)
            control.send(_TEXT, sends)  # so that one-time work is not measured
            curves = {
                "characters of text": _texts(large, control, sends, ones),
                "connected sessions": _sessions(large, control, sends, crowds),
                "watchers": _watchers(large, control, sends, crowds),
                "stored messages": _stored(bench, large, control, sends),
            }
        for what, points in curves.items():
            _report(bench, what, points)
        _memory(bench, share)
    finally:
        _end(small)


def _start(bench: Bench, name: str, **settings: str) -> Office:
    data = os.path.join(bench.scratch, name)
    environ = {**bench.environ, **settings, "MAESTRO_DATA_DIR": data}
    return Office(data, broker_process.ensure(data, environ, autostart=True))


# --- the curves --------------------------------------------------------------------------------------------


def _point(size: int, sender: Sender, control: Sender, sends: int, text: str = _TEXT) -> Point:
    """In turns."""
    sides: list[tuple[Sender, str, list[float], list[Cpu]]] = [(sender, text, [], []), (control, _TEXT, [], [])]
    each = sends // _TURNS
    for turn in range(_TURNS):
        for side, said, times, used in sides if turn % 2 else sides[::-1]:
            took, cpu = side.send(said, each)
            times.extend(took)
            used.append(cpu)
    return Point(size, *(_cost(times, used) for _, _, times, used in sides))


def _cost(times: list[float], used: list[Cpu]) -> Cost:
    return Cost(percentile(sorted(times), 0.5), Cpu(*(sum(parts) / len(times) for parts in zip(*used, strict=True))))


def _texts(office: Office, control: Sender, sends: int, ones: list[str]) -> list[Point]:
    with office.client("one_a") as client:
        sender = Sender(office, [("one_a", client)], ones)
        sender.send(_TEXT, sends // _TURNS)
        return [_point(chars, sender, control, sends, "x" * chars) for chars in TEXT_CHARS]


def _sessions(office: Office, control: Sender, sends: int, crowds: list[int]) -> list[Point]:
    """Each with an open connection of its own, and each sends to the next, which has mail already: an empty mailbox's
    first message costs a file more, its marker."""
    clients: list[tuple[str, Client]] = []
    points = []
    try:
        for size in crowds:
            with office.client() as operator:
                for number in range(len(clients), size):
                    name = f"crowd_{number}"
                    operator.start_session(name, role="orchestrator")
                    clients.append((name, office.client(name)))
                    clients[-1][1].hello()
            receivers = [name for name, _ in clients]
            ring = Sender(office, clients, [*receivers[1:], receivers[0]])
            ring.send(_TEXT, size)
            points.append(_point(size, ring, control, sends))
    finally:
        for _, client in clients:
            client.close()
    return points


class _Listening(NamedTuple):
    notices: str
    topics: tuple[str, ...]


def _watchers(office: Office, control: Sender, sends: int, crowds: list[int]) -> list[Point]:
    """Each subscribed to a mailbox of its own, and mail comes to one after the other."""
    points = []
    names = [f"watched_{number}" for number in range(crowds[-1])]
    with office.client() as operator:
        for name in names:
            operator.start_session(name)
    with office.client("one_a") as client:
        for size in crowds:
            listening = _Listening(
                office.endpoints.notices, tuple(f"{name}{TOPIC_SEPARATOR}" for name in names[:size])
            )
            crew = Crew(_listen, [listening], endless=True)
            crew.begin()
            points.append(_point(size, Sender(office, [("one_a", client)], names[:size]), control, sends))
            heard = crew.stop()[0]
            assert heard == sends // _TURNS * _TURNS, f"{size} watchers heard of {heard} messages of {sends}"
    return points


def _listen(job: _Listening, ready: Callable[[], None], stopping: Event) -> int:
    """How many messages all of them together heard of. Seldom awake, since it shares the CPUs with the broker."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    context = zmq.Context()
    context.set(zmq.MAX_SOCKETS, 2 * len(job.topics) + 8)
    sockets = []
    for topic in job.topics:
        socket = context.socket(zmq.SUB)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVHWM, 0)
        socket.connect(job.notices)
        socket.subscribe(topic)
        sockets.append(socket)
    for socket in sockets:
        assert socket.poll(int(_WAIT_S * 1000)), "a subscription was not answered with its head"
    ready()
    heard, is_last = 0, False
    while not is_last:
        is_last = stopping.wait(0.1)
        time.sleep(0.2 if is_last else 0.0)  # what was published last may still be on its way
        for socket in sockets:
            while socket.poll(0):
                heard += socket.recv_multipart()[0].endswith(_ACCEPTED)
    for socket in sockets:
        socket.close()
    context.term()
    return heard


def _stored(bench: Bench, office: Office, control: Sender, sends: int) -> list[Point]:
    """Mail of the same sender, filed, in a hundred mailboxes; the measured sends go to these, too."""
    points = []
    stored = 0
    receivers = [f"many_{number}" for number in range(_MAILBOXES)]
    for size in STORED:
        if size > max(bench.messages, 1):
            break
        stored += fill(bench, size - stored, _MAILBOXES)[0]
        until_filed(bench)
        with office.client("filler") as client:
            points.append(_point(size, Sender(office, [("filler", client)], receivers), control, sends))
        stored += sends // _TURNS * _TURNS
    return points


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the least squares' line through (log x, log y)."""
    logs = [(math.log(x), math.log(y)) for x, y in points]
    middle_x, middle_y = (sum(one[axis] for one in logs) / len(logs) for axis in (0, 1))
    return sum((x - middle_x) * (y - middle_y) for x, y in logs) / sum((x - middle_x) ** 2 for x, _ in logs)


def _report(bench: Bench, what: str, points: list[Point]) -> None:
    key = what.replace(" ", "_")
    rows: list[list[Cell]] = []
    for size, cost, control in points:
        multiples = cost.p50_ms / control.p50_ms, cost.cpu.whole / control.cpu.whole
        rows.append([f"{size:,}", cost.p50_ms, multiples[0], cost.cpu.whole, multiples[1], *cost.cpu])
        bench.row(
            f"{size:,} {what}: send p50, CPU",
            f"{cost.p50_ms:.3f} ms, {cost.cpu.whole:.0f} us",
            f"x {multiples[0]:.2f}, x {multiples[1]:.2f} of the small one; "
            f"loop {cost.cpu.loop:.0f}, sockets {cost.cpu.sockets:.0f}, writer {cost.cpu.writer:.0f} us",
        )
    found = []
    for name, unit in (("send p50", "p50"), ("CPU", "cpu")):
        line = [(point.size, point.times if unit == "p50" else point.cpu_times) for point in points]
        if len(line) < 2:
            continue
        steep = slope(line)
        grows, sizes = line[-1][1] / line[0][1], line[-1][0] / line[0][0]
        bench.figures |= {f"scale_{key}_{unit}_slope": steep, f"scale_{key}_{unit}_ratio": grows}
        found.append(f"{name}: slope {steep:+.3f}, x {grows:.2f} from the first to the last, the size x {sizes:,.0f}")
    bench.row(f"  by {what}", "", "; ".join(found))
    head = [what, "send p50 ms", "x small", "CPU us a message", "x small", "loop us", "sockets us", "writer us"]
    text = f"{'; '.join(found)}. `x small`: beside a small post office, in turns."
    bench.findings.add(Table(PART, f"A message's cost by {what}", head, rows, text))
    bench.findings.add(
        Plot(
            PART,
            f"scale-{key.replace('_', '-')}",
            f"A message's cost by {what}",
            what,
            "a multiple of the small post office's",
            {
                "send p50": [(float(point.size), point.times) for point in points],
                "broker's CPU": [(float(point.size), point.cpu_times) for point in points],
            },
            log_x=True,
            log_y=True,
        )
    )


# --- memory ------------------------------------------------------------------------------------------------


def _memory(bench: Bench, share: float) -> None:
    """What a broker grows by: a session that does nothing, its connection, and a pending message."""
    idle, connections, pending = (max(50, int(count * share)) for count in (_IDLE_SESSIONS, _CONNECTIONS, _PENDING))
    office = _start(bench, "memory", **_ALL_IN_MEMORY)
    fill(office, 0, _MAILBOXES)  # its sessions
    sizes = [_resident(office)]
    with office.client() as operator:
        for number in range(idle):
            operator.start_session(f"idle_{number}")
    sizes.append(_resident(office))
    clients = [office.client(f"idle_{number % idle}") for number in range(connections)]
    for client in clients:
        client.hello()
    sizes.append(_resident(office))
    for client in clients:
        client.close()
    _end(office)
    office = _start(bench, "memory", **_ALL_IN_MEMORY)
    sizes.append(_resident(office))
    for done in range(0, pending, _FILLED_AT_ONCE):
        fill(office, min(_FILLED_AT_ONCE, pending - done), _MAILBOXES)
        until_filed(office)  # what waits for that is in memory as well
    sizes.append(_resident(office))
    _end(office)
    # A broker that has just begun has none of that mail in memory, only each mailbox's counters.
    office = _start(bench, "memory", **_ALL_IN_MEMORY)
    sizes.append(_resident(office))
    _end(office)
    rows: list[list[Cell]] = []
    for key, name, grown, count, how in (
        ("session", "an idle session", sizes[1] - sizes[0], idle, "registered, never connected"),
        ("connection", "its open connection", sizes[2] - sizes[1], connections, "used once"),
        ("pending", "a pending message in memory", sizes[4] - sizes[3], pending, "300 characters, filed"),
        ("evicted", "a pending message not in memory", sizes[5] - sizes[3], pending, "the same, after a restart"),
    ):
        bench.figures[f"scale_{key}_bytes"] = grown / count
        bench.row(f"memory: {name}", f"{grown / count:,.0f} bytes", f"over {count:,}: {how}")
        rows.append([name, grown / count, count, how])
    bench.findings.add(
        Table(
            PART,
            "Memory",
            ["what", "bytes each", "over", "how"],
            rows,
            "Differences of the broker's resident memory, without mapped files. Of mail that is not in memory, which "
            "is all but the last 50,000 messages touched, and those no longer than a minute, the broker knows a few "
            "counters a mailbox.",
        )
    )


def _resident(office: Office) -> int:
    until_filed(office)
    return resident_bytes(office.endpoints.pid)


def _end(office: Office) -> None:
    """Stop the broker, and wait until it is gone."""
    end = os.pidfd_open(office.endpoints.pid)
    try:
        with office.client() as operator:
            operator.shutdown()
        assert select.select([end], [], [], _WAIT_S)[0], "the broker did not end"
    finally:
        os.close(end)
