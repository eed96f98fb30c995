"""Event files: the days of the timeline and of the dead letters, written again with new ids."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import msgspec

from .old_files import move_along

if TYPE_CHECKING:
    from .old_files import OldFiles
    from .progress import Progress
    from .translation import Translation

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\.jsonl")
_BUFFER_BYTES = 1 << 20
# Events of sessions have no id of a message.
_ID = b'"id":'

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def write_days(old: str, new: str, translation: Translation, old_files: OldFiles, progress: Progress) -> None:
    """Write every day of `old` into `new`, and remove it from `old`. Raises OSError."""
    os.makedirs(new, mode=0o700, exist_ok=True)
    if not os.path.isdir(old):
        return
    for name in sorted(os.listdir(old)):
        path = os.path.join(old, name)
        if _DAY.fullmatch(name) and os.path.isfile(path):
            size = _write_day(path, os.path.join(new, name), translation, progress)
            old_files.supersede(path, size)
        else:
            move_along(path, new)
    old_files.remove()


def _write_day(old: str, new: str, translation: Translation, progress: Progress) -> int:
    """Write one day; the bytes of the old file."""
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(old, "rb", _BUFFER_BYTES) as source, open(fd, "wb", _BUFFER_BYTES) as target:
        for line in source:
            progress.count("events")
            target.write(_translated(line, translation) if _ID in line else line)
        return source.tell()


def _translated(line: bytes, translation: Translation) -> bytes:
    """The line with new ids; a line that can't be read stays as it is."""
    try:
        event = _decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return line
    if not isinstance(event, dict):
        return line
    translation.event(event)
    return _encode(event) + b"\n"
