"""Running call: a call of a tool that a thread carries out, as that thread and the main one see it."""

from __future__ import annotations

import _thread


class RunningCall:
    """A call of a tool that is being carried out."""

    def __init__(self) -> None:
        # Whether the client has given it up, so that it gets no answer.
        self.is_cancelled = False
        self._may_wait = True
        # Held until the wait for mail must end, and until the call has ended.
        self._stopped, self._finished = _thread.allocate_lock(), _thread.allocate_lock()
        self._stopped.acquire()
        self._finished.acquire()

    def cancel(self) -> None:
        """The client has given it up. Can be repeated."""
        self.is_cancelled = True
        self.stop_waiting()

    def stop_waiting(self) -> None:
        """End its wait for mail, if there is one; only the main thread calls this. Can be repeated."""
        if self._may_wait:
            self._may_wait = False
            self._stopped.release()

    def pause(self, seconds: float) -> bool:
        """Wait for a time; False, at once, where the wait must end."""
        if self._stopped.acquire(timeout=max(seconds, 0.0)):
            self._stopped.release()
            return False
        return True

    @property
    def is_finished(self) -> bool:
        """Whether the call has ended."""
        return not self._finished.locked()

    def finish(self) -> None:
        """The call has ended."""
        self._finished.release()

    def await_finish(self, seconds: float) -> None:
        """Wait until the call has ended, but not longer."""
        if self._finished.acquire(timeout=max(seconds, 0.0)):
            self._finished.release()
