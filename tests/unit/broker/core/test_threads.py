"""Threads: their participants, and what each of them may see."""

from __future__ import annotations

import pytest

from maestro_broker.core.sending import acceptance
from maestro_schemas.limits import Limits
from maestro_schemas.messages import Metadata
from maestro_schemas.replies import ThreadReply
from maestro_schemas.requests import GetThread, Identity
from support.offices import Office, keys, refused


def thread_of(office: Office, message_id: str, asking: str | None = None) -> list[str]:
    """The ids of a thread."""
    reply: ThreadReply = office.do(GetThread(id=message_id, who=Identity(asking)))
    assert not reply.has_more
    return keys(reply.messages)


@pytest.mark.parametrize("evicted", [False, True])
def test_a_thread_is_found_through_its_parties(evicted: bool) -> None:
    office = Office(Limits(rate_limit=0))
    for name in ("ann", "bob", "cyd", "dan"):
        office.start(name)
    office.accept("ann", "bob", "m1")
    office.now_ms += 1
    office.accept("ann", "bob", "other")
    office.accept("bob", "ann", "m2", metadata=Metadata(in_reply_to="m1"))
    office.now_ms += 1
    office.accept("bob", "cyd", "m3", metadata=Metadata(in_reply_to="m2"))
    office.now_ms += 1
    office.accept("cyd", "dan", "m4", metadata=Metadata(in_reply_to="m3"))
    if evicted:
        office.file()
        office.make_checkpoint()
        office.crash()
    assert thread_of(office, "m2") == ["m1", "m2", "m3", "m4"]
    assert thread_of(office, "m2", "ann") == ["m1", "m2"]
    assert thread_of(office, "m2", "bob") == ["m1", "m2", "m3"]
    assert thread_of(office, "m4", "cyd") == ["m3", "m4"]
    assert thread_of(office, "m4", "dan") == ["m4"]
    assert thread_of(office, "other", "ann") == ["other"]
    office.delete("bob", "m1")
    assert thread_of(office, "m4") == ["m2", "m3", "m4"]
    assert office.do(GetThread(id="m4")).thread_id == office.ids["m1"]
    assert refused(office, GetThread(id="m4", who=Identity("ann"))).code == "MESSAGE_NOT_FOUND"
    assert refused(office, GetThread(id="m4", who=Identity("ghost"))).code == "UNKNOWN_SESSION"


def test_a_thread_of_more_than_a_reply_holds_says_so() -> None:
    office = Office(Limits(rate_limit=0, reply_messages_max=2))
    office.start("ann", role="orchestrator")
    office.start("bob")
    office.accept("ann", "bob", "m1")
    for number in (2, 3):
        office.accept("bob", "ann", f"m{number}", metadata=Metadata(in_reply_to="m1"))
    reply = office.do(GetThread(id="m1"))
    assert (len(reply.messages), reply.has_more) == (2, True)


def test_a_notification_of_the_post_office_is_a_thread_of_its_own() -> None:
    office = Office()
    office.start("ann")
    acceptance.notify(office.state, "ann", "refused_m1", "It was refused.", office.now_ms)
    office.commit()
    [notice] = office.inbox("ann")
    assert thread_of(office, notice.id, "ann") == ["refused_m1"]
