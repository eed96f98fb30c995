"""Frames: a stream is cut where its values end, however it arrives."""

from __future__ import annotations

import msgspec
import pytest

from maestro_broker.index.orders import Frames, IndexOrder, Scope, frame
from maestro_schemas.texts.search_query import Term


@pytest.mark.parametrize("size", [1, 3, 5, 1_000])
def test_values_come_out_as_they_went_in(size: int) -> None:
    orders = [IndexOrder("search", number, Scope("ann", ("ann", "bob")), (Term("x"),)) for number in range(5)]
    stream = b"".join(map(frame, orders))
    frames = Frames()
    found = [body for at in range(0, len(stream), size) for body in frames.feed(stream[at : at + size])]
    assert [msgspec.msgpack.decode(body, type=IndexOrder) for body in found] == orders
