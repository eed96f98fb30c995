"""The watcher with a real broker: it shows every message once and in order, whatever happens in between."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import zmq

from maestro_clients.mailbox import cursor
from maestro_clients.mailbox import watcher as watcher_module
from maestro_clients.mailbox.cursor import LOOK_EVERY_S
from maestro_clients.mailbox.watcher import Watcher
from maestro_clients.processes.broker_process import find
from maestro_clients.protocol.callers import Caller
from maestro_clients.protocol.new_ids import new_message_id
from maestro_runtime import paths
from maestro_schemas.errors import MaestroError
from support.post_office import end_process, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.post_office import PostOffice

SOON_S = 10.0


@pytest.fixture
def no_periodic_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Watchers send requests only after a notice or at the end of a lease. Mail without either never arrives."""
    for module in (cursor, watcher_module):
        monkeypatch.setattr(module, "LOOK_EVERY_S", 3_600.0)


@contextlib.contextmanager
def watching(office: PostOffice, session: str = "bob", **options: Any) -> Iterator[Watcher]:
    """A watcher of a session that has no token."""
    with Watcher(office.data, office.environ, Caller(session), **options) as watcher:
        yield watcher


def take(watcher: Watcher, count: int, timeout_s: float = SOON_S) -> list[str]:
    """The texts of the next messages."""
    texts: list[str] = []
    for _ in range(count):
        message = watcher.next_message(timeout_s)
        assert message is not None, f"only {texts}"
        texts.append(message["message"])
    return texts


def send(office: PostOffice, *texts: str, to: str = "bob") -> list[str]:
    """Send texts from `ann`; the ids of the messages."""
    return [office.client("ann").send(to, text)["id"] for text in texts]


def statuses(office: PostOffice, ids: list[str]) -> list[str]:
    return [office.status_of(message_id) for message_id in ids]


# --- order and confirmation ------------------------------------------------------------------------------------


def test_pending_mail_comes_first_then_new_mail(open_office: PostOffice) -> None:
    """The order is by sequence number, whatever the priority."""
    ann = open_office.client("ann")
    ann.send("bob", "one")
    ann.send("bob", "two", metadata={"priority": "high"})
    with watching(open_office) as watcher:
        assert take(watcher, 2) == ["one", "two"]
        send(open_office, "three")
        assert take(watcher, 1) == ["three"]
        assert watcher.next_message(0.1) is None


def test_iterating(open_office: PostOffice) -> None:
    """A watcher is an iterator of messages."""
    send(open_office, "one", "two")
    with watching(open_office) as watcher:
        texts = []
        for message in watcher:
            texts.append(message["message"])
            if len(texts) == 2:
                break
    assert texts == ["one", "two"]


def test_a_message_is_confirmed_after_its_consumer_came_back(open_office: PostOffice) -> None:
    """It is not confirmed when it is handed out. The receipt names the way of delivery."""
    ids = send(open_office, "one", "two")
    with watching(open_office, via="test:watch") as watcher:
        take(watcher, 1)
        assert statuses(open_office, ids) == ["pending", "pending"]
        take(watcher, 1)
        assert watcher.next_message(0.2) is None
        assert statuses(open_office, ids) == ["delivered", "delivered"]
    assert open_office.look(ids[0]).get("deliveredVia") == "test:watch"


def test_flush_and_close_confirm_the_last_one_too(open_office: PostOffice) -> None:
    """With these calls the consumer says that it has shown the message."""
    ids = send(open_office, "one", "two")
    watcher = Watcher(open_office.data, open_office.environ, Caller("bob"))
    take(watcher, 1)
    assert watcher.flush() == 0
    assert statuses(open_office, ids) == ["delivered", "pending"]
    take(watcher, 1)
    watcher.close()
    watcher.close()
    assert statuses(open_office, ids) == ["delivered", "delivered"]
    with pytest.raises(MaestroError) as raised:
        watcher.next_message(0.0)
    assert raised.value.code == "BAD_REQUEST"


def test_a_consumer_that_fails_has_not_surfaced_what_it_took(open_office: PostOffice) -> None:
    """The next reader gets the message at once, not after the lease. Messages shown before it are confirmed."""
    ids = send(open_office, "one", "two", "three")
    with pytest.raises(ZeroDivisionError):
        _fail(Watcher(open_office.data, open_office.environ, Caller("bob")), took=2)
    assert statuses(open_office, ids) == ["delivered", "pending", "pending"]
    with watching(open_office) as watcher:
        assert take(watcher, 2, timeout_s=2.0) == ["two", "three"]


CONSUMER = """
import os, sys, time
from maestro_clients.protocol.callers import Caller
from maestro_clients.mailbox.watcher import Watcher
watcher = Watcher(os.environ["MAESTRO_DATA_DIR"], os.environ, Caller("bob"), lease_ms=700)
print(watcher.next_message(10.0)["message"], flush=True)
print(watcher.next_message(10.0)["message"], flush=True)
time.sleep(60)
"""


@pytest.mark.usefixtures("no_periodic_requests")
def test_a_consumer_that_is_killed_with_mail_in_its_hands(open_office: PostOffice) -> None:
    """The message comes again when its lease ends: delivery is at least once across a crash."""
    ids = send(open_office, "one", "two", "three")
    process = subprocess.Popen(
        [sys.executable, "-c", CONSUMER], env=open_office.environ, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert [process.stdout.readline().strip() for _ in range(2)] == ["one", "two"]
    finally:
        process.kill()
        process.communicate(timeout=20)
    with watching(open_office) as watcher:
        texts = take(watcher, 2)
        # The first one may or may not have been confirmed before the consumer was killed.
        assert texts in (["one", "two"], ["two", "three"])
    assert statuses(open_office, ids)[:2] == ["delivered", "delivered"]


def test_a_poll_without_waiting_gets_available_mail(open_office: PostOffice) -> None:
    """It returns None if there is none."""
    send(open_office, "one")
    with watching(open_office) as watcher:
        assert take(watcher, 1, timeout_s=0.0) == ["one"]
        assert watcher.next_message(0.0) is None


def test_beginning_after_a_number(open_office: PostOffice) -> None:
    """`since` skips older mail."""
    ids = send(open_office, "one", "two", "three")
    with watching(open_office, since=2) as watcher:
        assert take(watcher, 1) == ["three"]
    assert statuses(open_office, ids) == ["pending", "pending", "delivered"]


def test_a_large_backlog_in_pages(open_office: PostOffice) -> None:
    """The backlog exceeds a page, a batch and a reply. Messages are confirmed in between."""
    count = 1_300
    ann = open_office.client("ann")
    for start in range(0, count, 100):
        ann.send_many(
            [{"id": f"m{n}", "to": "bob", "message": f"{n} " + "x" * 800} for n in range(start, start + 100)]
        )
    with watching(open_office) as watcher:
        assert [text.split()[0] for text in take(watcher, count)] == [str(number) for number in range(count)]
        assert watcher.flush() == 0
    assert open_office.client("bob").inbox()["pending"] == 0


# --- notices ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_periodic_requests")
def test_a_message_comes_at_once(open_office: PostOffice) -> None:
    """A notice announces it. (The benchmark measures the delay.)"""
    ann = open_office.client("ann")
    with watching(open_office) as watcher:
        assert watcher.next_message(0.3) is None
        for number in range(30):
            ann.send("bob", str(number))
            assert take(watcher, 1) == [str(number)]


class FaultyNotices:
    """A proxy for notices, an XSUB/XPUB pair, that drops, repeats, reorders and delays them."""

    def __init__(self, office: PostOffice, *, drop: float) -> None:
        self._notices = f"ipc://{os.path.join(os.path.dirname(office.router()[6:]), paths.NOTICE_SOCKET)}"
        self._random = random.Random(7)
        self._drop = drop
        self.address = f"ipc://{office.root}/bad"
        self._context = zmq.Context()
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._ready.wait(10)
        path = paths.endpoints_file(office.data)
        with open(path, encoding="utf-8") as file:
            lines = [line for line in file.read().splitlines() if not line.startswith("notices=")]
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join([*lines, f"notices={self.address}\n"]))

    def _run(self) -> None:
        behind, front = self._context.socket(zmq.XSUB), self._context.socket(zmq.XPUB)
        behind.connect(self._notices)
        front.setsockopt(zmq.XPUB_VERBOSE, 1)
        front.bind(self.address)
        self._ready.set()
        self._pass_on(behind, front)
        behind.close(0)
        front.close(0)

    def _pass_on(self, behind: zmq.Socket[bytes], front: zmq.Socket[bytes]) -> None:
        held: list[list[bytes]] = []
        while not self._stop.is_set():
            if behind.poll(20):
                frames = behind.recv_multipart()
                held += [frames] * self._random.choice([1, 1, 2]) if self._random.random() >= self._drop else []
                if self._random.random() < 0.2:
                    held += [[b"bob|nonsense", b"\xc1"], [b"bob|"], held[0] if held else [b"bob|x", b"\x80"]]
                self._random.shuffle(held)
                while held and self._random.random() < 0.8:
                    front.send_multipart(held.pop())
            while front.poll(0):
                behind.send(front.recv())

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._context.term()


@pytest.mark.parametrize("drop", [0.0, 0.5, 0.95])
def test_notices_that_are_dropped_repeated_reordered_and_garbled(open_office: PostOffice, drop: float) -> None:
    """Notices are only hints: every message comes, once and in order."""
    faulty = FaultyNotices(open_office, drop=drop)
    try:
        with watching(open_office) as watcher:
            sender = threading.Thread(target=send, args=(open_office, *map(str, range(60))))
            sender.start()
            assert take(watcher, 60) == [str(number) for number in range(60)]
            sender.join()
            assert watcher.next_message(0.2) is None
    finally:
        faulty.close()


def test_without_notices_it_asks_periodically(open_office: PostOffice) -> None:
    faulty = FaultyNotices(open_office, drop=1.0)
    try:
        with watching(open_office) as watcher:
            assert watcher.next_message(0.2) is None
            send(open_office, "one")
            assert take(watcher, 1, timeout_s=LOOK_EVERY_S + 3) == ["one"]
    finally:
        faulty.close()


# --- other readers ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_periodic_requests")
def test_mail_under_another_readers_lease_comes_when_the_lease_ends(open_office: PostOffice) -> None:
    """It comes neither earlier, nor only with the next periodic request."""
    send(open_office, "one", "two")
    bob = open_office.client("bob")
    assert bob.inbox(limit=1, lease_ms=1_200, reader="other")["count"] == 1
    began_s = time.monotonic()
    with watching(open_office) as watcher:
        assert take(watcher, 2) == ["two", "one"]
        assert time.monotonic() - began_s > 0.9
        assert watcher.next_message(0.1) is None


def send_to_several(office: PostOffice, text: str, **metadata: Any) -> str:
    """One message from `ann` to `bob` and `cid`; its id."""
    outgoing = {"id": new_message_id(), "to": ["bob", "cid"], "message": text, "metadata": metadata}
    [result] = office.client("ann").call("send", {"messages": [outgoing]})["results"]
    assert result["status"] == 201, result
    return str(result["id"])


@pytest.mark.usefixtures("no_periodic_requests")
def test_quiet_mail_is_held_until_other_mail_comes(open_office: PostOffice) -> None:
    """A notice is enough, and a message of the same audience that asks for something is other mail."""
    open_office.session("cid")
    with watching(open_office, hold_quiet=True) as watcher:
        send_to_several(open_office, "quiet one")
        assert watcher.next_message(0.2) is None
        send(open_office, "for you")
        assert take(watcher, 2) == ["quiet one", "for you"]
        held = send_to_several(open_office, "quiet two")
        assert watcher.next_message(0.2) is None
        send_to_several(open_office, "stop", type="command")
        assert take(watcher, 2) == ["quiet two", "stop"]
        last = send_to_several(open_office, "quiet three")
        assert watcher.next_message(0.2) is None
    operator = open_office.client()
    assert operator.message(held, session="bob")["status"] == "delivered"
    assert operator.message(last, session="bob")["status"] == "pending"
    with watching(open_office) as other:
        assert take(other, 1) == ["quiet three"], "it was neither leased nor marked"


@pytest.mark.usefixtures("no_periodic_requests")
def test_held_mail_comes_when_another_readers_lease_of_other_mail_ends(open_office: PostOffice) -> None:
    open_office.session("cid")
    send_to_several(open_office, "quiet one")
    send(open_office, "for you")
    leased = open_office.client("bob").inbox(lease_ms=600, reader="another", since=1)
    assert [message["message"] for message in leased["messages"]] == ["for you"]
    with watching(open_office, hold_quiet=True) as watcher:
        assert watcher.next_message(0) is None
        assert take(watcher, 2) == ["quiet one", "for you"]


@pytest.mark.usefixtures("no_periodic_requests")
def test_held_mail_is_there_after_a_kill_of_the_broker(open_office: PostOffice) -> None:
    open_office.session("cid")
    with watching(open_office, hold_quiet=True) as watcher:
        send_to_several(open_office, "quiet one")
        assert watcher.next_message(0.2) is None
        open_office.kill()
        open_office.start()
        send(open_office, "for you")
        assert take(watcher, 2) == ["quiet one", "for you"]


def test_mail_that_another_reader_confirmed_is_not_shown_again(open_office: PostOffice) -> None:
    """The other reader had the lease, so the message is its own."""
    ids = send(open_office, "one", "two")
    bob = open_office.client("bob")
    bob.inbox(limit=1, lease_ms=500, reader="other")
    with watching(open_office) as watcher:
        assert take(watcher, 1) == ["two"]
        bob.confirm(ids[:1], "delivered")
        assert watcher.next_message(1.0) is None


def test_a_slow_consumer_does_not_show_mail_of_its_expired_lease(open_office: PostOffice) -> None:
    """The watcher requests mail in hand again after half of its lease."""
    ids = send(open_office, "one", "two", "three")
    bob = open_office.client("bob")
    with watching(open_office, lease_ms=300) as watcher:
        assert take(watcher, 1) == ["one"]

        def other_has_it() -> bool:
            found = bob.inbox(since=1, lease_ms=60_000, reader="other")
            return found["count"] == 2

        eventually(other_has_it, "the lease lapses")
        bob.confirm(ids[1:], "delivered", via="other")
        assert watcher.next_message(0.5) is None
    assert [open_office.look(message_id).get("deliveredVia") for message_id in ids] == ["watch", "other", "other"]


def test_a_message_shown_under_an_expired_lease_is_not_shown_twice(open_office: PostOffice) -> None:
    """The broker offers it again, but this watcher has shown it."""
    [first] = send(open_office, "one")
    bob = open_office.client("bob")
    with watching(open_office, lease_ms=200) as watcher:
        assert take(watcher, 1) == ["one"]
        eventually(lambda: bob.inbox(lease_ms=1, reader="other")["count"] == 1, "the lease lapses")
        send(open_office, "two")
        assert take(watcher, 1) == ["two"]
        assert watcher.next_message(0.3) is None
    assert open_office.status_of(first) == "delivered"


def test_two_watchers_share_a_mailbox(open_office: PostOffice) -> None:
    """Each message is shown by one of them."""
    count = 120
    taken: list[list[str]] = [[], []]
    total = threading.Semaphore(0)
    stop = threading.Event()

    def watch(into: list[str]) -> None:
        with watching(open_office) as watcher:
            while not stop.is_set():
                message = watcher.next_message(0.1)
                if message is not None:
                    into.append(message["message"])
                    total.release()

    threads = [threading.Thread(target=watch, args=(into,)) for into in taken]
    for thread in threads:
        thread.start()
    send(open_office, *map(str, range(count)))
    for _ in range(count):
        assert total.acquire(timeout=SOON_S)
    stop.set()
    for thread in threads:
        thread.join()
    assert sorted(taken[0] + taken[1], key=int) == [str(number) for number in range(count)]


# --- broker restarts -------------------------------------------------------------------------------------------


def test_it_waits_for_a_broker_that_died(open_office: PostOffice) -> None:
    """It reports the loss, starts no broker, and continues at its cursor."""
    states: list[str] = []
    with watching(open_office, on_state=states.append) as watcher:
        send(open_office, "one")
        assert take(watcher, 1) == ["one"]
        assert watcher.next_message(0.2) is None
        open_office.kill()
        assert watcher.next_message(0.8) is None
        assert find(open_office.data) is None
        assert states == ["connected", "caught up", "lost"]
        open_office.start()
        send(open_office, "two")
        assert take(watcher, 1) == ["two"]
        assert watcher.next_message(0.2) is None
        assert states[3:] == ["connected", "caught up"]


def test_an_unnoticed_restart_costs_nothing(open_office: PostOffice) -> None:
    """The broker stops and starts while the consumer is busy with a message."""
    first = send(open_office, "one")
    with watching(open_office) as watcher:
        assert take(watcher, 1) == ["one"]
        open_office.stop()
        open_office.start()
        send(open_office, "two")
        assert take(watcher, 1) == ["two"]
        assert watcher.flush() == 0
    assert statuses(open_office, first) == ["delivered"]


def test_confirmations_wait_for_the_broker(open_office: PostOffice) -> None:
    """Messages shown while no broker ran are confirmed once it is back, and no other reader shows them."""
    ids = send(open_office, *"abcde")
    with watching(open_office) as watcher:
        assert take(watcher, 2) == ["a", "b"]
        open_office.kill()
        # The watcher has these in hand already, so it needs no broker.
        assert take(watcher, 3) == ["c", "d", "e"]
        assert watcher.flush(0.5) > 0
        open_office.start()
        assert watcher.next_message(2.0) is None
        assert statuses(open_office, ids) == ["delivered"] * 5


def test_closing_while_the_broker_is_away(open_office: PostOffice) -> None:
    """Closing does not wait for a request's timeout. The next reader gets the unconfirmed messages."""
    send(open_office, "one")
    watcher = Watcher(open_office.data, open_office.environ, Caller("bob"))
    take(watcher, 1)
    open_office.kill()
    began_s = time.monotonic()
    watcher.close()
    assert time.monotonic() - began_s < watcher_module._REQUEST_TIMEOUT_S
    open_office.start()
    with watching(open_office) as again:
        assert take(again, 1) == ["one"]


def test_kills_under_a_stream(open_office: PostOffice) -> None:
    """Every message comes once and in order, through four SIGKILLs at random moments."""
    count = 400
    chance = random.Random(11)
    ann = open_office.client("ann", timeout_s=60.0, patient=True)
    stop = threading.Event()

    def stream() -> None:
        for number in range(count):
            ann.send("bob", str(number), message_id=f"m{number}")

    def kill() -> None:
        for _ in range(4):
            if stop.wait(chance.uniform(0.1, 0.6)):
                return
            open_office.kill()
            open_office.start()

    threads = [threading.Thread(target=stream), threading.Thread(target=kill)]
    with watching(open_office) as watcher:
        for thread in threads:
            thread.start()
        try:
            assert take(watcher, count, timeout_s=30.0) == [str(number) for number in range(count)]
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert watcher.next_message(0.3) is None
        assert watcher.flush() == 0
    assert open_office.client("bob").inbox()["pending"] == 0


def test_a_broker_that_comes_back_elsewhere(open_office: PostOffice) -> None:
    """Its sockets may have moved, so the endpoints file is read again."""
    with watching(open_office) as watcher:
        assert watcher.next_message(0.1) is None
        open_office.stop()
        open_office.environ["MAESTRO_RUNTIME_DIR"] = os.path.join(open_office.root, "elsewhere")
        open_office.start()
        send(open_office, "one")
        assert take(watcher, 1) == ["one"]


def test_a_broker_that_sleeps(open_office: PostOffice) -> None:
    """A silent broker is not lost, and nothing is shown twice when it continues."""
    with watching(open_office) as watcher:
        assert watcher.next_message(0.2) is None
        ids = send(open_office, "one")
        open_office.pause()
        try:
            assert watcher.next_message(1.0) is None
        finally:
            open_office.resume()
        assert take(watcher, 1) == ["one"]
        send(open_office, "two")
        assert take(watcher, 1) == ["two"]
        assert watcher.next_message(0.2) is None
    assert statuses(open_office, ids) == ["delivered"]


def test_a_data_directory_that_was_replaced(open_office: PostOffice) -> None:
    """Sequence numbers begin again, and the watcher begins again, too."""
    with watching(open_office) as watcher:
        send(open_office, "one", "two", "three")
        take(watcher, 3)
        assert watcher.next_message(0.2) is None
        open_office.stop()
        os.rename(open_office.data, os.path.join(open_office.root, "old"))
        open_office.start()
        open_office.sessions("ann", "bob")
        send(open_office, "new")
        assert take(watcher, 1) == ["new"]
        assert watcher.flush() == 0


# --- observers -------------------------------------------------------------------------------------------------


def test_an_observer_sees_everything_and_changes_nothing(open_office: PostOffice) -> None:
    """It sees mail of every status, strictly by number. The operator may observe any mailbox."""
    ids = send(open_office, "one", "two", "three")
    open_office.client("bob").confirm(ids[:1], "read")
    observer = Watcher(open_office.data, open_office.environ, Caller(), session="bob", confirm=False)
    with observer:
        assert take(observer, 3) == ["one", "two", "three"]
        send(open_office, "four")
        assert take(observer, 1) == ["four"]
        assert observer.next_message(0.1) is None
        assert observer.flush() == 0
    assert statuses(open_office, ids) == ["read", "pending", "pending"]
    assert open_office.client("bob").inbox(lease_ms=1, reader="other").get("leased", 0) == 0


def test_an_observer_goes_on_after_a_number_and_through_a_restart(open_office: PostOffice) -> None:
    """A stream of server-sent events does this after Last-Event-ID."""
    send(open_office, "one", "two")
    with watching(open_office, confirm=False, since=1) as observer:
        assert take(observer, 1) == ["two"]
        open_office.kill()
        open_office.start()
        send(open_office, "three")
        assert take(observer, 1) == ["three"]
        assert observer.next_message(0.2) is None


# --- refusals --------------------------------------------------------------------------------------------------


def failure(office: PostOffice, caller: Caller, **options: Any) -> MaestroError:
    with pytest.raises(MaestroError) as raised, Watcher(office.data, office.environ, caller, **options) as watcher:
        watcher.next_message(1.0)
    return raised.value


def test_a_caller_that_may_not_watch_is_refused(open_office: PostOffice) -> None:
    """A typed error comes at the start or with the first request."""
    open_office.session("cyd", token="secret")
    assert failure(open_office, Caller()).code == "NO_SESSION"
    assert failure(open_office, Caller("absent")).code == "UNKNOWN_SESSION"
    assert failure(open_office, Caller("cyd")).code == "TOKEN_REQUIRED"
    assert failure(open_office, Caller("cyd", "wrong")).code == "TOKEN_MISMATCH"
    assert failure(open_office, Caller("ann"), session="bob").code == "FORBIDDEN"
    assert failure(open_office, Caller(), session="absent").code == "SESSION_NOT_FOUND"
    assert failure(open_office, Caller("bob"), lease_ms=10**9).code == "INVALID"


def test_a_confirmation_that_is_refused_for_good(open_office: PostOffice) -> None:
    """It is raised when the consumer asks for the next message and when it closes, but never hides its own error."""
    send(open_office, "one")
    watcher = Watcher(open_office.data, open_office.environ, Caller("bob"), via="x" * 65)
    take(watcher, 1)
    for call in (lambda: watcher.next_message(1.0), watcher.flush, watcher.close):
        with pytest.raises(MaestroError) as raised:
            call()
        assert raised.value.code == "INVALID"
    send(open_office, "two")
    with pytest.raises(ZeroDivisionError):
        _fail(Watcher(open_office.data, open_office.environ, Caller("bob"), via="x" * 65), took=1)


def test_a_refused_confirmation_costs_no_message(open_office: PostOffice) -> None:
    """The refusal is raised between two messages, never instead of one."""
    count = 600
    send(open_office, *map(str, range(count)))
    texts: list[str] = []
    refusals = 0
    watcher = Watcher(open_office.data, open_office.environ, Caller("bob"), via="x" * 65)
    while len(texts) < count:
        try:
            texts += take(watcher, 1)
        except MaestroError as error:
            assert error.code == "INVALID"
            refusals += 1
    assert texts == [str(number) for number in range(count)]
    assert refusals
    with pytest.raises(MaestroError):
        watcher.close()


def _fail(watcher: Watcher, *, took: int) -> None:
    """A consumer that fails after it took some messages."""
    with watcher:
        take(watcher, took)
        raise ZeroDivisionError


@pytest.mark.usefixtures("no_periodic_requests")
def test_a_session_can_be_given_by_name(open_office: PostOffice) -> None:
    """The name is resolved to an id, because topics of notices contain ids only."""
    open_office.client().start_session("sess_1", name="builder")
    with Watcher(open_office.data, open_office.environ, Caller(), session="builder") as watcher:
        assert watcher.next_message(0.1) is None
        send(open_office, "one", to="builder")
        assert take(watcher, 1) == ["one"]


def test_without_autostart_no_broker_is_started(post_office: PostOffice) -> None:
    """The first connection fails with a typed error."""
    post_office.environ["MAESTRO_AUTOSTART"] = "0"
    assert failure(post_office, Caller("bob")).code == "BROKER_UNREACHABLE"


def test_the_first_connection_may_start_one(post_office: PostOffice) -> None:
    """Later connections may not."""
    post_office.start()
    post_office.sessions("ann", "bob")
    post_office.stop()
    with watching(post_office) as watcher:
        pid = post_office.pid
        end_process(pid, signal.SIGKILL)
        assert watcher.next_message(0.6) is None
        assert find(post_office.data) is None


FORKED = """
import os
from maestro_clients.protocol.callers import Caller
from maestro_clients.mailbox.watcher import Watcher
from maestro_schemas.errors import MaestroError
watcher = Watcher(os.environ["MAESTRO_DATA_DIR"], os.environ, Caller("bob"))
assert watcher.next_message(5.0)["message"] == "one"
child = os.fork()
if child == 0:
    try:
        watcher.next_message(0.0)
    except MaestroError as error:
        assert error.code == "BAD_REQUEST"
        watcher.close()
        os._exit(7)
    os._exit(1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert watcher.next_message(5.0)["message"] == "two"
watcher.close()
"""


def test_a_forked_child_is_refused(open_office: PostOffice) -> None:
    """The parent's watcher goes on."""
    ids = send(open_office, "one", "two")
    done = subprocess.run(
        [sys.executable, "-c", FORKED],
        env=open_office.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert statuses(open_office, ids) == ["delivered", "delivered"]


def test_many_watchers_in_one_process(open_office: PostOffice) -> None:
    """Each gets its own mail."""
    names = [f"w{number}" for number in range(20)]
    open_office.sessions(*names)
    taken: dict[str, list[str]] = {name: [] for name in names}

    def watch(name: str) -> None:
        with watching(open_office, name) as watcher:
            taken[name] = take(watcher, 10, timeout_s=30.0)

    threads = [threading.Thread(target=watch, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for number in range(10):
        for name in names:
            send(open_office, f"{name} {number}", to=name)
    for thread in threads:
        thread.join()
    assert taken == {name: [f"{name} {number}" for number in range(10)] for name in names}


def test_a_session_that_ends_ends_its_watch(open_office: PostOffice) -> None:
    """It ends after the pending mail, or at once if the session had ended before."""
    with open_office.client("ann") as ann, open_office.client() as operator:
        ann.send("bob", "last words")
        with Watcher(open_office.data, open_office.environ, Caller("bob")) as watcher:
            operator.end_session("bob")
            message = watcher.next_message(10.0)
            assert message is not None
            assert message["message"] == "last words"
            with pytest.raises(MaestroError, match="has ended"):
                watcher.next_message(10.0)
        with (
            Watcher(open_office.data, open_office.environ, Caller("bob")) as late,
            pytest.raises(MaestroError, match="has ended"),
        ):
            late.next_message(10.0)
