"""Hook error log: the problems of hook calls, which must not reach the agent's output.

Rule: one line per problem in `<data>/logs/hooks.log` (mode 0600). A log above 1 MiB is renamed to `hooks.log.1`. An
error while writing the log is ignored.
"""

from __future__ import annotations

import os
import time

from maestro_runtime import ownership, places
from maestro_schemas.errors import MaestroError
from maestro_schemas.texts.visible_text import one_line

NAME = "hooks.log"
_BYTES_MAX = 1 << 20


def append(data: str, problem: str) -> None:
    """Append a line with the local time; none in a data directory of another user."""
    folder = os.path.join(data, "logs")
    path = os.path.join(folder, NAME)
    line = one_line(" ".join(problem.split()))
    try:
        ownership.check_data_dir(data)
        places.make_directory(folder)
        if os.path.exists(path) and os.stat(path).st_size > _BYTES_MAX:
            os.replace(path, f"{path}.1")
        descriptor = places.open_file(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {line}\n")
    except (OSError, MaestroError):
        return
