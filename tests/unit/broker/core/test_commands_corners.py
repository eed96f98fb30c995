"""What the core's other tests and the state machine reach only by luck."""

from __future__ import annotations

from maestro_broker.core.model.checkpoint import Checkpoint
from maestro_broker.core.model.mailbox import Mailbox
from maestro_broker.core.model.records import Accepted
from maestro_broker.core.retention import EXPIRIES_AT_ONCE
from maestro_schemas.limits import Limits
from maestro_schemas.messages import Message
from support.offices import Office


def mail(seq: int) -> Message:
    return Message(id=f"m{seq}", sender="ann", receiver="bob", text="x", status="pending", seq=seq, created_at=1)


def test_more_expire_at_once_than_one_look_takes() -> None:
    office = Office(Limits(rate_limit=0, pending_max=1_000))
    office.start("ann")
    office.start("bob")
    count = EXPIRIES_AT_ONCE + 3
    for number in range(count):
        office.accept("ann", "bob", f"m{number}", ttl_ms=1_000)
    office.now_ms += 1_000
    office.expire_due()
    assert office.state.mailboxes["bob"].pending == 3
    office.expire_due()
    assert office.state.mailboxes["bob"].pending == 0
    expired = office.inbox("bob", status=["expired"], limit=1_000)
    assert [message.seq for message in expired] == list(range(1, count + 1))


def test_only_an_id_newer_than_all_that_was_filed_needs_no_look_at_the_disk() -> None:
    office = Office(Limits(rate_limit=0))
    office.start("ann")
    office.start("bob")
    links = []
    for message_id in ("msg_5_a", "msg_7_b", "msg_7_c", "msg_6_d", "m1", "msg_8_e"):
        office.accept("ann", "bob", message_id)
        links.append([read.kind for read in office.reads if read.kind == "sent"])
        office.file()
        office.make_checkpoint()
        office.crash()
    assert links == [[], [], ["sent"], ["sent"], ["sent"], []]


def test_where_the_heads_do_not_know_what_was_sent_every_id_is_looked_for() -> None:
    office = Office(Limits(rate_limit=0))
    office.start("ann")
    office.start("bob")
    office.accept("ann", "bob", "msg_5_a")
    office.file()
    office.heads.mailboxes["ann"].sent_ms = None
    office.make_checkpoint()
    office.crash()
    office.accept("ann", "bob", "msg_9_a")
    office.file()
    assert office.state.may_be_filed("ann", "msg_10_a", 10)
    assert office.heads.mailboxes["ann"].sent_ms is None


def test_heads_that_were_lost_grow_again_with_what_comes() -> None:
    counted = Checkpoint()
    counted.apply(7, Accepted(mail(3)), 10)
    head = counted.mailboxes["bob"]
    assert (head.seq, head.pending, head.unoffered, head.sent_ms) == (3, 1, 1, None)


def test_a_name_stays_with_who_still_has_it() -> None:
    office = Office(Limits(rate_limit=0))
    for session in ("ann", "bob", "cyd"):
        office.start(session)
        if session != "ann":
            office.share_name(session, "worker")
    assert office.send("ann", "worker", "m1").status == 409
    office.end("bob")
    assert office.accept("ann", "worker", "m1").to == "cyd"
    office.end("cyd")
    ended = office.send("ann", "worker", "m2").error
    assert isinstance(ended, dict)
    assert ended["code"] == "RECEIVER_ENDED"


def test_a_replay_may_bring_mail_before_mail_that_is_there() -> None:
    mailbox = Mailbox("bob", is_new=True)
    for seq in (2, 3, 1):
        mailbox.accept(mail(seq), seq)
    page = mailbox.page(
        since=0, limit=10, statuses=frozenset({"pending"}), kind=None, reader=None, now_ms=1, bytes_max=1 << 20
    )
    assert [message.seq for message in page.messages] == [1, 2, 3]


def test_a_retry_by_a_name_that_means_several_by_now() -> None:
    office = Office(Limits(rate_limit=0))
    office.start("ann")
    office.start("bob", name="worker")
    assert office.accept("ann", "worker", "m1").status == 201
    office.start("cyd")
    office.share_name("cyd", "worker")
    again = office.send("ann", "worker", "m1")
    assert (again.status, again.to) == (200, "bob")
    assert office.send("ann", "worker", "m2").status == 409
