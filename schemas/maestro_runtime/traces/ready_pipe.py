"""Ready pipe: the one line by which a started process reports to the process that started it.

Rule: `ready`, with more for the starter where there is more, or `error` and the error's JSON. The pipe is closed
then.
"""

from __future__ import annotations

import os


def report(ready_fd: int | None, line: str) -> None:
    """Write the line and close the pipe. A starter that has ended is no error; neither is None, no pipe at all."""
    if ready_fd is None:
        return
    try:
        os.write(ready_fd, line.encode() + b"\n")
        os.close(ready_fd)
    except OSError:
        pass
