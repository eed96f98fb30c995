"""The tail of the journal: the same LSNs, new ids, and what was lost stays lost."""

from __future__ import annotations

import logging
import os
import struct
from typing import TYPE_CHECKING, Any

import msgpack
import pytest

from maestro_broker.commit.local import scanning
from maestro_broker.migration import format_2, journal_tail
from maestro_broker.migration.progress import Progress
from maestro_schemas import DATA_FORMAT_VERSION
from maestro_schemas.names import mark_of
from support.format_1 import Format1, record
from support.journals import open_journal

if TYPE_CHECKING:
    from pathlib import Path

    from maestro_broker.commit.local.scanning import JournalRecovery


@pytest.fixture
def old(tmp_path: Path) -> Format1:
    made = Format1(str(tmp_path / "data"))
    made.session("ann", "ben")
    return made


def accepted(old: Format1, number: int) -> bytes:
    return record("accepted", message=old.message(f"m{number}", "ann", "ben", seq=number))


def recovered(old: Format1, after_lsn: int) -> JournalRecovery:
    """What a start finds after the step."""
    with Progress(old.data, 1) as progress:
        format_2.run(old.data, progress)
    journal, found = open_journal(os.path.join(old.messages, "journal"), after_lsn=after_lsn)
    journal.close()
    return found


def ids(found: JournalRecovery) -> list[tuple[int, Any]]:
    return [(lsn, msgpack.unpackb(body).get("message", {}).get("id")) for lsn, body in found.records]


def test_the_tail_has_its_numbers_and_new_ids(old: Format1) -> None:
    """In segments of the new format alone, without a record that the files have."""
    old.heads(2)
    old.segment(1, [accepted(old, number) for number in range(1, 5)])
    old.segment(5, [accepted(old, 5)])
    found = recovered(old, 2)
    assert ids(found) == [(number, f"m{number}_{mark_of('ann')}") for number in (3, 4, 5)]
    assert found.warnings() == []
    listed = scanning.catalogue(os.path.join(old.messages, "journal"))
    assert {file.header.version for file in listed.segments if file.header} == {DATA_FORMAT_VERSION}


def test_a_long_tail_has_several_segments(old: Format1, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_tail, "_SEGMENT_BYTES", 300)
    old.segment(1, [accepted(old, number) for number in range(1, 10)])
    found = recovered(old, 0)
    assert ids(found) == [(number, f"m{number}_{mark_of('ann')}") for number in range(1, 10)]
    assert found.warnings() == []


def test_a_journal_without_a_tail_still_says_how_far_it_was(old: Format1) -> None:
    """A start after it warns of nothing and goes on with the next number."""
    old.heads(4)
    old.segment(1, [accepted(old, number) for number in range(1, 5)])
    assert recovered(old, 4).warnings() == []
    journal, found = open_journal(os.path.join(old.messages, "journal"), after_lsn=4)
    assert found.warnings() == []
    assert journal.submit([b"next"]) == 5
    journal.close()


def test_a_sent_message_of_the_tail_is_known_to_its_answers(old: Format1) -> None:
    """It has no file and no link yet."""
    answer = old.message("a", "ben", "ann", metadata={"inReplyTo": "m1", "threadId": "m1"})
    old.segment(1, [accepted(old, 1), record("accepted", message=answer)])
    found = recovered(old, 0)
    [_, (_, body)] = found.records
    assert msgpack.unpackb(body)["message"]["metadata"] == {
        "inReplyTo": f"m1_{mark_of('ann')}",
        "threadId": f"m1_{mark_of('ann')}",
    }


def test_damage_is_quarantined_and_stays_a_loss(old: Format1, caplog: pytest.LogCaptureFixture) -> None:
    old.segment(1, [accepted(old, number) for number in range(1, 4)])
    old.segment(4, [accepted(old, 4)])
    path = os.path.join(old.messages, "journal", f"{1:020d}.seg")
    with open(path, "r+b") as file:
        content = file.read()
        at = content.index(b"m2")
        file.seek(at)
        file.write(b"XX")
    with caplog.at_level(logging.WARNING, logger="maestro_broker"):
        found = recovered(old, 0)
    assert [number for number, _ in ids(found)] == [1, 3, 4]
    assert found.missing_lsns == [(2, 2)]
    assert "lost record 2" in caplog.text
    assert any("seg" in name for name in os.listdir(os.path.join(old.messages, "quarantine")))


def test_a_torn_end_is_dropped_and_what_the_timeline_has_is_lost(old: Format1) -> None:
    """The timeline proves that a record was durable; without it, a torn batch was never acknowledged."""
    old.segment(1, [accepted(old, 1)])
    old.mail("m1", "ann", "ben")
    old.mail("m2", "ann", "ben", seq=2)
    with Progress(old.data, 1) as progress:
        format_2.run(old.data, progress)
    journal, found = open_journal(os.path.join(old.messages, "journal"), after_lsn=0)
    assert ids(found) == [(1, f"m1_{mark_of('ann')}")]
    journal.close()


def test_a_record_that_can_t_be_understood_is_kept_as_it_is(old: Format1) -> None:
    old.segment(1, [accepted(old, 1), b"\xd9", accepted(old, 3)])
    found = recovered(old, 0)
    assert found.records[1] == (2, b"\xd9")
    assert [lsn for lsn, _ in found.records] == [1, 2, 3]


@pytest.mark.parametrize("heads", [b"", b"torn and wrong"])
def test_without_a_checkpoint_the_timeline_says_what_is_filed(old: Format1, heads: bytes) -> None:
    for number in (1, 2):
        old.mail(f"m{number}", "ann", "ben", seq=number)
    old.segment(2, [accepted(old, 2), accepted(old, 3)])
    if heads:
        old.write("heads", heads)
    assert ids(recovered(old, 2)) == [(3, f"m3_{mark_of('ann')}")]


def test_a_segment_of_a_later_format_is_refused(old: Format1) -> None:
    """Nothing is changed: `format` may be wrong."""
    from maestro_schemas.errors import MaestroError

    path = old.segment(1, [accepted(old, 1)], version=9)
    with pytest.raises(MaestroError) as caught:
        recovered(old, 0)
    assert caught.value.code == "FORMAT_UNSUPPORTED"
    with open(path, "rb") as file:
        assert struct.unpack_from(">8sI", file.read(12))[1] == 9
