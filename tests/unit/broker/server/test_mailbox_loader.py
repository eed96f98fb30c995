"""Readings: a mailbox that is read step by step is what it would be, read at once, whatever happens meanwhile."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maestro_broker.core.model.reads import Read
from maestro_broker.core.model.records import Deleted
from maestro_broker.server.mailbox_loader import MailboxLoader
from maestro_broker.transport.listener import IncomingRequest
from maestro_broker.views import mailbox_scan
from maestro_broker.views.spool import Spool
from maestro_schemas.limits import Limits
from support.offices import Office, evict

UNLIMITED = Limits(rate_limit=0)
STATUSES = ["pending", "delivered", "read", "expired", "failed"]


class Post:
    """An office whose spool is on the disk."""

    def __init__(self, data: str, limits: Limits = UNLIMITED) -> None:
        self.office = Office(limits)
        self.reports: list[str] = []
        self.spool = Spool(data, self.reports.append)
        self.readings = MailboxLoader(self.spool)
        self.directory = self.spool.mailbox_dir("bob")
        self.sent = 0
        self.office.start("ann", role="orchestrator")
        self.office.start("bob")

    def send(self) -> str:
        self.sent += 1
        self.office.now_ms += 1
        message_id = f"msg_{self.office.now_ms}_{self.sent}"
        return self.office.accept("ann", "bob", message_id).id

    def file(self, count: int | None = None) -> None:
        """What the filer does."""
        for change in self.office.unfiled[:count]:
            if isinstance(change.record, Deleted):
                self.spool.remove_message(change.record.mailbox, change.record.id)
            elif change.message is not None:
                self.spool.write_message(change.message)
        self.office.file(count)

    def forget(self) -> None:
        """Nothing of the mailbox is in memory."""
        self.file()
        evict(self.office.state.mailbox("bob"), self.office.now_ms)
        assert self.office.state.mailbox("bob").held == 0

    def is_read(self, kind: Any = "pending") -> bool:
        return self.readings.is_loaded(self.office.state, Read(kind, "bob", ""), self.office.now_ms)

    def read_on(self) -> int:
        """To the end; the number of steps."""
        steps = 0
        while self.readings.is_loading:
            self.readings.advance(self.office.state, self.office.now_ms)
            steps += 1
        return steps

    def ids(self) -> list[str]:
        return [message.id for message in self.office.inbox("bob")]


@pytest.fixture
def post(tmp_path: Any) -> Post:
    return Post(str(tmp_path))


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk on which a step is as short as it can be."""
    monkeypatch.setattr(mailbox_scan, "STEP_S", 0.0)


def test_a_small_mailbox_delays_no_other_request(post: Post) -> None:
    sent = [post.send() for _ in range(3)]
    post.forget()
    assert post.is_read()
    assert not post.readings.is_loading
    assert post.ids() == sent


def test_only_the_pending_ones_are_read(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = [post.send() for _ in range(300)]
    post.office.confirm("bob", "delivered", *sent[:150])
    post.office.confirm("bob", "read", *sent[150:297])
    post.forget()
    opened: list[str] = []
    read_file = post.spool.read_file

    def read(directory: str, name: str, session: str) -> Any:
        opened.append(name)
        return read_file(directory, name, session)

    monkeypatch.setattr(post.spool, "read_file", read)
    post.is_read()
    post.read_on()
    assert post.ids() == sent[297:]
    assert len(opened) == 3
    assert len(post.office.inbox("bob", status=STATUSES)) == 300


@pytest.mark.usefixtures("slow")
def test_a_large_mailbox_is_read_in_steps(post: Post) -> None:
    sent = [post.send() for _ in range(mailbox_scan._READ_AT_ONCE * 5)]
    post.forget()
    assert not post.is_read()
    assert not post.is_read()
    post.readings.wait("bob", IncomingRequest(b"peer", 0, []))
    waiting = []
    steps = 0
    while post.readings.is_loading:
        waiting += post.readings.advance(post.office.state, post.office.now_ms)
        steps += 1
    assert steps == 4
    assert [arrival.peer for arrival in waiting] == [b"peer"]
    assert post.ids() == sent


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("mode", [0o400, 0o600])
def test_lost_modes_lose_no_mail(post: Post, mode: int) -> None:
    sent = [post.send() for _ in range(mailbox_scan._READ_AT_ONCE)]
    post.office.confirm("bob", "delivered", sent[0])
    post.forget()
    for name in os.listdir(post.directory):
        os.chmod(os.path.join(post.directory, name), mode)
    assert post.is_read() is (mode == 0o600)
    post.read_on()
    assert post.ids() == sent[1:]
    assert post.office.state.take_counter_mismatches() == []


def test_counters_that_fit_no_file_are_counted_again(post: Post) -> None:
    sent = [post.send() for _ in range(3)]
    post.forget()
    os.unlink(os.path.join(post.directory, f"{sent[1]}.json"))
    assert not post.is_read()
    post.read_on()
    assert post.ids() == [sent[0], sent[2]]
    assert post.office.state.mailbox("bob").pending == 2
    assert post.office.state.take_counter_mismatches() == ["bob"]


@pytest.mark.usefixtures("slow")
def test_all_is_asked_for_while_the_pending_are_read(post: Post) -> None:
    sent = [post.send() for _ in range(100)]
    post.office.confirm("bob", "delivered", sent[0])
    post.forget()
    assert not post.is_read("pending")
    assert not post.is_read("mailbox")
    post.read_on()
    assert post.office.state.mailbox("bob").complete
    assert len(post.office.inbox("bob", status=STATUSES)) == 100


@pytest.mark.usefixtures("slow")
def test_a_few_at_once_and_the_others_in_turn(post: Post) -> None:
    names = [f"w{number}" for number in range(9)]
    for name in names:
        post.office.start(name)
        for number in range(60):
            post.office.accept("ann", name, f"{name}_{number}")
    post.file()
    for name in names:
        evict(post.office.state.mailbox(name), post.office.now_ms)
    for name in names:
        assert not post.readings.is_loaded(post.office.state, Read("pending", name, ""), post.office.now_ms)
    # One that has not begun yet may still be asked for as a whole.
    assert not post.readings.is_loaded(post.office.state, Read("mailbox", "w8", ""), post.office.now_ms)
    post.readings.advance(post.office.state, post.office.now_ms)
    being_read = [name for name in names if post.office.state.mailbox(name).being_read]
    assert len(being_read) == 4
    post.read_on()
    assert all(post.office.state.mailbox(name).loaded for name in names)
    assert post.office.state.mailbox("w8").complete


def test_many_small_mailboxes_are_not_read_in_one_turn(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand clients come back at once: the first few are answered, the others wait for other turns."""
    names = [f"w{number}" for number in range(50)]
    for name in names:
        post.office.start(name)
        post.office.accept("ann", name, f"{name}_0")
    post.file()
    for name in names:
        evict(post.office.state.mailbox(name), post.office.now_ms)
    spent = iter(range(10_000))
    monkeypatch.setattr("maestro_broker.server.mailbox_loader.time.perf_counter", lambda: next(spent) * 0.0001)
    is_read = [post.readings.is_loaded(post.office.state, Read("pending", name, ""), 0) for name in names]
    assert is_read == sorted(is_read, reverse=True)
    assert 1 < sum(is_read) < 10
    assert 5 < post.read_on() < 40
    assert all(post.office.state.mailbox(name).loaded for name in names)


def test_memory_is_bounded_while_mailboxes_come_in(tmp_path: Any) -> None:
    """Also where each is read at once; and one that is larger than the bound is served all the same."""
    post = Post(str(tmp_path), UNLIMITED._replace(loaded_messages_max=10))
    names = [f"w{number}" for number in range(20)]
    for name in names:
        post.office.start(name)
        for number in range(12):
            post.office.accept("ann", name, f"{name}_{number}")
    post.file()
    state = post.office.state
    for name in names:
        evict(state.mailbox(name), post.office.now_ms)
    for name in names:
        post.office.now_ms += 1
        need = Read("pending", name, "")
        if not post.readings.is_loaded(state, need, post.office.now_ms):
            post.read_on()
        assert len(post.office.inbox(name)) == 12
        post.readings.advance(state, post.office.now_ms)
        assert sum(state.mailbox(each).held for each in names) <= 12


def test_much_idle_mail_is_not_evicted_in_one_turn(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"w{number}" for number in range(50)]
    for name in names:
        post.office.start(name)
        post.office.accept("ann", name, f"{name}_0")
    post.file()
    state = post.office.state
    post.office.now_ms += state.limits.mailbox_idle_ms + 1
    spent = iter(range(10_000))
    monkeypatch.setattr("maestro_broker.server.mailbox_loader.time.perf_counter", lambda: next(spent) * 0.0001)
    post.readings.evict(state, post.office.now_ms)
    turns = 1
    while post.readings.has_work:
        held = sum(state.mailbox(name).held for name in names)
        assert held > 0, "it goes on while there is mail, and not longer"
        assert post.readings.advance(state, post.office.now_ms) == []
        turns += 1
    assert 2 < turns < 10
    assert not any(state.mailbox(name).held for name in names)


def test_the_mailbox_of_no_session(post: Post) -> None:
    post.office.state.adopt_mailbox("ghost")
    assert post.readings.is_loaded(post.office.state, Read("mailbox", "ghost", ""), post.office.now_ms)
    assert post.readings.advance(post.office.state, post.office.now_ms) == []


def test_memory_holds_what_was_touched_last(tmp_path: Any) -> None:
    post = Post(str(tmp_path), UNLIMITED._replace(loaded_messages_max=100))
    for name in ("w0", "w1", "w2"):
        post.office.start(name)
        for number in range(60):
            post.office.now_ms += 1
            post.office.accept("ann", name, f"{name}_{number}")
    post.file()
    mailboxes = [post.office.state.mailbox(name) for name in ("w0", "w1", "w2")]
    leased = post.office.inbox("w0", limit=2, lease_ms=1_000, reader="r")
    mailboxes[0].touched_ms = 0
    evict(post.office.state, post.office.now_ms)
    assert [mailbox.held for mailbox in mailboxes] == [2, 0, 60]
    assert not mailboxes[0].loaded
    assert len(post.office.inbox("w0", lease_ms=1_000, reader="other")) == 58
    assert len(leased) == 2


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_what_happens_during_a_reading_is_not_undone(data: st.DataObject) -> None:
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(mailbox_scan, "STEP_S", 0.0)
        patch.setattr(mailbox_scan, "_READ_AT_ONCE", 2)
        patch.setattr(mailbox_scan, "_LIST_AT_ONCE", 3)
        post = Post(directory)
        truth: dict[str, str] = {}
        for _ in range(data.draw(st.integers(1, 12))):
            truth[post.send()] = "pending"
        done = data.draw(st.sets(st.sampled_from(sorted(truth))))
        post.office.confirm("bob", "read", *done)
        truth |= dict.fromkeys(done, "read")
        post.forget()
        whole = data.draw(st.booleans())
        read = post.is_read("mailbox" if whole else "pending")
        stack.callback(post.readings.close)
        while not read:
            match data.draw(st.sampled_from(["step", "step", "send", "confirm", "delete", "file"])):
                case "step":
                    post.readings.advance(post.office.state, post.office.now_ms)
                    read = not post.readings.is_loading
                case "send":
                    truth[post.send()] = "pending"
                case "confirm" if truth:
                    chosen = data.draw(st.sampled_from(sorted(truth)))
                    post.office.confirm("bob", "delivered", chosen)
                    truth[chosen] = "delivered" if truth[chosen] == "pending" else truth[chosen]
                case "delete" if truth:
                    chosen = data.draw(st.sampled_from(sorted(truth)))
                    post.office.delete("bob", chosen)
                    del truth[chosen]
                case "file":
                    post.file(data.draw(st.integers(1, 5)))
        mailbox = post.office.state.mailbox("bob")
        assert mailbox.loaded
        assert set(post.ids()) == {name for name, status in truth.items() if status == "pending"}
        assert mailbox.pending == sum(status == "pending" for status in truth.values())
        if whole:
            assert mailbox.complete
            page = mailbox.page(
                since=None,
                limit=99,
                statuses=frozenset(STATUSES),
                kind=None,
                reader=None,
                now_ms=0,
                bytes_max=1 << 20,
            )
            assert {message.id: message.status for message in page.messages} == truth
        post.file()
        assert mailbox.unfiled == 0
        assert post.reports == []
        assert post.office.state.take_counter_mismatches() == []
