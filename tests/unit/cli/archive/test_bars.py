"""Numbers as bars."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

from maestro_cli.archive.bars import bar

if TYPE_CHECKING:
    import pytest


def test_bars() -> None:
    assert bar(0, 10) == bar(5, 0) == ""
    assert bar(10, 10) == "█" * 20
    assert bar(1, 1_000_000) == "▏"
    assert bar(5, 10, 3) == "█▌"


def test_without_unicode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert bar(1, 2, 4) == "##"
    assert bar(1, 1_000, 4) == "#"
