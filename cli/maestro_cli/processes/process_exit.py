"""Process exit: waits until a broker's process has ended.

Rule: wait(2) does not work, because the broker is not our child. Its socket closes before the process ends, and its
pid may be reused afterwards. So a pidfd is opened while the broker still serves; it becomes readable when the process
ends.
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
    """The exit of the broker that serves `data` at `endpoints`. A context manager; open it before you stop the
    broker."""

    def __init__(self, data: str, endpoints: Endpoints) -> None:
        self._data = data
        self._epoch = endpoints.epoch
        try:
            self._descriptor: int | None = os.pidfd_open(endpoints.pid)
        except (AttributeError, OSError):
            # This is not Linux, or the process has ended already. Then `wait` watches the socket.
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def wait(self, timeout_s: float) -> bool:
        """Wait for the exit. Returns False after the timeout."""
        if self._descriptor is not None:
            return bool(select.select([self._descriptor], [], [], timeout_s)[0])
        give_up = time.monotonic() + timeout_s
        while (found := find(self._data)) is not None and found.epoch == self._epoch:
            if time.monotonic() >= give_up:
                return False
            time.sleep(_LOOK_EVERY_S)
        return True
