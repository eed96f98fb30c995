"""Place checks: the directories that the post office needs, and what stands in the places of its files.

Rule: nothing is made or changed; a directory that is missing is judged by where it would be made.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from maestro_cli.setup import data_removal
from maestro_runtime import paths, places

from .findings import DoctorFinding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maestro_cli.context import CommandContext

_DATA = "data directory"
NOT_YOURS = "Make it yours, or set MAESTRO_DATA_DIR to a directory that is."

# What stands below the data directory, by kind. A missing one is made when it is needed.
_DIRECTORIES = (
    "attachments",
    "attachments/blobs",
    "attachments/parts",
    "dead-letters",
    "groups",
    "hooks",
    "hooks/links",
    "hooks/wake",
    "http",
    "http/codes",
    "index",
    "keys",
    "logs",
    "messages",
    "messages/by-group",
    "messages/by-receiver",
    "messages/by-sender",
    "messages/by-thread",
    "messages/journal",
    "messages/quarantine",
    "outbox",
    "sessions",
    "timeline",
)
# With many files, which lie in folders that are looked at.
_MAIL = ("attachments", "messages", "timeline")
_FILES = (
    *sorted(data_removal.FILES),
    "hooks/maestro-hook",
    "keys/server.secret",
    "logs/broker.log",
    "logs/cli-faults.log",
    "logs/gateway.log",
    "logs/hooks.log",
    "logs/wake.log",
    "messages/.pending",
)


def home(context: CommandContext) -> DoctorFinding:
    """Whether the home directory exists and may be used: data, settings and agents' settings are below it."""
    name = "home directory"
    found = paths.home(context.environ)
    fault = _unusable(found)
    if fault is None and not os.path.isdir(found):
        fault = f"{found} does not exist"
    if fault is None:
        return DoctorFinding(name, "ok", found)
    repair = "Set HOME to the absolute path of a directory of yours."
    # Without it only agents' settings have no place.
    needed = places.is_below(context.data, found) or places.is_below(paths.config_file(context.environ), found)
    return DoctorFinding(name, "failed" if needed else "warning", fault, repair)


def data_directory(context: CommandContext) -> DoctorFinding:
    """Owner and permissions of the data directory, or whether it can be made."""
    data = context.data
    if os.path.lexists(data):
        return _directory(_DATA, data)
    above = os.path.dirname(data)
    while not os.path.lexists(above):
        above = os.path.dirname(above)
    fault = _unusable(above)
    if fault is not None:
        return DoctorFinding(_DATA, "failed", f"{data} can't be made: {fault}", NOT_YOURS)
    repair = "The first command that needs it makes it: maestro up"
    return DoctorFinding(_DATA, "warning", f"{data} does not exist yet", repair)


def misplaced(context: CommandContext) -> Iterator[DoctorFinding]:
    """A finding for each place of the data directory where something of another kind stands."""
    for path, wanted, found in wrong_kinds(context):
        refused = places.refusal("DATA_DIR_UNUSABLE", "wrong kind", places.MisplacedError(path, found, wanted), "")
        yield DoctorFinding("places", "failed", refused.message, refused.hint)


def wrong_kinds(context: CommandContext) -> Iterator[tuple[str, str, str]]:
    """Each path of ours where something of another kind stands, the kind that it must be, and what it is."""
    config = paths.config_file(context.environ)
    expected = [(config, places.FILE)]
    expected += [(os.path.join(context.data, name), places.DIRECTORY) for name in _DIRECTORIES]
    expected += [(os.path.join(context.data, name), places.FILE) for name in _FILES]
    for path, wanted in expected:
        try:
            found = places.kind_at(path)
        except OSError:
            continue  # it is missing, or what is above it was reported
        if found != wanted:
            yield path, wanted, found


def modes(context: CommandContext) -> DoctorFinding:
    """Whether what is in the data directory is this user's alone."""
    wrong = list(wrong_modes(context.data))
    if not wrong:
        return DoctorFinding("modes", "ok", "what is in the data directory is yours alone")
    more = f", and {len(wrong) - 1:,} more" if len(wrong) > 1 else ""
    return DoctorFinding("modes", "warning", f"the mode of {wrong[0]} lets others in{more}", "maestro doctor --fix")


def wrong_modes(data: str) -> Iterator[str]:
    """What of ours is in the data directory with a mode that lets others in, or not even its owner. Mail is not
    looked at: its folders are, and there may be very much of it. Nor is what a person has put there."""
    if not data_removal.is_post_office(data):
        return
    for folder, folders, files in os.walk(data):
        inside = os.path.relpath(folder, data)
        if folder == data:
            files[:] = [name for name in files if data_removal.owns(name)]
            folders[:] = [name for name in folders if data_removal.owns(name) and name not in _MAIL]
            yield from (path for name in _MAIL if is_wrong_mode(path := os.path.join(data, name)))
        elif os.sep not in inside:
            for names in (files, folders):
                names[:] = [name for name in names if data_removal.owns(inside, name)]
        yield from (path for name in (*folders, *files) if is_wrong_mode(path := os.path.join(folder, name)))


def is_wrong_mode(path: str) -> bool:
    """Whether the mode of a file or directory of this user lets others in, or not even its owner."""
    try:
        status = os.lstat(path)
    except OSError:
        return False
    needed = 0o700 if stat.S_ISDIR(status.st_mode) else 0o400
    is_plain = stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode)
    mode = stat.S_IMODE(status.st_mode)
    return is_plain and status.st_uid == os.getuid() and (bool(mode & 0o077) or mode & needed != needed)


def socket_directory(context: CommandContext) -> DoctorFinding:
    """The directory of the broker's sockets."""
    path = paths.runtime_dir(context.data, context.environ)
    if not os.path.lexists(path):
        return DoctorFinding("socket directory", "ok", f"{path}, made when the broker starts")
    return _directory("socket directory", path)


def _directory(name: str, path: str) -> DoctorFinding:
    fault = _unusable(path)
    if fault is not None:
        repair = f"chmod u+rwx {places.quoted(path)}" if _is_own(path) else NOT_YOURS
        return DoctorFinding(name, "failed", fault, repair)
    status = os.stat(path)
    if status.st_uid != os.getuid():
        what = f"{path} belongs to uid {status.st_uid}, and you are {os.getuid()}"
        return DoctorFinding(name, "failed", what, NOT_YOURS)
    if stat.S_IMODE(status.st_mode) & 0o077:
        repair = f"chmod 700 {places.quoted(path)}"
        if name == _DATA and data_removal.foreign_names(path):
            repair = "It has other files too: set MAESTRO_DATA_DIR to a directory of its own."
        return DoctorFinding(name, "warning", f"other users may read {path}", repair)
    return DoctorFinding(name, "ok", f"{path}, yours alone")


def _unusable(path: str) -> str | None:
    """Why files can't be made in a directory; None where they can, or where it is missing."""
    try:
        found = places.kind_at(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        return places.refusal("DATA_DIR_UNUSABLE", path, error, "").message
    if found != places.DIRECTORY:
        return f"{path} is {found}, and must be {places.DIRECTORY}"
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return f"{path} may not be written to"
    return None


def _is_own(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path).st_mode) and os.stat(path).st_uid == os.getuid()
    except OSError:
        return False
