"""Hook log: what a hook has to say and may not say to the agent.

Rule: one line an event in `<data>/logs/hooks.log` (0600), which is started anew when it is large; a log that can't be
written is no reason to fail.
"""

from __future__ import annotations

import os
import time

NAME = "hooks.log"
_BYTES_MAX = 1 << 20


def say(data: str, what: str) -> None:
    """Append a line with the time."""
    folder = os.path.join(data, "logs")
    path = os.path.join(folder, NAME)
    one_line = " ".join(what.split())
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        if os.path.exists(path) and os.stat(path).st_size > _BYTES_MAX:
            os.replace(path, f"{path}.1")
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {one_line}\n")
    except OSError:
        return
