"""Clients that misbehave: they die, repeat requests, don't read, connect in floods, fork. The broker and all other
clients continue, and no send is lost or duplicated.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import socket
import statistics
import threading
import time
from typing import TYPE_CHECKING, NamedTuple, Self

import pytest
import zmq

from fault import ledger
from fault.client_process import ClientProcess, text_of
from fault.ledger import judge, read_mailbox
from maestro_clients.channel.sync_channel import SyncChannel
from maestro_clients.mailbox.watcher import Watcher
from maestro_clients.processes.broker_process import find
from maestro_clients.protocol.callers import Caller
from maestro_clients.protocol.codec import encoder
from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import Limits
from support.post_office import eventually, own_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from maestro_schemas.documents import OutgoingDoc
    from support.post_office import PostOffice

# libzmq's greeting: signature, version 3.0, mechanism NULL (RFC 23).
GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
READY = b"\x04\x1c\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"
HIGH_WATER = 10_000
FLOOD = 10_000


def _seed() -> int:
    return int(os.environ.get("MAESTRO_SEED", "0")) or random.randrange(1, 1 << 31)


# --- killed clients, and repeats--------------------------------------------------------------------------------


class Killed(NamedTuple):
    """The sends of a killed client."""

    # Id -> seq of the replies that it received.
    answered: dict[str, int]
    # The id of the send without a reply.
    unanswered: str


def _kill_a_sender(office: PostOffice, prefix: str, after: int) -> Killed:
    """A process sends one message after another, and is killed while one of them has no reply."""
    with ClientProcess(office.environ, "send", office.router(), "ann", "bob", prefix, "100000") as client_process:
        lines = client_process.lines()
        answered = dict([next(lines)])
        while len(answered) < after:
            message_id, seq = next(lines)
            answered[message_id] = seq
        office.pause()  # so that the next send has no reply when the process is killed
        client_process.kill()
        answered.update(dict(lines))
        office.resume()
    return Killed(
        {message_id: int(seq) for message_id, seq in answered.items()}, own_id("ann", f"{prefix}-{len(answered)}")
    )


def _repeat_after_kills(office: PostOffice, rounds: int, capsys: pytest.CaptureFixture[str]) -> None:
    seed = _seed()
    chance = random.Random(seed)
    kept: dict[str, int] = {}
    deleted: set[str] = set()
    arrived = restarts = 0
    for number in range(rounds):
        killed = _kill_a_sender(office, f"r{number}", chance.randint(1, 40))
        ids = [*killed.answered, killed.unanswered]
        to_delete = set(chance.sample(ids, chance.randrange(len(ids))))
        with office.client() as operator:
            gone = {
                result["id"] for result in operator.delete(sorted(to_delete), session="bob") if "error" not in result
            }
        # Only the send without a reply can be unknown to the broker.
        assert to_delete - gone <= {killed.unanswered}
        if chance.random() < 0.5:
            restarts += 1
            office.kill()
            office.start()
        with office.client("ann") as ann:
            results = ann.send_many([{"id": i, "to": "bob", "message": text_of(i)} for i in ids])
        for result in results:
            message_id = result["id"]
            if message_id in gone:
                assert (result["status"], result["state"]) == (200, "deleted")
            elif message_id in killed.answered:
                assert (result["status"], result["seq"]) == (200, killed.answered[message_id])
            else:
                assert result["status"] in (200, 201)
            if message_id == killed.unanswered:
                arrived += result["status"] == 200
            if message_id not in gone:
                kept[message_id] = result["seq"]
        deleted |= gone
    with office.client() as operator:
        mail = read_mailbox(operator, "bob")
        head = operator.inbox(session="bob", limit=1)["headSeq"]
    with capsys.disabled():
        print(
            f"\n  {rounds} clients killed before an answer ({arrived} of those sends had arrived), {restarts} "
            f"restarts: {len(kept)} messages kept, {len(deleted)} deleted, all repeated; seed {seed}"
        )
    assert [(message["id"], message["seq"]) for message in mail] == sorted(kept.items(), key=lambda item: item[1])
    assert all(message["message"] == text_of(message["id"]) for message in mail)
    assert head == len(kept) + len(deleted), "a repeat took a seq of its own"


def test_a_client_killed_before_its_answer(open_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    """A repeated send gets the reply of the first one, also after deletions and restarts."""
    _repeat_after_kills(open_office, 5, capsys)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_hundred_clients_killed(open_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    """The same, 100 times."""
    _repeat_after_kills(open_office, 100, capsys)


def _all_at_once(count: int, work: Callable[[int], None]) -> None:
    """Run `work(number)` in `count` threads that begin together. Raises the first failure."""
    failures: list[BaseException] = []
    begin = threading.Barrier(count)

    def run(number: int) -> None:
        try:
            begin.wait(30.0)
            work(number)
        except BaseException as error:  # noqa: BLE001 - the test raises it
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def test_a_thousand_repeats_of_one_send_at_once(open_office: PostOffice) -> None:
    """One send makes the message; all others get its reply, in separate requests and within one request."""
    statuses: list[int] = []
    seqs: set[int] = set()

    def repeat(number: int) -> None:
        item: OutgoingDoc = {"id": "same", "to": "bob", "message": "once"}
        with open_office.client("ann", timeout_s=30.0) as client:
            for result in client.pipeline([item] * 150, in_flight=50):
                statuses.append(result["status"])
                seqs.add(result["seq"])
            for result in client.send_many([item] * 100):
                statuses.append(result["status"])
                seqs.add(result["seq"])

    _all_at_once(4, repeat)
    assert (statuses.count(201), statuses.count(200)) == (1, 999)
    assert seqs == {1}
    with open_office.client() as operator:
        assert [message["id"] for message in read_mailbox(operator, "bob")] == [own_id("ann", "same")]


def test_one_id_for_two_texts_at_once(open_office: PostOffice) -> None:
    """The first text becomes the message. The other one is refused every time, and overwrites nothing."""
    outcomes: dict[str, list[int]] = {"one": [], "other": []}

    def repeat(number: int) -> None:
        text = ("one", "other")[number % 2]
        item: OutgoingDoc = {"id": "same", "to": "bob", "message": text}
        with open_office.client("ann", timeout_s=30.0) as client:
            outcomes[text] += [result["status"] for result in client.pipeline([item] * 100, in_flight=20)]

    _all_at_once(4, repeat)
    with open_office.client() as operator:
        [message] = read_mailbox(operator, "bob")
    winner = message["message"]
    loser = {"one": "other", "other": "one"}[winner]
    assert sorted(outcomes[winner]) == [200] * 199 + [201]
    assert outcomes[loser] == [409] * 200


# --- subscribers that don't read -----------------------------------------------------------------------------


def _resident_bytes(pid: int) -> int:
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


@contextlib.contextmanager
def _never_reading(office: PostOffice, topic: bytes, count: int) -> Iterator[list[zmq.Socket[bytes]]]:
    """Subscribers whose queue holds one notice, and that read none."""
    found = find(office.data)
    assert found is not None
    context = zmq.Context()
    sockets = []
    for _ in range(count):
        made = context.socket(zmq.SUB)
        made.setsockopt(zmq.RCVHWM, 1)
        made.setsockopt(zmq.RCVBUF, 4_096)
        made.setsockopt(zmq.SUBSCRIBE, topic)
        made.connect(found.notices)
        sockets.append(made)
    try:
        yield sockets
    finally:
        context.destroy(0)


def _publish(office: PostOffice, count: int) -> None:
    """Make `count` records with one notice each: a session changes its status, which makes few files."""
    channel = SyncChannel(office.router())
    encode = encoder()
    sent = answered = 0
    waiting: set[bytes] = set()
    while answered < count:
        while len(waiting) < 200 and sent < count:
            body = {"id": "carl", "status": ("idle", "working")[sent % 2]}
            waiting.add(channel.post("session.touch", encode(body), 30.0))
            sent += 1
        for request_id in channel.ended(waiting):
            channel.claim(request_id)
            waiting.remove(request_id)
            answered += 1
    channel.close()
    with office.client() as operator:
        eventually(lambda: operator.stats()["filingBacklog"] == 0, "all is written to the spool", 60.0)


def _notice_ms(office: PostOffice, count: int) -> float:
    """The median time from a send until a watcher has the message."""
    with Watcher(office.data, office.environ, Caller("bob")) as watcher, office.client("ann") as ann:
        times_ms = []
        for number in range(count):
            began_s = time.perf_counter()
            ann.send("bob", f"number {number}")
            assert watcher.next_message(10.0) is not None
            times_ms.append((time.perf_counter() - began_s) * 1000)
    return statistics.median(times_ms)


def _count_notices(subscriber: zmq.Socket[bytes]) -> int:
    """The number of notices that a subscriber gets when it begins to read."""
    subscriber.setsockopt(zmq.RCVTIMEO, 1_000)
    count = 0
    with contextlib.suppress(zmq.Again):
        while subscriber.recv_multipart():
            count += 1
    return count


def test_subscribers_that_never_read(open_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    """Their queues grow no further than the high-water mark, and do not delay another watcher."""
    open_office.sessions("carl")
    alone_ms = _notice_ms(open_office, 100)
    with open_office.client() as operator, _never_reading(open_office, b"", 10) as sockets:
        eventually(lambda: operator.stats()["watchers"] > 0, "they have subscribed")
        _publish(open_office, 1_500 + HIGH_WATER)
        full_bytes = _resident_bytes(open_office.pid)
        _publish(open_office, 25_000)
        grown_bytes = _resident_bytes(open_office.pid) - full_bytes
        beside_ms = _notice_ms(open_office, 100)
        kept = _count_notices(sockets[0])
    with capsys.disabled():
        print(
            f"\n  10 subscribers that never read: {grown_bytes / (1 << 20):.1f} MiB more for 25,000 notices, "
            f"{kept:,} left in one queue; a watcher gets its message in {beside_ms:.1f} ms ({alone_ms:.1f} alone)"
        )
    # Ten unbounded queues would hold 25,000 notices of two 64-byte frames each: 30 MiB, and the bodies.
    assert grown_bytes < 20 << 20
    assert kept < 1.5 * HIGH_WATER
    assert beside_ms < 3 * alone_ms + 10


def test_a_watcher_that_stood_still_catches_up(post_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    """Notices were dropped at the high-water mark; the watcher still gets every message once and in order."""
    count = HIGH_WATER + 2_000
    post_office.start(pending_max=2 * count)
    post_office.sessions("ann", "bob")
    with (
        ClientProcess(post_office.environ, "watch", post_office.data, "bob", "300000") as client_process,
        _never_reading(post_office, b"bob|", 1) as [control],
    ):
        lines = client_process.lines()
        assert next(lines) == ["watching"]
        with post_office.client("ann", timeout_s=30.0) as ann:
            ann.send("bob", "before")
            assert next(lines)[1] == "1"
            os.kill(client_process.pid, signal.SIGSTOP)
            for start in range(0, count, 250):
                ids = [f"m{number}" for number in range(start, start + 250)]
                results = ann.send_many([{"id": i, "to": "bob", "message": text_of(i)} for i in ids])
                assert {result["status"] for result in results} == {201}
            os.kill(client_process.pid, signal.SIGCONT)
            seen = [int(next(lines)[1]) for _ in range(count)]
            noticed = _count_notices(control)
            ann.send("bob", "after")
        assert next(lines)[1] == str(count + 2), "notices reach it again"
    post_office.kill()  # an orderly stop would first write thousands of messages to the spool
    with capsys.disabled():
        print(f"\n  a watcher stopped for {count:,} messages: {noticed:,} notices kept, {len(seen):,} messages seen")
    assert seen == list(range(2, count + 2))
    assert noticed < count, "no notice was dropped, so the test proves nothing"


def test_a_reader_slower_than_its_senders(open_office: PostOffice) -> None:
    """It stops and continues at random moments while mail arrives; it gets all messages once and in order."""
    chance = random.Random(_seed())
    count = 600
    with ClientProcess(open_office.environ, "watch", open_office.data, "bob", "300000") as client_process:
        lines = client_process.lines()
        assert next(lines) == ["watching"]
        with open_office.client("ann", timeout_s=30.0) as ann:
            for number in range(count):
                if number % 20 == 0:
                    os.kill(client_process.pid, chance.choice([signal.SIGSTOP, signal.SIGCONT]))
                ann.send("bob", f"number {number}")
        os.kill(client_process.pid, signal.SIGCONT)
        seen = [int(next(lines)[1]) for _ in range(count)]
    assert seen == list(range(1, count + 1))


# --- floods, and silent peers --------------------------------------------------------------------------------


# One less than the most messages in a mailbox without a reader.
_MAILBOX_HOLDS = Limits().pending_max - 1


class Normal(threading.Thread):
    """A client that sends one message after another during the test's attack."""

    def __init__(self, office: PostOffice) -> None:
        super().__init__()
        self._client = office.client("ann", timeout_s=10.0)
        self._ending = threading.Event()
        self.lines: list[ledger.Line] = []
        self.times_ms: list[float] = []
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            while not self._ending.is_set():
                text = f"number {len(self.lines)}"
                began_s = time.perf_counter()
                result = self._client.send("bob", text)
                self.times_ms.append((time.perf_counter() - began_s) * 1000)
                self.lines.append(ledger.Line(result["id"], "ann", "bob", text, result["seq"], len(self.lines)))
                if len(self.lines) == _MAILBOX_HOLDS:
                    self._ending.wait()  # the mailbox is full
        except MaestroError as error:
            self.failure = error

    def __enter__(self) -> Self:
        self.start()
        eventually(lambda: len(self.lines) > 50, "the client sends")
        return self

    def __exit__(self, *_: object) -> None:
        more = min(len(self.lines) + 20, _MAILBOX_HOLDS - 1)
        eventually(lambda: len(self.lines) > more or self.failure is not None, "the client still sends")
        self._ending.set()
        self.join()

    def verdict(self, office: PostOffice) -> str:
        """Check that no send failed or was lost. Returns the figures."""
        assert self.failure is None, self.failure
        with office.client() as operator:
            verdict = judge(operator, ["bob"], self.lines)
        assert verdict.clean, verdict
        return (
            f"{verdict.acknowledged:,} sends beside it, median {statistics.median(self.times_ms):.1f} ms, "
            f"longest {max(self.times_ms):.0f} ms"
        )


def _raw(office: PostOffice, opening: bytes) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Connect without a timeout: with one, it fails at once if the kernel's queue of connections is full.
        made.connect(office.router().removeprefix("ipc://"))
        made.settimeout(10.0)
        if opening:
            made.sendall(opening)
    except OSError:
        made.close()
        raise
    return made


def test_a_thousand_connections_come_and_go(open_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    """Some are closed in the middle of a handshake. A working client continues without long waits."""
    with Normal(open_office) as normal:
        began_s = time.perf_counter()
        for number in range(FLOOD):
            _raw(open_office, GREETING[: number % 65]).close()
        took_s = time.perf_counter() - began_s
    with capsys.disabled():
        print(f"\n  {FLOOD:,} connections opened and dropped in {took_s:.2f} s: {normal.verdict(open_office)}")
    # libzmq's I/O thread blocked for up to a second when its monitor's queue was full.
    assert took_s < 5.0
    assert max(normal.times_ms) < 2_000
    with open_office.client() as operator:
        eventually(lambda: operator.stats()["connections"]["closed"] >= FLOOD, "the broker has seen them close")


def test_a_thousand_connections_stay(post_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    """All are answered, by a broker that was started with a low limit of descriptors (a shell's is 1,024)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4_096:
        pytest.skip(f"a hard limit of {hard:,} descriptors is too low for a thousand connections on both sides")
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        post_office.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        post_office.sessions("ann", "bob")
        context = zmq.Context()
        context.set(zmq.MAX_SOCKETS, 1_100)
        with Normal(post_office) as normal:
            dealers = [context.socket(zmq.DEALER) for _ in range(1_000)]
            for dealer in dealers:
                dealer.connect(post_office.router())
                dealer.send_multipart([b"M1", b"held", b"hello", b"\x80"])
            for dealer in dealers:
                assert dealer.poll(10_000), "a reply"
                assert dealer.recv_multipart()[2] == b"200"
            # All are connected now, and may send another request.
            for dealer in dealers:
                dealer.send_multipart([b"M1", b"held", b"hello", b"\x80"])
            for dealer in dealers:
                assert dealer.poll(10_000), "a reply"
                dealer.recv_multipart()
        with capsys.disabled():
            print(f"\n  1,000 connections held open: {normal.verdict(post_office)}")
        context.destroy(0)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_more_connections_than_descriptors(post_office: PostOffice) -> None:
    """Accepted connections continue, and so do the broker's files. The others wait until descriptors are free."""
    post_office.launcher = ["/bin/sh", "-c", 'ulimit -n 128; exec "$0" "$@"']
    post_office.start()
    post_office.launcher = []
    post_office.sessions("ann", "bob")
    lines = []
    with post_office.client("ann") as ann, contextlib.ExitStack() as stack:
        for number in range(50):
            if number == 10:
                for _ in range(200):
                    stack.enter_context(contextlib.closing(_raw(post_office, b"")))
            result = ann.send("bob", f"number {number}")
            lines.append(ledger.Line(result["id"], "ann", "bob", f"number {number}", result["seq"], number))
        with post_office.client(timeout_s=0.5) as late:
            with pytest.raises(MaestroError) as refused:
                late.hello()
            assert refused.value.code == "TIMEOUT"
    with post_office.client() as operator:
        verdict = judge(operator, ["bob"], lines)
    assert verdict.clean, verdict


def _connected(office: PostOffice) -> socket.socket:
    """A peer that has completed its handshake."""
    made = _raw(office, GREETING + READY)
    received = b""
    # It must not send before the broker's READY: libzmq would treat that as a bad handshake.
    while b"ROUTER" not in received:
        received += made.recv(4_096)
    return made


def test_half_open_peers(open_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    """A peer that sends nothing, half a greeting or half a request affects no other client. A peer that has not
    completed the handshake after five seconds is disconnected."""
    openings = [b"", GREETING[:1], GREETING[:10], GREETING, GREETING + READY[:5]]
    with contextlib.ExitStack() as stack, Normal(open_office) as normal:
        mute = [stack.enter_context(_raw(open_office, opening)) for opening in openings * 10]
        others = [stack.enter_context(_raw(open_office, b"GET / HTTP/1.1\r\n\r\n")) for _ in range(10)]
        for _ in range(10):
            half = stack.enter_context(_connected(open_office))
            half.sendall(b"\x01\x02M1\x00\xffabc")  # a frame, then 3 of the 255 bytes of another one
            others.append(half)
        for connection in mute:
            while connection.recv(4_096):  # the broker's part of the handshake; then the end, within 10 s
                pass
        for connection in others:
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                assert connection.recv(4_096), "it completed the handshake, so it stays"
    with capsys.disabled():
        print(f"\n  {len(mute)} half-open peers, dropped, {len(others)} that stayed: {normal.verdict(open_office)}")


# --- a fork --------------------------------------------------------------------------------------------------


def _in_a_fork(work: Callable[[], None]) -> int:
    """Start a child that does `work`, and exits with 0 if that succeeds. Returns its pid."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    except BaseException as error:  # noqa: BLE001 - a child must not return to pytest
        os.write(2, f"in the child: {error!r}\n".encode())
    finally:
        os._exit(code)


@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_fork_while_a_client_is_open(open_office: PostOffice) -> None:
    """Parent and child continue with the same client, each with its own replies, even with requests in flight."""
    client = open_office.client("ann", timeout_s=20.0)
    client.send("bob", "before the fork")
    pipeline = client.pipeline(
        ({"id": f"piped-{number}", "to": "bob", "message": "piped"} for number in range(200)),
        in_flight=32,
    )
    piped = [next(pipeline)]

    def continue_in_child() -> None:
        for number in range(100):
            client.send("bob", text_of(f"child-{number}"), message_id=f"child-{number}")
        # Replies from before the fork may still be taken. The requests in flight are the parent's.
        with pytest.raises(MaestroError) as refused:
            list(pipeline)
        assert refused.value.code == "BAD_REQUEST"
        assert client.hello()["pid"] == open_office.pid

    child = _in_a_fork(continue_in_child)
    piped += pipeline
    for number in range(100):
        client.send("bob", text_of(f"parent-{number}"), message_id=f"parent-{number}")
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert sorted(result["status"] for result in piped) == [201] * 200
    client.send("bob", "after the child's end")
    with open_office.client() as operator:
        mail = [message["id"] for message in read_mailbox(operator, "bob")]
    for name, count in (("piped", 200), ("child", 100), ("parent", 100)):
        mine = [message_id for message_id in mail if message_id.startswith(name)]
        assert mine == [own_id("ann", f"{name}-{number}") for number in range(count)]


@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_fork_while_a_watcher_is_open(open_office: PostOffice) -> None:
    """The parent's watcher continues. The child's copy refuses to work, and takes no message."""
    with Watcher(open_office.data, open_office.environ, Caller("bob")) as watcher:
        with open_office.client("ann") as ann:
            ann.send("bob", "first")
        first = watcher.next_message(10.0)
        assert first is not None

        def use_in_child() -> None:
            with pytest.raises(MaestroError) as refused:
                watcher.next_message(0.0)
            assert refused.value.code == "BAD_REQUEST"
            watcher.close()

        _, status = os.waitpid(_in_a_fork(use_in_child), 0)
        assert os.waitstatus_to_exitcode(status) == 0
        with open_office.client("ann") as ann:
            ann.send("bob", "second")
        second = watcher.next_message(10.0)
        assert second is not None
        assert (first["message"], second["message"]) == ("first", "second")
        watcher.flush()
    assert open_office.status_of(first["id"]) == open_office.status_of(second["id"]) == "delivered"
