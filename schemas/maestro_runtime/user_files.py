"""User files: files that a command writes beside those of the user and of other programs.

Rule: a file that exists keeps its owner, group and mode, and a new one is private, with each directory that was made
for it. Root makes nothing in a directory of another user, whose programs could then not use it.
"""

from __future__ import annotations

import os
import re
import stat

from maestro_schemas.errors import MaestroError

from . import atomic_file, places


def read(path: str, bytes_max: int) -> str | None:
    """The text of a file; None where there is none. Raises MaestroError FILE_UNREADABLE."""
    try:
        return places.read(path, bytes_max).decode("utf-8", "replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise places.refusal("FILE_UNREADABLE", f"{places.shown(path)} can't be read", error, "") from None


def write(path: str, text: str) -> None:
    """Replace a file, or make it. A link stays a link. Raises MaestroError FILE_UNREADABLE; then nothing changed."""
    real = os.path.realpath(path)
    make_folder(real)
    try:
        atomic_file.rewrite(real, text.encode(), durable=True)
    except OSError as error:
        raise unwritable(path, error) from None


def unfinished(path: str) -> list[str]:
    """What commands that were killed have left beside a file: new texts of it that did not get its name."""
    real = os.path.realpath(path)
    folder, name = os.path.split(real)
    staged = re.compile(rf"{re.escape(name)}\.([1-9][0-9]{{0,9}})\.new")
    try:
        found = [
            (match, os.path.join(folder, each)) for each in os.listdir(folder) if (match := staged.fullmatch(each))
        ]
    except OSError:
        return []
    # A process that runs may be about to give it the name.
    return sorted(each for match, each in found if _is_own_file(each) and not _runs(int(match[1])))


def make_folder(path: str) -> None:
    """Make the directories above a file. Raises MaestroError FILE_UNREADABLE."""
    folder = os.path.dirname(path)
    try:
        if not os.path.exists(path):
            _check_owner(path)
        places.make_directory(folder)
    except OSError as error:
        raise unwritable(path, error) from None


def unwritable(path: str, error: OSError) -> MaestroError:
    """The error for a file that can't be written."""
    return places.refusal(
        "FILE_UNREADABLE", f"{places.shown(path)} can't be written", error, "Nothing was changed in it."
    )


def _is_own_file(path: str) -> bool:
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def _check_owner(path: str) -> None:
    """Raises MaestroError FILE_UNREADABLE where root would make a file in a directory of another user."""
    above = os.path.dirname(path)
    while not os.path.exists(above):
        above = os.path.dirname(above)
    owner = os.stat(above).st_uid
    if os.geteuid() == 0 != owner:
        raise MaestroError(
            "FILE_UNREADABLE",
            f"{places.shown(path)} would belong to root, and {places.shown(above)} belongs to uid {owner}",
            f"Nothing was changed. Run the command as that user: sudo -u '#{owner}' maestro ...",
        )
