"""Logs: set-up of the broker's and the gateway's log files.

Rule: one JSON object a line in a rotated file, and the same as plain text on a terminal. No message text and no token
is logged. The hot path logs nothing.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import sys
import time

from maestro_schemas.texts.visible_text import clean, escaped

from . import places

_FILE_BYTES_MAX = 4 << 20
_FILES_KEPT = 3


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": int(record.created * 1000),
            "level": record.levelname.lower(),
            "module": record.name.rpartition(".")[2],
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return escaped(json.dumps(line, ensure_ascii=False))


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        level = "" if record.levelno < logging.WARNING else f"{record.levelname.lower()}: "
        text = f"{clock} {level}{record.getMessage()}"
        return clean(f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text)


def start(data: str, name: str, package: str, *, foreground: bool) -> str:
    """Write the log records of `package` to `<data>/logs/<name>.log`, and with `foreground` to standard error too;
    return the file's path. Raises OSError."""
    directory = os.path.join(data, "logs")
    places.make_directory(directory)
    path = os.path.join(directory, f"{name}.log")
    # The handler would wait for the reader of a FIFO.
    os.close(places.open_file(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND))
    root = logging.getLogger(package)
    root.setLevel(logging.INFO)
    root.propagate = False
    file = logging.handlers.RotatingFileHandler(
        path, maxBytes=_FILE_BYTES_MAX, backupCount=_FILES_KEPT, encoding="utf-8", errors="backslashreplace"
    )
    file.setFormatter(_JsonLines())
    root.addHandler(file)
    if foreground:
        terminal = logging.StreamHandler(sys.stderr)
        terminal.setFormatter(_Plain())
        root.addHandler(terminal)
    # On a full disk, a log line must not cause a traceback on standard error.
    logging.raiseExceptions = False
    return path
