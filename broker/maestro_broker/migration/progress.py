"""Progress: what an update of the data directory has done, for its log and for the clients that wait.

Rule: a count costs nothing but an addition; the clock is read once in many counts.
"""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING

from maestro_broker.transport import socket_activation
from maestro_runtime.traces import update_file

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_log = logging.getLogger(__name__)

_LOOK_EVERY = 256
_TELL_S = 1.0
_LOG_S = 10.0
# Longer than a sync of a slow disk takes.
_EXTEND_US = 600_000_000


class Progress:
    """The progress of one step, from version `number` to the next. A context manager."""

    def __init__(self, data: str, number: int) -> None:
        self._data = data
        self._title = f"data format {number} to {number + 1}"
        self._counts: dict[str, int] = {}
        self._expected: dict[str, int] = {}
        self._looks = 0
        self._said_s = self._logged_s = 0.0

    def __enter__(self) -> Self:
        self._say("it begins")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        update_file.remove(self._data)

    def expect(self, what: str, number: int) -> None:
        """There are about as many of `what`, with those that an interrupted run has done."""
        self._expected[what] = number

    def count(self, what: str, number: int = 1) -> None:
        """So much more is done of `what`, a noun in the plural."""
        self._counts[what] = self._counts.get(what, 0) + number
        self._looks += 1
        if self._looks % _LOOK_EVERY == 0:
            self.look()

    def look(self) -> None:
        """Say what is done, if that was not said within the last second."""
        if time.monotonic() - self._said_s >= _TELL_S:
            self._say(", ".join(map(self._words, self._counts)) or "it begins")

    def _words(self, what: str) -> str:
        expected = self._expected.get(what)
        return f"{self._counts[what]:,}{f' of {expected:,}' if expected else ''} {what}"

    def _say(self, text: str) -> None:
        self._said_s = time.monotonic()
        update_file.write(self._data, f"{self._title}: {text}")
        # A service manager would end a service that takes longer to start than usual.
        socket_activation.notify(os.environ, f"EXTEND_TIMEOUT_USEC={_EXTEND_US}\nSTATUS={self._title}: {text}")
        if self._said_s - self._logged_s >= _LOG_S:
            self._logged_s = self._said_s
            _log.info("%s: %s", self._title, text)
