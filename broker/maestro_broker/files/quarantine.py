"""Quarantine: `<data>/messages/quarantine/`, the copies of bytes that are damaged or cannot be trusted.

Rule: nothing is discarded before it was copied here, with a JSON file beside it that describes it. A copy's name is
made from its origin and content, so that a repeated recovery writes the same files, and no others.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from zlib import crc32

from maestro_runtime import atomic_file

from . import disk

if TYPE_CHECKING:
    from collections.abc import Mapping


def keep(directory: str, source: str, offset: int, content: bytes, note: Mapping[str, Any]) -> str | None:
    """Copy the bytes at `offset` of the file `source`, durably; return the path of the copy.

    None if the disk has no space for a copy: the bytes must then stay where they are. Raises OSError.
    """
    path = _path(directory, source, offset, content)
    try:
        _describe(directory, path, source, offset, content, note)
        if not os.path.exists(path):
            atomic_file.replace(path, content, durable=True)
    except OSError as error:
        if error.errno not in disk.FULL:
            raise
        return None
    return path


def move(directory: str, source: str, content: bytes, note: Mapping[str, Any]) -> str | None:
    """Move a whole file, whose content is given, to the quarantine. Returns as `keep`."""
    path = _path(directory, source, 0, content)
    try:
        _describe(directory, path, source, 0, content, note)
        atomic_file.move(source, path)
    except OSError as error:
        if error.errno not in disk.FULL:
            raise
        return None
    return path


def _path(directory: str, source: str, offset: int, content: bytes) -> str:
    return os.path.join(directory, f"{os.path.basename(source)}-{offset}-{crc32(content):08x}.bin")


def _describe(directory: str, path: str, source: str, offset: int, content: bytes, note: Mapping[str, Any]) -> None:
    # Before the bytes, so that no copy exists without its description.
    import json

    os.makedirs(directory, mode=0o700, exist_ok=True)
    atomic_file.sync_directory(os.path.dirname(directory))
    about = {"from": os.path.basename(source), "offset": offset, "bytes": len(content), **note}
    note_path = path.removesuffix(".bin") + ".json"
    atomic_file.replace(note_path, json.dumps(about, indent=2).encode() + b"\n", durable=True)
