"""Daemon: the loop that ties the core to sockets and files.

Rule: a batch is whatever arrived while the last commit ran. Drain, apply, commit; then markers, replies, notices,
filer, in that order: nothing that is not durable is ever told to anyone. Every start and stop step says why it
stands where it stands.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec
import zmq

from maestro_broker.clock import Clock
from maestro_broker.commit.disk_admission import RECORD_BYTES, DiskAdmission
from maestro_broker.core import acceptance, authorization, commands
from maestro_broker.core.model import records
from maestro_broker.core.model.state import Read
from maestro_broker.files import data_dir, disk
from maestro_broker.files.data_lock import DataLock
from maestro_broker.outbox.drain import OutboxDrainer
from maestro_broker.transport import notices
from maestro_broker.transport.curve_listener import CurveListener
from maestro_broker.transport.listener import IncomingRequest, Listener, OutgoingReply
from maestro_broker.transport.local_listener import LocalListener
from maestro_broker.views import dead_letters
from maestro_broker.views.spool import Spool
from maestro_broker.views.spool_writer import SpoolWriter
from maestro_broker.views.sweeper import Sweeper
from maestro_broker.views.timeline import Timeline
from maestro_broker.views.write_behind import WriteBehindQueue
from maestro_runtime import atomic_file, mounts, paths
from maestro_runtime.outbox_dir import OutboxDir, QueuedEntry
from maestro_schemas import PROTOCOL_VERSION, __version__, requests
from maestro_schemas.errors import FatalError, MaestroError
from maestro_schemas.replies import EventsReply, SendReply, ShutdownReply, StatsReply
from maestro_schemas.requests import Dead, Events, GetThread, Hello, Inbox, Prune, Request, Send, Shutdown, Stats

from . import gc_tuning, recovery, status_reports
from .admission import Admission, request_id
from .expiry_task import ExpiryTask
from .mailbox_loader import MailboxLoader
from .metrics import BrokerMetrics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maestro_broker.commit.log import CommitLog
    from maestro_broker.core.model.mailbox import Mailbox
    from maestro_broker.core.model.session_registry import SessionState
    from maestro_broker.core.model.state import State

    from .options import BrokerOptions

_log = logging.getLogger(__name__)

# Of each post a turn: so many requests, or fewer where their answers are long.
_BATCH_REQUESTS = 512
_BATCH_ANSWER_BYTES = 4 << 20
_TICK_MS = 1_000
# How long the loop is idle before it seals the journal's last batch.
_SEAL_AFTER_MS = 20
# A predecessor that is stopping files what it can first, for so long at most; see _FILE_AT_STOP_S.
_LOCK_WAIT_S = 15.0
_FILE_AT_STOP_S = 12.0
_UTF8_BYTES = 4

_encode = msgspec.msgpack.Encoder().encode


class Daemon:
    """One broker, from start to stop."""

    def __init__(self, options: BrokerOptions) -> None:
        self._options = options
        self._limits = options.limits
        self._epoch = secrets.token_hex(8)
        self._warnings: deque[str] = deque(maxlen=50)
        self._admission = Admission(self._limits.wire_bytes_max)
        self._tally = BrokerMetrics()
        self._answers: list[tuple[Listener, OutgoingReply]] = []
        self._unmarked: list[Mailbox] = []
        self._stopping = False
        self._seal_due = False
        self._next_tick_ms = 0

    # --- start -------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """What comes before the first line of the log. Raises MaestroError DATA_DIR_UNUSABLE, DATA_DIR_LOCKED."""
        # 1. The directory, because the lock and the log are in it.
        data_dir.make(self._options.data)
        # 2. The lock, before anything is read, written or bound: a second broker must change nothing.
        self._lock = DataLock(self._options.data)
        self._lock.acquire(_LOCK_WAIT_S)

    def start(self) -> None:
        """Everything up to serving. Raises MaestroError or OSError; then nothing was bound."""
        options = self._options
        # 3. The format, before a file of another version is misread.
        data_dir.bring_up_to_date(options.data)
        kind = mounts.file_system(options.data)
        if doubt := mounts.doubt(kind):
            self._warn(f"the data directory is on {kind}: {doubt}")
        # 4. The state that was durable.
        gc_tuning.tune_for_recovery()
        self._spool = Spool(options.data, self._warn)
        self._readings = MailboxLoader(self._spool)
        self._timeline = Timeline(os.path.join(options.data, "timeline"))
        self._dead_letters = Timeline(os.path.join(options.data, dead_letters.FOLDER))
        found = recovery.recover(options, self._spool, self._timeline)
        for warning in found.warnings:
            self._warn(warning)
        self._state: State = found.state
        self._journal: CommitLog = found.journal
        self._room = DiskAdmission(options.data, self._journal)
        self._committed_lsn = self._state.lsn
        self._clock = Clock(found.last_ms)
        self._started_ms = self._clock.now_ms()
        self._state.retention_by_project = options.retention_by_project
        timelines = (self._timeline, self._dead_letters)
        self._sweeper = Sweeper(
            options.data, spool=self._spool, timelines=timelines, state=self._state, clock=self._clock
        )
        self._upkeep = ExpiryTask(options.data, self._state, self._spool, self._readings, self._sweeper, self._room)
        # 5. The filer, which gets the journal's tail first. It begins after 7: its files may take the address's room.
        self._filer = SpoolWriter(
            options.data,
            self._limits.rate_limit,
            spool=self._spool,
            timeline=self._timeline,
            dead_letters=self._dead_letters,
            log=self._journal,
            start=found.start,
            recovered_lsn=self._committed_lsn,
            sweeper=self._sweeper,
        )
        self._backlog = WriteBehindQueue(self._filer, self._limits.filing_backlog_bytes_max)
        for changes, bodies_bytes in found.unfiled:
            self._backlog.put(changes, bodies_bytes)
        # 6. The sockets exist but nobody is let in: what waits in the outbox is older than what comes now.
        self._transport = LocalListener(options.runtime, self._limits.wire_bytes_max, options.activation)
        self._posts: list[Listener] = [self._transport]
        self._state.topics = self._transport.held
        self._door: CurveListener | None = None
        if options.tcp is not None:
            self._door = CurveListener(
                options.data, options.tcp, self._limits.wire_bytes_max, self._state, self._warn
            )
            self._posts.append(self._door)
        outbox = OutboxDir(paths.outbox_dir(options.data))
        self._outbox = OutboxDrainer(
            outbox, send=self._send_queued, notify_sender=self._tell_sender, report=self._warn
        )
        while self._outbox.drain(self._clock.now_ms()):
            self._commit()
        # 7. Bind, and only then tell where: who reads the file finds somebody there. Before that, away with the
        # file of a broker that was killed: it names the place where we shall listen, and another process.
        self._write_address(None)
        for post in reversed(self._posts):  # the door first, since its address is somebody's choice and may be taken
            post.bind()
        router, publisher = self._transport.addresses
        lines = {
            "router": router,
            "notices": publisher,
            "pid": os.getpid(),
            "epoch": self._epoch,
            "version": __version__,
            **({"tcp": self._door.address} if self._door is not None else {}),
        }
        self._write_address(lines)
        self._filer.start()
        # 8. Signals last: a SIGTERM during the steps above ends the process, which is safe at any point.
        self._wake, self._wake_writer = socket.socketpair()
        self._wake.setblocking(False)  # noqa: FBT003
        self._wake_writer.setblocking(False)  # noqa: FBT003
        signal.set_wakeup_fd(self._wake_writer.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        gc_tuning.tune_for_serving()
        _log.info("broker %s serves %s (pid %d)", __version__, options.data, os.getpid())

    # --- the loop ----------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Until stopped. Raises FatalError: the log or the spool writer failed."""
        poller = zmq.Poller()
        poller.register(self._transport.router, zmq.POLLIN)
        poller.register(self._transport.publisher, zmq.POLLIN)
        poller.register(self._wake, zmq.POLLIN)
        while not self._stopping:
            if self._door is not None:
                self._door.register(poller)
            # An idle millisecond is the filer's; less than that costs more in handing over than it files.
            busy = bool(self._readings) or self._transport.router.has_left
            ready = poller.poll(0 if busy else self._backlog.patience_ms())
            if not ready and not busy:
                self._filer.go_on()
                ready = poller.poll(self._wait_ms())
                self._filer.hold_back()
            self._turn()
            for post in self._posts:
                if any(socket is post.publisher for socket, _ in ready):
                    notices.greet(post, self._state, self._committed_lsn, self._clock.now_ms())

    def _turn(self) -> None:
        """One batch."""
        self._state.back_pressure = self._backlog.press_back()
        now_ms = self._clock.now_ms()
        arrivals = 0
        for post in self._posts:
            bytes_left = _BATCH_ANSWER_BYTES
            for arrival in post.receive(_BATCH_REQUESTS):
                arrivals += 1
                bytes_left -= self._answer(arrival, now_ms)
                if bytes_left < 0:
                    break
        for arrival in self._readings.advance(self._state, now_ms):
            self._answer(arrival, now_ms)
        if now_ms >= self._upkeep.next_ms:
            self._upkeep.turn(now_ms)
        if now_ms >= self._next_tick_ms:
            self._tick(now_ms)
        if self._state.has_changes or self._answers or self._outbox.has_settled:
            self._commit()
        elif self._seal_due and not arrivals:
            self._journal.seal()
            self._seal_due = False
        # What nobody waits for comes last.
        self._backlog.take_filed(self._state)

    def _wait_ms(self) -> int:
        until_tick = min(self._next_tick_ms, self._upkeep.next_ms) - self._clock.now_ms()
        if self._seal_due:
            return max(0, min(_SEAL_AFTER_MS, until_tick))
        return max(0, until_tick)

    def _tick(self, now_ms: int) -> None:
        """Once a second: the outbox, idle mailboxes, the filer's health."""
        self._outbox.drain(now_ms)
        for _ in range(len(self._unmarked)):
            self._mark(self._unmarked.pop(0))
        self._state.evict_idle(now_ms)
        self._transport.router.look_after()
        for session in self._state.take_misfits():
            self._warn(f"the counters of mailbox {session} did not fit its files and were counted again")
        if self._filer.failure is not None:
            raise self._filer.failure
        self._next_tick_ms = now_ms + (_TICK_MS if self._door is None else self._door.look_after(_TICK_MS))

    def _commit(self) -> None:
        """Make the batch durable; then, and only then, tell."""
        changes = self._state.take_changes()
        if changes:
            began = time.perf_counter()
            sends = any(isinstance(change.record, records.Accepted) for change in changes)
            bodies = [records.encode(change.record) for change in changes]
            self._journal.submit(bodies, from_reserve=not sends)
            lsn = self._journal.committed()
            if lsn != changes[-1].lsn:
                raise FatalError("JOURNAL_FAILED", f"the journal is at LSN {lsn}, the core at {changes[-1].lsn}")
            self._committed_lsn = lsn
            took_ms = (time.perf_counter() - began) * 1000
            self._seal_due = True
            # The marker before the reply: a receiver who is told of mail by its sender finds the marker there.
            for mailbox in self._state.take_touched():
                self._mark(mailbox)
        answers, self._answers = self._answers, []
        for post, answer in answers:
            post.reply(*answer)
        for post in self._posts:
            post.flush()
        if changes:
            if self._state.topics:
                notices.publish([post for post in self._posts if post.held], changes)
            self._backlog.put(changes, sum(map(len, bodies)))
            self._tally.committed(changes, took_ms)
        self._outbox.settle()

    def _mark(self, mailbox: Mailbox) -> None:
        """Make the marker say what is so; on a full disk later, for the mail itself is safe."""
        marked = mailbox.unoffered > 0
        if marked != mailbox.marked and not self._spool.mark(mailbox.session, pending=marked):
            self._unmarked.append(mailbox)
        else:
            mailbox.marked = marked

    # --- requests ----------------------------------------------------------------------------------------

    def _answer(self, arrival: IncomingRequest, now_ms: int) -> int:
        """Do what is asked; the answer's bytes, which go out after the commit."""
        post, self._state.key = self._posts[0 if arrival.public is None else -1], None
        try:
            command, body = self._admission.admit(arrival)
            request = requests.decode_request(command, body)
            if self._door is not None and arrival.public is not None:
                request = self._door.vouch(arrival.public, request, now_ms)
            if isinstance(request, Inbox) and not self._is_read(request, arrival, now_ms):
                return 0
            reply = self._do(request, len(body), now_ms)
            self._tally.answered(reply)
            status, encoded = b"200", _encode(reply)
        except FatalError:
            raise  # no answer: the broker ends, and the client repeats the request
        except MaestroError as error:
            self._tally.refused(error.code)
            status, encoded = str(error.status).encode(), _encode(error.body())
        self._answers.append((post, OutgoingReply(arrival.peer, request_id(arrival), status, encoded)))
        return len(encoded)

    def _is_read(self, request: Inbox, arrival: IncomingRequest, now_ms: int) -> bool:
        """Whether the mailbox is in memory; if not, the request waits for it."""
        for need in commands.touches(self._state, request):
            if not self._readings.is_read(self._state, need, now_ms):
                self._readings.wait(need.session, arrival)
                return False
        return True

    def _do(self, request: Request, body_bytes: int, now_ms: int) -> Any:
        match request:
            case Send():
                self._room.for_send(self._state, request, body_bytes)
            case Hello():
                return status_reports.hello(request, self._options, self._epoch, os.getpid(), self._committed_lsn)
            case Events():
                return self._events(request, now_ms)
            case Dead():
                unfiled = self._backlog.unfiled
                return dead_letters.page(self._state, self._spool, self._dead_letters, unfiled, request, now_ms)
            case Stats():
                return StatsReply(self._stats(now_ms))
            case requests.OutboxDrain():
                return self._outbox.drain_now(now_ms)
            case Prune():
                authorization.check_operator(self._state, request.who, now_ms)
                return self._upkeep.prune(request)
            case Shutdown():
                self._authenticate(request, now_ms)
                self._take_address_away()
                self._stopping = True
                return ShutdownReply(os.getpid())
            case GetThread():
                self._room.for_request(self._state, request, body_bytes)
                self._follow(request, now_ms)
            case _:
                self._room.for_request(self._state, request, body_bytes)
        self._supply(commands.touches(self._state, request), now_ms)
        return commands.apply(self._state, request, now_ms)

    def _supply(self, needs: list[Read], now_ms: int) -> None:
        for need in needs:
            recovery.supply(self._state, self._spool, need, now_ms)

    def _follow(self, request: GetThread, now_ms: int) -> None:
        """What is read of a thread tells what else there is to read."""
        supplied: set[Read] = set()
        while new := [need for need in commands.touches(self._state, request) if need not in supplied]:
            self._supply(new, now_ms)
            supplied.update(new)

    def _authenticate(self, request: Request, now_ms: int) -> SessionState | None:
        """For what is no command of the core: a refusal comes into the audit all the same."""
        try:
            return authorization.authenticate(self._state, request.who, now_ms)
        except MaestroError as error:
            self._room.for_request(self._state, request, 0)
            self._state.refuse(error.code, request.who.session, None, None, now_ms)
            raise

    def _events(self, request: Events, now_ms: int) -> EventsReply:
        asking = self._authenticate(request, now_ms)
        return status_reports.events(
            self._state, self._timeline, self._backlog.unfiled, request, asking, self._committed_lsn
        )

    # --- the outbox --------------------------------------------------------------------------------------

    def _send_queued(self, request: Send, now_ms: int) -> SendReply:
        reply: SendReply = self._do(request, len(request.messages[0].text) * _UTF8_BYTES, now_ms)
        return reply

    def _tell_sender(self, waiting: QueuedEntry, error: MaestroError, now_ms: int) -> bool:
        """A refusal for good comes to the sender's own inbox; False when there is no room for it now."""
        entry = waiting.entry
        if not self._room.reserve(self._state, RECORD_BYTES * 4):
            return False
        message_id = f"refused_{entry.outgoing['id']}"[:64]
        self._supply([Read("file", entry.session, message_id)], now_ms)
        text = (
            f"Your message {entry.outgoing['id']} to {entry.outgoing.get('to')!s:.80} waited in the outbox and was "
            f"then refused: {error.message} ({error.code}). {error.hint}\n"
            f"It is kept in {os.path.dirname(waiting.path)}; to send it again: "
            f"maestro message retry {entry.outgoing['id']}"
        )
        acceptance.notify(self._state, entry.session, message_id, text, now_ms)
        return True

    # --- status ------------------------------------------------------------------------------------------

    def _stats(self, now_ms: int) -> dict[str, Any]:
        state, options = self._state, self._options
        waiting, failed = self._outbox.counts()
        warnings = [*self._warnings, *filter(None, (self._filer.waiting, self._sweeper.failure))]
        return {
            "version": __version__,
            "protocol": PROTOCOL_VERSION,
            "pid": os.getpid(),
            "epoch": self._epoch,
            "dataDir": options.data,
            "runtimeDir": options.runtime,
            "startedAt": self._started_ms,
            "uptimeMs": now_ms - self._started_ms,
            "headLsn": self._committed_lsn,
            "filedLsn": self._committed_lsn if not self._backlog.unfiled else state.filed_lsn,
            "checkpointLsn": self._filer.checkpoint_lsn,
            "filingBacklog": len(self._backlog.unfiled),
            "filingBacklogBytes": self._backlog.total_bytes,
            "sessions": status_reports.sessions_by_status(state),
            "mailboxes": status_reports.mailboxes(state),
            "watchers": len(state.topics),
            "messages": self._tally.messages(),
            "refusedByCode": self._tally.refusals(),
            "commit": self._tally.commits(),
            "sweep": self._sweeper.stats(),
            "outbox": {"waiting": waiting, "failed": failed},
            "connections": self._transport.router.stats(),
            "refused": dict(self._admission.refused),
            "disk": {
                "freeBytes": disk.free_bytes(options.data),
                "journalBytes": self._journal.held_bytes,
                "mailBytes": self._sweeper.mail_bytes,
                "fileSystem": mounts.file_system(options.data),
            },
            **({"tcp": self._door.stats()} if self._door is not None else {}),
            "limits": status_reports.limits_shown(options),
            "config": status_reports.config_shown(options),
            "warnings": warnings,
        }

    # --- stop --------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """In order: the address, the last batch, the sockets, the files, the lock. Raises what failed the filer."""
        # 1. Nobody new. A `shutdown` has done it already, before its answer, so that whoever heard the answer and
        # asks for a broker does not find this one.
        self._take_address_away()
        # 2. What has arrived is answered, durably. What comes later finds nobody, and its client repeats it.
        self._turn()
        self._commit()
        self._readings.close()
        for post in self._posts:
            post.close()
        # 3. The files catch up; what does not fit into the time stays in the journal for the next start.
        stopped = self._filer.stop(_FILE_AT_STOP_S)
        if stopped and self._filer.failure is None:
            self._timeline.close()
            self._dead_letters.close()
            self._journal.close()
        # 4. The lock last: the next broker may begin only when this one touches nothing any more. A filer that is
        # still at it dies with the process, and so the lock must too: the kernel frees it after the last thread.
        _log.info("broker stopped" if stopped else "broker stopped; the journal keeps what was not filed in time")
        if stopped:
            self._lock.release()
        if self._filer.failure is not None:
            raise self._filer.failure

    def _take_address_away(self) -> None:
        """Clients find no address any more, start another broker, and that one waits for the lock."""
        self._lock.announce_stop()
        self._write_address(None)

    def _write_address(self, lines: Mapping[str, object] | None) -> None:
        """Say where we listen; or, with None, that nobody does. Where somebody holds our sockets they stay the
        address, and whoever connects is served by the next broker."""
        path = paths.endpoints_file(self._options.data)
        if lines is None and self._options.activation is not None:
            router, notices = self._transport.addresses
            lines = {"router": router, "notices": notices, "pid": 0, "epoch": "", "version": __version__}
        if lines is None:
            disk.remove(path)
        else:
            content = "".join(f"{name}={value}\n" for name, value in lines.items()).encode()
            atomic_file.replace(path, content, durable=True)

    def _on_signal(self, number: int, _frame: object) -> None:
        _log.info("stopping on %s", signal.Signals(number).name)
        self._stopping = True

    def _warn(self, what: str) -> None:
        _log.warning("%s", what)
        self._warnings.append(what)
