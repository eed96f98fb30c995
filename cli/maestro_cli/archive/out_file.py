"""Out file: a document that a command writes beside the user's own files.

Rule: the file gets its name only when it is complete, and one that exists is left alone unless the caller says
otherwise. It is private (0600), as all that holds mail is.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from maestro_runtime import atomic_file, places
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Iterable

_PRIVATE = 0o600


def check(path: str, *, force: bool) -> None:
    """Look, before anything is asked for, whether a file can be written there. Raises MaestroError CONFLICT for one
    that exists, FILE_UNREADABLE for a directory that can't be written."""
    folder = os.path.dirname(path) or "."
    if os.path.lexists(path) and not force:
        raise _exists(path)
    if os.path.isdir(path):
        raise MaestroError("FILE_UNREADABLE", f"{places.shown(path)} is a directory", "Name a file in it.")
    if not os.path.isdir(folder):
        raise MaestroError(
            "FILE_UNREADABLE",
            f"there is no directory {places.shown(folder)}",
            f"Make it: mkdir -p {places.quoted(folder)}",
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise MaestroError(
            "FILE_UNREADABLE", f"{places.shown(folder)} may not be written in", "Use a directory that is yours."
        )


def write(path: str, pieces: Iterable[str], *, force: bool) -> int:
    """Write the pieces to a file; returns the number of bytes. Raises as `check`, and MaestroError STORAGE_FULL or
    FILE_UNREADABLE; then there is no new file, and an old one is as it was."""
    aside = f"{path}.{os.getpid()}.part"
    try:
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, _PRIVATE)
        try:
            count = 0
            with open(fd, "wb", closefd=False) as file:
                for piece in pieces:
                    count += file.write(piece.encode())
            os.fsync(fd)
        finally:
            os.close(fd)
        _name(aside, path, force=force)
        atomic_file.sync_directory(os.path.dirname(path))
    except OSError as error:
        raise places.refusal(
            "FILE_UNREADABLE", f"{places.shown(path)} can't be written", error, "Give another place."
        ) from None
    finally:
        if os.path.lexists(aside):
            os.unlink(aside)
    return count


def _name(aside: str, path: str, *, force: bool) -> None:
    if force:
        os.replace(aside, path)
        return
    try:
        # A link is refused where the name is taken; a rename would replace a file that came meanwhile.
        os.link(aside, path)
    except FileExistsError:
        raise _exists(path) from None
    except OSError:
        # A file system without hard links.
        if os.path.lexists(path):
            raise _exists(path) from None
        os.rename(aside, path)


def _exists(path: str) -> MaestroError:
    return MaestroError(
        "CONFLICT", f"{places.shown(path)} exists", "Give another name, or write over it with --force."
    )
