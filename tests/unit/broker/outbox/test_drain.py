"""Outbox drain: order, holds, refusals for good, and files that are no entries."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from maestro_broker.core.context import RequestContext
from maestro_broker.outbox.drain import OutboxDrainer
from maestro_runtime import atomic_file
from maestro_runtime.outbox_dir import OutboxDir
from maestro_schemas import outbox_entry
from maestro_schemas.errors import FatalError, MaestroError
from maestro_schemas.outbox_entry import OutboxEntry
from maestro_schemas.requests import Identity

if TYPE_CHECKING:
    from pathlib import Path

    from maestro_schemas.replies import SendReply
    from maestro_schemas.requests import Send


def _drain(directory: Path, reports: list[str] | None = None) -> OutboxDrainer:
    def refuse(_request: object, _context: RequestContext) -> SendReply:
        raise MaestroError("STOPPING", "nothing is sent here")

    said: list[str] = [] if reports is None else reports
    return OutboxDrainer(
        OutboxDir(str(directory)),
        send=refuse,
        notify_sender=lambda *_: True,
        report=said.append,
        take_in=lambda *_: True,
    )


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
    assert [queued.entry.queued_at for queued in drain.due(0)] == [1, 2, 3, 4]
    drain.hold("ann", 100)
    assert [queued.entry.queued_at for queued in drain.due(99)] == [4]
    assert len(drain.due(100)) == 4
    drain.hold("ann", 1_000)
    drain.release_holds()
    assert len(drain.due(100)) == 4
    assert drain.counts() == (4, 0)


def test_sent_entries_are_removed_and_failed_ones_stay(tmp_path: Path) -> None:
    """A refused entry has its reason and is no longer due; an empty folder is removed."""
    drain, outbox = _drain(tmp_path), OutboxDir(str(tmp_path))
    for number in (1, 2):
        _queue(tmp_path, _entry(number))
    one, two = drain.due(0)
    outbox.remove(one.path)
    outbox.remove(one.path)
    outbox.keep_as_failed(two, MaestroError("RECEIVER_NOT_FOUND", "gone"))
    assert drain.counts() == (0, 1)
    assert drain.due(0) == []
    [kept] = (tmp_path / "ann").iterdir()
    assert outbox_entry.decode(kept.read_bytes()).failure == {"code": "RECEIVER_NOT_FOUND", "message": "gone"}
    kept.unlink()
    assert drain.due(0) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("session", "who"), [("ann", Identity("ann", "token")), ("operator", Identity(operator=True))]
)
def test_an_entry_is_sent_as_its_session_or_the_operator(tmp_path: Path, session: str, who: Identity) -> None:
    """The operator has no token, whatever the file says."""
    sent: list[Send] = []

    def send(request: Send, _context: RequestContext) -> SendReply:
        sent.append(request)
        raise MaestroError("BUSY", "not now")

    drain = OutboxDrainer(
        OutboxDir(str(tmp_path)),
        send=send,
        notify_sender=lambda *_: True,
        report=lambda _: None,
        take_in=lambda *_: True,
    )
    _queue(tmp_path, _entry(1, session))
    drain.drain(RequestContext(0))
    assert [(request.who, request.queued) for request in sent] == [(who, True)]


def test_a_journal_that_failed_is_no_refusal(tmp_path: Path) -> None:
    """It ends the broker; the entry waits for the next one."""

    def send(_request: object, _context: RequestContext) -> SendReply:
        raise FatalError("JOURNAL_FAILED", "the disk is broken")

    drain = OutboxDrainer(
        OutboxDir(str(tmp_path)),
        send=send,
        notify_sender=lambda *_: True,
        report=lambda _: None,
        take_in=lambda *_: True,
    )
    _queue(tmp_path, _entry(1))
    with pytest.raises(MaestroError, match="broken"):
        drain.drain(RequestContext(0))
    assert drain.counts() == (1, 0)


def test_a_refusal_without_space_is_stored_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry waits, and is refused again once its reason can be stored."""

    def send(_request: object, _context: RequestContext) -> SendReply:
        raise MaestroError("RECEIVER_NOT_FOUND", "gone")

    def fail(number: int) -> None:
        def writing(*_: object, **__: object) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(atomic_file, "replace", writing)

    drain = OutboxDrainer(
        OutboxDir(str(tmp_path)),
        send=send,
        notify_sender=lambda *_: True,
        report=lambda _: None,
        take_in=lambda *_: True,
    )
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


def test_a_file_that_is_no_entry_is_quarantined(tmp_path: Path) -> None:
    """Links, entries of other sessions, other content and folders are reported and renamed; others are sent."""
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
    assert [queued.entry.queued_at for queued in drain.due(0)] == [9]
    assert len(reports) == 4
    assert sorted(path.name for path in folder.iterdir() if path.name.endswith(".unreadable")) == [
        "1.unreadable", "2.unreadable", "3.unreadable", "4.unreadable",
    ]  # fmt: skip
