"""Data directory: made, and of a format that this broker knows.

Rule: looked at before anything in it is read, and named durably before anything in it is promised.
"""

from __future__ import annotations

import contextlib
import os

from maestro_schemas import DATA_FORMAT_VERSION
from maestro_schemas.errors import MaestroError

from . import disk

_FORMAT_FILE = "format"


def make(data: str) -> None:
    """Make it, and its name durable. Raises MaestroError DATA_DIR_UNUSABLE."""
    try:
        os.makedirs(data, mode=0o700, exist_ok=True)
        # The directory's own name must outlive a power cut too; the journal syncs what is below it.
        with contextlib.suppress(PermissionError):  # a parent that may be passed through but not read
            disk.sync_directory(os.path.dirname(os.path.realpath(data)))
        os.makedirs(os.path.join(data, "messages", "journal"), mode=0o700, exist_ok=True)
    except OSError as error:
        raise MaestroError(
            "DATA_DIR_UNUSABLE",
            f"the data directory can't be used: {error}",
            "Make it yours and writable, or set MAESTRO_DATA_DIR to another one.",
        ) from None


def check_format(data: str) -> None:
    """Make or check `<data>/format`. Raises MaestroError FORMAT_UNSUPPORTED or DATA_DIR_UNUSABLE."""
    path = os.path.join(data, _FORMAT_FILE)
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            found = file.read().strip()
    except FileNotFoundError:
        disk.write_durably(path, f"maestro-data {DATA_FORMAT_VERSION}\n".encode("ascii"))
        return
    if found != f"maestro-data {DATA_FORMAT_VERSION}":
        raise MaestroError(
            "FORMAT_UNSUPPORTED",
            f"{data} has the data format {found[:40]!r}, and this broker knows maestro-data {DATA_FORMAT_VERSION}",
            "Use the version of maestro-messaging that wrote it, or set MAESTRO_DATA_DIR to a new directory.",
        )
