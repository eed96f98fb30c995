"""Process end: waiting until a broker's process is gone.

Rule: a broker is nobody's child, so wait(2) can't tell; its socket goes before it does; and a pid may be another
process's by then. So a descriptor is opened while it is known to be the one, and becomes readable at its end.
"""

from __future__ import annotations

import os
import select
import time
from typing import TYPE_CHECKING

from maestro_clients.processes.broker_process import find

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from maestro_clients.processes.broker_process import Endpoints

_LOOK_EVERY_S = 0.02


class BrokerExit:
    """The end of the broker that serves `data` as `endpoints`; opened, with `with`, before it is told to stop."""

    def __init__(self, data: str, endpoints: Endpoints) -> None:
        self._data = data
        self._epoch = endpoints.epoch
        try:
            self._descriptor: int | None = os.pidfd_open(endpoints.pid)
        except (AttributeError, OSError):
            # Not Linux, or it is gone already. Then its socket has to do.
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def wait(self, timeout_s: float) -> bool:
        """Whether it has ended in time."""
        if self._descriptor is not None:
            return bool(select.select([self._descriptor], [], [], timeout_s)[0])
        give_up = time.monotonic() + timeout_s
        while (found := find(self._data)) is not None and found.epoch == self._epoch:
            if time.monotonic() >= give_up:
                return False
            time.sleep(_LOOK_EVERY_S)
        return True
