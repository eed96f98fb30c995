"""The broker's small parts: clock, lock, disk, options, logs, outbox drain."""

from __future__ import annotations

import errno
import json
import logging
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from maestro_broker.clock import Clock
from maestro_broker.core.context import RequestContext
from maestro_broker.files import disk
from maestro_broker.files.data_lock import DataLock
from maestro_broker.outbox.drain import OutboxDrainer
from maestro_broker.server import options
from maestro_runtime import logs, mounts
from maestro_schemas import outbox_entry
from maestro_schemas.errors import FatalError, MaestroError
from maestro_schemas.outbox_entry import OutboxEntry
from maestro_schemas.replies import SendReply


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
    """The second is told the pid of the first, and waits only for one that is stopping."""
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


def test_durable_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old or new, whole; short writes are finished; errors come out."""
    path = tmp_path / "file"
    disk.write_durably(str(path), b"one")
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, bytes(data)[:2]))
    disk.write_durably(str(path), b"two and more")
    monkeypatch.undo()
    assert path.read_bytes() == b"two and more"
    assert path.stat().st_mode & 0o777 == 0o600

    def fail(_fd: int) -> None:
        raise OSError(errno.EIO, "injected")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="injected"):
        disk.write_durably(str(path), b"three")
    monkeypatch.undo()
    assert path.read_bytes() == b"two and more"


def test_file_systems(tmp_path: Path) -> None:
    """Synced, measured and named; doubtful kinds are warned of."""
    disk.sync_file_system(str(tmp_path))
    disk.sync_directory(str(tmp_path))
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
    """Each with where it came from; bad ones are typed errors."""
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
    """The same to both; a traceback where there was one."""
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


def _drain(directory: Path, reports: list[str] | None = None) -> OutboxDrainer:
    def refuse(_request: object, _context: RequestContext) -> SendReply:
        raise MaestroError("STOPPING", "nothing is sent here")

    said: list[str] = [] if reports is None else reports
    return OutboxDrainer(str(directory), send=refuse, tell=lambda *_: True, report=said.append)


def _entry(number: int, session: str = "ann", **outgoing: Any) -> OutboxEntry:
    return OutboxEntry(number, session, "token", {"id": f"m{number}", "to": "bob", "message": "x", **outgoing})


def _queue(directory: Path, entry: OutboxEntry) -> Path:
    path = directory / entry.session / outbox_entry.file_name(entry)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(outbox_entry.encode(entry))
    return path


def test_entries_are_due_in_order_until_held(tmp_path: Path) -> None:
    """A hold keeps a session's entries back, and only that session's."""
    drain = _drain(tmp_path)
    assert drain.due(0) == []
    for number in (3, 1, 2):
        _queue(tmp_path, _entry(number))
    _queue(tmp_path, _entry(4, "bob"))
    assert [waiting.entry.queued_at for waiting in drain.due(0)] == [1, 2, 3, 4]
    drain.hold("ann", 100)
    assert [waiting.entry.queued_at for waiting in drain.due(99)] == [4]
    assert len(drain.due(100)) == 4
    drain.hold("ann", 1_000)
    drain.release_holds()
    assert len(drain.due(100)) == 4
    assert drain.counts() == (4, 0)


def test_sent_entries_go_and_failed_ones_stay(tmp_path: Path) -> None:
    """With the reason, no longer due; an empty folder goes."""
    drain = _drain(tmp_path)
    for number in (1, 2):
        _queue(tmp_path, _entry(number))
    one, two = drain.due(0)
    drain.sent(one.path)
    drain.sent(one.path)
    drain.failed(two, MaestroError("RECEIVER_NOT_FOUND", "gone"))
    assert drain.counts() == (0, 1)
    assert drain.due(0) == []
    [kept] = (tmp_path / "ann").iterdir()
    assert outbox_entry.decode(kept.read_bytes()).failure == {"code": "RECEIVER_NOT_FOUND", "message": "gone"}
    kept.unlink()
    assert drain.due(0) == []
    assert list(tmp_path.iterdir()) == []


def test_a_journal_that_failed_is_no_refusal(tmp_path: Path) -> None:
    """It ends the broker; the entry waits for the next one."""

    def send(_request: object, _context: RequestContext) -> SendReply:
        raise FatalError("JOURNAL_FAILED", "the disk is broken")

    drain = OutboxDrainer(str(tmp_path), send=send, tell=lambda *_: True, report=lambda _: None)
    _queue(tmp_path, _entry(1))
    with pytest.raises(MaestroError, match="broken"):
        drain.drain(RequestContext(0))
    assert drain.counts() == (1, 0)


def test_a_refusal_that_finds_no_room_is_put_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry waits, and is refused again when its reason can be written down."""

    def send(_request: object, _context: RequestContext) -> SendReply:
        raise MaestroError("RECEIVER_NOT_FOUND", "gone")

    def fail(number: int) -> None:
        def writing(*_: object) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(disk, "write_durably", writing)

    drain = OutboxDrainer(str(tmp_path), send=send, tell=lambda *_: True, report=lambda _: None)
    _queue(tmp_path, _entry(1))
    fail(errno.ENOSPC)
    assert drain.drain(RequestContext(0)) == 1
    drain.settle(drain.take_applied())
    assert drain.counts() == (1, 0)
    fail(errno.EIO)
    drain.drain(RequestContext(0))
    with pytest.raises(OSError, match="Input/output"):
        drain.settle(drain.take_applied())
    monkeypatch.undo()
    drain.drain(RequestContext(0))
    drain.settle(drain.take_applied())
    assert drain.counts() == (0, 1)


def test_what_is_no_entry_is_put_away(tmp_path: Path) -> None:
    """Links, foreign sessions, rubbish, folders: reported, renamed, and not in the way of the next."""
    reports: list[str] = []
    drain = _drain(tmp_path, reports)
    good = _queue(tmp_path, _entry(9))
    folder = good.parent
    (folder / "1.json").write_text("rubbish")
    (folder / "2.json").symlink_to(good)
    (folder / "3.json").write_bytes(outbox_entry.encode(_entry(3, "bob")))
    (folder / "4.json").mkdir()
    (folder / ".5.json").write_text("half written")
    (tmp_path / "file").write_text("in the place of a folder")
    assert [waiting.entry.queued_at for waiting in drain.due(0)] == [9]
    assert len(reports) == 4
    assert sorted(path.name for path in folder.iterdir() if path.name.endswith(".unreadable")) == [
        "1.unreadable", "2.unreadable", "3.unreadable", "4.unreadable",
    ]  # fmt: skip
