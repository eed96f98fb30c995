"""Lock holder: stopping a broker that no socket leads to, by the pid in its lock.

Rule: only the process that holds the data directory's lock is signalled (`maestro_runtime.traces.lock_file`), by a
descriptor of that process: its pid may be another's a moment later. What such a broker has accepted is on disk, so
that even SIGKILL loses nothing.
"""

from __future__ import annotations

import os
import select
import signal
import time
from typing import TYPE_CHECKING

from maestro_runtime.traces import lock_file
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from maestro_runtime.traces.lock_file import LockHolder

_POLL_S = 0.02
# A broker that serves no longer takes up to 12 s to write its files.
_PATIENCE_S = 20.0
_KILLED_S = 10.0


def stop(data: str, *, patience_s: float = _PATIENCE_S) -> LockHolder | None:
    """End the process that holds the lock, and wait for that: SIGTERM, and after `patience_s` SIGKILL. Returns it;
    None if there was none.

    Raises MaestroError TIMEOUT where even SIGKILL does not end it, PEER_REFUSED where it is another user's.
    """
    holder = lock_file.holder(data)
    if holder is None:
        return None
    try:
        # A broker that is stopping already needs no signal, only time.
        steps = ((None, patience_s),) if holder.is_stopping else ((signal.SIGTERM, patience_s),)
        for number, wait_s in (*steps, (signal.SIGKILL, _KILLED_S)):
            if _end(data, holder, number, wait_s):
                return holder
    except PermissionError:
        raise MaestroError(
            "PEER_REFUSED",
            f"the broker (pid {holder.pid}) of {data} is another user's process",
            "Stop it as that user, or as root.",
        ) from None
    raise MaestroError(
        "TIMEOUT",
        f"the broker (pid {holder.pid}) of {data} has not ended within {_KILLED_S:g} s of SIGKILL",
        "It waits for the disk or for a debugger; the kernel ends it after that.",
    )


def _end(data: str, holder: LockHolder, number: signal.Signals | None, wait_s: float) -> bool:
    """Send the signal, if any, and wait; whether the process has ended."""
    if not hasattr(os, "pidfd_open"):
        return _end_by_pid(data, holder, number, wait_s)
    try:
        descriptor = os.pidfd_open(holder.pid)
    except ProcessLookupError:
        return True
    try:
        # Asked again: from here on the descriptor is of the process that holds the lock, or of one that has ended.
        if not _holds(data, holder):
            return True
        if number is not None:
            signal.pidfd_send_signal(descriptor, number)
        return bool(select.select([descriptor], [], [], wait_s)[0])
    except ProcessLookupError:
        return True
    finally:
        os.close(descriptor)


def _end_by_pid(data: str, holder: LockHolder, number: signal.Signals | None, wait_s: float) -> bool:
    give_up_s = time.monotonic() + wait_s
    if number is not None and _holds(data, holder):
        os.kill(holder.pid, number)
    while _holds(data, holder):
        if time.monotonic() >= give_up_s:
            return False
        time.sleep(_POLL_S)
    return True


def _holds(data: str, holder: LockHolder) -> bool:
    found = lock_file.holder(data)
    return found is not None and found[:2] == holder[:2]
