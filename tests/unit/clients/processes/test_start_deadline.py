"""Who waits for an update of the data, and who gives up and names it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maestro_clients.processes import start_deadline
from maestro_clients.processes.start_deadline import StartDeadline
from maestro_runtime.traces import update_file

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_without_an_update_the_deadline_is_the_timeout(tmp_path: Path) -> None:
    said: list[str] = []
    assert StartDeadline(str(tmp_path), 0.0, said.append).left_s() <= 0
    assert StartDeadline(str(tmp_path), 0.01).left_s() > 0
    assert said == []


def test_with_a_reader_it_lasts_as_long_as_the_update(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start_deadline, "_LOOK_S", 0.000_001)
    said: list[str] = []
    update_file.write(str(tmp_path), "half")
    deadline = StartDeadline(str(tmp_path), 0.01, said.append)
    for _ in range(50):
        assert deadline.left_s() > 0
    assert said == ["half"], "it is not repeated at each look"
    update_file.remove(str(tmp_path))
    while deadline.left_s() > 0:
        pass


def test_without_a_reader_it_ends_and_names_the_update(tmp_path: Path) -> None:
    update_file.write(str(tmp_path), "data format 1 to 2: 5 messages")
    deadline = StartDeadline(str(tmp_path), 0.0)
    assert deadline.left_s() <= 0
    error = deadline.late("it does not serve yet")
    assert error.code == "TIMEOUT"
    assert "5 messages" in error.message
    assert "`maestro up` waits" in error.hint
    update_file.remove(str(tmp_path))
    assert "logs/" in deadline.late("it does not serve yet").hint
