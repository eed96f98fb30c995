"""State: what memory knows of messages until they are filed, and after a start."""

from __future__ import annotations

from msgspec.structs import replace

from maestro_broker.core.model.records import Accepted, Delivery, GroupChanged, GroupDeleted
from maestro_schemas.groups import Group, GroupMember
from maestro_schemas.messages import Audience, Message
from maestro_schemas.names import mark_of
from support.offices import Office

GROUP = Group(
    name="reviews", project_id="default", creator="ann", created_at=1, changed_at=1, members=(GroupMember("bob", 1),)
)


def _office() -> Office:
    office = Office()
    for name in ("ann", "bob", "cyd"):
        office.start(name)
    office.state.apply(GroupChanged(office.now_ms, "ann", GROUP), None)
    office.commit()
    return office


def _accept(office: Office, number: int, *to: str) -> str:
    state = office.state
    message = Message(
        id=f"msg_{number}_a_{mark_of('ann')}",
        sender="ann",
        receiver="bob",
        text="x",
        status="pending",
        seq=state.mailbox("bob").head_seq + 1,
        created_at=office.now_ms,
        audience=Audience(to, 2),
    )
    state.apply(Accepted(message, (Delivery("cyd", state.mailbox("cyd").head_seq + 1),)), message)
    office.commit()
    return message.id


def test_a_group_outlives_a_crash_before_and_after_its_file_is_written() -> None:
    office = _office()
    office.crash()
    assert office.state.groups == {"reviews": GROUP}
    office.file()
    office.make_checkpoint()
    office.crash()
    assert office.state.groups == {"reviews": GROUP}
    changed = replace(GROUP, members=())
    office.state.apply(GroupChanged(office.now_ms, "ann", changed), None)
    office.commit()
    office.crash()
    assert office.state.groups == {"reviews": changed}
    office.state.apply(GroupDeleted(office.now_ms, "ann", "reviews", "default"), None)
    office.commit()
    office.crash()
    assert office.state.groups == {}


def test_what_was_sent_to_a_group_is_known_until_it_is_filed() -> None:
    """By each group once, and again after a crash. The links have it afterwards."""
    office = _office()
    first = _accept(office, 1, "@reviews", "@docs", "bob")
    second = _accept(office, 2, "@reviews", "@all", "@reviews")
    _accept(office, 3, "@workers", "cyd")
    for _ in range(2):
        assert office.state.unfiled_of_group("reviews") == (first, second)
        assert office.state.unfiled_of_group("docs") == (first,)
        assert office.state.unfiled_of_group("workers") == ()
        office.crash()
    office.file(len(office.unfiled) - 2)
    assert office.state.unfiled_of_group("reviews") == (second,)
    assert office.state.unfiled_of_group("docs") == ()
    office.file()
    assert office.state.unfiled_of_group("reviews") == ()
    assert list(office.group_mail["reviews"]) == [first, second]


def test_nothing_is_known_of_a_deleted_group() -> None:
    """Also while its mail is not filed yet; a group of that name that is made afterwards begins with nothing."""
    office = _office()
    _accept(office, 1, "@reviews")
    office.state.apply(GroupDeleted(office.now_ms, "ann", "reviews", "default"), None)
    office.commit()
    assert office.state.unfiled_of_group("reviews") == ()
    office.state.apply(GroupChanged(office.now_ms, "cyd", GROUP), None)
    office.commit()
    later = _accept(office, 2, "@reviews")
    for _ in range(2):
        assert office.state.unfiled_of_group("reviews") == (later,)
        office.crash()
    office.file()
    assert list(office.group_mail["reviews"]) == [later]
    assert office.inbox("bob", status=["pending"]) != []


def test_a_start_knows_the_oldest_unread_message_where_no_earlier_one_was_taken() -> None:
    """Otherwise its file must tell: the checkpoint has no times of the others."""
    office = Office()
    office.start("ann")
    office.start("bob")

    def oldest_after_a_crash() -> tuple[bool, int | None]:
        office.file()
        office.make_checkpoint()
        office.crash()
        mailbox = office.state.mailboxes["bob"]
        return mailbox.knows_oldest, mailbox.oldest_pending_ms

    assert oldest_after_a_crash() == (True, None)
    first_ms = office.now_ms
    office.send("ann", "bob", "m1")
    office.now_ms += 5
    office.send("ann", "bob", "m2")
    assert oldest_after_a_crash() == (True, first_ms)
    office.now_ms += 5
    office.send("ann", "bob", "m3")
    assert oldest_after_a_crash() == (True, first_ms)
    assert office.confirm("bob", "read", *office.named(["m1"])) == [200]
    assert oldest_after_a_crash()[0] is False
    assert office.confirm("bob", "read", *office.named(["m2", "m3"])) == [200, 200]
    assert oldest_after_a_crash() == (True, None)
    office.send("ann", "bob", "m4")
    assert oldest_after_a_crash() == (True, office.now_ms)
