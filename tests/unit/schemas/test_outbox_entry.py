"""Outbox entries: what was written is read, and nothing else is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from maestro_schemas import outbox_entry
from maestro_schemas.errors import MaestroError
from maestro_schemas.outbox_entry import OutboxEntry
from support.vectors import vectors

IDS = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
OUTGOING = st.fixed_dictionaries(
    {"id": IDS, "to": TEXT | st.lists(TEXT, max_size=3), "message": TEXT},
    optional={"metadata": st.dictionaries(TEXT, VALUES, max_size=3), "ttlMs": st.integers()},
)
ENTRIES = st.builds(
    OutboxEntry,
    st.integers(0, outbox_entry.QUEUED_AT_MS_MAX),
    IDS,
    st.none() | TEXT,
    OUTGOING,
    st.none() | st.dictionaries(TEXT, VALUES, max_size=3),
)
GOOD: dict[str, Any] = {
    "version": 1,
    "queuedAt": 5,
    "session": "a",
    "message": {"id": "m", "to": "bob", "message": "x"},
}


@given(ENTRIES)
def test_what_was_written_is_read(entry: OutboxEntry) -> None:
    raw = outbox_entry.encode(entry)
    assert raw.endswith(b"\n")
    assert raw.count(b"\n") == 1
    assert outbox_entry.decode(raw) == entry


@pytest.mark.parametrize("vector", [v for v in vectors() if v.kind == "send" and v.file.startswith("requests")])
def test_a_message_of_the_wire_survives_the_outbox(vector: Any) -> None:
    [outgoing] = vector.document["messages"]
    entry = OutboxEntry(1, "sess_a", None, outgoing)
    assert outbox_entry.decode(outbox_entry.encode(entry)).outgoing == outgoing


@given(st.lists(ENTRIES, min_size=2, max_size=5))
def test_file_names_sort_by_time(entries: list[OutboxEntry]) -> None:
    names = sorted(map(outbox_entry.file_name, entries))
    times = [int(name[:15]) for name in names]
    assert times == sorted(entry.queued_at for entry in entries)
    assert all(name.endswith(".json") and "/" not in name for name in names)


@given(st.binary())
@example(b"")
@example(b"[" * 200_000)
@example(b"\xff\xfe")
@example(b"9" * 5_000)
@example(b'{"version": 1}')
@example(b"[]")
@example(b"null")
def test_other_bytes_are_corrupt(raw: bytes) -> None:
    with pytest.raises(MaestroError) as caught:
        outbox_entry.decode(raw)
    assert caught.value.code == "CORRUPT"
    assert len(caught.value.message) < 300


@given(st.sampled_from([*GOOD, "token", "failure"]), VALUES)
def test_any_value_in_a_field_is_read_or_corrupt(name: str, value: Any) -> None:
    try:
        entry = outbox_entry.decode(json.dumps({**GOOD, name: value}).encode())
    except MaestroError as error:
        assert error.code == "CORRUPT"
    else:
        assert outbox_entry.decode(outbox_entry.encode(entry)) == entry


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"queuedAt": -1},
        {"queuedAt": 10**15},
        {"queuedAt": "5"},
        {"queuedAt": 5.0},
        {"queuedAt": True},
        {"queuedAt": float("inf")},
        {"queuedAt": float("nan")},
        {"session": "../b"},
        {"session": ""},
        {"session": 7},
        {"token": 7},
        {"failure": "no"},
        {"message": []},
        {"message": {}},
        {"message": {"id": "a/b", "to": "bob", "message": "x"}},
        {"message": {"id": 7, "to": "bob", "message": "x"}},
        {"message": {"id": "m", "to": ["bob", 7], "message": "x"}},
        {"message": {"id": "m", "to": "bob"}},
        {"message": {"id": "m", "to": "bob", "message": "half a pair: \ud83c"}},
    ],
    ids=str,
)
def test_what_an_entry_must_be(change: dict[str, Any]) -> None:
    assert outbox_entry.decode(json.dumps(GOOD).encode()).session == "a"
    with pytest.raises(MaestroError) as caught:
        outbox_entry.decode(json.dumps({**GOOD, **change}).encode())
    assert caught.value.code == "CORRUPT"


@pytest.mark.parametrize("text", ["half a pair: \ud83c", "an argument's byte: \udcff"])
def test_text_that_is_no_unicode_is_not_kept(text: str) -> None:
    with pytest.raises(MaestroError) as caught:
        outbox_entry.encode(OutboxEntry(1, "a", None, {"id": "m", "to": "b", "message": text}))
    assert caught.value.code == "INVALID"


def test_data_that_is_no_json_is_not_kept() -> None:
    outgoing = {"id": "m", "to": "b", "message": "x", "metadata": {"data": b"bytes"}}
    with pytest.raises(MaestroError) as caught:
        outbox_entry.encode(OutboxEntry(1, "a", None, outgoing))
    assert caught.value.code == "INVALID"


@pytest.mark.parametrize(("to", "expected"), [("bob", ["bob"]), (["bob", "@workers"], ["bob", "@workers"])])
def test_an_entry_has_one_address_or_several(to: object, expected: list[str]) -> None:
    assert OutboxEntry(1, "a", None, {"id": "m", "to": to, "message": "x"}).addresses == expected
