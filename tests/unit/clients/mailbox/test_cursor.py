"""The mail cursor against the broker's core: a watcher takes every available message, and none twice.

This holds whatever is lost, late, repeated, leased by another reader, deleted or restarted, in any order.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from maestro_broker.core.model import records
from maestro_clients.mailbox.cursor import AGAIN_S, CONFIRM_COUNT, LOOK_EVERY_S, PAGE_MESSAGES, MailCursor
from maestro_schemas.limits import Limits
from maestro_schemas.requests import Confirm, Delete, Identity, Inbox
from support.offices import Office

if TYPE_CHECKING:
    from maestro_schemas.documents import EventDoc

LEASE_MS = 4_000
OTHER_LEASE_MS = 2_500
LIMITS = Limits(rate_limit=0, reply_messages_max=3, retention_ms=1 << 40)
STATUSES = ["pending", "delivered", "read", "failed", "expired"]


def wire(reply: Any) -> Any:
    """A reply in the form in which a client receives it."""
    return msgspec.to_builtins(reply)


class Watching(RuleBasedStateMachine):
    """One watcher of `bob`, another reader of the same mailbox, and a broker that may crash."""

    leasing = True
    hold_quiet = False

    def __init__(self) -> None:
        super().__init__()
        self.office = Office(LIMITS)
        for name in ("ann", "bob", "cid"):
            self.office.start(name)
        self.cursor = MailCursor(
            "bob",
            reader="watcher" if self.leasing else None,
            lease_ms=LEASE_MS if self.leasing else 0,
            confirm_max=4,
            hold_quiet=self.hold_quiet,
        )
        self.notices: deque[dict[str, Any]] = deque()
        self.published = len(self.office.journal)
        self.replies: deque[tuple[str, Any]] = deque()
        self.asked: set[str] = set()
        self.taken: list[tuple[str, int]] = []
        self.accepted: dict[str, int] = {}
        # No reader may take these any more: they are deleted, expired or confirmed by the other reader.
        self.gone: set[str] = set()
        self.others: list[str] = []

    @property
    def now_s(self) -> float:
        return self.office.now_ms / 1000

    def publish(self) -> None:
        for body in self.office.journal[self.published :]:
            event = records.event(self.published + 1, records.decode(body))
            self.published += 1
            self.notices.append(wire(event))

    # --- other clients -------------------------------------------------------------------------------------

    @rule(count=st.integers(1, 4), ttl_ms=st.none() | st.just(3_000))
    def send(self, count: int, ttl_ms: int | None) -> None:
        """Mail arrives; some of it has a short TTL."""
        for _ in range(count):
            self.accept("bob", ttl_ms)
        self.publish()

    def accept(self, to: str | list[str], ttl_ms: int | None = None) -> str:
        """One message; its id."""
        result = self.office.accept("ann", to, f"m{len(self.accepted)}", ttl_ms=ttl_ms)
        seq = result.recipients[0].seq if result.recipients else result.seq
        assert seq is not None
        self.accepted[result.id] = seq
        return result.id

    @rule(count=st.integers(1, 3))
    def lease_away(self, count: int) -> None:
        """Another reader leases some of it."""
        request = Inbox(
            who=Identity("bob"), limit=count, lease_ms=OTHER_LEASE_MS, reader="other", since=0, status=["pending"]
        )
        self.others = [message.id for message in self.office.do(request).messages]

    @rule()
    def other_confirms(self) -> None:
        """The other reader has shown its mail and confirms it."""
        self.others = [message_id for message_id in self.others if message_id not in self.gone]
        if self.others:
            self.office.do(Confirm(who=Identity("bob"), ids=self.others, kind="delivered"))
            self.gone.update(self.others)
            self.publish()

    @rule(pick=st.integers(0, 50))
    def delete(self, pick: int) -> None:
        """The owner deletes a message."""
        left = [message_id for message_id in self.accepted if message_id not in self.gone]
        if left:
            chosen = left[pick % len(left)]
            self.office.do(Delete(who=Identity("bob"), ids=[chosen]))
            self.gone.add(chosen)
            self.publish()

    @rule(by_ms=st.sampled_from([10, 400, 1_500, 3_000, 6_000]))
    def wait(self, by_ms: int) -> None:
        """Time passes, and messages past their TTL expire."""
        self.office.now_ms += by_ms
        self.office.expire_due()
        for body in self.office.journal[self.published :]:
            record = records.decode(body)
            if isinstance(record, records.Expired):
                self.gone.add(record.id)
        self.publish()

    @rule(count=st.integers(1, 5))
    def lose_notices(self, count: int) -> None:
        """Some notices are lost. The cursor must not depend on them."""
        for _ in range(min(count, len(self.notices))):
            self.notices.pop()

    @rule()
    def file(self) -> None:
        """The spool writer catches up, so that mail may leave memory."""
        self.office.file()

    # --- the watcher ---------------------------------------------------------------------------------------

    @rule()
    def hear(self) -> None:
        """The pending notices arrive."""
        while self.notices:
            self.cursor.notice(self.notices.popleft())  # type: ignore[arg-type]

    @rule(twice=st.booleans())
    def ask_for_a_page(self, twice: bool) -> None:
        """The answer waits in the socket. With `twice`, the first answer was lost and the request was repeated."""
        if "page" in self.asked or not self.cursor.fetch_due(self.now_s):
            return
        body = self.cursor.request(self.now_s)
        request = msgspec.convert({**body, "as": {"session": "bob"}}, Inbox)
        for _ in range(1 + twice):
            reply = self.office.do(request)
        self.asked.add("page")
        self.replies.append(("page", wire(reply)))

    @rule(idle=st.booleans())
    def ask_to_confirm(self, idle: bool) -> None:
        """At most one confirmation is in flight."""
        if "confirm" in self.asked:
            return
        ids = self.cursor.confirm_due(self.now_s, idle=idle)
        if ids:
            assert len(ids) <= 4
            reply = self.office.do(Confirm(who=Identity("bob"), ids=list(ids), kind="delivered", session="bob"))
            self.asked.add("confirm")
            self.replies.append(("confirm", wire(reply)["results"]))
            self.publish()

    @rule()
    def answers_arrive(self) -> None:
        """The watcher takes a page before a confirmation."""
        for kind, reply in sorted(self.replies, key=lambda item: item[0] != "page"):
            if kind == "page":
                self.cursor.page(reply, self.now_s)
            else:
                self.cursor.confirmed(reply, self.now_s)
        self.replies.clear()
        self.asked.clear()

    @rule(crash=st.booleans())
    def reconnect(self, crash: bool) -> None:
        """The connection breaks and the answers in flight are lost. With `crash` the broker was killed, and its
        leases are lost."""
        if crash:
            self.office.crash()
            self.others = []
        self.replies.clear()
        self.asked.clear()
        self.notices.clear()
        self.cursor.confirm_failed(self.now_s, 0.0)
        self.cursor.reconnected()
        self.notices.append({"event": "head", "lsn": 0, "at": 0, "seq": self.head_seq()})

    @rule()
    def a_request_is_refused_for_now(self) -> None:
        """The broker answers 503, so the cursor asks again later."""
        if "page" in self.asked:
            self.replies = deque(item for item in self.replies if item[0] != "page")
            self.asked.discard("page")
            self.cursor.fetch_failed(self.now_s, AGAIN_S)

    @rule(count=st.integers(1, 4))
    def take(self, count: int) -> None:
        """The consumer asks for its next messages."""
        for _ in range(count):
            self.cursor.came_back(self.now_s)
            message = self.cursor.take(self.now_s)
            if message is None:
                return
            self.taken.append((message["id"], message["seq"]))

    @rule(count=st.integers(1, 4))
    def serve(self, count: int) -> None:
        """Nothing fails for a moment."""
        self.answers_arrive()
        self.hear()
        self.ask_for_a_page(twice=False)
        self.answers_arrive()
        self.take(count)

    @rule(by_ms=st.sampled_from([0, LEASE_MS // 2 + 10, LEASE_MS + 10]), crash=st.booleans())
    def slow_consumer(self, by_ms: int, crash: bool) -> None:
        """The consumer holds mail, shown or not yet shown, for longer than its lease or than the broker lives."""
        self.send(3, None)
        self.serve(2)
        self.wait(by_ms)
        if crash:
            self.reconnect(crash=True)
        self.lease_away(2)
        self.serve(4)

    def head_seq(self) -> int:
        return self.office.do(Inbox(who=Identity("bob"), limit=1)).head_seq  # type: ignore[no-any-return]

    @invariant()
    def none_twice(self) -> None:
        """Promise 1: no message is taken twice."""
        assert len({message_id for message_id, _ in self.taken}) == len(self.taken)

    def teardown(self) -> None:
        """Promise 2: after a time without faults, the watcher has taken every available message."""
        self.answers_arrive()
        for _ in range(400):
            self.hear()
            self.ask_to_confirm(idle=True)
            self.ask_for_a_page(twice=False)
            self.answers_arrive()
            self.take(10)
            if self.cursor.caught_up:
                self.wait(int(LOOK_EVERY_S * 1000))
            else:
                self.office.now_ms += int(AGAIN_S * 1000)
            if not self.cursor.unconfirmed and self.missing() == set():
                break
        self.none_twice()
        assert self.missing() == set()
        if self.leasing:
            left = self.office.inbox("bob", status=["pending"])
            current = self.taken[-1][0] if self.taken else None
            assert {message.id for message in left} <= {current}

    def missing(self) -> set[str]:
        taken = {message_id for message_id, _ in self.taken}
        return {message_id for message_id in self.accepted if message_id not in taken | self.gone}


class Observing(Watching):
    """The same for an observer: mail of every status, strictly in order."""

    leasing = False

    @invariant()
    def in_order(self) -> None:
        """The observer sees messages in the order of their sequence numbers."""
        seqs = [seq for _, seq in self.taken]
        assert seqs == sorted(seqs)

    def missing(self) -> set[str]:
        # An observer sees confirmed and expired mail, but no deleted mail.
        there = {message.id for message in self.office.inbox("bob", status=STATUSES, since=0, limit=3)}
        return (super().missing() | there) - {message_id for message_id, _ in self.taken}


class Holding(Watching):
    """The same for a reader that quiet mail does not wake: it takes no page of quiet mail alone, and misses none."""

    hold_quiet = True

    def __init__(self) -> None:
        super().__init__()
        self.quiet: set[str] = set()

    @rule(count=st.integers(1, 4), ttl_ms=st.none() | st.just(3_000))
    def send_to_several(self, count: int, ttl_ms: int | None) -> None:
        """Quiet mail arrives."""
        for _ in range(count):
            self.quiet.add(self.accept(["bob", "cid"], ttl_ms))
        self.publish()

    @rule()
    def answers_arrive(self) -> None:
        """No page is one of quiet mail alone, except where other mail is behind it."""
        for kind, reply in self.replies:
            if kind == "page" and reply["messages"] and not reply["hasMore"]:
                assert {message["id"] for message in reply["messages"]} - self.quiet
        super().answers_arrive()

    def teardown(self) -> None:
        """The next loud message brings all that no other reader leases."""
        self.wait(LEASE_MS + 10)
        self.send(1, None)
        super().teardown()


TestHolding = pytest.mark.slow(Holding.TestCase)
TestHolding.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestWatching = pytest.mark.slow(Watching.TestCase)
TestWatching.settings = settings(max_examples=250, stateful_step_count=60, deadline=None)
TestObserving = pytest.mark.slow(Observing.TestCase)
TestObserving.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


# --- single rules ----------------------------------------------------------------------------------------------


def message(seq: int) -> dict[str, Any]:
    return {
        "id": f"m{seq}",
        "from": "ann",
        "to": "bob",
        "message": "x",
        "status": "pending",
        "seq": seq,
        "createdAt": 1,
    }


def page(*seqs: int, head: int | None = None, up_to: int | None = None, **more: Any) -> Any:
    head = max(seqs, default=0) if head is None else head
    base = {"messages": [message(seq) for seq in seqs], "count": len(seqs), "hasMore": False, "pending": len(seqs)}
    return {**base, "headSeq": head, "upTo": head if up_to is None else up_to, **more}


def event(seq: int, *, name: str = "message.accepted", to: str = "bob") -> EventDoc:
    return {"event": name, "to": to, "seq": seq, "lsn": 1, "at": 1}


def leasing(**fields: Any) -> MailCursor:
    return MailCursor("bob", reader="me", **{"lease_ms": 30_000, **fields})


def fill(cursor: MailCursor, reply: Any, now_s: float = 0.0) -> None:
    cursor.request(now_s)
    cursor.page(reply, now_s)


def test_it_asks_at_the_start_and_after_a_notice() -> None:
    """It also asks periodically, because a notice may be lost."""
    cursor = leasing()
    assert cursor.fetch_due(0.0)
    body = cursor.request(0.0)
    assert body["since"] == 0
    assert body["limit"] == PAGE_MESSAGES
    cursor.page(page(head=4), 0.0)
    assert cursor.caught_up
    assert not cursor.fetch_due(1.0)
    cursor.notice(event(4))
    cursor.notice(event(9, to="another session"))
    cursor.notice(event(9, name="message.delivered"))
    assert not cursor.fetch_due(1.0)
    cursor.notice(event(5))
    assert cursor.fetch_due(1.0)
    fill(cursor, page(head=5), 1.0)
    assert not cursor.fetch_due(1.0 + LOOK_EVERY_S - 0.1)
    assert cursor.fetch_due(1.0 + LOOK_EVERY_S + 0.1)


def test_a_notice_that_overtakes_the_page_is_not_forgotten() -> None:
    """The notice comes after the request for the page, and names a number that the page does not contain."""
    cursor = leasing()
    cursor.request(0.0)
    cursor.notice(event(3))
    cursor.page(page(1, 2), 0.0)
    while cursor.take(0.0):
        pass
    assert cursor.fetch_due(0.0)


def test_a_mailbox_whose_numbers_went_back_is_read_from_its_beginning() -> None:
    """Numbers fall when the data directory is replaced under a running watcher."""
    cursor = leasing()
    fill(cursor, page(7, 8))
    assert cursor.take(0.0) is not None
    cursor.came_back(0.0)
    cursor.reconnected()
    cursor.notice(event(2, name="head"))
    cursor.request(0.0)
    cursor.page(page(head=2), 0.0)
    assert cursor.fetch_due(0.0)
    assert cursor.request(0.0)["since"] == 0
    assert cursor.unconfirmed == 0


def test_mail_in_hand_is_requested_again_after_half_its_lease() -> None:
    """The consumer has the first half of the lease to begin showing the message."""
    cursor = leasing()
    fill(cursor, page(1, 2, 3))
    first = cursor.take(14.0)
    assert first is not None
    assert cursor.take(15.1) is None
    assert cursor.fetch_due(15.1)
    assert cursor.request(15.1)["since"] == 1


def test_a_repeated_request_does_not_skip_mail_leased_by_another_reader() -> None:
    """The cursor stood before that mail and stays there."""
    cursor = leasing()
    fill(cursor, page(2, 3, head=3, up_to=0, leased=1, leaseEndsInMs=60_000))
    assert cursor.take(0.0) is not None
    assert cursor.take(20.0) is None
    assert cursor.request(20.0)["since"] == 0


def test_a_short_lease_lets_mail_through() -> None:
    """The cursor gives out one message a page, rather than none for ever. It drops a page that took longer than its
    lease."""
    cursor = leasing(lease_ms=100)
    cursor.request(5.0)
    cursor.page(page(1, 2), 5.06)
    assert cursor.take(5.06) is not None
    assert cursor.take(5.06) is None
    cursor.request(6.0)
    cursor.page(page(2), 6.2)
    assert cursor.take(6.2) is None
    assert cursor.fetch_due(6.2)


def test_leased_mail_is_requested_when_its_lease_ends() -> None:
    """The request comes neither before that nor much later."""
    cursor = leasing()
    fill(cursor, page(head=3, up_to=0, leased=3, leaseEndsInMs=700))
    assert not cursor.fetch_due(0.69)
    assert cursor.fetch_due(0.72)
    assert cursor.request(0.72)["since"] == 0


def test_a_page_of_unconfirmed_mail_is_not_requested_in_a_loop() -> None:
    """Behind another reader's lease, the broker returns only messages that were taken already."""
    cursor = leasing()
    stuck = {"head": 9, "up_to": 0, "leased": 1, "leaseEndsInMs": 60_000, "hasMore": True}
    fill(cursor, page(2, 3, **stuck))
    while cursor.take(0.0):
        cursor.came_back(0.0)
    fill(cursor, page(2, 3, **stuck))
    assert not cursor.fetch_due(AGAIN_S / 2)
    assert not cursor.caught_up
    assert cursor.fetch_due(AGAIN_S)


def test_confirmations_are_batched() -> None:
    """An idle consumer's are sent at once; a busy consumer's after 64 messages or one second."""
    cursor = leasing(confirm_max=256)
    fill(cursor, page(*range(1, 200)))
    now_s = 0.0

    def take(count: int) -> None:
        for _ in range(count):
            assert cursor.take(now_s) is not None
            cursor.came_back(now_s)

    take(CONFIRM_COUNT - 1)
    assert cursor.confirm_due(now_s, idle=False) == []
    take(1)
    ids = cursor.confirm_due(now_s, idle=False)
    assert ids == [f"m{seq}" for seq in range(1, CONFIRM_COUNT + 1)]
    take(CONFIRM_COUNT)
    assert cursor.confirm_due(now_s, idle=True) == []  # one at a time
    cursor.confirmed([{"id": message_id, "status": 200} for message_id in ids], now_s)
    assert len(cursor.confirm_due(now_s, idle=True)) == CONFIRM_COUNT
    cursor.confirm_failed(now_s, 0.5)
    assert cursor.unconfirmed == CONFIRM_COUNT
    assert cursor.next_confirm_s() == 0.5
    assert cursor.confirm_due(0.4, idle=True) == []
    again = cursor.confirm_due(0.5, idle=True)
    assert again[0] == f"m{CONFIRM_COUNT + 1}"
    cursor.confirmed([{"id": message_id, "status": 200} for message_id in again], 0.5)
    now_s = 0.6
    take(1)
    assert cursor.confirm_due(1.5, idle=False) == []
    assert len(cursor.confirm_due(1.61, idle=False)) == 1


def test_a_consumer_that_does_not_come_back_confirms_nothing() -> None:
    """The consumer may have died while it held the message, so the lease is given back."""
    cursor = leasing()
    fill(cursor, page(1, 2))
    assert cursor.take(0.0) is not None
    assert cursor.confirm_due(99.0, idle=True) == []
    request = cursor.give_back()
    assert request is not None
    assert (request["since"], request["limit"], request["leaseMs"]) == (0, 2, 1)
    cursor.came_back(0.0)
    assert cursor.take(0.0) is not None
    cursor.came_back(0.0)
    assert cursor.give_back() is None


def test_a_transient_refusal_of_a_confirmation_is_retried_and_a_permanent_one_is_not() -> None:
    """Deleted or expired mail is no longer pending, so there is nothing left to confirm."""
    cursor = leasing()
    fill(cursor, page(1, 2, 3))
    while cursor.take(0.0):
        cursor.came_back(0.0)
    ids = cursor.confirm_due(0.0, idle=True)
    assert len(ids) == 3
    errors: Any = [
        {"id": "m1", "status": 503, "error": {"code": "STORAGE_FULL", "message": ""}},
        {"id": "m2", "status": 404, "error": {"code": "MESSAGE_NOT_FOUND", "message": ""}},
        {"id": "m3", "status": 200},
    ]
    cursor.confirmed(errors, 0.0)
    assert cursor.unconfirmed == 1
    assert cursor.confirm_due(AGAIN_S, idle=True) == ["m1"]


def test_an_observer_confirms_nothing_and_gives_nothing_back() -> None:
    """An observer asks for mail of every status."""
    cursor = MailCursor("bob", since=3)
    body = cursor.request(0.0)
    assert body["since"] == 3
    assert set(body["status"]) == set(STATUSES)
    assert "leaseMs" not in body
    cursor.page(page(4, 5), 0.0)
    assert cursor.take(1e9) is not None
    cursor.came_back(1e9)
    assert cursor.confirm_due(1e9, idle=True) == []
    assert cursor.give_back() is None
