"""GC tuning: the settings of the Python interpreter.

Rule: process-wide settings are made only here, each with the figure that it improves.
"""

from __future__ import annotations

import gc
import sys

_GC_THRESHOLD = 50_000
_SWITCH_S = 0.0001


def tune_for_recovery() -> None:
    """Set what helps while mail is loaded; call it before that."""
    # Mail in memory forms no cycles, so the collector need not run often, least of all during a long replay.
    gc.set_threshold(_GC_THRESHOLD, 20, 100)


def tune_for_serving() -> None:
    """Set what helps while serving; call it when all long-lived objects exist."""
    # Objects that exist now stay alive.
    gc.freeze()
    # A thread that waits for the interpreter's lock requests it after this time. The default of 5 ms was the p99 of a
    # send: the spool writer's calls are so short that it takes the lock back before the loop has woken up.
    sys.setswitchinterval(_SWITCH_S)
