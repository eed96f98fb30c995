"""Place repairs: modes of our own files, and what stands where nothing or something else must be.

Rule: only what this user owns is changed. A directory that has content, and a regular file, is never removed but for
those that say where a process listens, and then only where none does.
"""

from __future__ import annotations

import os
import stat
from functools import partial
from typing import TYPE_CHECKING

from maestro_cli.setup import data_removal
from maestro_clients.processes import gateway_process
from maestro_clients.transports.addresses import listens
from maestro_runtime import paths, places
from maestro_runtime.traces import lock_file

from . import place_checks
from .findings import Repair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maestro_cli.context import CommandContext

_OTHERS = 0o077


def modes(context: CommandContext) -> Iterator[Repair]:
    """Directories and files of ours that others may read, or that we may not."""
    for path in _own_directories(context):
        if place_checks.is_wrong_mode(path):
            yield Repair("modes", f"chmod 700 {places.quoted(path)}", partial(_make_private, [path]))
    wrong = list(place_checks.wrong_modes(context.data))
    if wrong:
        count = f"{len(wrong):,} more" if len(wrong) > 1 else places.quoted(wrong[0])
        yield Repair("modes", f"make {count} in {context.data} yours alone", partial(_make_private, wrong))


def misplaced(context: CommandContext) -> Iterator[Repair]:
    """What has no content of its own and stands in the place of a file or directory of ours."""
    for path, wanted, found in place_checks.wrong_kinds(context):
        if not _is_own(path):
            continue
        if found == places.DIRECTORY and not os.listdir(path):
            yield Repair("places", f"remove the empty directory {path}: it must be {wanted}", partial(os.rmdir, path))
        elif _is_empty_kind(path):
            yield Repair("places", f"remove {path}: it is {found}, and must be {wanted}", partial(os.unlink, path))


def stale(context: CommandContext) -> Iterator[Repair]:
    """The files and sockets that a killed broker or gateway has left."""
    if context.is_remote or not data_removal.is_post_office(context.data):
        return
    if lock_file.holder(context.data) is None:
        endpoints, sockets = paths.endpoints_file(context.data), _sockets(_runtime(context))
        silent = [path for path in sockets if not listens(f"ipc://{path}")]
        if os.path.isfile(endpoints) and len(silent) == len(sockets):
            what = f"remove {endpoints}: the broker that it names has ended"
            yield Repair("broker", what, partial(_without_broker, context.data, endpoints))
        for path in silent:
            what = f"remove {path}: nothing listens there"
            yield Repair("socket directory", what, partial(_without_broker, context.data, path))
    url = paths.server_url_file(context.data)
    if os.path.isfile(url) and gateway_process.find(context.data) is None:
        yield Repair("HTTP gateway", f"remove {url}: the gateway that it names has ended", partial(os.unlink, url))


def _own_directories(context: CommandContext) -> Iterator[str]:
    """Those that we made. One that a person has named may be a project, or `/tmp`, and its mode is the person's."""
    try:
        is_shared = bool(data_removal.foreign_names(context.data))
    except PermissionError:
        is_shared = False
    if not is_shared:
        yield context.data
    runtime = _runtime(context)
    if not context.environ.get("MAESTRO_RUNTIME_DIR"):
        yield os.path.dirname(runtime)
    yield runtime


def _make_private(found: list[str]) -> None:
    for path in found:
        status = os.lstat(path)
        own = 0o700 if stat.S_ISDIR(status.st_mode) else 0o600
        os.chmod(path, stat.S_IMODE(status.st_mode) & ~_OTHERS | own)


def _without_broker(data: str, path: str) -> None:
    # One may have started meanwhile, and made it again.
    if lock_file.holder(data) is None:
        os.unlink(path)


def _runtime(context: CommandContext) -> str:
    return paths.runtime_dir(context.data, context.environ)


def _sockets(folder: str) -> list[str]:
    try:
        found = [entry.path for entry in os.scandir(folder)]
    except OSError:
        return []
    return [path for path in found if stat.S_ISSOCK(os.lstat(path).st_mode) and _is_own(path)]


def _is_own(path: str) -> bool:
    return os.lstat(path).st_uid == os.getuid()


def _is_empty_kind(path: str) -> bool:
    """Whether it is a thing without content: a FIFO, a socket, or a link that leads nowhere."""
    mode = os.lstat(path).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or (stat.S_ISLNK(mode) and not os.path.exists(path))
