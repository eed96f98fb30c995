"""The client's codec: any bytes either decode or raise one typed error, and the broker's codec reads what it
encodes."""

from __future__ import annotations

from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maestro_clients.channel.core import decode_reply
from maestro_clients.protocol.codec import decode, decode_notice, encoder
from maestro_schemas.errors import MaestroError

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(max_size=40)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)
MAPS = st.dictionaries(st.text(), VALUES, max_size=6)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(MAPS)
def test_encoding_and_decoding_is_lossless(body: dict[str, Any]) -> None:
    """The bytes are equal to those of the broker's codec."""
    raw = encoder()(body)
    assert decode(raw) == body
    assert msgspec.msgpack.decode(raw) == body
    assert msgspec.msgpack.encode(body) == raw


@settings(max_examples=1_000, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes(raw: bytes) -> None:
    """They decode to a map or raise BAD_REQUEST."""
    try:
        assert isinstance(decode(raw), dict)
    except MaestroError as error:
        assert error.code == "BAD_REQUEST"


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(MAPS, st.data())
def test_damaged_bytes(body: dict[str, Any], data: st.DataObject) -> None:
    """A body that is truncated, altered or followed by more bytes decodes to a map or raises BAD_REQUEST."""
    raw = bytearray(encoder()(body))
    position = data.draw(st.integers(0, len(raw) - 1))
    raw[position] ^= data.draw(st.integers(1, 255))
    for damaged in (bytes(raw), bytes(raw[:position]), bytes(raw) + b"\x00"):
        try:
            assert isinstance(decode(damaged), dict)
        except MaestroError as error:
            assert error.code == "BAD_REQUEST"


@settings(max_examples=500, deadline=None)
@given(st.lists(st.binary(max_size=30), max_size=6))
def test_random_frames(frames: list[bytes]) -> None:
    """Frames decode to a reply or a notice, or raise a typed error."""
    for decoding in (lambda received: decode_reply(received, decode), decode_notice):
        for received in (frames, [b"M1", *frames]):
            try:
                decoding(received)
            except MaestroError as error:
                assert error.code in ("BAD_REQUEST", "UNSUPPORTED_PROTOCOL")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xc1",
        b"\x80\x80",
        msgpack.packb([1]),
        msgpack.packb({1: "a number for a key"}),
        msgpack.packb({"a": msgpack.ExtType(5, b"x")}),
        b"\x81\xa1a\xd9\x02\xff\xfe",
        b"\x91" * 5_000,
        b"\xdf\xff\xff\xff\xff",
        b"\x81\xa1a\xc7\x03\xff\x00\x00\x00",
    ],
    ids=["empty", "never used", "two maps", "list", "int key", "extension", "not UTF-8", "deep", "huge", "odd time"],
)
def test_bytes_that_are_no_body(raw: bytes) -> None:
    """Each raises the same typed error."""
    with pytest.raises(MaestroError) as raised:
        decode(raw)
    assert raised.value.code == "BAD_REQUEST"
    assert raised.value.hint


def test_a_timestamp_is_a_number() -> None:
    """msgpack's own extension type becomes a number, which JSON has too."""
    assert decode(msgpack.packb({"at": msgpack.Timestamp(5, 500_000_000)})) == {"at": 5.5}


@pytest.mark.parametrize(
    "value",
    [1 << 64, -(1 << 63) - 1, "\ud800", object(), {1, 2}, [object()]],
    ids=["too large", "too small", "half a surrogate pair", "object", "set", "inside"],
)
def test_values_that_cannot_be_encoded(value: object) -> None:
    """They raise a typed error, and the encoder still works afterwards."""
    encode = encoder()
    with pytest.raises(MaestroError) as raised:
        encode({"value": value})
    assert raised.value.code == "INVALID"
    assert encode({"a": 1}) == msgpack.packb({"a": 1})


def test_a_value_that_is_nested_for_ever() -> None:
    """It raises the typed error, not RecursionError."""
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(MaestroError):
        encoder()({"a": endless})


def test_a_notice() -> None:
    """Its topic names the session."""
    body = {"lsn": 4, "at": 1, "event": "head", "seq": 2}
    notice = decode_notice([b"sess_a|head", msgpack.packb(body)])
    assert notice.session == "sess_a"
    assert notice.event == body


@pytest.mark.parametrize(
    "frames",
    [[b"a|head"], [b"no separator", msgpack.packb({"event": "head"})], [b"a|head", msgpack.packb({"event": 1})]],
)
def test_frames_that_are_no_notice(frames: list[bytes]) -> None:
    """They raise a typed error, and a listener skips them."""
    with pytest.raises(MaestroError):
        decode_notice(frames)
