"""Crash log: the traceback of a defect of ours, for its repair.

Rule: it is written to a file beside the broker's log, never to an agent's context; the error names the file.
"""

from __future__ import annotations

import os

from maestro_schemas.errors import MaestroError

LOG_NAME = "cli-faults.log"


def record(error: Exception) -> MaestroError:
    """Append the traceback to `<data>/logs/cli-faults.log` (0600), or to a temporary file if that
    can't be written; returns the INTERNAL error that names the file."""
    import platform
    import sys
    import time
    import traceback

    from maestro_runtime import paths, places
    from maestro_schemas import __version__

    trace = "".join(traceback.format_exception(error))
    when = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    entry = f"{when} maestro {__version__} python {platform.python_version()} {sys.argv[1:2]}\n{trace}\n"
    try:
        path = os.path.join(paths.data_dir(os.environ), "logs", LOG_NAME)
        descriptor = places.open_file(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    except (OSError, MaestroError):
        import tempfile

        descriptor, path = tempfile.mkstemp(prefix="maestro-fault-", suffix=".log")
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(entry)
    return MaestroError(
        "INTERNAL",
        f"a fault in maestro itself: {type(error).__name__}: {error}",
        f"The traceback is in {path}; please report it with that file.",
    )
