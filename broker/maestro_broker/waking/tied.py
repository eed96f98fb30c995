"""Tied program: `python tied.py PARENT WORD...` becomes the program WORD..., which ends when the process PARENT ends.

Rule: it imports nothing of ours, because it runs in an interpreter of its own for a few milliseconds, for each wake.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

# Of <sys/prctl.h>. The kernel sends the signal when the thread that has started this process ends.
_PR_SET_PDEATHSIG = 1
_NICENESS = 5
_NOT_STARTED = 127


def main() -> int:
    """Returns only where the program can't be started."""
    parent, words = int(sys.argv[1]), sys.argv[2:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has ended before the call
        return _NOT_STARTED
    os.nice(_NICENESS)
    # What the broker and this interpreter ignore, the program would ignore too.
    for number in (signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execv(words[0], words)  # noqa: S606 - no shell is the point
    except OSError as error:
        os.write(2, f"{words[0]}: {error.strerror}\n".encode(errors="backslashreplace"))
    return _NOT_STARTED


if __name__ == "__main__":
    sys.exit(main())
