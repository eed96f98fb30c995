"""Which message an old id meant, and what of a document changes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from maestro_broker.migration.marks import assign_marks
from maestro_broker.migration.sent_ids import SentIds
from maestro_broker.migration.translation import Translation
from maestro_schemas.names import NO_MARK, canonical_id, mark_of
from support.format_1 import Format1

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def old(tmp_path: Path) -> Format1:
    made = Format1(str(tmp_path / "data"))
    made.session("ann", "ben", "eve", "lead")
    return made


def translation(old: Format1) -> Translation:
    return Translation(assign_marks(old.data), SentIds(os.path.join(old.messages, "by-sender")))


@pytest.mark.parametrize(
    ("sent", "sender", "receiver", "meant"),
    [
        # What the two sent to each other comes before anything of others.
        ([("ann", "ben"), ("eve", "eve")], "ben", "ann", "ann"),
        ([("ann", "ben"), ("ben", "ann")], "ben", "ann", "ann"),
        ([("ann", "ben"), ("eve", "lead")], "ann", "ben", "ann"),
        # A message that the sender got from a third, which it passes on; then one that it sent to a third.
        ([("lead", "ben"), ("eve", "eve")], "ben", "ann", "lead"),
        ([("ben", "lead"), ("eve", "eve")], "ben", "ann", "ben"),
        # What the receiver sent, or got.
        ([("ann", "lead"), ("eve", "eve")], "ben", "ann", "ann"),
        ([("lead", "ann"), ("eve", "eve")], "ben", "ann", "lead"),
        # The only one of that id.
        ([("eve", "lead")], "ben", "ann", "eve"),
    ],
)
def test_an_id_means_the_nearest_message(
    old: Format1, sent: list[tuple[str, str]], sender: str, receiver: str, meant: str
) -> None:
    for one, other in sent:
        old.mail("plan-7", one, other)
    assert translation(old).referred("plan-7", sender, receiver) == f"plan-7_{mark_of(meant)}"


@pytest.mark.parametrize("sent", [[], [("eve", "eve"), ("lead", "eve")]])
def test_an_id_of_several_strangers_or_of_none_is_nobodies(old: Format1, sent: list[tuple[str, str]]) -> None:
    """The answers stay one thread, and no session owns it."""
    for one, other in sent:
        old.mail("plan-7", one, other)
    found = translation(old)
    assert found.referred("plan-7", "ann", "ben") is None
    assert found.thread("plan-7", "ann", "ben") == f"plan-7_{NO_MARK}"
    outgoing = {"to": "ben", "metadata": {"inReplyTo": "plan-7"}}
    assert not found.queued("ann", outgoing)
    assert outgoing["metadata"] == {"inReplyTo": "plan-7"}, "the broker answers what it does not know"


def test_a_repeated_send_of_before_has_the_new_id(old: Format1) -> None:
    """The broker makes it from the same key, whatever its form."""
    for key in ("k", "k" * 56, "k" * 57, "k" * 64, "key_" + "0" * 40, f"k_{mark_of('ann')}"):
        assert translation(old).new_id("ann", key) == canonical_id(key, mark_of("ann"))


def test_two_old_ids_never_become_one(old: Format1) -> None:
    """One that happens to end with its sender's mark may stand beside the one without."""
    long_name = f"plan_{mark_of('ann')}"
    for name in ("plan", long_name):
        old.mail(name, "ann", "ben")
    found = translation(old)
    assert found.new_id("ann", "plan") == long_name
    assert found.new_id("ann", long_name) not in ("plan", long_name)


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"id": 5, "from": "ann", "to": "b"},
        {"id": "a", "from": "a"},
        {"id": "../a", "from": "a", "to": "b"},
    ],
)
def test_what_is_no_message_is_not_translated(old: Format1, document: Any) -> None:
    assert translation(old).message(document) is None


def test_a_reference_that_is_no_id_names_no_file(old: Format1) -> None:
    """Thread ids are names of folders."""
    document = old.message("a", "ann", "ben", metadata={"inReplyTo": "../x", "threadId": "../x"})
    found = translation(old).message(document)
    assert found is not None
    assert found.thread is None
    assert document["metadata"] == {"inReplyTo": "../x", "threadId": "../x"}


@pytest.mark.parametrize(
    "event",
    [
        {"lsn": 1, "event": "session.started", "session": "ann"},
        {"lsn": 1, "event": "message.refused", "id": "x", "from": "ann"},
        {"lsn": 1, "event": "message.refused", "id": "x"},
        {"lsn": 1, "event": "message.accepted", "id": 5, "from": "ann"},
    ],
)
def test_other_events_stay_as_they_are(old: Format1, event: dict[str, Any]) -> None:
    before = dict(event)
    translation(old).event(event)
    assert event == before


@pytest.mark.parametrize("kind", ["confirmed", "deleted", "expired"])
def test_records_about_a_message_name_it_by_its_sender(old: Format1, kind: str) -> None:
    record = {"type": kind, "id": "x", "mailbox": "ben", "sender": "ann"}
    translation(old).record(record)
    assert record == {"type": kind, "id": f"x_{mark_of('ann')}", "mailbox": "ben", "sender": "ann"}


@pytest.mark.parametrize("record", [None, 5, {"type": "refused", "id": "x"}, {"type": "forgotten", "id": "ann"}])
def test_other_records_stay_as_they_are(old: Format1, record: Any) -> None:
    before = dict(record) if isinstance(record, dict) else record
    translation(old).record(record)
    assert record == before
