"""Short ids: what a list prints for an id means that id, and no other one of the list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_clients.texts.short_ids import ShortIds
from maestro_schemas import names
from maestro_schemas.names import needs_look_up

MARK = "2oztxul"


def generated(digits: str, mark: str = MARK) -> str:
    return f"msg_1770536761607_{digits}_{mark}"


@pytest.mark.parametrize(
    ("message_id", "short"),
    [
        (generated("k3v9x2m1a"), "k3v9"),
        ("msg_1770536761607_k3v9x2m1a", "k3v9"),
        (f"plan-7_{MARK}", "plan-7"),
        # What commands would take for a whole id, look up by no means, or take for a word of theirs.
        (f"my_message_{MARK}", f"my_message_{MARK}"),
        (f"m1_{MARK}", f"m1_{MARK}"),
        (f"last_{MARK}", f"last_{MARK}"),
        (generated("last00000"), "last0"),
        # A program made this key.
        (f"k_{'0f' * 20}_{MARK}", "k_0f"),
    ],
)
def test_an_id_alone(message_id: str, short: str) -> None:
    assert ShortIds().of(message_id) == short
    assert ShortIds([message_id]).of(message_id) == short


def test_ids_that_begin_alike_are_longer() -> None:
    ids = [generated("k3v9x2m1a"), generated("k3v9xaaaa"), generated("k3v900000"), generated("zzzz00000")]
    short = ShortIds(ids)
    assert [short.of(each) for each in ids] == ["k3v9x2", "k3v9xa", "k3v90", "zzzz"]


def test_no_sender_takes_the_short_id_of_another_message() -> None:
    """A key is chosen, so it may be the beginning of what another id begins with, or its very own part."""
    mine, theirs, twin = generated("k3v9x2m1a"), f"k3v9_{MARK}", generated("k3v9x2m1a", "0000001")
    short = ShortIds([mine, theirs, twin])
    assert [short.of(each) for each in (mine, theirs, twin)] == [mine, theirs, twin]


IDS = st.one_of(
    st.tuples(st.text("01", min_size=9, max_size=9), st.sampled_from(["0000001", MARK])).map(
        lambda two: generated(*two)
    ),
    st.tuples(st.text("01m-_", min_size=1, max_size=40), st.sampled_from(["0000001", MARK])).map("_".join),
)


@given(st.lists(IDS, max_size=30, unique=True))
def test_what_is_printed_means_one_id(ids: list[str]) -> None:
    short = ShortIds(ids)
    for each in ids:
        printed = short.of(each)
        assert printed == each or needs_look_up(printed)
        if needs_look_up(printed):
            assert [other for other in ids if names.id_begins(other, printed)] == [each]


@given(st.lists(IDS, max_size=10, unique=True), st.integers(4, 9))
def test_a_longer_least_is_kept(ids: list[str], least: int) -> None:
    short = ShortIds(ids, chars_min=least)
    for each in ids:
        assert len(short.of(each)) >= least or each.startswith(short.of(each))
