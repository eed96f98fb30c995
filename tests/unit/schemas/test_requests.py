"""decode_request: any bytes become a request or our one error."""

from __future__ import annotations

from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from maestro_schemas.bodies.attachments import BlobPut
from maestro_schemas.commands import REQUESTS, decode_request
from maestro_schemas.errors import MaestroError
from maestro_schemas.requests import Inbox, Send, SessionStart
from support.vectors import vectors

VECTORS = [vector for vector in vectors() if vector.file.startswith("requests")]
ANY_COMMAND = st.sampled_from([name.encode() for name in REQUESTS])
ANY_VALUE: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12) | st.integers(0, 3), inner),
    max_leaves=12,
)
FIELDS = sorted({field.encode_name for shape in REQUESTS.values() for field in msgspec.structs.fields(shape)})


def decoded_or_refused(command: bytes, body: bytes) -> str:
    """The outcome: "ok", or the error's code."""
    try:
        request = decode_request(command, body)
    except MaestroError as error:
        assert error.code in {"UNKNOWN_COMMAND", "BAD_REQUEST", "INVALID"}
        assert error.hint
        assert len(error.message) < 1_000
        return error.code
    assert type(request) is REQUESTS[command.decode()]
    return "ok"


@given(st.binary(max_size=80), st.binary())
def test_any_command_and_any_body(command: bytes, body: bytes) -> None:
    outcome = decoded_or_refused(command, body)
    assert outcome == "UNKNOWN_COMMAND" or command.decode() in REQUESTS


@given(ANY_COMMAND, st.binary())
@example(b"hello", b"\xd6\xff\xff\xff\xff\xff")  # a timestamp
@example(b"hello", b"\xc7\xff\x05")  # an extension, cut short
@example(b"hello", b"\xdf\xff\xff\xff\xff")  # a map that says it has four thousand million entries
@example(b"hello", b"\x81\xa2as\xdd\xff\xff\xff\xff")
@example(b"hello", b"\x81\x90\x00")  # a list as a key
@example(b"hello", b"\xc1")
def test_any_bytes(command: bytes, body: bytes) -> None:
    decoded_or_refused(command, body)


@given(ANY_COMMAND, st.dictionaries(st.sampled_from(FIELDS), ANY_VALUE, max_size=5))
def test_any_values_in_known_fields(command: bytes, body: dict[str, Any]) -> None:
    assert decoded_or_refused(command, msgpack.packb(body)) in {"ok", "INVALID", "BAD_REQUEST"}


@given(st.sampled_from(VECTORS), st.data())
def test_a_good_request_with_a_few_bytes_changed(vector: Any, data: st.DataObject) -> None:
    body = bytearray(vector.raw)
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    decoded_or_refused(vector.kind.encode(), bytes(body))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector.file}-{vector.kind}")
def test_a_good_request_cut_short_or_followed_by_more(vector: Any) -> None:
    command = vector.kind.encode()
    assert decoded_or_refused(command, vector.raw) == "ok"
    assert {decoded_or_refused(command, vector.raw[:end]) for end in range(len(vector.raw))} == {"BAD_REQUEST"}
    assert decoded_or_refused(command, vector.raw + b"\x80") == "BAD_REQUEST"


@pytest.mark.parametrize("command", list(REQUESTS))
def test_an_unknown_field_is_an_error(command: str) -> None:
    [vector] = [vector for vector in VECTORS if vector.kind == command and vector.file == "requests"]
    assert decoded_or_refused(command.encode(), msgpack.packb({**vector.document, "colour": 1})) == "INVALID"
    with_more = {**vector.document, "as": {"session": "a", "colour": 1}}
    assert decoded_or_refused(command.encode(), msgpack.packb(with_more)) == "INVALID"


@pytest.mark.parametrize("body", [None, 7, "hello", b"hello", [], [{}], True, 1.5])
def test_what_is_no_map(body: Any) -> None:
    assert decoded_or_refused(b"hello", msgpack.packb(body)) == "INVALID"


def test_a_body_nested_without_end_is_an_error() -> None:
    body = b"\x81\xa8metadata" + b"\x81\xa1a" * 100_000 + b"\xc0"
    assert decoded_or_refused(b"session.start", body) == "BAD_REQUEST"


@pytest.mark.parametrize("text", [b"\xed\xa0\x80", b"\xff", b"\xc3"])
def test_text_that_is_no_unicode_is_an_error(text: bytes) -> None:
    body = b"\x81\xa2id" + bytes([0xA0 | len(text)]) + text
    assert decoded_or_refused(b"message", body) == "BAD_REQUEST"


def test_a_number_beyond_64_bits_can_not_even_be_written() -> None:
    with pytest.raises(OverflowError):
        msgpack.packb({"since": 2**64})
    assert decode_request(b"inbox", msgpack.packb({"since": 2**64 - 1})) == Inbox(since=2**64 - 1)


def test_defaults() -> None:
    inbox = decode_request(b"inbox", b"\x80")
    assert isinstance(inbox, Inbox)
    assert inbox.status == ["pending"]
    assert inbox.who.session is None
    first, second = (decode_request(b"session.start", msgpack.packb({"id": "a"})) for _ in range(2))
    assert isinstance(first, SessionStart)
    assert isinstance(second, SessionStart)
    assert (first.role, first.status, first.task_ids, first.metadata) == (None, "idle", [], {})
    assert first.task_ids is not second.task_ids
    assert first.metadata is not second.metadata


def test_no_message_at_all_is_decoded_and_judged_by_the_core() -> None:
    assert decode_request(b"send", msgpack.packb({"messages": []})) == Send(messages=[])


def test_an_unknown_command_lists_the_known() -> None:
    with pytest.raises(MaestroError) as caught:
        decode_request(b"sendd\xff", b"\x80")
    assert caught.value.code == "UNKNOWN_COMMAND"
    assert "session.start" in caught.value.hint
    assert caught.value.message.isascii()


def test_a_part_of_a_file_makes_no_record() -> None:
    assert BlobPut(sha256="a" * 64, size=1, offset=0, data=b"x").record_bounds(64) == (0, 0)
