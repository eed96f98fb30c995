"""The update file: what a running update says, and nothing of one that was killed."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from maestro_runtime.traces import update_file

if TYPE_CHECKING:
    from pathlib import Path


def test_it_is_read_while_it_is_new(tmp_path: Path) -> None:
    data = str(tmp_path)
    assert update_file.read(data) is None
    update_file.write(data, "half")
    assert update_file.read(data) == "half"
    update_file.remove(data)
    update_file.remove(data)
    assert update_file.read(data) is None


@pytest.mark.parametrize("age_s", [3_600, -3_600])
def test_the_file_of_a_killed_broker_says_nothing(tmp_path: Path, age_s: int) -> None:
    """Nor does one from a clock that was ahead."""
    update_file.write(str(tmp_path), "half")
    at_s = time.time() - age_s
    [name] = os.listdir(tmp_path)
    os.utime(tmp_path / name, (at_s, at_s))
    assert update_file.read(str(tmp_path)) is None


def test_a_place_that_can_t_be_written_is_no_error(tmp_path: Path) -> None:
    update_file.write(str(tmp_path / "missing"), "half")
    assert update_file.read(str(tmp_path / "missing")) is None
