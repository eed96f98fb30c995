"""The broker's small parts: clock, lock, disk, options, logs."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from pathlib import Path

import pytest

from maestro_broker.clock import Clock
from maestro_broker.files import disk
from maestro_broker.files.data_lock import DataLock
from maestro_broker.server import options
from maestro_runtime import logs, mounts
from maestro_schemas.errors import MaestroError


def test_the_clock_is_not_behind_the_journal_and_ignores_jumps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall clock counts once."""
    future_ms = time.time_ns() // 1_000_000 + 10_000_000
    assert Clock(future_ms).now_ms() >= future_ms
    clock = Clock()
    before = clock.now_ms()
    assert abs(before - time.time() * 1000) < 5_000
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert before <= clock.now_ms() < before + 5_000


def test_the_lock_has_one_holder(tmp_path: Path) -> None:
    """The second one's error names the pid of the first; it waits only for one that is stopping."""
    first, second = DataLock(str(tmp_path)), DataLock(str(tmp_path))
    first.acquire(0.0)
    with pytest.raises(MaestroError) as caught:
        second.acquire(0.05)
    assert caught.value.code == "DATA_DIR_LOCKED"
    assert caught.value.details == {"pid": os.getpid()}
    first.announce_stop()
    with pytest.raises(MaestroError):
        second.acquire(0.05)
    waiting = threading.Thread(target=second.acquire, args=(10.0,))
    waiting.start()
    first.release()
    first.release()
    waiting.join(10.0)
    assert (tmp_path / "broker.lock").read_text() == f"{os.getpid()}\n"
    second.release()
    second.announce_stop()
    with pytest.raises(MaestroError) as caught:
        DataLock(str(tmp_path / "nowhere")).acquire(0.0)
    assert caught.value.code == "DATA_DIR_UNUSABLE"


def test_file_systems(tmp_path: Path) -> None:
    """File systems are synced, measured and named; unsafe types cause a warning."""
    disk.sync_file_system(str(tmp_path))
    assert disk.free_bytes(str(tmp_path)) > 0
    assert mounts.file_system(str(tmp_path)) != "unknown"
    assert mounts.file_system("/proc") == "proc"
    assert mounts.file_system("/", str(tmp_path / "none")) == "unknown"
    assert mounts.doubt("ext4") is None
    assert "power" in (mounts.doubt("tmpfs") or "")
    assert "server" in (mounts.doubt("nfs4") or "")
    with pytest.raises(OSError, match="No such file"):
        disk.sync_file_system(str(tmp_path / "nowhere"))


def test_options_rise_from_file_to_environment_to_flag(tmp_path: Path) -> None:
    """Each with its source; bad ones are typed errors."""
    config = tmp_path / "config.toml"
    config.write_text("[limits]\nrate_limit = 20\npending_max = 7\nrequire_token = true\n")
    environ = {"MAESTRO_CONFIG": str(config), "MAESTRO_RATE_LIMIT": "30", "MAESTRO_RUNTIME_DIR": "/tmp/r"}
    chosen = options.resolve(str(tmp_path), {"retention": "2d"}, environ)
    assert (chosen.limits.rate_limit, chosen.limits.pending_max, chosen.limits.require_token) == (30, 7, 1)
    assert chosen.limits.retention_ms == 2 * 86_400_000
    assert [chosen.origins[name] for name in ("rate_limit", "pending_max", "retention_ms", "text_chars_max")] == [
        "environment", "config", "flag", "default",
    ]  # fmt: skip
    assert options.resolve(None, {}, {"MAESTRO_DATA_DIR": "/tmp/d", "MAESTRO_CONFIG": "/nowhere"}).data == "/tmp/d"
    for text in ("[limits]\nrate_limt = 1", "rate_limit = 1", "limits = 3", "not toml"):
        config.write_text(text)
        with pytest.raises(MaestroError) as caught:
            options.resolve(str(tmp_path), {}, environ)
        assert caught.value.code == "BAD_SETTING"
        assert caught.value.hint


def test_logs_are_json_lines_and_plain_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both get the same records, with a traceback if there is one."""
    log = logging.getLogger("maestro_broker")
    before = list(log.handlers)
    path = logs.start(str(tmp_path), "broker", "maestro_broker", foreground=True)
    try:
        logging.getLogger("maestro_broker.views.spool_writer").info("one %d", 1)
        try:
            int("boom")
        except ValueError:
            log.exception("it failed")
    finally:
        for handler in [handler for handler in log.handlers if handler not in before]:
            log.removeHandler(handler)
            handler.close()
    lines = [json.loads(line) for line in Path(path).read_text().splitlines()]
    assert [(line["module"], line["level"], line["message"]) for line in lines] == [
        ("spool_writer", "info", "one 1"),
        ("maestro_broker", "error", "it failed"),
    ]
    assert "ValueError: invalid literal" in lines[1]["traceback"]
    shown = capsys.readouterr().err
    assert "one 1" in shown
    assert "error: it failed\nTraceback" in shown
