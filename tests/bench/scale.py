"""Part `scale`: what a delivery costs as sessions, watchers, stored mail and texts grow; and what memory each takes.

Rule: one send at a time, so that a batch is one message however large the post office is, and the broker's CPU is
counted by the kernel until the last message is filed. Every point is measured in many short turns with a small post
office beside it. A turn's cost is given as a multiple of the control's next to it, and a point's is the median of its
turns: what else the machine does hits both. Nothing is removed meanwhile, and every mailbox has mail before it is
measured: its first message makes a folder and a marker. A curve's slope is that of the best line through log(size)
and log(multiple), 0 for flat and 1 for a cost that grows as the size does.
"""

from __future__ import annotations

import math
import os
import resource
import select
import statistics
import time
from typing import TYPE_CHECKING, NamedTuple

import zmq

from bench.filling import fill, until_filed
from bench.findings import Plot, Table
from bench.paced import Crew
from bench.processes import cpu_us, resident_bytes
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
WATCHERS = (1, 10, 100, 1_000)
SESSIONS = (*WATCHERS, 5_000)
RECEIVERS = (1, 4, 16, 64, 256)
TEXT_CHARS = (10, 100, 1_000, 10_000)
SLOPE_MAX = 0.1
_TEXT = "x" * 512
_TURNS, _TURNS_MIN = 16, 4
_SENDS_A_TURN, _SENDS_A_TURN_MIN = 100, 5
# Of a turn, to however many.
_FAN_OUTS_MIN = 5
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
    """Of one delivery in one turn: the sender's time at the median, and the broker's CPU by thread and in all."""

    p50_ms: float
    loop: float
    sockets: float
    writer: float
    cpu: float


# What is judged, by its name in the figures.
_JUDGED = {"p50": ("send p50", 0), "loop": ("loop", 1), "writer": ("spool writer", 3), "cpu": ("CPU", 4)}


class Point(NamedTuple):
    """One size, and the small post office in turns with it."""

    size: int
    costs: list[Cost]
    controls: list[Cost]

    def cost(self, place: int) -> float:
        """The median of the turns."""
        return statistics.median(cost[place] for cost in self.costs)

    def times(self, place: int) -> float:
        """The median of what each turn is of its control."""
        pairs = zip(self.costs, self.controls, strict=True)
        return statistics.median(cost[place] / control[place] for cost, control in pairs)


class Sender:
    """Sends one at a time, through one of `clients` (by session) after the other."""

    def __init__(self, office: Office, clients: Sequence[tuple[str, Client]], receivers: Sequence[str]) -> None:
        self._office = office
        self._clients = clients
        self._receivers = receivers
        self._count = 0

    def send(self, text: str, count: int, each: int = 1) -> Cost:
        """The broker's CPU counts until the last is filed. `each`: how many deliveries a message makes."""
        times: list[float] = []
        pid = self._office.endpoints.pid
        before = cpu_us(pid)
        for _ in range(count):
            session, client = self._clients[self._count % len(self._clients)]
            began_s = time.perf_counter()
            result = client.send(self._receivers[self._count % len(self._receivers)], text, confirm=True)
            times.append((time.perf_counter() - began_s) * 1000)
            self._count += 1
        # Not by asking the broker, which would cost it time, and the more the more sessions it has.
        link = os.path.join(self._office.data, "messages/by-sender", session, f"{result['id']}.json")
        give_up_s = time.monotonic() + _WAIT_S
        while not os.path.lexists(link):
            assert time.monotonic() < give_up_s, f"{link} was not filed"
            time.sleep(0.005)
        used = cpu_us(pid).each(before, count * each)
        return Cost(statistics.median(times) / each, *used, used.whole)


class Control(NamedTuple):
    """The small post office, and a point's turns and the sends of each."""

    sender: Sender
    turns: int
    sends: int

    def point(self, size: int, sender: Sender, text: str = _TEXT, *, count: int = 0, each: int = 1) -> Point:
        """In turns. `count`: how many messages, where they are fewer than the control's."""
        costs: list[Cost] = []
        controls: list[Cost] = []
        for turn in range(self.turns):
            if turn % 2:
                costs.append(sender.send(text, count or self.sends, each))
            controls.append(self.sender.send(_TEXT, self.sends))
            if not turn % 2:
                costs.append(sender.send(text, count or self.sends, each))
        return Point(size, costs, controls)


def scale(bench: Bench) -> None:
    """All curves but that of stored mail, which `million` has; and the memory."""
    large = Office(bench.data, bench.endpoints)
    share = min(1.0, bench.messages / 100_000)
    most = max(bench.messages, 10)
    small = small_office(bench)
    try:
        with large.client() as operator:
            operator.start_session("one_a", role="orchestrator")
            for number in range(_ONES):
                operator.start_session(f"one_{number}")
        with small.client("one_a") as client:
            control = control_of(bench, small, client)
            report(bench, PART, "characters of text", _texts(large, control))
            report(bench, PART, "connected sessions", _sessions(large, control, _up_to(most, SESSIONS)))
            watchers = _up_to(most, WATCHERS)
            report(bench, PART, "watchers", _watchers(large, control, watchers, is_shared=False))
            report(bench, PART, "watchers of one session", _watchers(large, control, watchers, is_shared=True))
            report(bench, PART, "receivers of a message", _receivers(large, control, _up_to(most, RECEIVERS)))
    finally:
        end(small)
    _memory(bench, share)


def _up_to(most: int, sizes: Sequence[int]) -> list[int]:
    return [size for size in sizes if size <= most]


def small_office(bench: Bench) -> Office:
    """The control's broker, with its sessions."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    office = _start(bench, "small")
    with office.client() as operator:
        operator.start_session("one_a", role="orchestrator")
        for number in range(_ONES):
            operator.start_session(f"one_{number}")
    return office


def control_of(bench: Bench, small: Office, client: Client) -> Control:
    """Warm."""
    share = min(1.0, bench.seconds / _FULL_SECONDS)
    turns, sends = max(_TURNS_MIN, int(_TURNS * share)), max(_SENDS_A_TURN_MIN, int(_SENDS_A_TURN * share))
    control = Control(Sender(small, [("one_a", client)], [f"one_{number}" for number in range(_ONES)]), turns, sends)
    control.sender.send(_TEXT, turns * sends // 2)
    return control


def _start(bench: Bench, name: str, **settings: str) -> Office:
    data = os.path.join(bench.scratch, name)
    environ = {**bench.environ, **settings, "MAESTRO_DATA_DIR": data}
    return Office(data, broker_process.ensure(data, environ, autostart=True))


# --- the curves --------------------------------------------------------------------------------------------


def _texts(office: Office, control: Control) -> list[Point]:
    with office.client("one_a") as client:
        sender = Sender(office, [("one_a", client)], [f"one_{number}" for number in range(_ONES)])
        sender.send(_TEXT, control.turns * control.sends // 2)
        return [control.point(chars, sender, "x" * chars) for chars in TEXT_CHARS]


def _sessions(office: Office, control: Control, sizes: list[int]) -> list[Point]:
    """Each with an open connection of its own, and each sends to the next; the last to one without a connection."""
    clients: list[tuple[str, Client]] = []
    points = []
    try:
        for size in sizes:
            with office.client() as operator:
                for number in range(len(clients), size + 1):
                    operator.start_session(f"crowd_{number}", role="orchestrator")
            for number in range(len(clients), size):
                name = f"crowd_{number}"
                clients.append((name, office.client(name)))
                clients[-1][1].hello()
            ring = Sender(office, clients, [f"crowd_{number}" for number in range(1, size + 1)])
            ring.send(_TEXT, size)
            points.append(control.point(size, ring))
    finally:
        for _, client in clients:
            client.close()
    return points


def _receivers(office: Office, control: Control, sizes: list[int]) -> list[Point]:
    """Messages to a whole project, each of a delivery to each of its sessions."""
    points = []
    with office.client() as operator, office.client("one_a") as client:
        for size in sizes:
            for number in range(size):
                operator.start_session(f"of_{size}_{number}", role="worker", project_id=f"of_{size}")
            sender = Sender(office, [("one_a", client)], [f"@project:of_{size}" if size > 1 else "of_1_0"])
            sender.send(_TEXT, 1)
            count = max(control.sends // size, _FAN_OUTS_MIN)
            points.append(control.point(size, sender, count=count, each=size))
    return points


class _Listening(NamedTuple):
    notices: str
    topics: tuple[str, ...]
    notices_expected: int


def _watchers(office: Office, control: Control, sizes: list[int], *, is_shared: bool) -> list[Point]:
    """Each subscribed to a mailbox of its own, to one of which each message comes, so that it makes one delivery, and
    one watcher hears of it. If `is_shared`, all to one mailbox: each notice that reaches a watcher is a delivery."""
    points = []
    kind = "shared" if is_shared else "watched"
    names = [f"{kind}_{number}" for number in range(1 if is_shared else sizes[-1])]
    with office.client() as operator:
        for name in names:
            operator.start_session(name)
    with office.client("one_a") as client:
        senders = [("one_a", client)]
        Sender(office, senders, names).send(_TEXT, len(names))
        for size in sizes:
            heard_of = names * size if is_shared else names[:size]
            topics = tuple(f"{name}{TOPIC_SEPARATOR}" for name in heard_of)
            each = size if is_shared else 1
            expected = control.turns * control.sends * each
            crew = Crew(_listen, [_Listening(office.endpoints.notices, topics, expected)], endless=True)
            crew.begin()
            points.append(control.point(size, Sender(office, senders, names[:size]), each=each))
            [heard] = crew.stop()
            assert heard == expected, f"{size} watchers got {heard} notices of {expected}"
    return points


def _listen(job: _Listening, ready: Callable[[], None], stopping: Event) -> int:
    """How many notices of messages all of them got. Seldom awake, since it shares the CPUs with the broker."""
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
    heard = 0
    until_s = 0.0
    while not until_s or (heard < job.notices_expected and time.monotonic() < until_s):
        if stopping.wait(0.5 if not until_s else 0.02) and not until_s:
            until_s = time.monotonic() + _WAIT_S  # what was published last may still be on its way
        for socket in sockets:
            while socket.poll(0):
                heard += socket.recv_multipart()[0].endswith(_ACCEPTED)
    for socket in sockets:
        socket.close()
    context.term()
    return heard


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the least squares' line through (log x, log y)."""
    logs = [(math.log(x), math.log(y)) for x, y in points]
    middle_x, middle_y = (sum(one[axis] for one in logs) / len(logs) for axis in (0, 1))
    return sum((x - middle_x) * (y - middle_y) for x, y in logs) / sum((x - middle_x) ** 2 for x, _ in logs)


def slopes(bench: Bench, key: str, points: Sequence[Point]) -> str:
    """Count each curve's slope among the figures, and say it with its bar."""
    found = []
    for short, (name, place) in _JUDGED.items():
        line = [(point.size, point.times(place)) for point in points]
        steep = slope(line)
        grows, sizes = line[-1][1] / line[0][1], line[-1][0] / line[0][0]
        bench.figures |= {f"scale_{key}_{short}_slope": steep, f"scale_{key}_{short}_ratio": grows}
        held = "held" if steep < SLOPE_MAX else "missed"
        found.append(f"{name}: slope {steep:+.3f}, x {grows:.2f} ({held})")
    return f"From the first to the last, the size x {sizes:,.0f}: {'; '.join(found)}; bar {SLOPE_MAX:g}"


def report(bench: Bench, part: str, what: str, points: list[Point]) -> None:
    """The table, the slopes, the plot."""
    key = what.replace(" ", "_")
    rows: list[list[Cell]] = []
    for point in points:
        of = [point.cost(place) for place in range(len(Cost._fields))]
        times = {name: point.times(place) for name, place in _JUDGED.values()}
        rows.append([f"{point.size:,}", of[0], times["send p50"], *of[1:], times["CPU"]])
        bench.row(
            f"{point.size:,} {what}: send p50, CPU",
            f"{of[0]:.3f} ms, {of[4]:.0f} us",
            f"x {times['send p50']:.2f}, x {times['CPU']:.2f} of the small one; "
            f"loop {of[1]:.0f} (x {times['loop']:.2f}), sockets {of[2]:.0f}, spool writer {of[3]:.0f} us "
            f"(x {times['spool writer']:.2f})",
        )
    found = slopes(bench, key, points) if len(points) > 1 else ""
    bench.row(f"  by {what}", "", found)
    head = [what, "send p50 ms", "x small", "loop us", "sockets us", "spool writer us", "CPU us", "x small "]
    turns = len(points[0].costs)
    text = f"{found}. CPU for each delivery. `x small`: beside a small post office, the median of {turns} turns."
    bench.findings.add(Table(part, f"A delivery's cost by {what}", head, rows, text))
    bench.findings.add(
        Plot(
            part,
            f"scale-{key.replace('_', '-')}",
            f"A delivery's cost by {what}",
            what,
            "a multiple of the small post office's",
            {name: [(float(point.size), point.times(place)) for point in points] for name, place in _JUDGED.values()},
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
    end(office)
    office = _start(bench, "memory", **_ALL_IN_MEMORY)
    sizes.append(_resident(office))
    for done in range(0, pending, _FILLED_AT_ONCE):
        fill(office, min(_FILLED_AT_ONCE, pending - done), _MAILBOXES)
        until_filed(office)  # what waits for that is in memory as well
    sizes.append(_resident(office))
    end(office)
    # A broker that has just begun has none of that mail in memory, only each mailbox's counters.
    office = _start(bench, "memory", **_ALL_IN_MEMORY)
    sizes.append(_resident(office))
    end(office)
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


def end(office: Office) -> None:
    """Stop the broker, and wait until it is gone."""
    end = os.pidfd_open(office.endpoints.pid)
    try:
        with office.client() as operator:
            operator.shutdown()
        assert select.select([end], [], [], _WAIT_S)[0], "the broker did not end"
    finally:
        os.close(end)
