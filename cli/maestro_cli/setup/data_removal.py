"""Data removal: takes the files of a post office out of its directories, and nothing that is not its own.

Rule: only names that the post office gives are removed, since a person may have named a directory with other files in
it. No link is followed.
"""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
from typing import TYPE_CHECKING

from maestro_runtime import ownership, paths

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_DIRECTORIES = frozenset(
    {
        "attachments",
        "dead-letters",
        "groups",
        "hooks",
        "http",
        "index",
        "keys",
        "logs",
        "messages",
        "outbox",
        paths.RECEIVED_FILES,
        "remote",
        "sessions",
        "timeline",
    }
)
_FILES = frozenset(
    {
        "broker-start.log",
        "broker.lock",
        "endpoints",
        "format",
        "gateway-start.log",
        "gateway.lock",
        "heads",
        "heads.room",
        "heads.tmp",
        "installed",
        "server-url",
        "start.lock",
        "update-progress",
    }
)
_SOCKETS = (paths.ROUTER_SOCKET, paths.NOTICE_SOCKET)


def post_offices(data: str) -> list[str]:
    """The data directory, and those in it for brokers on other machines."""
    return [data, *sorted(glob.glob(os.path.join(glob.escape(data), "remote", "*")))]


def remove_data(data: str) -> None:
    """Remove the mail, and all else that the post office keeps. Raises OSError, MaestroError NOT_PRIVATE."""
    ownership.check_data_dir(data)
    for name in names_in(data):
        path = os.path.join(data, name)
        if name in _DIRECTORIES and not os.path.islink(path):
            shutil.rmtree(path)
        elif name in _DIRECTORIES | _FILES:
            os.unlink(path)


def names_in(data: str) -> list[str]:
    """What is in the data directory; nothing where there is none."""
    try:
        return sorted(os.listdir(data))
    except FileNotFoundError:
        return []


def foreign_names(data: str) -> list[str]:
    """What is in the data directory and is not the post office's."""
    return [name for name in names_in(data) if name not in _DIRECTORIES | _FILES]


def remove_sockets(data: str, environ: Mapping[str, str]) -> None:
    """Remove the directory of the sockets of a broker that has ended. Raises OSError."""
    directory = paths.runtime_dir(data, environ)
    if not _is_own(directory):
        return
    for name in _SOCKETS:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(directory, name))
    remove_empty(directory)
    above = os.path.dirname(directory)
    # One that a person has named stays.
    if not environ.get("MAESTRO_RUNTIME_DIR") and _is_own(above):
        remove_empty(above)


def remove_empty(directory: str) -> bool:
    """Remove a directory if nothing is in it; whether it is gone."""
    try:
        os.rmdir(directory)
    except OSError:
        return not os.path.lexists(directory)
    return True


def remove_folders(paths: Iterable[str]) -> set[str]:
    """Remove those of these directories in which nothing is, the innermost first; the ones that are gone."""
    innermost_first = sorted(set(paths), key=len, reverse=True)
    return {path for path in innermost_first if not os.path.lexists(path) or (_is_own(path) and remove_empty(path))}


def _is_own(directory: str) -> bool:
    """Whether a directory, and no link, is there, and is this user's."""
    try:
        status = os.lstat(directory)
    except OSError:
        return False
    return os.path.isdir(directory) and not os.path.islink(directory) and status.st_uid == os.geteuid()
