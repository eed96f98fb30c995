"""Quarantine: `<data>/messages/quarantine/`, where bytes go that nobody can vouch for.

Rule: nothing is thrown away before it was copied here, with a small JSON beside it that says what it was. Names come
from place and content, so that a recovery that is run again writes the same files, not more of them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from zlib import crc32

from . import disk

if TYPE_CHECKING:
    from collections.abc import Mapping


def keep(directory: str, source: str, offset: int, content: bytes, note: Mapping[str, Any]) -> str | None:
    """Copy bytes that stand at `offset` of the file `source`; durable on return.

    The path of the copy, or None where the disk has no room for one: the bytes must then stay where they are.
    Raises OSError.
    """
    path = _path(directory, source, offset, content)
    try:
        _describe(directory, path, source, offset, content, note)
        if not os.path.exists(path):
            disk.write_durably(path, content)
    except OSError as error:
        if error.errno not in disk.FULL:
            raise
        return None
    return path


def move(directory: str, source: str, content: bytes, note: Mapping[str, Any]) -> str | None:
    """Move a whole file, whose content is given, out of the way; durable on return. As `keep`."""
    path = _path(directory, source, 0, content)
    try:
        _describe(directory, path, source, 0, content, note)
        os.rename(source, path)
        disk.sync_directory(directory)
        disk.sync_directory(os.path.dirname(source))
    except OSError as error:
        if error.errno not in disk.FULL:
            raise
        return None
    return path


def _path(directory: str, source: str, offset: int, content: bytes) -> str:
    return os.path.join(directory, f"{os.path.basename(source)}-{offset}-{crc32(content):08x}.bin")


def _describe(directory: str, path: str, source: str, offset: int, content: bytes, note: Mapping[str, Any]) -> None:
    # Before the bytes, so that a file without its description can't come to be.
    import json

    os.makedirs(directory, mode=0o700, exist_ok=True)
    disk.sync_directory(os.path.dirname(directory))
    about = {"from": os.path.basename(source), "offset": offset, "bytes": len(content), **note}
    disk.write_durably(path.removesuffix(".bin") + ".json", json.dumps(about, indent=2).encode() + b"\n")
