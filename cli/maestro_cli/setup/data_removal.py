"""Data removal: takes the files of a post office out of its directories, and nothing that is not its own.

Rule: only names that the post office gives are removed, since a person may have named a directory with other files in
it. No link is followed.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import shutil
from typing import TYPE_CHECKING

from maestro_runtime import ownership, paths

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_DAYS = r"\d{4}-\d\d-\d\d\.jsonl.*"
_DOCUMENTS = r".+\.json(\.tmp)?"
# What it calls the things in each of its directories: a person's project may have `hooks` and `logs` too.
_DIRECTORIES = {
    "attachments": r"blobs|parts",
    "dead-letters": _DAYS,
    "groups": _DOCUMENTS,
    "hooks": r"links|state|turns|wake|maestro-hook.*",
    "http": r"codes",
    "index": r"search-.*|lock",
    "keys": rf"{_DOCUMENTS}|server\.secret.*",
    "logs": r"(broker|cli-faults|gateway|hooks|index|service|wake)\.log(\..+)?",
    "messages": r"by-.+|journal|quarantine|to|\.pending",
    "outbox": r".+",
    paths.RECEIVED_FILES: r".+",
    "remote": r".+",
    "sessions": _DOCUMENTS,
    "timeline": _DAYS,
}
# The files at its top.
FILES = frozenset(
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
# Files by which a post office is known.
_SIGNS = ("outbox", "installed", "format")
_SOCKETS = (paths.ROUTER_SOCKET, paths.NOTICE_SOCKET)


def post_offices(data: str) -> list[str]:
    """The data directory, and those in it for brokers on other machines."""
    if os.path.islink(os.path.join(data, "remote")):
        return [data]
    found = sorted(glob.glob(os.path.join(glob.escape(data), "remote", "*")))
    return [data, *(path for path in found if not os.path.islink(path))]


def is_post_office(data: str) -> bool:
    """Whether a command of ours has made something in the directory; a person's may have the same names."""
    signs = (*_SIGNS, os.path.join("hooks", "maestro-hook"))
    return any(os.path.lexists(os.path.join(data, sign)) for sign in signs)


def owns(name: str, inside: str = "") -> bool:
    """Whether the post office gives this name in its data directory, and in that directory the name `inside`."""
    if not inside:
        return name in _DIRECTORIES or name in FILES
    return re.fullmatch(_DIRECTORIES.get(name, ""), inside) is not None


def remove_data(data: str) -> None:
    """Remove the mail, and all else that the post office keeps. Raises OSError, MaestroError NOT_PRIVATE."""
    ownership.check_data_dir(data)
    # The signs go last: a removal that is interrupted can be run again.
    for name in sorted(names_in(data), key=lambda name: name in _SIGNS):
        path = os.path.join(data, name)
        if name in _DIRECTORIES and os.path.isdir(path) and not os.path.islink(path):
            remove_directory(data, name)
        elif owns(name):
            os.unlink(path)


def remove_directory(data: str, name: str) -> None:
    """Remove one of our directories, but for what a person has put there. Raises OSError."""
    for inside in names_in(os.path.join(data, name)):
        path = os.path.join(data, name, inside)
        if not owns(name, inside):
            continue
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)
    remove_empty(os.path.join(data, name))


def names_in(data: str) -> list[str]:
    """What is in the data directory; nothing where there is none."""
    try:
        return sorted(os.listdir(data))
    except FileNotFoundError:
        return []


def foreign_names(data: str) -> list[str]:
    """What is in the data directory, and in the directories that we make there, and is not the post office's."""
    if not is_post_office(data):
        return names_in(data)
    found = []
    for name in names_in(data):
        path = os.path.join(data, name)
        if not owns(name):
            found.append(name)
        elif name in _DIRECTORIES and os.path.isdir(path) and not os.path.islink(path):
            # In one that may not be read nothing can be named.
            with contextlib.suppress(PermissionError):
                found += [os.path.join(name, inside) for inside in names_in(path) if not owns(name, inside)]
    return found


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
