"""Commit pipeline: from the changes of one turn to their answers.

Rule: a batch is submitted with everything that may be reported once it is durable: markers, answers, notices, files.
The batches wait in order, and a batch without changes waits too, since its answers may report changes of the batches
before it. What is applied but not committed is never reported, but that a marker may be there too early. The local
log answers at once; a log that answers later lets batches wait here and nowhere else.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import TYPE_CHECKING

from msgspec import Struct

from maestro_broker.core.model import records
from maestro_broker.files.markers import MarkerThread
from maestro_broker.transport import notices
from maestro_schemas.errors import FatalError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from collections.abc import Set as AbstractSet

    from maestro_broker.commit.disk_admission import DiskAdmission
    from maestro_broker.commit.log import CommitLog
    from maestro_broker.core.model.mailbox import Mailbox
    from maestro_broker.core.model.state import Change, State
    from maestro_broker.outbox.drain import AppliedEntry, OutboxDrainer
    from maestro_broker.transport.listener import Listener, OutgoingReply
    from maestro_broker.views.spool import Spool
    from maestro_broker.views.write_behind import WriteBehindQueue

    from .metrics import BrokerMetrics
    from .waking.wake_task import WakeTask

_log = logging.getLogger(__name__)

# From this number of new markers on, another thread sets them during the commit: it costs the main loop 10 us to hand
# them over, and 4 us to set one itself.
_MARKERS_APART = 6
# The records that may not use the log's reserve.
_SENDS = frozenset({records.Accepted, records.Failed})


class _Batch(Struct, gc=False):
    """What is reported when the log has committed `last_lsn`."""

    last_lsn: int
    changes: list[Change]
    # What the changes take in the log, and when they were submitted.
    record_bytes: int
    submitted_s: float
    # Mailboxes with whether they have mail that no reader was offered yet: what their marker says.
    markers: list[tuple[Mailbox, bool]]
    answers: list[tuple[Listener, OutgoingReply]]
    # For new subscribers, where their mailboxes stand: topic and body.
    heads: list[tuple[Listener, str, bytes]]
    outbox: list[AppliedEntry]
    # The accepted messages that have files.
    attached: list[records.Accepted]


class CommitPipeline:
    """The batches that were submitted, and the answers of the batch to come."""

    def __init__(
        self,
        *,
        state: State,
        log: CommitLog,
        disk: DiskAdmission,
        spool: Spool,
        outbox: OutboxDrainer,
        queue: WriteBehindQueue,
        metrics: BrokerMetrics,
        listeners: Sequence[Listener],
        topics: AbstractSet[str],
        may_report: Callable[[], None],
        wakes: WakeTask,
    ) -> None:
        """`may_report`: raises FatalError where this broker must not report a batch as accepted any more."""
        self._wakes = wakes
        self._state = state
        self._log = log
        self._disk = disk
        self._spool = spool
        self._markers = spool.markers
        self._marker_thread = MarkerThread(spool.markers)
        self._outbox = outbox
        self._queue = queue
        self._metrics = metrics
        self._listeners = listeners
        self._topics = topics
        self._may_report = may_report
        self._batches: deque[_Batch] = deque()
        # Markers that could not be written, also not by the recovery, with what they should say.
        self._unmarked: dict[str, tuple[Mailbox, bool]] = {
            mailbox.session: (mailbox, mailbox.unoffered > 0)
            for mailbox in state.mailboxes.values()
            if mailbox.marked != (mailbox.unoffered > 0)
        }
        # The replies that are sent once everything applied so far is durable; see `answer`.
        self.answers: list[tuple[Listener, OutgoingReply]] = []
        self._heads: list[tuple[Listener, str, bytes]] = []
        # The newest LSN that is durable, and all that may be reported.
        self.committed_lsn = state.lsn
        # Whether the log's last batch is not sealed.
        self.seal_is_due = False

    def __bool__(self) -> bool:
        """Whether batches wait for the log."""
        return bool(self._batches)

    def answer(self, listener: Listener, reply: OutgoingReply) -> None:
        """Send a reply once everything applied so far is durable."""
        self.answers.append((listener, reply))

    def greet(self, listener: Listener, topic: str, now_ms: int) -> None:
        """Send a new subscriber the number of the last message in its mailbox."""
        head = notices.head(self._state, topic, self._state.lsn, now_ms)
        if head is not None:
            self._heads.append((listener, *head))

    def submit(self) -> bool:
        """Hand everything since the last call to the log, and report what is durable; False if there was nothing.

        Raises FatalError.
        """
        state = self._state
        changes = state.take_changes()
        self._disk.begin_batch()
        applied = self._outbox.take_applied()
        is_batch = bool(changes or self.answers or self._heads or applied)
        if is_batch:
            submitted_s = time.perf_counter()
            markers = [(mailbox, mailbox.unoffered > 0) for mailbox in state.take_touched()]
            record_bytes = self._write(changes, markers) if changes else 0
            self._batches.append(
                _Batch(
                    state.lsn,
                    changes,
                    record_bytes,
                    submitted_s,
                    markers,
                    self.answers,
                    self._heads,
                    applied,
                    state.attached,
                )
            )
            self.answers, self._heads = [], []
            if state.attached:
                state.attached = []
        self.report()
        return is_batch

    def report(self) -> None:
        """Report the batches that are durable by now. Raises FatalError."""
        if not self._batches:
            return
        lsn = self._log.committed()
        if lsn is not None:
            self._may_report()
            self.committed_lsn = lsn
            self.seal_is_due = True
        while self._batches and self._batches[0].last_lsn <= self.committed_lsn:
            self._report(self._batches.popleft())

    def seal(self) -> None:
        """Seal the log's last batch, if nothing waits."""
        if not self._batches:
            self._log.seal()
            self.seal_is_due = False

    def write_markers(self) -> None:
        """Try the markers again that could not be written."""
        unmarked, self._unmarked = self._unmarked, {}
        for mailbox, marked in unmarked.values():
            self._mark(mailbox, marked=marked)

    def _write(self, changes: list[Change], markers: list[tuple[Mailbox, bool]]) -> int:
        """Submit the changes, and set many new markers meanwhile. Returns the bytes of the changes' records."""
        sends = False
        for change in changes:
            if type(change.record) in _SENDS:  # as nearly always the first one
                sends = True
                break
        bodies = [records.encode(change.record) for change in changes]
        new: list[Mailbox] = []
        if len(markers) >= _MARKERS_APART:
            new = [mailbox for mailbox, marked in markers if marked and not mailbox.marked]
        if len(new) < _MARKERS_APART:  # `_report` sets them
            lsn = self._log.submit(bodies, from_reserve=not sends)
        else:
            self._marker_thread.begin([mailbox.session for mailbox in new])
            try:
                lsn = self._log.submit(bodies, from_reserve=not sends)
            finally:
                failed = self._marker_thread.finish()
            for mailbox in new:
                mailbox.marked = mailbox.session not in failed
        if lsn != changes[-1].lsn:
            raise FatalError("JOURNAL_FAILED", f"the log is at LSN {lsn}, the core at {changes[-1].lsn}")
        return sum(map(len, bodies))

    def _report(self, batch: _Batch) -> None:
        changes = batch.changes
        took_ms = (time.perf_counter() - batch.submitted_s) * 1000
        # The marker comes before the answer: a receiver that learns of mail from its sender finds the marker.
        for mailbox, marked in batch.markers:
            if marked != mailbox.marked or self._unmarked:
                self._mark(mailbox, marked=marked)
        # As the files: a path that an agent is shown must exist.
        for record in batch.attached:
            self._file_attachments(record)
        for listener, reply in batch.answers:
            listener.reply(reply.peer, reply.request_id, reply.status, reply.body)
        for listener in self._listeners:
            listener.flush()
        for listener, topic, body in batch.heads:
            listener.notices.publish(topic, body)
        if changes:
            if self._topics:
                notices.publish(self._listeners, changes)
            self._queue.put(changes, batch.record_bytes)
            self._metrics.committed(changes, took_ms)
            if self._wakes:
                self._wakes.committed(changes)
        if batch.outbox:
            self._outbox.settle(batch.outbox)

    def _file_attachments(self, record: records.Accepted) -> None:
        try:
            self._spool.file_attachments(record, record.receivers)
        except OSError as error:  # such as a full disk: the spool writer makes them, or ends the broker
            _log.warning("the files of message %s wait for the spool writer: %s", record.message.id, error)

    def _mark(self, mailbox: Mailbox, *, marked: bool) -> None:
        """Write or remove a mailbox's marker. On a full disk it is tried again later, for the mail itself is safe."""
        self._unmarked.pop(mailbox.session, None)
        if marked == mailbox.marked:
            return
        if not marked:
            self._markers.remove(mailbox.session)
        elif not self._markers.add(mailbox.session):
            self._unmarked[mailbox.session] = (mailbox, marked)
            return
        mailbox.marked = marked
