"""Interpreter: what the broker asks of Python itself.

Rule: process-wide settings stand here and nowhere else, each with the figure that it is for.
"""

from __future__ import annotations

import gc
import sys

_GC_THRESHOLD = 50_000
_SWITCH_S = 0.0001


def tune_for_recovery() -> None:
    """Call it before mail is read."""
    # Mail in memory makes no cycles, so the collector need not look often, and least of all while a long tail of the
    # journal is taken in.
    gc.set_threshold(_GC_THRESHOLD, 20, 100)


def tune_for_serving() -> None:
    """Call it when everything that lives as long as the process is there."""
    # What is alive by now stays.
    gc.freeze()
    # A thread that waits for the interpreter asks for it after this long. By default that is 5 ms, and was the
    # p99 of a send: the filer's calls are so short that it takes the lock back before the loop has woken up.
    sys.setswitchinterval(_SWITCH_S)
