"""Readiness: the kernel's list of descriptors that have work.

Rule: the loop waits for all its descriptors in one object, so that a wait is one system call, however many there are.
"""

from __future__ import annotations

import select
import sys

READ, WRITE = select.POLLIN, select.POLLOUT

if sys.platform == "linux":
    Readiness = select.epoll

else:  # pragma: no cover - written for macOS, untested

    class Readiness:
        """The same by `poll`, which looks at every descriptor."""

        def __init__(self) -> None:
            self._polled = select.poll()
            self.register = self._polled.register
            self.modify = self._polled.modify
            self.unregister = self._polled.unregister

        def poll(self, timeout_s: float) -> list[tuple[int, int]]:
            """The descriptors that have work, each with its events. A closed one is forgotten."""
            found = self._polled.poll(timeout_s * 1000)
            for fd, events in found:
                if events & select.POLLNVAL:
                    self.unregister(fd)
            return [each for each in found if not each[1] & select.POLLNVAL]

        def close(self) -> None:
            """Nothing is held."""
