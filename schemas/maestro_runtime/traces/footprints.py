"""Footprints: what commands have made outside of the data directory, so that `maestro uninstall` can take it out.

The file `<data>/installed` has one JSON object on each line. Rule: a line is written before the thing is made, so
that a command that is killed leaves no trace without a line. A line about what is not there means nothing.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Literal, NamedTuple

from maestro_runtime import ownership, places

if TYPE_CHECKING:
    from collections.abc import Iterable

# `hooks`: a file with hooks of an agent; `server`: a file with its MCP server; `folder`: a directory; `link`: a link
# on PATH.
FootprintKind = Literal["hooks", "server", "folder", "link"]

_NAME = "installed"
_BYTES_MAX = 4 << 20
_KINDS = ("hooks", "server", "folder", "link")


class Footprint(NamedTuple):
    """One thing that a command has made."""

    kind: FootprintKind
    path: str
    # Of hooks and servers.
    agent: str = ""
    # What was there before: of a server in a file without a backup, the piece of its text; of a link, where it led.
    # None: nothing was.
    before: str | None = None
    # The piece of text that has replaced `before`.
    after: str | None = None


def path_of(data: str) -> str:
    """The file of a data directory's footprints."""
    return os.path.join(data, _NAME)


def read(data: str) -> list[Footprint]:
    """Every footprint, the first one first; lines that can't be read are left out. Raises MaestroError
    DATA_DIR_UNUSABLE."""
    try:
        text = places.read(path_of(data), _BYTES_MAX).decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise places.refusal(
            "DATA_DIR_UNUSABLE", f"{places.shown(path_of(data))} can't be read", error, "Nothing was changed."
        ) from None
    return [found for line in text.splitlines() if (found := _parsed(line)) is not None]


def note(data: str, made: Iterable[Footprint] = ()) -> None:
    """Note what is about to be made, each once; and the data directory with those above it, where that is made now.
    Raises MaestroError DATA_DIR_UNUSABLE, NOT_PRIVATE."""
    ownership.check_data_dir(data)
    above = folders_above((path_of(data),))
    known = set(read(data))
    new = [one for one in dict.fromkeys((*above, *made)) if one not in known]
    if not new:
        return
    lines = "".join(f"{json.dumps(_document(one))}\n" for one in new)
    try:
        places.make_directory(data)
        with open(places.open_file(path_of(data), os.O_WRONLY | os.O_CREAT | os.O_APPEND), "w") as file:
            file.write(lines)
    except OSError as error:
        raise places.refusal(
            "DATA_DIR_UNUSABLE", f"{places.shown(path_of(data))} can't be written", error, "Nothing was changed."
        ) from None


def forget(data: str, gone: Iterable[Footprint]) -> None:
    """Take out what is there no more; a file without a line is removed. Raises OSError."""
    from maestro_runtime import atomic_file

    gone = set(gone)
    left = [one for one in read(data) if one not in gone]
    path = path_of(data)
    if left:
        lines = "".join(f"{json.dumps(_document(one))}\n" for one in left)
        atomic_file.replace(path, lines.encode(), durable=False)
    elif os.path.lexists(path):
        os.unlink(path)


def folders_above(paths: Iterable[str]) -> list[Footprint]:
    """The directories that are missing above these paths, the outermost first: what making the paths will make."""
    found: dict[str, None] = {}
    for path in paths:
        missing = []
        while (path := os.path.dirname(path)) and not os.path.lexists(path):
            missing.append(path)
        found.update(dict.fromkeys(reversed(missing)))
    return [Footprint("folder", path) for path in found]


def note_folders(data: str, paths: Iterable[str]) -> None:
    """Note the directories that are missing above these paths. Raises as `note`."""
    note(data, folders_above(paths))


def _document(one: Footprint) -> dict[str, str]:
    return {name: value for name, value in one._asdict().items() if value is not None}


def _parsed(line: str) -> Footprint | None:
    try:
        found = json.loads(line)
        one = Footprint(**found)
        if not all(value is None or isinstance(value, str) for value in one):
            return None
        # What can be no path: a NUL, or a half of a character pair.
        is_path = "\0" not in one.path and os.path.isabs(os.fsencode(one.path))
    except (ValueError, TypeError, RecursionError):
        return None
    return one if is_path and one.kind in _KINDS else None
