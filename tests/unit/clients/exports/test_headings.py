"""The words of an export: whom it is about, what it holds, and its sections."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

import pytest

from maestro_clients.exports.collecting import Export, ExportEntry, ExportQuery
from maestro_clients.exports.headings import Headings, clock, day, file_line, moment, offset, size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maestro_schemas.documents import AttachmentDoc, PersonDoc, SaidMessageDoc

# 2026-11-30 14:02:11 UTC.
AT = 1_796_047_331_000
DAY_MS = 86_400_000
PEOPLE: dict[str, PersonDoc] = {
    "s_ann": {"role": "worker", "name": "ann"},
    "s_ben": {"role": "worker", "name": "ben"},
    "s_ben2": {"role": "worker", "name": "ben"},
    "s_odd": {"role": "worker", "name": "# not a token"},
}


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def entry(key: str, at: int = AT, **more: Any) -> ExportEntry:
    said = {name: more.pop(name) for name in ("receivers", "counts") if name in more}
    message = {"id": key, "from": "s_ann", "to": "s_ben", "message": "x", "status": "read", "createdAt": at, **more}
    return ExportEntry(cast("SaidMessageDoc", {"lsn": 1, "message": message, **said}))


def headings(*entries: ExportEntry, by: str | None = None, more: bool = False, **query: Any) -> Headings:
    return Headings(Export(ExportQuery(**query), list(entries), PEOPLE, more), by, AT, with_texts=True)


@pytest.mark.parametrize(
    ("query", "by", "title"),
    [
        ({}, None, "All messages"),
        ({}, "s_ann", "Messages that ann may see"),
        ({"thread": "msg_1"}, None, "The thread msg_1"),
        ({"query": "from:ann\ncart"}, None, "Messages that match from:ann?cart"),
        ({"peer": "@reviews"}, None, "Messages to @reviews"),
        ({"peer": "s_ann", "session": "s_odd"}, None, "Messages between s_odd and ann"),
        ({"peer": "s_ben2"}, "s_ann", "Messages between ann and ben (s_ben2)"),
        ({"session": "s_ann"}, None, "Messages of ann"),
    ],
)
def test_the_title_says_what_was_asked(query: dict[str, Any], by: str | None, title: str) -> None:
    assert headings(by=by, **query).title() == title


def test_who_asked_when_and_what_there_is() -> None:
    said = list(headings(entry("a"), by="s_ann", since=AT - DAY_MS, until=AT).about())
    assert said[0].startswith("Asked for by ann (s_ann) at 2026-11-30 14:02:11 (UTC+00:00), with maestro ")
    assert said[1:] == [
        "Only messages from 2026-11-29 14:02:11 before 2026-11-30 14:02:11.",
        "1 message, the oldest first. Only what ann may see.",
    ]
    whole = Headings(Export(ExportQuery(), [entry("a"), entry("b")], {}, True), None, AT, with_texts=False)
    assert list(whole.about())[1:] == [
        "The newest 2 messages; there are more. The oldest of these comes first. Only what the operator may see.",
        "The texts are left out.",
    ]


def test_a_thread_has_its_section_and_the_rest_stands_below_its_day() -> None:
    answer: dict[str, Any] = {"metadata": {"threadId": "b", "inReplyTo": "b"}}
    orphan = entry("f", metadata={"threadId": "gone"})
    first = (entry("a"), entry("b"), entry("c"), entry("d", **answer))
    sections = headings(*first, entry("e", AT + DAY_MS), orphan).sections()
    found = [(section.title, [each.message["id"] for each in section.entries]) for section in sections]
    assert found == [
        ("2026-11-30", ["a"]),
        ("Thread b, 2026-11-30", ["b", "d"]),
        ("2026-11-30", ["c"]),
        ("2026-12-01", ["e"]),
        ("Thread gone, 2026-11-30", ["f"]),
    ]


def test_the_parties_of_a_message() -> None:
    found = headings()
    assert found.parties(entry("a")) == ("ann", "ben (s_ben)")
    several: dict[str, Any] = {"audience": {"to": ["@workers", "s_ann"], "size": 7}, "receivers": ["s_ann", "s_ben"]}
    assert found.parties(entry("a", **several)) == ("ann", "@workers, ann (7)")
    many = [f"s_{number}" for number in range(6)]
    assert found.parties(entry("a", receivers=many))[1] == "s_0, s_1, s_2, s_3 and 2 more"
    hidden: dict[str, Any] = {"audience": {"to": ["s_ann", "s_x"], "size": 3}}
    assert found.parties(entry("a", **hidden))[1] == "ben (s_ben) and 2 more"
    system: dict[str, Any] = {"from": "maestro"}
    assert found.parties(entry("a", **system))[0] == "the post office"
    assert found.name("s_odd") == "s_odd"


def test_the_state_of_one_and_of_several() -> None:
    assert headings().state(entry("a")) == "read"
    counts = {"pending": 2, "read": 4, "refused": 1, "delivered": 1}
    assert headings().state(entry("a", counts=counts)) == "read by 4, delivered to 1, pending for 2, 1 refused"


def test_what_a_sender_said_of_it() -> None:
    metadata = {
        "type": "request",
        "priority": "high",
        "requiresAck": True,
        "requiresResponse": True,
        "taskId": "a b",
        "inReplyTo": "msg_0",
    }
    more: dict[str, Any] = {"originalTo": "s_ann", "failure": {"code": "RATE_LIMITED", "message": "x"}}
    assert list(headings().facts(entry("a", metadata=metadata, **more))) == [
        "request",
        "high priority",
        "ack wanted",
        "answer wanted",
        'task "a b"',
        "answers msg_0",
        "for ann, who had ended",
        "refused: RATE_LIMITED",
    ]
    assert list(headings().facts(entry("a", metadata={"priority": "medium"}))) == []


def test_times_and_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (moment(AT), day(AT), clock(AT, "2026-11-30")) == ("2026-11-30 14:02:11", "2026-11-30", "14:02")
    assert clock(AT, "Thread x, 2026-11-29") == "2026-11-30 14:02"
    monkeypatch.setenv("TZ", "America/St_Johns")
    time.tzset()
    assert offset(AT) == "UTC-03:30"
    assert [size(each) for each in (5, 2_048, 2_150, 5 << 20, 3 << 30)] == [
        "5 B", "2 KiB", "2.1 KiB", "5 MiB", "3.0 GiB",
    ]  # fmt: skip
    attachment: AttachmentDoc = {"name": "a\nb.patch", "size": 2_048, "type": "text/plain", "sha256": "ab" * 32}
    assert file_line(attachment) == "a?b.patch, 2 KiB, sha256 abababababab…"
