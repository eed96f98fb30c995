"""Start deadline: until when a client waits for a broker or a gateway that starts.

Rule: a broker that brings its data to another format says so in the update file. A client that passes it on to a
person waits for as long as that goes on. The others give up in time, and name it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from maestro_runtime.traces import update_file
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Callable

_LOOK_S = 0.5
_TELL_S = 5.0


class StartDeadline:
    """The deadline of one start. `tell` gets what a running update says: at once, and then now and then."""

    def __init__(self, data: str, timeout_s: float, tell: Callable[[str], None] | None = None) -> None:
        self._data = data
        self._timeout_s = timeout_s
        self._tell = tell
        self._until_s = time.monotonic() + timeout_s
        self._looked_s = self._said_s = float("-inf")

    def left_s(self) -> float:
        """How long to wait until the next call; 0 or less: no longer."""
        now_s = time.monotonic()
        if self._tell is not None and now_s - self._looked_s >= _LOOK_S:
            self._looked_s = now_s
            says = update_file.read(self._data)
            if says is not None:
                self._until_s = now_s + self._timeout_s
                if now_s - self._said_s >= _TELL_S:
                    self._said_s = now_s
                    self._tell(says)
        return min(self._until_s - now_s, _LOOK_S)

    def late(self, what: str) -> MaestroError:
        """The error for one that does not serve in time."""
        says = update_file.read(self._data)
        if says is not None:
            return MaestroError(
                "TIMEOUT",
                f"{what}: it brings its data up to date ({says})",
                "`maestro up` waits for it and shows how far it is; nothing is lost meanwhile.",
                retry_after_s=5.0,
            )
        return MaestroError(
            "TIMEOUT",
            what,
            "Its log, in logs/ in the data directory, says what it is doing; a long recovery takes time. Try again "
            "in a moment.",
        )
