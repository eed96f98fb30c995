"""The lines of a log: who is named how, and that nothing which a sender chose passes for a line of ours."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_cli.history.log_lines import SessionNames, block, flat
from maestro_cli.output.marks import STYLE
from maestro_clients.texts.short_ids import ShortIds
from maestro_schemas.texts.visible_text import clean

_HEAD = re.compile(r"(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d  \S.* (→|->) .*  m1  .*")
NOW_MS = 1_770_536_761_607


def said(text: str = "hello", *, sender: str = "sess_1", entry: dict[str, Any] | None = None, **fields: Any) -> Any:
    message: dict[str, Any] = {
        "id": "m1",
        "from": sender,
        "to": "sess_2",
        "message": text,
        "status": "pending",
        "seq": 1,
        "createdAt": NOW_MS,
        **fields,
    }
    return {"lsn": 7, "message": message, **(entry or {})}


def names(**people: str | None) -> SessionNames:
    found = SessionNames()
    known = {
        each: {"role": "worker", **({"name": name} if name is not None else {})} for each, name in people.items()
    }
    found.learn(known)  # type: ignore[arg-type]
    return found


def head(entry: Any, known: SessionNames) -> str:
    return block(entry, known, NOW_MS).partition("\n")[0].partition("  ")[2]


@pytest.mark.parametrize(
    ("people", "shown"),
    [
        ({"sess_1": "ann", "sess_2": "bob"}, "ann → bob"),
        ({"sess_1": "ann", "sess_2": None}, "ann → sess_2"),
        ({}, "sess_1 → sess_2"),
        # A name is shown alone if no other session of the log has it, by name or as an id.
        ({"sess_1": "ann", "sess_2": "ann"}, "ann (sess_1) → ann (sess_2)"),
        ({"sess_1": "sess_2", "sess_2": None}, "sess_2 (sess_1) → sess_2"),
        # A name that is no word stands behind the bar.
        ({"sess_1": "ann → bob", "sess_2": "bob"}, "sess_1 → bob"),
    ],
)
def test_a_session_is_shown_by_its_name(people: dict[str, str | None], shown: str) -> None:
    assert head(said(), names(**people)) == f"{shown}  m1  pending"


def test_the_names_of_all_pages_count() -> None:
    known = names(sess_1="ann")
    known.learn({"sess_3": {"role": "worker", "name": "ann"}})
    assert head(said(), known).startswith("ann (sess_1) → sess_2")
    assert head(said(sender="maestro"), known).startswith("the post office → sess_2")


@pytest.mark.parametrize(
    ("fields", "entry", "shown"),
    [
        ({"audience": {"to": ["@workers"], "size": 7}}, {"receivers": ["a", "b"]}, "@workers (7)"),
        ({"audience": {"to": ["@reviews", "bob"], "size": 3}}, {}, "@reviews, bob (3)"),
        ({"audience": {"to": ["sess_2", "c"], "size": 2}}, {}, "sess_2 and 1 more"),
        ({"audience": {"to": ["sess_2"], "size": 1}}, {}, "sess_2"),
        ({"audience": {"to": ["a", "b"], "size": 2}}, {"receivers": ["a", "b"]}, "a, b"),
        ({"audience": {"to": list("abcde"), "size": 5}}, {"receivers": list("abcde")}, "a, b, c and 2 more"),
        ({"status": "failed", "audience": {"to": ["bob", "ghost"], "size": 0}}, {}, "bob, ghost"),
    ],
)
def test_to_whom_a_message_to_several_went(fields: dict[str, Any], entry: dict[str, Any], shown: str) -> None:
    line = head(said(entry=entry, **fields), names(sess_1="ann"))
    assert line.removeprefix("ann → ").partition("  ")[0] == shown


def test_what_became_of_each() -> None:
    counts = {"pending": 2, "read": 3, "delivered": 1, "refused": 1}
    line = head(said(entry={"receivers": list("abcdef"), "counts": counts}), names())
    assert line.endswith("  m1  3 of 7 read, 1 delivered, 2 pending, 1 refused")


def test_what_a_message_asks_and_answers() -> None:
    metadata = {
        "type": "request",
        "priority": "high",
        "requiresAck": True,
        "requiresResponse": True,
        "inReplyTo": "m0",
        "threadId": "m0",
        "data": {"a": 1},
    }
    lines = block(said("one\ntwo", metadata=metadata, originalTo="sess_3"), names(sess_3="old"), NOW_MS).split("\n")
    assert lines[0].endswith("  m1  high priority, request, ack wanted, answer wanted, pending")
    assert lines[1:] == ["  ↳ reply to m0", "  for old, who had ended", "  | one", "  | two", '  | data: {"a": 1}']


def test_a_message_that_failed_says_why() -> None:
    failure = {"code": "RECEIVER_NOT_FOUND", "message": "there is no session 'x'"}
    lines = block(said(status="failed", failure=failure, to="some one"), names(), NOW_MS).split("\n")
    assert '→ "some one"  m1  failed' in lines[0]
    assert lines[1] == "  it was refused: RECEIVER_NOT_FOUND"


def test_on_a_terminal_the_head_is_bold_and_a_high_priority_stands_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLICOLOR_FORCE", "1")
    first = block(said(metadata={"priority": "high"}), names(), NOW_MS).split("\n")[0]
    assert first.startswith(f"{STYLE}1m")
    assert first.endswith(f"{STYLE}0m  m1  {STYLE}1;33mhigh priority{STYLE}0m, pending")


def test_in_a_narrow_terminal_the_text_is_wrapped_behind_its_bar() -> None:
    lines = block(said("The tests of the shop are red since noon."), names(sess_1="ann"), NOW_MS, 24).split("\n")
    assert lines[-3:] == ["  | The tests of the", "  | shop are red since", "  | noon."]
    assert max(map(len, lines)) <= 24


def test_one_json_object_has_the_message_and_what_stands_beside_it() -> None:
    entry = said(entry={"receivers": ["a", "b"], "counts": {"read": 2}})
    assert flat(entry) == {**entry["message"], "lsn": 7, "receivers": ["a", "b"], "counts": {"read": 2}}


@given(text=st.text(max_size=80), name=st.text(max_size=40), address=st.text(max_size=40), word=st.text(max_size=40))
def test_nothing_that_a_sender_chose_passes_for_a_line_of_ours(text: str, name: str, address: str, word: str) -> None:
    metadata = {"type": "request", "taskId": word, "inReplyTo": word, "data": word}
    entry = said(text, metadata=metadata, audience={"to": ["@x", address], "size": 3})
    lines = block(entry, names(sess_1=name, sess_2=name), NOW_MS).split("\n")
    assert _HEAD.fullmatch(lines[0])
    ours = ("  ↳ reply to ", "  Taken out of it: ")
    assert all(line.startswith(("  | ", *ours)) for line in lines[1:])
    assert all(clean(line) == line for line in lines)


def test_on_a_terminal_ids_are_those_that_a_person_types() -> None:
    entry = said("yes", metadata={"inReplyTo": "msg_1770536761607_k3v9x2m1a_abcdefg"})
    entry["message"]["id"] = "msg_1770536761608_p0q9x2m1a_abcdefg"
    lines = block(entry, names(sess_1="ann"), NOW_MS, 80, ShortIds([entry["message"]["id"]])).split("\n")
    assert lines[0].endswith("  p0q9  pending")
    assert lines[1] == "  ↳ reply to k3v9"
