"""Waker: the one thread that wakes the agents of all sessions which a command has to wake.

Rule: the loop decides that a wake is due, and makes the wake file; the waker carries it out. The loop's interface:

- `wake(session, by)` hands a wake over and returns at once. `by` is the session's `wakeBy`. A second call for the
  same session, before the outcome of the first, changes nothing. Each wake has exactly one outcome.
- `fd` is for the loop's poller: it is readable when there are outcomes. `outcomes()` returns and forgets them. None
  where the system has no such descriptor (macOS); then each wake fails with a reason.
- `forget(session)` is for a session that is not to be woken; it removes what was noted of an agent that has ended.
- `close()` ends the running commands and the thread, within a bound.

The ways of waking that it knows are in `WAYS`. A wake by another name (`claude-code:FileChanged`, `opencode:plugin`)
is carried out by the client itself, and must not be handed over. docs/decisions/0035-the-waker.md says why a thread.
"""

from __future__ import annotations

import contextlib
import heapq
import logging
import os
import select
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from maestro_runtime import wake_facts
from maestro_runtime.process_identity import is_alive
from maestro_schemas.texts import waking
from maestro_schemas.texts.visible_text import one_line

from . import codex_queue, input_file, tmux_keys, zellij_keys
from .child import WakeChild
from .steps import CommandEnd, Wake, WakeOutcome, WakePause
from .wake_log import WakeLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from .steps import Steps, WakeCommand

_log = logging.getLogger(__name__)

# By the name of what wakes: all that this thread carries out.
WAYS: Final[Mapping[str, Callable[[Wake, Mapping[str, str]], Steps]]] = {
    waking.CODEX: codex_queue.steps,
    waking.QWEN_CODE: input_file.steps,
    waking.TMUX: tmux_keys.steps,
    waking.ZELLIJ: zellij_keys.steps,
}
# Commands that run at the same time. The others wait in turn.
COMMANDS_MAX: Final = 2
_CLOSE_S = 2.0
_REASON_CHARS_MAX = 300
_DEFECT = "the waker met an unexpected error"
_NO_FACTS = "its hooks have not noted how to wake it; the next start of the agent does that"


class _Job(NamedTuple):
    """One wake on its way."""

    session: str
    by: str
    steps: Steps
    began_s: float


class Waker:
    """Carries out wakes. One thread hands them over and takes the outcomes; the waker's own does the rest."""

    def __init__(self, data: str, environ: Mapping[str, str]) -> None:
        self._data = data
        self._environ = environ
        self._log = WakeLog(data)
        self._orders: deque[tuple[str, str]] = deque()
        self._outcomes: deque[WakeOutcome] = deque()
        # Of both threads; each change is one call.
        self._outstanding: dict[str, str] = {}
        self._thread: threading.Thread | None = None
        self._ordered = -1
        self._is_closing = False
        # Of the waker's thread alone.
        self._children: dict[int, tuple[_Job, WakeChild]] = {}
        self._in_turn: deque[tuple[_Job, WakeCommand]] = deque()
        self._paused: list[tuple[float, int, _Job]] = []
        self._numbered = 0
        self.fd: int | None = _event() if hasattr(os, "eventfd") else None

    def wake(self, session: str, by: str) -> None:
        """Have a session's agent woken; its wake file is there."""
        is_running = self._thread is not None and self._thread.is_alive()
        # A thread that has ended by a defect leaves no wake outstanding for good.
        if session in self._outstanding and (is_running or self.fd is None):
            return
        self._outstanding[session] = by
        if self.fd is None:
            self._report(
                WakeOutcome(session, by, "failed", "this system reports no end of a process", is_lasting=True)
            )
            return
        try:
            if self._ordered < 0:
                self._ordered = _event()
            if is_running or (session, by) not in self._orders:
                self._orders.append((session, by))
            if not is_running:
                thread = threading.Thread(target=self._run, name="waker", daemon=True)
                thread.start()
                self._thread = thread
        except (OSError, RuntimeError) as error:  # no descriptor, or no thread, is left for this user
            self._orders.clear()
            self._report(WakeOutcome(session, by, "failed", f"this system has no room for the waker: {error}"))
            return
        os.eventfd_write(self._ordered, 1)

    def outcomes(self) -> list[WakeOutcome]:
        """What became of wakes since the last call."""
        if self.fd is not None:
            _drain(self.fd)
        found = []
        while self._outcomes:
            outcome = self._outcomes.popleft()
            self._outstanding.pop(outcome.session, None)
            found.append(outcome)
        return found

    def forget(self, session: str) -> None:
        """Remove what is noted about the wakes of a session, if its agent has ended: it may be woken again later."""
        facts = wake_facts.read(self._data, session)
        if facts is not None and is_alive(facts.pid, facts.pid_start) is False:
            wake_facts.remove(self._data, session)

    def stats(self) -> dict[str, Any]:
        """For `maestro status`."""
        return {
            "running": self._thread is not None and self._thread.is_alive(),
            "outstanding": len(self._outstanding),
            "commands": len(self._children),
        }

    def close(self) -> None:
        """End the running commands and the thread."""
        self._is_closing = True
        if self._thread is not None:
            os.eventfd_write(self._ordered, 1)
            self._thread.join(_CLOSE_S)
            if self._thread.is_alive():
                _log.warning("the waker's thread did not end within %g s", _CLOSE_S)
                return
            self._thread = None
        if self._ordered >= 0:
            os.close(self._ordered)
            self._ordered = -1
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None

    # --- the thread --------------------------------------------------------------------------------------

    def _run(self) -> None:
        poller = select.poll()
        poller.register(self._ordered, select.POLLIN)
        try:
            # The next wake starts another thread.
            with _contained(self._fail):
                while not self._is_closing:
                    self._turn(poller)
        finally:
            for _, child in self._children.values():
                with contextlib.suppress(OSError):
                    child.kill()
            for rest in (self._children, self._in_turn, self._paused):
                rest.clear()

    def _fail(self) -> None:
        for session, by in list(self._outstanding.items()):
            self._report(WakeOutcome(session, by, "failed", _DEFECT))

    def _turn(self, poller: select.poll) -> None:
        """Wait for the next thing, and do it."""
        poller.poll(self._wait_ms())
        _drain(self._ordered)
        while self._orders:
            self._begin(*self._orders.popleft())
        for fd, (job, child) in list(self._children.items()):
            ended = child.end()
            if ended is not None:
                poller.unregister(fd)
                del self._children[fd]
                self._go_on(job, ended)
        while self._paused and self._paused[0][0] <= time.monotonic():
            self._go_on(heapq.heappop(self._paused)[2], None)
        while self._in_turn and len(self._children) < COMMANDS_MAX:
            job, command = self._in_turn.popleft()
            try:
                child = WakeChild(command, self._environ.get("PATH", os.defpath))
            except OSError as error:
                self._go_on(job, CommandEnd(None, error.strerror or str(error)))
                continue
            self._children[child.fd] = job, child
            poller.register(child.fd, select.POLLIN)

    def _wait_ms(self) -> float | None:
        waits_s = [child.wait_s for _, child in self._children.values()]
        if self._paused:
            waits_s.append(max(0.0, self._paused[0][0] - time.monotonic()))
        return None if not waits_s else min(waits_s) * 1_000 + 1

    def _begin(self, session: str, by: str) -> None:
        began_s = time.monotonic()
        facts = wake_facts.read(self._data, session)
        way = WAYS.get(by)
        if way is None or facts is None or facts.by != by:
            reason = f"this broker knows no way to wake by {by}" if way is None else _NO_FACTS
            self._end(WakeOutcome(session, by, "failed", reason, is_lasting=True), began_s)
        else:
            self._go_on(_Job(session, by, way(Wake(self._data, session, facts), self._environ), began_s), None)

    def _go_on(self, job: _Job, ended: CommandEnd | None) -> None:
        """Let a wake take its next step. A defect there ends this wake alone."""
        step: WakePause | WakeCommand | None = None
        with _contained(lambda: self._end(WakeOutcome(job.session, job.by, "failed", _DEFECT), job.began_s)):
            try:
                step = job.steps.send(ended)
            except StopIteration as done:
                self._end(done.value, job.began_s)
        if step is None:
            return
        if isinstance(step, WakePause):
            self._numbered += 1
            heapq.heappush(self._paused, (time.monotonic() + step.for_s, self._numbered, job))
        else:
            self._in_turn.append((job, step))

    def _end(self, outcome: WakeOutcome, began_s: float) -> None:
        if outcome.reason is not None:
            outcome = outcome._replace(reason=one_line(outcome.reason)[:_REASON_CHARS_MAX])
        self._log.write(outcome, time.monotonic() - began_s)
        self._report(outcome)

    def _report(self, outcome: WakeOutcome) -> None:
        self._outcomes.append(outcome)
        if self.fd is not None:
            os.eventfd_write(self.fd, 1)


@contextlib.contextmanager
def _contained(failed: Callable[[], None]) -> Iterator[None]:
    """Log an error that is not expected, and say that something has `failed`: it is no reason to end the broker."""
    try:
        yield
    except Exception:  # noqa: BLE001 - the top of the thread, and of each wake
        _log.exception("the waker met an unexpected error")
        failed()


def _event() -> int:
    return os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)


def _drain(fd: int) -> None:
    try:
        os.eventfd_read(fd)
    except BlockingIOError:
        return
