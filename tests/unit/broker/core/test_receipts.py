"""Receipts: what became of a message at each receiver, and who may know it."""

from __future__ import annotations

import pytest

from maestro_broker.core.sending import acceptance
from maestro_schemas.limits import Limits
from maestro_schemas.messages import Metadata
from maestro_schemas.replies import ReceiptReply, RecipientReceipt
from maestro_schemas.requests import GetMessage, GetReceipt, Identity, Outgoing, Send
from support.offices import Office, key_of, refused

FREE = Limits(rate_limit=0)


def receipt(office: Office, message_id: str, asking: str | None = None, session: str | None = None) -> ReceiptReply:
    reply: ReceiptReply = office.do(GetReceipt(id=message_id, session=session, people=True, who=Identity(asking)))
    return reply


def lines(found: ReceiptReply) -> dict[str, RecipientReceipt]:
    """The lines by receiver."""
    by_receiver = {line.to: line for line in found.recipients}
    assert len(by_receiver) == len(found.recipients)
    return by_receiver


def states(found: ReceiptReply) -> dict[str, str]:
    """The state of each receiver."""
    return {name: line.state for name, line in lines(found).items()}


def team(limits: Limits = FREE) -> Office:
    """An orchestrator, `lead`, six workers, and an orchestrator and a worker of another project."""
    office = Office(limits)
    office.start("lead", role="orchestrator", project_id="shop")
    for name in ("ann", "ben", "cid", "dee", "eva", "fay"):
        office.start(name, project_id="shop")
    office.start("zoe", project_id="bank")
    office.start("boss", role="orchestrator", project_id="bank")
    return office


def fan_out(office: Office) -> None:
    """Send `all` to the six workers, of whom `eva` has ended and `fay` has a full mailbox."""
    office.end("eva")
    for number in range(2):
        office.accept("lead", "fay", f"fill{number}")
    office.accept("lead", ["ann", "ben", "cid", "dee", "eva", "fay"], "all")


@pytest.mark.parametrize("evicted", [False, True])
def test_each_receiver_has_a_line_with_its_last_step(evicted: bool) -> None:
    office = team(Limits(rate_limit=0, pending_max=2))
    fan_out(office)
    office.now_ms += 1_000
    office.confirm("ann", "offered", "all")
    office.confirm("ben", "delivered", "all")
    office.confirm("cid", "read", "all")
    office.now_ms += 1_000
    office.accept("dee", "lead", "answer", metadata=Metadata(in_reply_to="all"))
    if evicted:
        office.file()
        office.make_checkpoint()
        office.crash()
    found = receipt(office, "all", "lead")
    assert states(found) == {
        "ann": "offered",
        "ben": "delivered",
        "cid": "read",
        "dee": "answered",
        "eva": "refused",
        "fay": "refused",
    }
    counts = found.counts
    assert (counts.accepted, counts.offered, counts.delivered, counts.read, counts.answered) == (4, 3, 2, 1, 1)
    assert (counts.expired, counts.deleted, counts.refused) == (0, 0, 2)
    by_receiver = lines(found)
    assert by_receiver["eva"].code == "RECEIVER_ENDED"
    assert by_receiver["fay"].code == "MAILBOX_FULL"
    assert by_receiver["cid"].read_at == by_receiver["cid"].at == 1_001_000
    assert by_receiver["dee"].answered_at == by_receiver["dee"].at == 1_002_000
    assert by_receiver["dee"].answer_id == office.ids["answer"]
    assert by_receiver["dee"].seq == 1
    assert (found.sender, found.created_at, found.audience and found.audience.size) == ("lead", 1_000_000, 6)
    assert by_receiver["eva"].presence is not None
    assert by_receiver["eva"].presence.state == "ended"
    assert set(found.people) == {"lead", "ann", "ben", "cid", "dee", "eva", "fay"}  # type: ignore[arg-type]
    # The operator gets the same, by the whole id.
    assert receipt(office, office.ids["all"]) == found


def test_one_receiver_is_the_case_of_one_line() -> None:
    office = team()
    office.accept("lead", "ann", "m1")
    found = receipt(office, "m1", "lead")
    assert found.audience is None
    assert states(found) == {"ann": "pending"}
    assert lines(found)["ann"].at == found.created_at
    assert receipt(office, "m1", "lead", session="ann").recipients == found.recipients
    assert refused(office, GetReceipt(id="m1", session="ben", who=Identity("lead"))).code == "MESSAGE_NOT_FOUND"


def test_a_receiver_sees_its_own_line_alone() -> None:
    office = team(Limits(rate_limit=0, pending_max=2))
    fan_out(office)
    whole = office.ids["all"]
    for name in ("ann", "dee"):
        found = receipt(office, whole, name)
        assert states(found) == {name: "pending"}
        assert (found.counts.accepted, found.counts.refused) == (1, 0)
    # Neither who refused, nor a session of another project, nor a stranger's guess.
    for name in ("eva", "fay", "zoe", "boss"):
        assert refused(office, GetReceipt(id=whole, who=Identity(name))).code == "MESSAGE_NOT_FOUND", name
    assert refused(office, GetReceipt(id="no id", who=Identity("lead"))).code == "MESSAGE_NOT_FOUND"
    assert refused(office, GetReceipt(id="no id")).code == "MESSAGE_NOT_FOUND"
    assert refused(office, GetReceipt(id=whole, who=Identity("ghost"))).code == "UNKNOWN_SESSION"


def test_an_orchestrator_sees_the_lines_within_its_project() -> None:
    office = team()
    office.start("chief", role="orchestrator", project_id="shop")
    office.end("fay")
    office.start("old", project_id="bank")
    office.end("old")
    office.accept("lead", ["ann", "boss", "fay"], "m1")
    office.accept("boss", ["lead", "zoe", "old"], "m2")
    assert states(receipt(office, office.ids["m1"], "chief")) == {"ann": "pending", "fay": "refused"}
    assert states(receipt(office, office.ids["m1"], "boss")) == {"boss": "pending"}
    assert refused(office, GetReceipt(id="m2", who=Identity("chief"))).code == "MESSAGE_NOT_FOUND"


def test_a_deleted_copy_keeps_its_line() -> None:
    office = team()
    office.accept("lead", ["ann", "ben"], "m1")
    office.accept("lead", "cid", "m2")
    office.accept("ann", "lead", "answer", metadata=Metadata(in_reply_to="m1"))
    office.delete("ann", "m1")
    office.delete("cid", "m2")
    found = receipt(office, "m1", "lead")
    # An answer outlives the copy that it answers.
    assert states(found) == {"ann": "answered", "ben": "pending"}
    office.delete("ben", "m1")
    found = receipt(office, "m1", "lead")
    assert states(found) == {"ann": "answered", "ben": "deleted"}
    assert (found.counts.accepted, found.counts.deleted, found.created_at) == (2, 1, None)
    alone = receipt(office, "m2", "lead")
    assert states(alone) == {"cid": "deleted"}
    assert alone.sender == "lead"
    assert states(receipt(office, office.ids["m2"], "cid")) == {"cid": "deleted"}


def test_an_expired_copy_is_expired_from_its_time_on() -> None:
    office = team()
    office.accept("lead", ["ann", "ben"], "m1", ttl_ms=5_000)
    office.confirm("ann", "delivered", "m1")
    office.now_ms += 5_000
    found = receipt(office, "m1", "lead")
    assert states(found) == {"ann": "delivered", "ben": "expired"}
    assert lines(found)["ben"].at == found.expires_at == 1_005_000
    office.expire_due()
    assert receipt(office, "m1", "lead").counts.expired == 1


def test_the_first_answer_counts() -> None:
    office = team()
    office.accept("lead", ["ann", "ben", "cid", "dee"], "msg_1000000_root")
    office.now_ms += 10
    office.accept("ann", "lead", "msg_1000010_a", metadata=Metadata(in_reply_to="msg_1000000_root"))
    office.accept("lead", "ann", "msg_1000011_b", metadata=Metadata(in_reply_to="msg_1000010_a"))
    office.now_ms += 10
    office.accept("ann", "lead", "msg_1000020_c", metadata=Metadata(in_reply_to="msg_1000000_root"))
    # `ben` answers what was said further in the thread, with an id without a time.
    office.accept("lead", ["ben"], "note", metadata=Metadata(in_reply_to="msg_1000000_root"))
    office.accept("ben", "lead", "later", metadata=Metadata(in_reply_to="note"))
    # `cid` tells `dee` alone, and deletes nothing; `dee` answers everybody.
    office.accept("dee", ["lead", "ann"], "msg_1000030_d", metadata=Metadata(in_reply_to="msg_1000000_root"))
    by_receiver = lines(receipt(office, "msg_1000000_root", "lead"))
    assert by_receiver["ann"].answer_id == office.ids["msg_1000010_a"]
    assert by_receiver["ben"].answer_id == office.ids["later"]
    assert by_receiver["dee"].answer_id == office.ids["msg_1000030_d"]
    assert by_receiver["cid"].answer_id is None
    # The line of the note begins with the note: `ben` was silent before.
    [line] = receipt(office, "note", "lead").recipients
    assert (line.answer_id, line.state) == (office.ids["later"], "answered")


def test_an_answer_that_was_deleted_was_one() -> None:
    office = team()
    office.accept("lead", ["ann", "ben", "cid"], "m1")
    office.accept("ann", "lead", "msg_1000500_a", metadata=Metadata(in_reply_to="m1"))
    office.accept("ben", "lead", "b", metadata=Metadata(in_reply_to="m1"))
    office.delete("lead", *office.named(["msg_1000500_a", "b"]))
    by_receiver = lines(receipt(office, "m1", "lead"))
    assert (by_receiver["ann"].state, by_receiver["ann"].answered_at) == ("answered", 1_000_500)
    assert (by_receiver["ben"].state, by_receiver["ben"].answered_at) == ("answered", None)
    assert by_receiver["ben"].answer_id == office.ids["b"]


def test_what_was_said_before_is_no_answer() -> None:
    office = team()
    office.accept("ann", "lead", "m1")
    office.accept("lead", "ann", "m2", metadata=Metadata(in_reply_to="m1"))
    office.accept("ann", "lead", "m3", metadata=Metadata(in_reply_to="m2"))
    office.now_ms += 1_000
    office.accept("lead", "ann", "m4", metadata=Metadata(in_reply_to="m3"))
    assert states(receipt(office, "m4", "lead")) == {"ann": "pending"}
    # Of a deleted answer, it is not known.
    office.delete("lead", "m3")
    assert receipt(office, "m2", "lead").counts.answered == 1


def test_an_answer_that_the_caller_may_not_see_is_not_counted() -> None:
    office = team()
    office.accept("lead", ["ann", "ben"], "m1")
    office.accept("ann", "ben", "aside", metadata=Metadata(in_reply_to=office.ids["m1"]))
    assert receipt(office, office.ids["m1"]).counts.answered == 1
    assert states(receipt(office, office.ids["m1"], "ann")) == {"ann": "answered"}
    office.start("solo", project_id="bank")
    office.accept("boss", ["solo", "zoe"], "m2")
    office.accept("solo", "zoe", "whisper", metadata=Metadata(in_reply_to=office.ids["m2"]))
    office.delete("zoe", "whisper")
    assert states(receipt(office, "m2", "boss")) == {"solo": "answered", "zoe": "pending"}
    office.start("wil", project_id="bank")
    office.accept("zoe", ["solo", "wil"], "m3")
    office.accept("solo", "wil", "hush", metadata=Metadata(in_reply_to=office.ids["m3"]))
    assert states(receipt(office, "m3", "zoe")) == {"solo": "pending", "wil": "pending"}
    office.delete("wil", "hush")
    assert states(receipt(office, "m3", "zoe")) == {"solo": "pending", "wil": "pending"}


@pytest.mark.parametrize("to", ["ghost", ["ann", "ghost"]])
def test_a_send_that_failed_after_it_waited(to: str | list[str]) -> None:
    office = team()
    request = Send(messages=[Outgoing(id="late", to=to, text="hello")], queued=True, who=Identity("lead"))
    office.ids["late"] = office.do(request).results[0].id
    found = receipt(office, "late", "lead")
    addresses = [to] if isinstance(to, str) else to
    assert states(found) == dict.fromkeys(addresses, "failed")
    assert (found.counts.accepted, found.counts.refused) == (0, len(addresses))
    assert found.failure is not None
    assert {line.code for line in found.recipients} == {"RECEIVER_NOT_FOUND"}
    assert refused(office, GetReceipt(id="late", who=Identity("zoe"))).code == "MESSAGE_NOT_FOUND"
    assert refused(office, GetReceipt(id=office.ids["late"], who=Identity("boss"))).code == "MESSAGE_NOT_FOUND"
    # A failed answer is none.
    office.accept("ann", "lead", "m1")
    answer = Outgoing(
        id="reply", to="ghost", text="hello", metadata=Metadata(in_reply_to=office.ids["m1"], thread_id=None)
    )
    office.do(Send(messages=[answer], queued=True, who=Identity("lead")))
    assert states(receipt(office, "m1", "ann")) == {"lead": "pending"}


def test_mail_of_the_post_office_itself() -> None:
    office = team()
    acceptance.notify(office.state, "ann", "refused_m1", "It was refused.", office.now_ms)
    office.commit()
    [notice] = office.inbox("ann")
    assert key_of(notice.id) == "refused_m1"
    for evicted in (False, True):
        if evicted:
            office.file()
            office.make_checkpoint()
            office.crash()
        for asking, session in (("ann", None), (None, "ann")):
            found = receipt(office, notice.id, asking, session)
            assert (found.sender, states(found)) == ("maestro", {"ann": "pending"})
        assert refused(office, GetReceipt(id=notice.id, who=Identity("ben"))).code == "MESSAGE_NOT_FOUND"


def test_mail_whose_sender_has_no_file_any_more() -> None:
    office = team()
    office.accept("lead", "ann", "m1")
    office.file()
    office.make_checkpoint()
    office.crash()
    office.links.clear()
    whole = office.ids["m1"]
    found = receipt(office, whole, "ann")
    assert (found.sender, states(found), found.created_at) == ("lead", {"ann": "pending"}, office.now_ms)
    assert receipt(office, whole, None, "ann").recipients == found.recipients
    assert receipt(office, whole, "ann").recipients == found.recipients  # from memory
    assert receipt(office, whole, "ann", "ann").recipients == found.recipients
    for asking, session in (
        ("lead", None),
        (None, None),
        (None, "ghost"),
        (None, "ben"),
        ("ben", None),
        ("ben", "ann"),
    ):
        request = GetReceipt(id=whole, session=session, who=Identity(asking))
        assert refused(office, request).code == "MESSAGE_NOT_FOUND", (asking, session)


def test_the_operator_asks_for_its_own_by_the_key() -> None:
    office = team()
    outgoing = Outgoing(id="m1", to=["ann", "zoe"], text="hello")
    office.do(Send(messages=[outgoing], who=Identity(operator=True)))
    found: ReceiptReply = office.do(GetReceipt(id="m1", who=Identity(operator=True)))
    assert (found.sender, states(found)) == ("operator", {"ann": "pending", "zoe": "pending"})
    # As a reader, too; and so it names the message itself.
    assert office.do(GetReceipt(id="m1")) == found
    for who in (Identity(), Identity(operator=True)):
        assert office.do(GetMessage(id="m1", who=who)).message.id == found.id
    assert refused(office, GetReceipt(id="m1", who=Identity("ann"))).code == "MESSAGE_NOT_FOUND"


def test_an_answer_without_a_file_is_skipped() -> None:
    office = team()
    office.accept("lead", "ann", "m1")
    office.accept("ann", "lead", "a", metadata=Metadata(in_reply_to=office.ids["m1"]))
    office.file()
    office.make_checkpoint()
    office.crash()
    del office.links["ann", office.ids["a"]]
    assert states(receipt(office, "m1", "lead")) == {"ann": "pending"}
