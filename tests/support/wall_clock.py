"""Wall clock: a clock that a test sets, for the processes of a post office.

libfaketime (Debian's `faketime`) changes a process's CLOCK_REALTIME and leaves the monotonic clocks as they are, as
setting a machine's clock does.
"""

from __future__ import annotations

import os


class WallClock:
    """The wall clock of all processes that run with `environ`."""

    def __init__(self, library: str, file: str) -> None:
        """`library`: `components.faketime_library()`. `file`: where the difference is kept."""
        self._file = file
        self.environ = {
            "LD_PRELOAD": library,
            "FAKETIME_TIMESTAMP_FILE": file,
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self.jump(0)

    def jump(self, seconds: int) -> None:
        """From now on, the clock differs from the true time by `seconds`."""
        with open(self._file + ".new", "w", encoding="ascii") as file:
            file.write(f"{seconds:+d}\n")
        os.replace(self._file + ".new", self._file)
