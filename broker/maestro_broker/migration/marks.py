"""Marks: gives every known session a mark that no other has, before its messages get their new ids.

Rule: a session keeps the salt that its file has. The others get the first free one in the order of their ids, so that
a repeated run gives the same marks.
"""

from __future__ import annotations

import os
from typing import Any

import msgspec

from maestro_runtime import atomic_file
from maestro_schemas.names import NO_MARK, OPERATOR, SYSTEM_SENDER, is_id, mark_of

SUFFIX = ".json"


class Marks:
    """The marks of all sessions; of an unknown one, the mark without a salt."""

    def __init__(self) -> None:
        self._marks = {name: mark_of(name) for name in (SYSTEM_SENDER, OPERATOR)}
        self._taken = {NO_MARK, *self._marks.values()}
        self._salts: dict[str, int] = {}

    def of(self, session: str) -> str:
        """The mark of a session."""
        mark = self._marks.get(session)
        if mark is None:
            mark = self._marks[session] = mark_of(session)
        return mark

    def assign(self, session: str, salt: int) -> int:
        """Give a session its mark: with this salt, or the first free one after it, which is returned."""
        while (mark := mark_of(session, salt)) in self._taken:
            salt += 1
        self._marks[session] = mark
        self._taken.add(mark)
        if salt:
            self._salts[session] = salt
        return salt

    def salt(self, session: str) -> int:
        """The salt of a session's mark; 0 for nearly all."""
        return self._salts.get(session, 0)

    def keep(self, session: str) -> None:
        """Give a session without a file, which could not keep a salt, the mark without one."""
        self._taken.add(self.of(session))


def assign_marks(data: str) -> Marks:
    """The marks of the sessions in `data`; a salt is written into the session's file. Raises OSError."""
    marks = Marks()
    files = _session_files(os.path.join(data, "sessions"))
    for session in sorted(_with_folders(data) - files.keys() - {SYSTEM_SENDER}):
        marks.keep(session)
    for session in sorted(files, key=lambda name: (not files[name].get("salt"), name)):
        stored = files[session]
        salt = marks.assign(session, stored.get("salt") or 0)
        if salt != stored.get("salt", 0):
            content = msgspec.json.encode({**stored, "salt": salt}) + b"\n"
            atomic_file.replace(os.path.join(data, "sessions", session + SUFFIX), content, durable=True)
    return marks


def _session_files(directory: str) -> dict[str, dict[str, Any]]:
    """The sessions whose file can be read, by id. A start quarantines the other files."""
    found: dict[str, dict[str, Any]] = {}
    for name in _names(directory):
        session = name.removesuffix(SUFFIX)
        path = os.path.join(directory, name)
        if not name.endswith(SUFFIX) or not is_id(session) or not os.path.isfile(path):
            continue
        try:
            with open(path, "rb") as file:
                stored = msgspec.json.decode(file.read())
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
        if isinstance(stored, dict) and isinstance(stored.get("salt", 0), int):
            found[session] = stored
    return found


def _with_folders(data: str) -> set[str]:
    """The sessions that have sent or received mail. What an interrupted run has moved keeps its empty folder."""
    folders = (os.path.join(data, "messages", name) for name in ("by-sender", "by-receiver"))
    return {name for folder in folders for name in _names(folder) if is_id(name)}


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []
