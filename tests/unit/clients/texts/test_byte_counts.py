"""Byte counts: a number of bytes with a unit."""

from __future__ import annotations

import pytest

from maestro_clients.texts.byte_counts import size


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1_023, "1023 B"), (1_024, "1 KiB"), (2_150, "2.1 KiB"), (10 << 20, "10 MiB"), (1 << 41, "2.0 TiB")],
)
def test_a_count_has_a_unit(count: int, text: str) -> None:
    assert size(count) == text
