"""Loop: the broker's main thread between start and stop.

Rule: a batch is whatever arrived while the last commit ran. A turn receives, carries out, and submits, in that order.
The spool writer works in the gaps, and whatever no peer waits for comes last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maestro_broker.core.context import RequestContext

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from collections.abc import Set as AbstractSet

    from maestro_broker.attachments.blob_handlers import BlobHandlers
    from maestro_broker.clock import Clock
    from maestro_broker.core.model.state import State
    from maestro_broker.files.tenure import Tenure
    from maestro_broker.outbox.drain import OutboxDrainer
    from maestro_broker.transport.curve_listener import CurveListener
    from maestro_broker.transport.listener import IncomingRequest, Listener
    from maestro_broker.transport.local_listener import LocalListener
    from maestro_broker.views.signs.presence_watch import PresenceWatch
    from maestro_broker.views.signs.session_signs import SessionSigns
    from maestro_broker.views.spool_writer import SpoolWriter
    from maestro_broker.views.write_behind import WriteBehindQueue

    from .commit_pipeline import CommitPipeline
    from .dispatch import Dispatch
    from .expiry_task import ExpiryTask
    from .mailbox_loader import MailboxLoader
    from .searching.index_process import IndexProcess
    from .waking.wake_task import WakeTask

# Per listener and turn: the most requests, or fewer if their answers are long.
_BATCH_REQUESTS = 512
_BATCH_ANSWER_BYTES = 4 << 20
_TICK_MS = 1_000
# How long the loop is idle before it seals the log's last batch.
_SEAL_AFTER_MS = 20
# How often the loop asks a log that has not committed everything yet.
_COMMIT_POLL_S = 0.001


class Loop:
    """Receives requests and has them answered, until `stopping`."""

    def __init__(
        self,
        *,
        state: State,
        clock: Clock,
        local: LocalListener,
        curve: CurveListener | None,
        topics: AbstractSet[str],
        signs: SessionSigns,
        presence: PresenceWatch,
        wakes: WakeTask,
        dispatch: Dispatch,
        loader: MailboxLoader,
        blobs: BlobHandlers,
        pipeline: CommitPipeline,
        expiry: ExpiryTask,
        outbox: OutboxDrainer,
        queue: WriteBehindQueue,
        writer: SpoolWriter,
        warn: Callable[[str], None],
        tenure: Tenure,
        index: IndexProcess,
    ) -> None:
        self._index = index
        self._state = state
        self._clock = clock
        self._local = local
        self._curve = curve
        self._listeners: Sequence[Listener] = [local] if curve is None else [local, curve]
        self._topics = topics
        self._signs = signs
        self._presence = presence
        self._wakes = wakes
        self._dispatch = dispatch
        self._loader = loader
        self._blobs = blobs
        self._pipeline = pipeline
        self._expiry = expiry
        self._outbox = outbox
        self._queue = queue
        self._writer = writer
        self._warn = warn
        self._tenure = tenure
        self._next_tick_ms = 0
        self.stopping = False

    def serve(self, wake: socket.socket) -> None:
        """Serve until `stopping`; a byte at `wake` interrupts a wait. Raises FatalError: the log or the spool writer
        failed."""
        own = (self._local.notices.fd, wake.fileno(), self._presence.fd, self._wakes.fd, self._blobs.fd)
        for fd in own:
            if fd is not None:
                self._local.router.watch(fd)
        while not self.stopping:
            self._carry_out(self._wait())

    def turn(self) -> None:
        """Carry out what has arrived, without a wait. Raises FatalError."""
        self._carry_out(self._local.router.wait(0.0))

    def _wait(self) -> list[int]:
        """Wait for work; returns the descriptors that have some, beside those of connections."""
        router, curve = self._local.router, self._curve
        for listener in self._listeners:
            while listener.notices.has_taken_in():
                self._greet(listener)
        self._index.watch_by(router)
        is_busy = router.has_left or self._loader.has_work or self._presence.has_due
        if curve is not None:
            curve.watch_by(router)
            is_busy = is_busy or curve.has_left
        # The spool writer gets idle milliseconds. Handing it less costs more than it files in the time.
        others = router.wait(0.0 if is_busy else self._queue.patience_s())
        if not (is_busy or others or router.has_left):
            self._writer.go_on()
            others = router.wait(self._wait_s())
            self._writer.hold_back()
        return others

    def _carry_out(self, others: list[int]) -> None:
        """Carry out one batch and submit it; then see to the descriptors that have work beside it. Raises
        FatalError."""
        if others and self._index.fd in others:
            self._answer_late()
        context = self.context()
        now_ms = context.now_ms
        has_received = False
        answer, add = self._dispatch.answer, self._pipeline.answers.append
        for listener in self._listeners:
            bytes_left = _BATCH_ANSWER_BYTES
            for arrival in listener.receive(_BATCH_REQUESTS):
                has_received = True
                # As `_answer`, without its call.
                reply = answer(arrival, context)
                if reply is not None:
                    add((listener, reply))
                    bytes_left -= len(reply.body)
                    if bytes_left < 0:
                        break
        if self._loader.has_work:
            for arrival in self._loader.advance(self._state, now_ms):
                self._answer(arrival, context)
        if others and self._blobs.fd in others:
            for arrival in self._blobs.finished():
                self._answer(arrival, context)
        if now_ms >= self._expiry.next_ms:
            self._expiry.turn(now_ms)
        if now_ms >= self._next_tick_ms:
            self._tick(context)
        if not self._pipeline.submit() and self._pipeline.seal_is_due and not has_received:
            self._pipeline.seal()
        self._queue.take_filed(self._state)
        if others:
            for listener in self._listeners:
                if listener.notices.fd in others:
                    self._greet(listener)
            if self._presence.fd in others:
                self._presence.collect()
        if not self._pipeline and self._presence.is_due():
            # What is applied and not committed is never reported.
            self._presence.publish(self._clock.now_ms(), self._pipeline.committed_lsn)
        if others and self._wakes.fd in others:
            self._wakes.collect()
        wake_ms = self._wakes.next_ms
        if wake_ms is not None and wake_ms <= (now_ms := self._clock.now_ms()):
            self._wakes.turn(now_ms)

    def context(self) -> RequestContext:
        """The circumstances of the requests of this moment."""
        return RequestContext(
            self._clock.now_ms(), self._topics, self._queue.press_back(), signs=self._signs, wakes=self._wakes.state
        )

    def _answer(self, arrival: IncomingRequest, context: RequestContext) -> None:
        reply = self._dispatch.answer(arrival, context)
        if reply is not None:
            listener = self._local if arrival.public is None else self._listeners[-1]
            self._pipeline.answer(listener, reply)

    def _answer_late(self) -> None:
        """Send the answers of the index to the requests that wait for them."""
        for late in self._index.collect():
            listener = self._local if late.arrival.public is None else self._listeners[-1]
            self._pipeline.answer(listener, self._dispatch.late(late))

    def _greet(self, listener: Listener) -> None:
        """Send new subscribers where their mailboxes stand."""
        for topic in listener.notices.subscriptions():
            self._pipeline.greet(listener, topic, self._clock.now_ms())
        self._pipeline.submit()

    def _wait_s(self) -> float:
        if self._pipeline:
            return _COMMIT_POLL_S
        next_ms = min(self._next_tick_ms, self._expiry.next_ms)
        wake_ms = self._wakes.next_ms
        until_ms = max(0, (next_ms if wake_ms is None else min(next_ms, wake_ms)) - self._clock.now_ms())
        return (min(_SEAL_AFTER_MS, until_ms) if self._pipeline.seal_is_due else until_ms) / 1000

    def _tick(self, context: RequestContext) -> None:
        """Once a second: see that the broker still has what it serves with, drain the outbox, evict idle mailboxes,
        check the spool writer, look for subscriptions."""
        self._tenure.look()
        self._outbox.drain(context)
        self._pipeline.write_markers()
        self._loader.evict(self._state, context.now_ms)
        self._state.drop_old_windows(context.now_ms)
        self._local.router.look_after()
        self._presence.look_after(context.now_ms)
        self._index.look_after()
        self._answer_late()
        for listener in self._listeners:
            self._greet(listener)  # libzmq's descriptor is a hint, which binding a socket again may use up
        for session in self._state.take_counter_mismatches():
            self._warn(f"the counters of mailbox {session} did not fit its files and were counted again")
        if self._writer.failure is not None:
            raise self._writer.failure
        self._next_tick_ms = context.now_ms + (_TICK_MS if self._curve is None else self._curve.look_after(_TICK_MS))
