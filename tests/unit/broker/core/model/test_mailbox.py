"""A mailbox in memory: what a load, a replay, the sweep and an eviction do to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from maestro_broker.core.model.mailbox import Mailbox
from maestro_schemas.messages import Message
from support.offices import Office, evict

if TYPE_CHECKING:
    from maestro_schemas.vocabularies import MessageStatus


def mail(seq: int, message_id: str = "", status: MessageStatus = "pending") -> Message:
    return Message(
        id=message_id or f"m{seq}", sender="ann", receiver="bob", text="x", status=status, seq=seq, created_at=1
    )


def ids(mailbox: Mailbox, statuses: frozenset[str] = frozenset({"pending", "read"})) -> list[str]:
    page = mailbox.page(
        since=0, limit=100, statuses=statuses, kind=None, offered=None, reader=None, now_ms=0, bytes_max=1 << 20
    )
    return [message.id for message in page.messages]


def test_a_record_replaces_the_file_with_its_number() -> None:
    """In a replay the journal is right: a file with the number of a record of another message is foreign."""
    mailbox = Mailbox("bob", is_new=False)
    mailbox.load([mail(1, "foreign"), mail(2)])
    mailbox.accept(mail(1), 7)
    assert ids(mailbox) == ["m1", "m2"]
    assert mailbox.get("foreign") is None
    assert mailbox.unfiled == 1


def test_a_record_below_the_last_number_stands_in_its_place() -> None:
    mailbox = Mailbox("bob", is_new=False)
    mailbox.load([mail(1), mail(5)])
    mailbox.accept(mail(3), 7)
    assert ids(mailbox) == ["m1", "m3", "m5"]


def test_a_record_below_a_known_head_needs_no_sorting() -> None:
    """The checkpoint knows a later number, whose message is not in memory."""
    mailbox = Mailbox("bob", is_new=False)
    mailbox.head_seq = 9
    mailbox.accept(mail(3), 7)
    mailbox.accept(mail(4), 8)
    assert ids(mailbox) == ["m3", "m4"]
    assert mailbox.head_seq == 9


def test_what_the_sweep_removes_during_a_load_does_not_come_back() -> None:
    mailbox = Mailbox("bob", is_new=False)
    mailbox.being_read = True
    mailbox.load([mail(1, status="read"), mail(2)])
    mailbox.drop("m1")
    # The next step had read the file before the sweep removed it.
    mailbox.load([mail(1, status="read")])
    assert ids(mailbox) == ["m2"]
    mailbox.end_load(whole=True)
    assert not mailbox.remembers("m1")


def test_the_sweep_leaves_what_is_pending_or_has_changed() -> None:
    mailbox = Mailbox("bob", is_new=True)
    mailbox.accept(mail(1), 7)
    mailbox.drop("m1")
    mailbox.filed("m1", 7)
    mailbox.drop("m1")
    mailbox.drop("absent")
    assert ids(mailbox) == ["m1"]
    mailbox.change(replace(mail(1), status="read"), 8, (1, 1))
    mailbox.drop("m1")
    assert ids(mailbox) == ["m1"]


def test_an_eviction_keeps_what_is_leased() -> None:
    mailbox = Mailbox("bob", is_new=True)
    mailbox.accept(mail(1), 7)
    mailbox.filed("m1", 7)
    mailbox.lease([mail(1)], "reader", 100)
    evict(mailbox, 99)
    assert (mailbox.held, mailbox.complete) == (1, True)
    evict(mailbox, 100)
    assert (mailbox.held, mailbox.complete) == (0, False)


def test_an_eviction_finds_what_is_filed_behind_what_is_not() -> None:
    """Mostly the oldest are filed; a change leaves an older one unfiled, and a deletion waits as well."""
    mailbox = Mailbox("bob", is_new=True)
    for seq in range(1, 7):
        mailbox.accept(mail(seq), seq)
    for seq in range(1, 5):
        mailbox.filed(f"m{seq}", seq)
    mailbox.change(replace(mail(2), status="read"), 7, (1, 1))
    mailbox.delete("m1", 8, (1, 1))
    evict(mailbox, 0)
    assert ids(mailbox) == ["m2", "m5", "m6"]
    for seq, lsn in ((2, 7), (5, 5), (6, 6)):
        mailbox.filed(f"m{seq}", lsn)
    evict(mailbox, 0)
    assert mailbox.held == 0


def filled(count: int) -> Mailbox:
    mailbox = Mailbox("bob", is_new=True)
    for seq in range(1, count + 1):
        mailbox.accept(mail(seq), seq)
        mailbox.filed(f"m{seq}", seq)
    return mailbox


def test_an_eviction_of_much_mail_takes_steps() -> None:
    """What happens between two of them stays: a change, a deletion, a lease, new mail."""
    mailbox = filled(1_000)
    steps = mailbox.evictions(0)
    next(steps)
    held = mailbox.held
    assert 0 < held < 1_000
    mailbox.accept(mail(1_001), 1_001)
    mailbox.change(replace(mail(998), status="read"), 1_002, (1, 1))
    mailbox.delete("m999", 1_003, (1, 1))
    mailbox.lease([mail(1_000)], "reader", 100)
    assert len(list(steps)) < held
    assert ids(mailbox) == ["m998", "m1000", "m1001"]
    assert mailbox.is_gone("m999")


def test_an_eviction_finds_what_lies_behind_much_leased_mail() -> None:
    mailbox = filled(1_000)
    mailbox.lease([mail(seq) for seq in range(1, 601)], "reader", 100)
    evict(mailbox, 0)
    assert (mailbox.held, mailbox.loaded) == (600, False)
    evict(mailbox, 100)
    assert mailbox.held == 0


def test_an_eviction_ends_where_mail_is_gone() -> None:
    mailbox = filled(600)
    mailbox.lease([mail(seq) for seq in range(1, 601)], "reader", 100)
    steps = mailbox.evictions(0)
    next(steps)
    for seq in range(1, 601):
        mailbox.delete(f"m{seq}", 1_000 + seq, (1, 1))
    assert len(list(steps)) == 1


def test_an_eviction_ends_where_the_mailbox_is_read() -> None:
    for is_over in (False, True):
        mailbox = filled(1_000)
        steps = mailbox.evictions(0)
        next(steps)
        mailbox.being_read = True
        held = mailbox.held
        if is_over:
            mailbox.load([mail(seq) for seq in range(1, 1_001)])
            assert mailbox.end_load(whole=True)
            held = 1_000
        assert list(steps) == []
        assert (mailbox.held, mailbox.loaded) == (held, is_over)


# --- the oldest pending message --------------------------------------------------------------------------------


def test_the_oldest_pending_message_is_known_while_that_needs_no_file() -> None:
    office = Office()
    office.start("ann")
    office.start("bob")
    first = office.accept("ann", "bob", "m1").created_at
    office.now_ms += 10
    second = office.accept("ann", "bob", "m2").created_at
    mailbox = office.state.mailboxes["bob"]
    assert (mailbox.knows_oldest, mailbox.oldest_pending_ms) == (True, first)
    office.file()
    evict(mailbox, office.now_ms)
    assert (mailbox.loaded, mailbox.knows_oldest, mailbox.oldest_pending_ms) == (False, True, first)
    office.now_ms += 10
    office.accept("ann", "bob", "m3")
    assert mailbox.oldest_pending_ms == first
    office.confirm("bob", "read", office.ids["m1"])
    assert not mailbox.knows_oldest, "the next one may be in a file"
    office.inbox("bob")
    assert (mailbox.knows_oldest, mailbox.oldest_pending_ms) == (True, second)
    office.confirm("bob", "read", office.ids["m2"], office.ids["m3"])
    assert (mailbox.knows_oldest, mailbox.oldest_pending_ms) == (True, None)
    office.file()
    evict(mailbox, office.now_ms)
    office.now_ms += 10
    fourth = office.accept("ann", "bob", "m4").created_at
    assert mailbox.oldest_pending_ms == fourth


def test_what_no_reader_was_offered() -> None:
    mailbox = Mailbox("bob", is_new=True)
    mailbox.load([mail(1, status="read"), replace(mail(2), offered_at=5), mail(3), mail(4)])
    assert [message.seq for message in mailbox.unoffered_messages()] == [3, 4]
