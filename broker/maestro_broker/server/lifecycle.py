"""Lifecycle: the order in which the parts of a broker are started and stopped.

Rule: each step says why it stands where it stands. Nothing is bound before everything durable is in memory, and the
lock is released last.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import time
from collections import deque
from typing import TYPE_CHECKING

from maestro_broker.attachments.blob_handlers import BlobHandlers
from maestro_broker.clock import Clock
from maestro_broker.commit.disk_admission import RECORD_BYTES, DiskAdmission
from maestro_broker.core import validation
from maestro_broker.core.model.reads import Read
from maestro_broker.core.retention import RetentionPolicy
from maestro_broker.core.sending import acceptance
from maestro_broker.files import data_dir
from maestro_broker.files.address_file import AddressFile
from maestro_broker.files.data_lock import DataLock
from maestro_broker.files.tenure import Tenure
from maestro_broker.migration.steps import STEPS
from maestro_broker.outbox import refusal_notices
from maestro_broker.outbox.drain import OutboxDrainer
from maestro_broker.transport.curve_listener import CurveListener, TopicUnion
from maestro_broker.transport.local_listener import LocalListener
from maestro_broker.views import dead_letters
from maestro_broker.views.signs.presence_watch import PresenceWatch
from maestro_broker.views.signs.session_signs import SessionSigns
from maestro_broker.views.spool import Spool
from maestro_broker.views.spool_writer import SpoolWriter
from maestro_broker.views.sweeper import Sweeper
from maestro_broker.views.timeline import Timeline
from maestro_broker.views.write_behind import WriteBehindQueue
from maestro_broker.waking.waker import Waker
from maestro_runtime import mounts, paths, places
from maestro_runtime.outbox_dir import OutboxDir, QueuedEntry
from maestro_runtime.traces import end_note
from maestro_schemas import __version__
from maestro_schemas.names import SYSTEM_SENDER, canonical_id, mark_of

from . import gc_tuning, message_loader, recovery
from .admission import Admission
from .commit_pipeline import CommitPipeline
from .dispatch import Dispatch
from .expiry_task import ExpiryTask
from .handlers import ServerHandlers
from .loop import Loop
from .mailbox_loader import MailboxLoader
from .metrics import BrokerMetrics
from .searching.index_process import IndexProcess
from .status import Status
from .waking.wake_task import WakeTask

if TYPE_CHECKING:
    from maestro_broker.core.context import RequestContext
    from maestro_broker.transport.listener import Listener
    from maestro_schemas.errors import MaestroError
    from maestro_schemas.replies import SendReply
    from maestro_schemas.requests import Send

    from .options import BrokerOptions

_log = logging.getLogger(__name__)

# A predecessor that is stopping writes what files it can first, up to _FILE_AT_STOP_S.
_LOCK_WAIT_S = 15.0
_FILE_AT_STOP_S = 12.0
# How long a stop waits for a log that has not committed the last batch.
_COMMIT_AT_STOP_S = 5.0
_UTF8_BYTES = 4


class Broker:
    """One broker, from start to stop."""

    def __init__(self, options: BrokerOptions) -> None:
        self._options = options
        self._warnings: deque[str] = deque(maxlen=50)

    # --- start -------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Do what comes before the first line of the log. Raises MaestroError DATA_DIR_UNUSABLE, DATA_DIR_LOCKED."""
        # 1. The directory, because the lock and the log are in it.
        data_dir.make(self._options.data)
        # 2. The lock, before anything is read, written or bound: a second broker must change nothing.
        self._lock = DataLock(self._options.data)
        self._lock.acquire(_LOCK_WAIT_S)

    def start(self) -> None:
        """Do everything up to serving. Raises MaestroError or OSError; then nothing was bound."""
        options, limits = self._options, self._options.limits
        # 3. The format, before a file of another version is misread.
        data_dir.bring_up_to_date(options.data, STEPS)
        kind = mounts.file_system(options.data)
        if doubt := mounts.doubt(kind):
            self._warn(f"the data directory is on {kind}: {doubt}")
        # 4. The state that was durable.
        gc_tuning.tune_for_recovery()
        self._spool = Spool(options.data, self._warn)
        self._timeline = Timeline(os.path.join(options.data, "timeline"))
        self._expired = Timeline(os.path.join(options.data, dead_letters.FOLDER))
        self._spool.blobs.measure()
        found = recovery.recover(options, self._spool, self._timeline)
        for warning in found.warnings:
            self._warn(warning)
        self._state = state = found.state
        self._commit_log = found.log
        self._disk = DiskAdmission(options.data, found.log, options.limits.fanout_max)
        self._loader = MailboxLoader(self._spool)
        clock = Clock(found.last_ms)
        policy = RetentionPolicy.of(limits, options.projects)
        timelines = (self._timeline, self._expired)
        sweeper = Sweeper(
            options.data, spool=self._spool, timelines=timelines, state=state, policy=policy, clock=clock
        )
        expiry = ExpiryTask(
            options.data,
            state=state,
            policy=policy,
            spool=self._spool,
            loader=self._loader,
            sweeper=sweeper,
            disk=self._disk,
        )
        # 5. The spool writer, which gets the journal's tail first. It begins after 8, since its files may take the
        # space of the address file.
        self._writer = SpoolWriter(
            options.data,
            limits.rate_limit,
            spool=self._spool,
            timeline=self._timeline,
            dead_letters=self._expired,
            log=found.log,
            start=found.start,
            recovered_lsn=state.lsn,
            sweeper=sweeper,
        )
        queue = WriteBehindQueue(self._writer, limits.filing_backlog_bytes_max)
        for changes, record_bytes in found.unfiled:
            queue.put(changes, record_bytes)
        # 6. The sockets exist, but no peer can connect: what waits in the outbox is older than new requests.
        self._local = LocalListener(options.runtime, limits.wire_bytes_max, options.activation)
        self._curve = (
            None
            if options.tcp is None
            else CurveListener(options.data, options.tcp, limits.wire_bytes_max, state, self._warn)
        )
        self._address = AddressFile(options.data, None if options.activation is None else self._local.addresses)
        tenure = Tenure(self._lock, self._address, self._local.restore, self._warn)
        self._listeners: list[Listener] = [self._local]
        if self._curve is not None:
            self._listeners.append(self._curve)
        held = [listener.notices.topics for listener in self._listeners]
        topics = held[0] if len(held) == 1 else TopicUnion(*held)
        signs = SessionSigns(options.data, clock.ahead_ms)
        self._waker = Waker(options.data, os.environ)
        wakes = WakeTask(
            files=self._spool.wake_files,
            state=state,
            signs=signs,
            topics=topics,
            loader=self._loader,
            waker=self._waker,
            unseen=lambda: self._presence.unseen,
        )
        self._presence = PresenceWatch(
            options.data, state=state, signs=signs, listeners=self._listeners, topics=topics, report=wakes.changed
        )
        self._blobs = BlobHandlers(options.data, self._spool.blobs, limits)
        outbox = OutboxDrainer(
            OutboxDir(paths.outbox_dir(options.data)),
            send=self._send_queued,
            notify_sender=self._notify_sender,
            report=self._warn,
            take_in=self._blobs.take_in,
        )
        metrics, admission, epoch = BrokerMetrics(), Admission(limits.wire_bytes_max), secrets.token_hex(8)
        self._pipeline = CommitPipeline(
            state=state,
            log=found.log,
            disk=self._disk,
            spool=self._spool,
            outbox=outbox,
            queue=queue,
            metrics=metrics,
            listeners=self._listeners,
            topics=topics,
            may_report=self._lock.check_held,
            wakes=wakes,
        )
        self._index = IndexProcess(options.data, state)
        status = Status(
            options=options,
            epoch=epoch,
            started_ms=clock.now_ms(),
            warnings=self._warnings,
            state=state,
            topics=topics,
            log=found.log,
            pipeline=self._pipeline,
            queue=queue,
            writer=self._writer,
            sweeper=sweeper,
            outbox=outbox,
            blobs=self._spool.blobs,
            metrics=metrics,
            admission=admission,
            local=self._local,
            curve=self._curve,
            presence=self._presence,
            wakes=wakes,
            searches=self._index,
        )
        handlers = ServerHandlers(
            status, self._spool, self._timeline, self._expired, expiry, self._blobs, self._stop_serving
        )
        self._dispatch = Dispatch(
            handlers.table(),
            state=state,
            spool=self._spool,
            loader=self._loader,
            blobs=self._blobs,
            admission=admission,
            disk=self._disk,
            curve=self._curve,
            metrics=metrics,
            index=self._index,
        )
        self._loop = Loop(
            state=state,
            clock=clock,
            local=self._local,
            curve=self._curve,
            topics=topics,
            signs=signs,
            presence=self._presence,
            wakes=wakes,
            dispatch=self._dispatch,
            loader=self._loader,
            blobs=self._blobs,
            pipeline=self._pipeline,
            expiry=expiry,
            outbox=outbox,
            queue=queue,
            writer=self._writer,
            warn=self._warn,
            tenure=tenure,
            index=self._index,
        )
        while outbox.drain(self._loop.context()):
            self._pipeline.submit()
        self._blobs.is_serving = True
        self._presence.start(clock.now_ms())
        # 7. Signals before the address is written: a client that finds the address may stop the broker at once, and
        # it must then stop in order. A SIGTERM during the steps above ends the process, which is safe at any point.
        self._wake, self._wake_writer = socket.socketpair()
        self._wake.setblocking(False)  # noqa: FBT003
        self._wake_writer.setblocking(False)  # noqa: FBT003
        signal.set_wakeup_fd(self._wake_writer.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        # 8. Bind, and only then write the address, so that a client that reads it can connect. First remove a stale
        # address file of a killed broker: it names our sockets, and another process.
        self._address.withdraw()
        for listener in reversed(self._listeners):  # TCP first: its address is configured and may be in use
            listener.bind()
        router, publisher = self._local.addresses
        address = {
            "router": router,
            "notices": publisher,
            "pid": os.getpid(),
            "epoch": epoch,
            "version": __version__,
            **({"tcp": self._curve.address} if self._curve is not None else {}),
        }
        self._address.publish(address)
        end_note.remove(options.runtime)
        self._writer.start()
        gc_tuning.tune_for_serving()
        _log.info("broker %s serves %s (pid %d)", __version__, options.data, os.getpid())

    def serve(self) -> None:
        """Serve until a signal or a `shutdown`. Raises FatalError: the commit log or the spool writer failed."""
        self._loop.serve(self._wake)

    # --- stop --------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Stop in order: the address, the last batch, the sockets, the files, the lock. Raises FatalError."""
        # 1. No new clients. A `shutdown` has done it already, before its answer, so that a client that has the answer
        # and looks for a broker does not find this one.
        self._remove_address()
        # 2. Requests that have arrived are answered, durably. Clients of later ones repeat them.
        self._loop.turn()
        until_s = time.monotonic() + _COMMIT_AT_STOP_S
        while self._pipeline and time.monotonic() < until_s:  # never with the local log
            time.sleep(0.001)
            self._pipeline.report()
        self._loader.close()
        self._blobs.close()
        self._waker.close()
        self._index.close()
        self._presence.close()
        for listener in self._listeners:
            listener.close()
        # 3. The files catch up; what is not written in time stays in the journal for the next start.
        stopped = self._writer.stop(_FILE_AT_STOP_S)
        if stopped and self._writer.failure is None:
            self._timeline.close()
            self._expired.close()
            self._commit_log.close()
        # 4. The lock last: the next broker may begin only when this one touches nothing any more. A spool writer that
        # is still at work dies with the process, and so must the lock: the kernel releases it after the last thread.
        _log.info("broker stopped" if stopped else "broker stopped; the journal keeps what was not filed in time")
        if stopped:
            self._lock.release()
        if self._writer.failure is not None:
            raise self._writer.failure

    def _stop_serving(self) -> None:
        self._remove_address()
        self._loop.stopping = True

    def _on_signal(self, number: int, _frame: object) -> None:
        _log.info("stopping on %s", signal.Signals(number).name)
        self._loop.stopping = True

    def _remove_address(self) -> None:
        """From now on clients find no address and start another broker, which waits for the lock."""
        self._lock.announce_stop()
        self._address.withdraw()

    # --- the outbox --------------------------------------------------------------------------------------

    def _send_queued(self, request: Send, context: RequestContext) -> SendReply:
        body_bytes = len(request.messages[0].text) * _UTF8_BYTES
        reply: SendReply = self._dispatch.execute(request, context, body_bytes)
        return reply

    def _notify_sender(self, waiting: QueuedEntry, error: MaestroError, context: RequestContext) -> bool:
        """Put into the sender's inbox that an entry in its name is no message of its own; False if there is no disk
        space for that now. Nothing of the entry is quoted, since another program may have written it."""
        entry = waiting.entry
        if not self._disk.reserve(RECORD_BYTES * 4):
            return False
        found = self._state.sessions.get(entry.session)
        proven = found is not None and validation.is_token(found.token_hash, entry.token)
        place = places.shown(os.path.dirname(waiting.path))
        message_id = canonical_id(entry.outgoing["id"], self._state.sessions.mark_of(entry.session))
        notice = refusal_notices.notice(entry, error, place, message_id, proven=proven)
        filed = canonical_id(notice.key, mark_of(SYSTEM_SENDER))
        message_loader.load(self._state, self._spool, Read("file", entry.session, filed))
        acceptance.notify(self._state, entry.session, notice.key, notice.text, context.now_ms)
        return True

    def _warn(self, what: str) -> None:
        _log.warning("%s", what)
        self._warnings.append(what)
