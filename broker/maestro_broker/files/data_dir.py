"""Data directory: makes it, and checks and updates its format.

Rule: the format is checked before any other file is read, and the directory's name is durable before anything in it
is acknowledged.

An older format is updated step by step, each from version n to n + 1. The format file names the new version only
after everything that the step wrote is durable. Until then it says `n to n + 1`, which a broker of version n
refuses. An interrupted step is run again from its beginning, so every step must be repeatable.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from typing import TYPE_CHECKING

from maestro_runtime import atomic_file, ownership, places
from maestro_schemas import DATA_FORMAT_VERSION, UPGRADE
from maestro_schemas.errors import MaestroError

from . import disk

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Step = Callable[[str], None]

_log = logging.getLogger(__name__)

_FORMAT_FILE = "format"
_FORMAT_BYTES_MAX = 4_096
_FORMAT = re.compile(r"maestro-data ([1-9][0-9]{0,8})(?: to ([1-9][0-9]{0,8}))?")

# The oldest version from which the broker's steps lead to the present one.
OLDEST_VERSION = 1


def make(data: str) -> None:
    """Make the directory, and make its name durable. Raises MaestroError DATA_DIR_UNUSABLE, or NOT_PRIVATE if it is
    another user's or others may write to it."""
    ownership.check_data_dir(data)
    try:
        places.make_directory(data)
        # The directory's own name must survive a power cut too; the journal syncs the names below it.
        with contextlib.suppress(PermissionError):  # the parent may be entered but not read
            atomic_file.sync_directory(os.path.dirname(os.path.realpath(data)))
        places.make_directory(os.path.join(data, "messages", "journal"))
    except OSError as error:
        raise places.refusal(
            "DATA_DIR_UNUSABLE",
            f"the data directory {places.shown(data)} can't be used",
            error,
            "Or set MAESTRO_DATA_DIR to another one.",
        ) from None


def bring_up_to_date(data: str, steps: Mapping[int, Step], current: int = DATA_FORMAT_VERSION) -> None:
    """Make `<data>/format`, or check it and run the steps from its version to `current`. The caller holds the lock.

    `steps`: by the version with which each begins.

    Raises MaestroError FORMAT_UNSUPPORTED before anything is changed. Raises OSError; the next call repeats the step
    that failed.
    """
    path = os.path.join(data, _FORMAT_FILE)
    try:
        version = read_version(data, current)
    except FileNotFoundError:
        _write(path, str(current))
        return
    oldest = current
    while oldest - 1 in steps:
        oldest -= 1
    _refuse_unknown(data, version, current, oldest)
    for number in range(version, current):
        _log.info("%s: from data format %d to %d", data, number, number + 1)
        _write(path, f"{number} to {number + 1}")
        steps[number](data)
        # A step may write many files without syncing each; this sync reports their errors.
        disk.sync_file_system(data)
        _write(path, str(number + 1))
        _log.info("%s: has data format %d now", data, number + 1)


def check_version(data: str, current: int = DATA_FORMAT_VERSION, oldest: int = OLDEST_VERSION) -> None:
    """For programs that only read: check that the files are this user's and have the present format. Raises
    MaestroError NOT_PRIVATE or FORMAT_UNSUPPORTED, or OSError."""
    ownership.check_data_dir(data)
    version = read_version(data, current)
    _refuse_unknown(data, version, current, oldest)
    if version != current:
        raise MaestroError(
            "FORMAT_UNSUPPORTED",
            f"{data} has data format {version}, and this is for {current}",
            "Start the broker once, which brings it up to date: `maestro up`.",
            limit=current,
            actual=version,
        )


def read_version(data: str, current: int = DATA_FORMAT_VERSION) -> int:
    """The version in `<data>/format`. Of an interrupted step, the one with which it began; where only a newer broker
    knows that step, the one to which it leads. Raises MaestroError FORMAT_UNSUPPORTED if there is no version, or
    OSError."""
    path = os.path.join(data, _FORMAT_FILE)
    found = places.read(path, _FORMAT_BYTES_MAX).decode("ascii", "replace").strip()
    match = _FORMAT.fullmatch(found)
    if match is None:
        raise MaestroError(
            "FORMAT_UNSUPPORTED",
            f"{path} says {found[:40]!r}, and this broker knows 'maestro-data' and a number, up to {current}",
            "Look what wrote that file; if the directory is not Maestro's, set MAESTRO_DATA_DIR to another one.",
        )
    begun = int(match[2] or 0)
    return begun if begun > current else int(match[1])


def _refuse_unknown(data: str, version: int, current: int, oldest: int) -> None:
    if version > current:
        raise MaestroError(
            "FORMAT_UNSUPPORTED",
            f"{data} has data format {version}, and this broker knows none newer than {current}",
            f"A newer version of Maestro wrote it. Install that by {UPGRADE}. Or set MAESTRO_DATA_DIR to another "
            "directory.",
            limit=current,
            actual=version,
        )
    if version < oldest:
        raise MaestroError(
            "FORMAT_UNSUPPORTED",
            f"{data} has data format {version}, and this broker knows none older than {oldest}",
            f"Start a version of maestro-messaging once that knows both {version} and {oldest} (CHANGELOG.md "
            "names the formats), then this one; or set MAESTRO_DATA_DIR to another directory.",
            limit=oldest,
            actual=version,
        )


def _write(path: str, version: str) -> None:
    atomic_file.replace(path, f"maestro-data {version}\n".encode("ascii"), durable=True)
