"""Filer: the thread that turns committed records into files.

Rule: never on an answer's path, and never ahead of the journal: it gets only what is durable. It files in order,
a chunk at a time, and only the last state of each message in a chunk; a checkpoint syncs what was filed, writes
the heads and lets the journal's segments go. A full disk makes it wait and try again; any other error ends the
broker, because a spool that no longer follows the journal must not look alive.
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
    SessionChanged,
    SessionForgotten,
    event,
)
from maestro_broker.files import disk
from maestro_runtime import atomic_file
from maestro_schemas.errors import FatalError

from .sweeper import REST_S

if TYPE_CHECKING:
    from maestro_broker.commit.log import CommitLog
    from maestro_broker.core.model.state import Change
    from maestro_schemas.messages import Message
    from maestro_schemas.sessions import StoredSession

    from .spool import Spool
    from .sweeper import Sweeper
    from .timeline import Timeline

_log = logging.getLogger(__name__)

HEADS_FILE = "heads"

_CHUNK = 256
# On a disk that was full: the journal is to have its part of what somebody frees before files have taken it all, for
# with it new mail is accepted, and files alone let nobody send.
_CHUNK_WHEN_TIGHT = 8
# A checkpoint syncs the whole file system, which other writers feel: not more often than its use demands.
_CHECKPOINT_RECORDS = 30_000
# Of texts, which a start after a kill reads again: at 10,000 characters each, 10 s of them are half a gigabyte.
_CHECKPOINT_TEXT_CHARS = 64 << 20
_CHECKPOINT_INTERVAL_S = 10.0
# While a former life's tail is being filed: each start begins where the last checkpoint was, so a broker that is
# killed again and again would otherwise file the same tail again and again, until its backlog refuses new mail.
_CATCH_UP_INTERVAL_S = 1.0
_FULL_RETRY_S = 0.5
_IDLE_S = 0.1
# However busy the main loop is, one file at least in so long.
_GATE_S = 0.25


class SpoolWriter:
    """Files changes behind the main loop.

    `failure`: what ended it, for the main loop to end too. `waiting`: why it stands still, for `maestro status`.
    """

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
        # Mail whose text the journal has, since it came after the last checkpoint.
        self._in_journal: set[tuple[str, str]] = set()
        self._queue: queue.SimpleQueue[list[Change] | None] = queue.SimpleQueue()
        self._filed: deque[list[Change]] = deque()
        self._stopping = threading.Event()
        self._progress = threading.Event()
        self._gate = threading.Event()
        self._gate.set()
        self._thread = threading.Thread(target=self._run, name="filer", daemon=True)
        self._checkpointed_s = time.monotonic()
        self._text_chars = 0
        self.checkpoint_lsn = start.lsn
        self.failure: FatalError | None = None
        self.waiting: str | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def put(self, changes: list[Change]) -> None:
        """Durable changes, in order."""
        self._queue.put(changes)

    def take_filed(self) -> list[list[Change]]:
        """What was filed since the last call; for the main loop to let go of."""
        taken = []
        while self._filed:
            taken.append(self._filed.popleft())
        return taken

    def hold_back(self) -> None:
        """The main loop has work: stop at the next file.

        Two threads that both run Python wake each other at every call that gives up the interpreter's lock, ten
        times a message here: measured, half of the broker's system time under load.
        """
        self._gate.clear()

    def go_on(self) -> None:
        """The main loop waits, for requests or for the disk."""
        self._gate.set()

    def wait_for_progress(self, timeout_s: float) -> None:
        """Until another chunk is filed."""
        self._progress.clear()
        self._gate.set()
        self._progress.wait(timeout_s)

    def stop(self, timeout_s: float) -> bool:
        """File what is left and make a checkpoint, within the time; the journal keeps what is not done."""
        self._stopping.set()
        self._gate.set()
        self._queue.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            last = False
            while not last:
                changes, last = self._take()
                gone: set[tuple[str, str]] = set()
                is_tight = False
                while changes:
                    chunk = changes[: _CHUNK_WHEN_TIGHT if is_tight else _CHUNK]
                    if self._is_filed(chunk, gone):
                        self._filed.append(chunk)
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
        """A slice of the sweep: while the main loop has no work, and every so often even then. A slice is not broken
        off: with a client that sends all the time little would be left of it, and what goes must not go more slowly
        than what comes."""
        if self._sweeper is None or self._stopping.is_set():
            return
        now_s = time.monotonic()
        if now_s - self._swept_s >= self._sweeper.rest_s(is_idle=self._gate.is_set()):
            self._sweeper.work()
            self._swept_s = time.monotonic()

    def _make_room(self, changes: list[Change], before: set[tuple[str, str]]) -> set[tuple[str, str]]:
        """On a full disk: remove at once what is deleted further back in the queue, and let the journal go as far as
        was filed. Returns the mail that need not be written any more; `before`: what it was the last time."""
        ends: dict[tuple[str, str], bool] = {}
        for change in changes:
            match change.record:
                case Accepted(message):
                    ends[message.receiver, message.id] = False
                case Deleted():
                    ends[change.record.mailbox, change.record.id] = True
        gone = {key for key, is_gone in ends.items() if is_gone}
        for receiver, message_id in gone - before:
            self._spool.remove_message(receiver, message_id)
        self._checkpoint()
        self._log.prepare_spare()
        return gone

    def _take(self) -> tuple[list[Change], bool]:
        """What has come, at most a chunk or one batch; and whether it is the last."""
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
        """Everything that has come, without waiting."""
        taken: list[Change] = []
        try:
            while (changes := self._queue.get_nowait()) is not None:
                taken += changes
        except queue.Empty:
            return taken, False
        return taken, True

    def _is_filed(self, chunk: list[Change], gone: set[tuple[str, str]]) -> bool:
        """File the chunk, but for mail that is `gone`; on a full disk wait a little, and say no."""
        try:
            self._file(chunk, gone)
        except OSError as error:
            if error.errno not in disk.FULL:
                raise
            if self.waiting is None:
                _log.warning("filing waits: %s; the journal holds what is not filed", error)
            self.waiting = f"filing waits for room on the disk: {error}"
            self._stopping.wait(_FULL_RETRY_S)
            return False
        if self.waiting is not None:
            _log.info("filing goes on")
            self.waiting = None
        return True

    def _file(self, chunk: list[Change], gone: set[tuple[str, str]]) -> None:
        """Write one chunk; can be repeated from the start."""
        finals: dict[tuple[str, str], Message | None] = {}
        sessions: dict[str, StoredSession | None] = {}
        sent: list[Message] = []
        for change in chunk:
            match change.record:
                case Accepted(message):
                    self._in_journal.add((message.receiver, message.id))
                    sent.append(message)
                    finals[message.receiver, message.id] = message
                case Confirmed() | Expired():
                    finals[change.record.mailbox, change.record.id] = change.message
                case Deleted():
                    finals[change.record.mailbox, change.record.id] = None
                case SessionChanged():
                    sessions[change.record.stored.session.id] = change.record.stored
                case SessionForgotten():
                    sessions[change.record.id] = None
        for stored in sessions.values():
            if stored is not None:
                self._spool.write_session(stored)
        old: list[Message] = []
        for key, final in finals.items():
            if key in self._in_journal or final is None or key in gone:
                self._gate.wait(_GATE_S)
                if final is None or key in gone:
                    self._spool.remove_message(*key)
                else:
                    self._spool.write_message(final)
            else:
                old.append(final)
        if old:
            self._spool.rewrite_messages(old)
        for message in sent:
            self._gate.wait(_GATE_S)
            self._spool.link_sent(message)
        expired = [change for change in chunk if isinstance(change.record, Expired)]
        self._dead_letters.append(event(change.lsn, change.record) for change in expired)
        for session, stored in sessions.items():
            if stored is None:
                self._spool.forget_session(session)
        self._timeline.append(event(change.lsn, change.record) for change in chunk)
        for change in chunk:
            if change.lsn > self._heads.lsn:
                self._heads.apply(change.lsn, change.record, self._rate_limit)
                if isinstance(change.record, Accepted):
                    self._text_chars += len(change.record.message.text)

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
        try:
            disk.sync_file_system(self._directory)
            atomic_file.replace(
                os.path.join(self._directory, HEADS_FILE), checkpoint.encode(self._heads), durable=True
            )
        except OSError as error:
            if error.errno not in disk.FULL:
                raise
            _log.warning("the checkpoint waits for room on the disk: %s", error)
            return
        self.checkpoint_lsn = self._heads.lsn
        self._in_journal.clear()
        self._log.release(self.checkpoint_lsn)
