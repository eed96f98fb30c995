"""The small msgpack against the real one."""

from __future__ import annotations

import math
from typing import Any

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from maestro_wire import minimal_msgpack

SCALARS = st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.text() | st.binary()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=30)
# What a packer chooses its widths by.
EDGES = [0, 15, 16, 31, 32, 127, 128, 255, 256, 65_535, 65_536]


@given(VALUES)
def test_the_same_bytes_and_back(value: Any) -> None:
    packed = minimal_msgpack.pack(value)
    assert packed == msgpack.packb(value)
    assert minimal_msgpack.unpack(packed) == value


@pytest.mark.parametrize("size", EDGES)
def test_every_width(size: int) -> None:
    pairs = {str(number): number for number in range(size)}
    for value in ("x" * size, [None] * size, pairs, size, -size, (1 << 32) + size, -(1 << 31) - size):
        assert minimal_msgpack.pack(value) == msgpack.packb(value)
        assert minimal_msgpack.unpack(minimal_msgpack.pack(value)) == value
    raw = msgpack.packb([b"x" * size, 1.5, -math.inf])
    assert minimal_msgpack.unpack(raw) == [b"x" * size, 1.5, -math.inf]
    assert minimal_msgpack.unpack(msgpack.packb(0.25, use_single_float=True)) == 0.25


@given(st.binary(max_size=64))
@example(b"\xdd\xff\xff\xff\xff")
@example(b"\xc7\x01\x01\x00")
@example(b"\x81\x01\x01")
@example(b"\xa1\xff")
@example(b"\xc1")
@example(b"\x01\x01")
@example(b"")
@example(b"\x91" * 64)
def test_garbage_is_refused_or_read_as_msgpack_reads_it(raw: bytes) -> None:
    try:
        value = minimal_msgpack.unpack(raw)
    except ValueError:
        return
    # Compared as text, since NaN is no value's equal.
    assert repr(value) == repr(msgpack.unpackb(raw))


@given(VALUES, st.data())
def test_a_part_of_a_value_is_none(value: Any, data: st.DataObject) -> None:
    packed = minimal_msgpack.pack(value)
    cut = data.draw(st.integers(0, len(packed) - 1))
    with pytest.raises(ValueError, match=r".*"):
        minimal_msgpack.unpack(packed[:cut])


@pytest.mark.parametrize(
    "value",
    [1 << 64, -(1 << 63) - 1, "\ud800", 1.5, object(), {1, 2}],
    ids=["big", "small", "surrogate", "float", "object", "set"],
)
def test_what_it_does_not_pack(value: object) -> None:
    with pytest.raises(ValueError, match=r".*"):
        minimal_msgpack.pack(value)


def test_it_ends_where_the_nesting_does_not() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(ValueError, match="nested"):
        minimal_msgpack.pack(value)
    with pytest.raises(ValueError, match="nested"):
        minimal_msgpack.unpack(b"\x91" * 100 + b"\xc0")
