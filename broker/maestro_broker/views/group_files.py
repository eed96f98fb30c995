"""Group files: the groups, and the links to what was sent to each.

Rule: `groups/<name>.json` (0600) is the Group. `messages/by-group/<name>/<id>.json` leads where the sender's link of
that message does, or to the sender's list. The links go with the group; the mail stays.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from maestro_runtime import atomic_file
from maestro_schemas.groups import Group
from maestro_schemas.names import is_group_name, is_id

if TYPE_CHECKING:
    from collections.abc import Callable

_SUFFIX = ".json"
_MODE = 0o600

_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Group)


class UnreadableGroup(NamedTuple):
    """A group's file that does not hold the group of its name."""

    path: str
    group: str
    why: str


class GroupFiles:
    """The groups of one data directory."""

    def __init__(self, data: str, content_of: Callable[[str], bytes]) -> None:
        """`content_of` reads one file. Raises OSError."""
        self._files = os.path.join(data, "groups")
        self.mail_folder = os.path.join(data, "messages", "by-group")
        self._content_of = content_of

    def folder(self, name: str) -> str:
        """The folder with the links to what was sent to a group."""
        return os.path.join(self.mail_folder, name)

    def write(self, group: Group) -> None:
        """Create or replace a group's file. Not synced: the journal keeps the record until a checkpoint has synced
        the file system. Raises OSError."""
        os.makedirs(self._files, mode=0o700, exist_ok=True)
        path = os.path.join(self._files, group.name + _SUFFIX)
        content = _encode(group) + b"\n"
        atomic_file.replace(path, content, mode=_MODE, durable=False, aside=self._aside(group.name))

    def remove(self, name: str) -> None:
        """Remove a group's file, and what an interrupted write of it has left."""
        for path in (os.path.join(self._files, name + _SUFFIX), self._aside(name)):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def _aside(self, name: str) -> str:
        return os.path.join(self._files, f".{name}{_SUFFIX}.tmp")

    def mail(self, name: str) -> list[str]:
        """The ids of the messages that were sent to a group, in no order. It reads no file, whatever their number."""
        try:
            names = os.listdir(self.folder(name))
        except FileNotFoundError:
            return []
        ids = (each.removesuffix(_SUFFIX) for each in names if each.endswith(_SUFFIX))
        return [message_id for message_id in ids if is_id(message_id)]

    def has(self, name: str, message_id: str) -> bool:
        """Whether a filed message was sent to a group."""
        return os.path.lexists(f"{self.folder(name)}/{message_id}{_SUFFIX}")

    def read(self) -> tuple[list[Group], list[UnreadableGroup]]:
        """All groups, and the unreadable files, for the caller to quarantine if no replay writes them again."""
        found: list[Group] = []
        broken: list[UnreadableGroup] = []
        try:
            names = sorted(os.listdir(self._files))
        except FileNotFoundError:
            names = []
        for file_name in names:
            if file_name.startswith(".") or not file_name.endswith(_SUFFIX):
                continue
            path, name = os.path.join(self._files, file_name), file_name.removesuffix(_SUFFIX)
            try:
                group = _decoder.decode(self._content_of(path))
            except (msgspec.MsgspecError, UnicodeDecodeError, IsADirectoryError, PermissionError) as error:
                broken.append(UnreadableGroup(path, name, f"a group's file can't be read: {error}"))
                continue
            if group.name == name and is_group_name(name):
                found.append(group)
            else:
                broken.append(UnreadableGroup(path, name, f"a group's file holds another group, {group.name!r}"))
        return found, broken
