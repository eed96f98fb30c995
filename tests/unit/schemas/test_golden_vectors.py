"""Golden vectors: both codecs, the broker's and the clients', write and read the same bytes."""

from __future__ import annotations

import importlib.util
import os
import typing
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_schemas.commands import REPLIES, REQUESTS, decode_request
from maestro_schemas.errors import MaestroError
from maestro_schemas.events import Event, EventName
from support.vectors import FILES, GOLDEN, Vector, vectors

ALL = vectors()
TYPED = [vector for vector in ALL if vector.shape is not None]
# Their documents name each field that the type would write, so its bytes are the document's.
WHOLE = [vector for vector in TYPED if vector.file != "requests-short"]

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=40), inner, max_size=20),
    max_leaves=30,
)


def named(vector: Vector) -> str:
    return f"{vector.file}-{vector.kind}"


@pytest.mark.parametrize("vector", ALL, ids=named)
def test_both_codecs_write_and_read_these_bytes(vector: Vector) -> None:
    assert msgpack.packb(vector.document) == vector.raw
    assert msgspec.msgpack.encode(vector.document) == vector.raw
    assert msgpack.unpackb(vector.raw) == vector.document
    assert msgspec.msgpack.decode(vector.raw) == vector.document


@pytest.mark.parametrize("vector", WHOLE, ids=named)
def test_the_types_write_and_read_these_bytes(vector: Vector) -> None:
    assert vector.shape is not None
    typed = msgspec.msgpack.decode(vector.raw, type=vector.shape)
    assert msgspec.msgpack.encode(typed) == vector.by_broker
    assert msgpack.unpackb(vector.by_broker) == vector.document


@pytest.mark.parametrize("vector", [v for v in TYPED if v.file.startswith("requests")], ids=named)
def test_a_request_is_understood_and_survives_being_written_out(vector: Vector) -> None:
    request = decode_request(vector.kind.encode(), vector.raw)
    assert type(request) is vector.shape
    assert decode_request(vector.kind.encode(), msgspec.msgpack.encode(request)) == request


@pytest.mark.parametrize("vector", [v for v in ALL if v.file == "errors"], ids=named)
def test_an_error_body_is_understood(vector: Vector) -> None:
    assert MaestroError.from_body(vector.document).body() == vector.document


def test_the_broker_writes_other_bytes_only_for_types_of_many_fields() -> None:
    odd = {vector.shape for vector in WHOLE if vector.by_broker != vector.raw}
    with_messages = {
        REPLIES[name] for name in ("send", "inbox", "confirm", "message", "thread", "dead", "messages", "receipt")
    }
    with_messages |= {REPLIES[name] for name in ("search", "threads")}
    with_sessions = {REPLIES["session.get"], REPLIES["session.list"]}
    assert odd == {Event, REPLIES["events"], *with_messages, *with_sessions}


@pytest.mark.parametrize("file", ["requests", "requests-short", "replies"])
def test_each_command_has_a_vector(file: str) -> None:
    assert {vector.kind for vector in ALL if vector.file == file} == set(REQUESTS)


def test_each_event_has_a_vector() -> None:
    assert {vector.kind for vector in ALL if vector.file == "events"} == set(typing.get_args(EventName))


def test_each_command_has_a_reply() -> None:
    assert list(REPLIES) == list(REQUESTS)


def test_each_field_is_in_a_vector() -> None:
    missing: dict[type, set[str]] = {}
    for shape in {*REQUESTS.values(), *REPLIES.values(), *(vector.shape for vector in TYPED)}:
        assert shape is not None
        seen: dict[type, set[str]] = {}
        for vector in WHOLE:
            if vector.shape is shape:
                _note(msgspec.msgpack.decode(vector.raw, type=shape), seen)
        for part, fields in seen.items():
            missing[part] = missing.get(part, set(_fields(part))) - fields
    assert {part.__name__: fields for part, fields in missing.items() if fields} == {}


def _note(value: Any, seen: dict[type, set[str]]) -> None:
    """Which fields of which Structs are set to more than nothing, in `value` and below."""
    if isinstance(value, list | tuple):
        for item in value:
            _note(item, seen)
    if not isinstance(value, msgspec.Struct):
        return
    present = seen.setdefault(type(value), set())
    for field in _fields(type(value)):
        inner = getattr(value, field)
        if inner not in (None, msgspec.UNSET, [], (), {}, ""):
            present.add(field)
            _note(inner, seen)


def _fields(shape: type) -> tuple[str, ...]:
    return tuple(field.name for field in msgspec.structs.fields(shape))


def test_each_file_is_what_the_script_writes() -> None:
    spec = importlib.util.spec_from_file_location("regenerate", os.path.join(GOLDEN, "regenerate.py"))
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert {os.path.basename(path) for path in script.files()} == {f"{file}.json" for file in FILES}
    for path in script.files():
        with open(path, encoding="utf-8") as file:
            text = file.read()
        assert script.regenerated(text) == text, f"run `just schemas`: {path}"


@given(JSON_VALUES)
def test_the_codecs_agree_on_any_json_value(value: Any) -> None:
    packed = msgpack.packb(value)
    assert packed == msgspec.msgpack.encode(value)
    assert msgpack.unpackb(packed) == msgspec.msgpack.decode(packed) == value
