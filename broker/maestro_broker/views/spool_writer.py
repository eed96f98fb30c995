"""Spool writer: the thread that writes committed records to the spool.

Rule: no reply waits for it, and it is never ahead of the journal, because it gets only durable records. It writes in
order, a chunk at a time, and only the last state of each message in a chunk. A checkpoint syncs the files, writes the
heads, and releases segments of the journal. On a full disk it waits and tries again. Any other error ends the broker:
a broker whose spool no longer follows the journal must not seem to work.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from maestro_broker.core.model import checkpoint
from maestro_broker.core.model.records import (
    Accepted,
    Confirmed,
    Deleted,
    Expired,
    Failed,
    GroupChanged,
    GroupDeleted,
    SessionChanged,
    SessionForgotten,
    event,
    events,
)
from maestro_broker.files import disk
from maestro_runtime import atomic_file
from maestro_schemas.errors import FatalError

from .sweeper import REST_S

if TYPE_CHECKING:
    from maestro_broker.commit.log import CommitLog
    from maestro_broker.core.model.state import Change
    from maestro_schemas.groups import Group
    from maestro_schemas.messages import Message
    from maestro_schemas.sessions import StoredSession

    from .spool import Spool
    from .sweeper import Sweeper
    from .timeline import Timeline

_log = logging.getLogger(__name__)

HEADS_FILE = "heads"
# Zeros that keep space for the next checkpoint.
HEADS_ROOM_FILE = "heads.room"
_ROOM_BYTES_MIN = 32 << 10

# Deliveries; a record with more of them is a chunk by itself.
_CHUNK = 256
# After ENOSPC, files are written in small chunks, so that the journal can make its spare segment first; otherwise
# files use up the freed space, and new sends stay refused.
_CHUNK_WHEN_TIGHT = 8
# A checkpoint syncs the whole file system, which slows other writers: it is made no more often than necessary.
_CHECKPOINT_RECORDS = 30_000
# Text that a start after a kill reads again: at 10,000 characters a message, half a gigabyte in 10 s.
_CHECKPOINT_TEXT_CHARS = 64 << 20
_CHECKPOINT_INTERVAL_S = 10.0
# While the journal's tail of an earlier run is written: each start begins at the last checkpoint, so a broker that is
# killed repeatedly would write the same tail repeatedly, until its queue is full and new mail is refused.
_CATCH_UP_INTERVAL_S = 1.0
_FULL_RETRY_S = 0.5
_IDLE_S = 0.1
# Upper bound on how long a busy main loop holds the thread back before each file.
_GATE_S = 0.25


class SpoolWriter:
    """Writes changes behind the main loop."""

    def __init__(
        self,
        directory: str,
        rate_limit: int,
        *,
        spool: Spool,
        timeline: Timeline,
        dead_letters: Timeline,
        log: CommitLog,
        start: checkpoint.Checkpoint,
        recovered_lsn: int,
        sweeper: Sweeper | None = None,
    ) -> None:
        self._directory = directory
        self._rate_limit = rate_limit
        self._spool = spool
        self._timeline = timeline
        self._dead_letters = dead_letters
        self._log = log
        self._heads = start
        self._recovered_lsn = recovered_lsn
        self._sweeper = sweeper
        self._swept_s = 0.0
        # (receiver, id) of mail whose text the journal still has, because it came after the last checkpoint.
        self._in_journal: set[tuple[str, str]] = set()
        self._queue: queue.SimpleQueue[list[Change] | None] = queue.SimpleQueue()
        # The changes that were written, which the main loop may now drop: it takes them from the left.
        self.filed: deque[list[Change]] = deque()
        self._stopping = threading.Event()
        self._progress = threading.Event()
        self._gate = threading.Event()
        self._gate.set()
        self._thread = threading.Thread(target=self._run, name="spool-writer", daemon=True)
        self._checkpointed_s = time.monotonic()
        self._text_chars = 0
        self._room_bytes = 0
        self.checkpoint_lsn = start.lsn
        self.failure: FatalError | None = None  # ends the main loop too
        self.waiting: str | None = None  # why it waits, for `maestro status`

    def start(self) -> None:
        self._thread.start()

    def put(self, changes: list[Change]) -> None:
        """Queue durable changes, in order."""
        self._queue.put(changes)

    def hold_back(self) -> None:
        """The main loop has work: pause before the next file.

        Two threads that both run Python wake each other at every call that releases the interpreter's lock, ten times
        a message here. Measured: half of the broker's system time under load.
        """
        self._gate.clear()

    def go_on(self) -> None:
        """The main loop waits for requests or for the disk: continue."""
        self._gate.set()

    def wait_for_progress(self, timeout_s: float) -> None:
        """Wait until another chunk is written."""
        self._progress.clear()
        self._gate.set()
        self._progress.wait(timeout_s)

    def stop(self, timeout_s: float) -> bool:
        """Write what is left and make a checkpoint, within the time; whether it finished. The journal keeps the
        rest."""
        self._stopping.set()
        self._gate.set()
        self._queue.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._keep_room(len(checkpoint.encode(self._heads)))
            last = False
            while not last:
                changes, last = self._take()
                gone: set[tuple[str, str]] = set()
                is_tight = False
                while changes:
                    chunk = _first(changes, _CHUNK_WHEN_TIGHT if is_tight else _CHUNK)
                    if self._is_filed(chunk, gone):
                        self.filed.append(chunk)
                        self._progress.set()
                        del changes[: len(chunk)]
                        if is_tight:
                            self._log.prepare_spare()
                        if self._checkpoint_is_due():
                            self._checkpoint()
                    elif self._stopping.is_set():
                        _log.warning("the disk is full: %d changes wait in the journal for a start", len(changes))
                        return
                    else:
                        is_tight = True
                        more, last = self._take_at_once()
                        changes += more
                        gone = self._make_room(changes, gone)
                        self._sweep()
                self._log.prepare_spare()
                self._sweep()
                if last or self._checkpoint_is_due():
                    self._checkpoint()
        except FatalError as error:
            self.failure = error
        except BaseException as error:  # noqa: BLE001 - the top of the thread: the main loop reports it and ends
            _log.critical("the spool writer ends: %r", error, exc_info=True)
            self.failure = FatalError(
                "INTERNAL", f"the spool writer failed: {error!r}", "Its log in <data>/logs/broker.log says where."
            )
            self.failure.__cause__ = error

    def _sweep(self) -> None:
        """Run a slice of the sweep: when the main loop is idle, and now and then when it is not. A slice is never cut
        short: beside a client that sends all the time, files would be removed more slowly than they are made."""
        if self._sweeper is None or self._stopping.is_set():
            return
        now_s = time.monotonic()
        if now_s - self._swept_s >= self._sweeper.rest_s(is_idle=self._gate.is_set()):
            self._sweeper.work()
            self._swept_s = time.monotonic()

    def _make_room(self, changes: list[Change], before: set[tuple[str, str]]) -> set[tuple[str, str]]:
        """On a full disk: remove the files that a later change in the queue deletes, and release the journal as far
        as files were written. Returns (receiver, id) of mail that need not be written; `before` is the previous
        result."""
        ends: dict[tuple[str, str], bool] = {}
        for change in changes:
            match change.record:
                case Accepted(message):
                    for receiver in change.record.receivers:
                        ends[receiver, message.id] = False
                case Deleted():
                    ends[change.record.mailbox, change.record.id] = True
        gone = {key for key, is_gone in ends.items() if is_gone}
        for receiver, message_id in gone - before:
            self._spool.remove_message(receiver, message_id)
        self._checkpoint()
        self._log.prepare_spare()
        return gone

    def _take(self) -> tuple[list[Change], bool]:
        """The queued changes, about one chunk; and whether they are the last."""
        try:
            is_sweeping = self._sweeper is not None and self._sweeper.is_due
            changes = self._queue.get(timeout=REST_S if is_sweeping else _IDLE_S)
        except queue.Empty:
            return [], False
        taken: list[Change] = []
        while changes is not None:
            taken += changes
            if len(taken) >= _CHUNK:
                return taken, False
            try:
                changes = self._queue.get_nowait()
            except queue.Empty:
                return taken, False
        return taken, True

    def _take_at_once(self) -> tuple[list[Change], bool]:
        """All queued changes, without waiting; and whether they are the last."""
        taken: list[Change] = []
        try:
            while (changes := self._queue.get_nowait()) is not None:
                taken += changes
        except queue.Empty:
            return taken, False
        return taken, True

    def _is_filed(self, chunk: list[Change], gone: set[tuple[str, str]]) -> bool:
        """Write the chunk, without the mail in `gone`; on a full disk, wait a little and return false."""
        try:
            self._write(chunk, gone)
        except OSError as error:
            if error.errno not in disk.FULL:
                raise
            if self.waiting is None:
                _log.warning("writing the spool waits: %s; the journal keeps what is not written", error)
            self.waiting = f"writing the spool waits for space on the disk: {error}"
            self._stopping.wait(_FULL_RETRY_S)
            return False
        if self.waiting is not None:
            _log.info("writing the spool continues")
            self.waiting = None
        return True

    def _write(self, chunk: list[Change], gone: set[tuple[str, str]]) -> None:
        """Write one chunk; can be repeated from the start."""
        finals: dict[tuple[str, str], Message | None] = {}
        sessions: dict[str, StoredSession | None] = {}
        groups: dict[str, Group | None] = {}
        # The LSN at which each group was deleted last. What was sent to it before has no link any more.
        deleted: dict[str, int] = {}
        refused: list[Message] = []
        sent: list[tuple[int, Accepted]] = []
        dead: list[Change] = []
        for change in chunk:
            match change.record:
                case Accepted(message):
                    sent.append((change.lsn, change.record))
                    for delivery in (message, *change.more):
                        key = (delivery.receiver, delivery.id)
                        self._in_journal.add(key)
                        finals[key] = delivery
                case Failed(message):
                    refused.append(message)
                    dead.append(change)
                case Confirmed() | Expired():
                    finals[change.record.mailbox, change.record.id] = change.message
                    if isinstance(change.record, Expired):
                        dead.append(change)
                case Deleted():
                    finals[change.record.mailbox, change.record.id] = None
                case SessionChanged():
                    sessions[change.record.stored.session.id] = change.record.stored
                case SessionForgotten():
                    sessions[change.record.id] = None
                case GroupChanged():
                    groups[change.record.group.name] = change.record.group
                case GroupDeleted():
                    groups[change.record.name] = None
                    deleted[change.record.name] = change.lsn
        for name, group in groups.items():
            if group is None:
                self._spool.groups.remove(name)
            else:
                self._spool.groups.write(group)
        for stored in sessions.values():
            if stored is not None:
                self._spool.write_session(stored)
        old: list[Message] = []
        may_write = self._gate.is_set
        for key, final in finals.items():
            if key in self._in_journal or final is None or key in gone:
                if not may_write():
                    self._gate.wait(_GATE_S)
                if final is None or key in gone:
                    self._spool.remove_message(*key)
                else:
                    self._spool.write_message(final)
            else:
                old.append(final)
        if old:
            self._spool.rewrite_messages(old)
        for failed in refused:
            self._spool.write_failed(failed)
        for name in deleted:
            self._spool.remove_group_mail(name)
        for lsn, record in sent:
            if not may_write():
                self._gate.wait(_GATE_S)
            self._spool.file_sent(record, [name for name in deleted if deleted[name] > lsn] if deleted else ())
            if record.message.attachments:
                keys = ((receiver, record.message.id) for receiver in record.receivers)
                there = [key[0] for key in keys if key not in gone and finals[key] is not None]
                self._spool.file_attachments(record, there)
        self._dead_letters.append(event(change.lsn, change.record) for change in dead)
        for session, stored in sessions.items():
            if stored is None:
                self._spool.forget_session(session)
        self._timeline.append(each for change in chunk for each in events(change.lsn, change.record))
        for change in chunk:
            if change.lsn > self._heads.lsn:
                self._heads.apply(change.lsn, change.record, self._rate_limit)
                if isinstance(change.record, Accepted):
                    self._text_chars += len(change.record.message.text) * (1 + len(change.more))

    def _checkpoint_is_due(self) -> bool:
        behind = self._heads.lsn - self.checkpoint_lsn
        if behind >= _CHECKPOINT_RECORDS or self._text_chars >= _CHECKPOINT_TEXT_CHARS:
            return True
        recovering = self.checkpoint_lsn < self._recovered_lsn
        interval_s = _CATCH_UP_INTERVAL_S if recovering else _CHECKPOINT_INTERVAL_S
        return behind > 0 and time.monotonic() - self._checkpointed_s >= interval_s

    def _checkpoint(self) -> None:
        self._checkpointed_s = time.monotonic()
        self._text_chars = 0
        if self._heads.lsn == self.checkpoint_lsn:
            return
        self._heads.forget_old_sends()
        content = checkpoint.encode(self._heads)
        try:
            disk.sync_file_system(self._directory)
            self._write_heads(content)
        except OSError as error:
            if error.errno not in disk.FULL:
                raise
            _log.warning("the checkpoint waits for space on the disk: %s", error)
            return
        self.checkpoint_lsn = self._heads.lsn
        self._in_journal.clear()
        self._log.release(self.checkpoint_lsn)
        self._keep_room(len(content))

    def _write_heads(self, content: bytes) -> None:
        """On a full disk, use the space that is kept for it: a checkpoint frees whole segments of the journal, and
        without it nothing more could be filed or freed. Raises OSError."""
        path = os.path.join(self._directory, HEADS_FILE)
        try:
            atomic_file.replace(path, content, durable=True)
        except OSError as error:
            if error.errno not in disk.FULL:
                raise
            disk.remove(os.path.join(self._directory, HEADS_ROOM_FILE))
            self._room_bytes = 0
            atomic_file.replace(path, content, durable=True)

    def _keep_room(self, heads_bytes: int) -> None:
        """Keep space for the next checkpoint, if the disk has it."""
        if self._room_bytes >= heads_bytes:
            return
        room_bytes = max(_ROOM_BYTES_MIN, 2 * heads_bytes)
        path = os.path.join(self._directory, HEADS_ROOM_FILE)
        try:
            atomic_file.replace(path, bytes(room_bytes), durable=False)
        except OSError as error:
            if error.errno not in disk.FULL:
                raise
            return
        self._room_bytes = room_bytes


def _first(changes: list[Change], most: int) -> list[Change]:
    """The first changes, with about `most` deliveries together and at least one change."""
    if len(changes) <= most and not any(change.more for change in changes):
        return changes[:]
    deliveries = count = 0
    while count < len(changes) and (not count or deliveries + 1 + len(changes[count].more) <= most):
        deliveries += 1 + len(changes[count].more)
        count += 1
    return changes[:count]
