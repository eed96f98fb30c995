"""Faults: what nobody foresaw, kept for whoever mends it.

Rule: a traceback goes to a file beside the broker's log, never to an agent's context; the user is told where.
"""

from __future__ import annotations

import os

from maestro_schemas.errors import MaestroError

LOG_NAME = "cli-faults.log"


def record(error: Exception) -> MaestroError:
    """Append the traceback to `<data>/logs/cli-faults.log` (0600), or where that can't be written to a file for it in
    the directory for temporary files; returns the INTERNAL error that says where."""
    import platform
    import sys
    import time
    import traceback

    from maestro_runtime import paths
    from maestro_schemas import __version__

    told = "".join(traceback.format_exception(error))
    when = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    entry = f"{when} maestro {__version__} python {platform.python_version()} {sys.argv[1:2]}\n{told}\n"
    path = os.path.join(paths.data_dir(os.environ), "logs", LOG_NAME)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError:
        import tempfile

        descriptor, path = tempfile.mkstemp(prefix="maestro-fault-", suffix=".log")
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(entry)
    return MaestroError(
        "INTERNAL",
        f"a fault in maestro itself: {type(error).__name__}: {error}",
        f"The whole story is in {path}; please report it with that file.",
    )
