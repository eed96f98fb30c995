"""Wake log: what became of each wake that the waker carried out, one line each in `<data>/logs/wake.log`.

Rule: mode 0600, and bounded: a log above 256 KiB is renamed to `wake.log.1`. It has no message text and no token. An
error while writing it is ignored, since a wake matters more.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

from maestro_runtime import places

if TYPE_CHECKING:
    from .steps import WakeOutcome

NAME: Final = "wake.log"
_BYTES_MAX: Final = 256 << 10


class WakeLog:
    """The log of one data directory."""

    def __init__(self, data: str) -> None:
        self._path = os.path.join(data, "logs", NAME)

    def write(self, outcome: WakeOutcome, took_s: float) -> None:
        """Append a line with the local time. `outcome.reason` is one line."""
        reason = "" if outcome.reason is None else f": {outcome.reason}"
        at = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        line = f"{at} {outcome.session} {outcome.by} {outcome.result} after {took_s:.2f} s{reason}\n"
        try:
            places.make_directory(os.path.dirname(self._path))
            descriptor = places.open_file(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            try:
                os.write(descriptor, line.encode("utf-8", "backslashreplace"))
                size = os.fstat(descriptor).st_size
            finally:
                os.close(descriptor)
            if size > _BYTES_MAX:
                os.replace(self._path, f"{self._path}.1")
        except OSError:
            return
