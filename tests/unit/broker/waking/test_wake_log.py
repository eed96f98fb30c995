"""The waker's log: a line a wake, private and bounded, and never a reason to fail."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from maestro_broker.waking import wake_log
from maestro_broker.waking.steps import WakeOutcome
from maestro_broker.waking.wake_log import NAME, WakeLog

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

FAILED = WakeOutcome("bob", "codex:queue", "failed", "no \ud800 rollout")


def test_a_line_says_whom_what_and_why(tmp_path: Path) -> None:
    log = WakeLog(str(tmp_path))
    log.write(WakeOutcome("bob", "codex:queue", "woken"), 0.25)
    log.write(FAILED, 1)
    path = tmp_path / "logs" / NAME
    lines = [line.split(" ", 1)[1] for line in path.read_text().splitlines()]
    assert lines == ["bob codex:queue woken after 0.25 s", "bob codex:queue failed after 1.00 s: no \\ud800 rollout"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_it_stays_below_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wake_log, "_BYTES_MAX", 500)
    log = WakeLog(str(tmp_path))
    for _ in range(50):
        log.write(FAILED, 0)
    assert sorted(os.listdir(tmp_path / "logs")) == [NAME, f"{NAME}.1"]
    assert sum(path.stat().st_size for path in (tmp_path / "logs").iterdir()) < 1_200


def test_what_stands_in_its_place_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    os.mkfifo(tmp_path / "logs" / NAME)
    WakeLog(str(tmp_path)).write(FAILED, 0)
    assert os.listdir(tmp_path / "logs") == [NAME]
