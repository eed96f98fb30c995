"""Folder changes: which files of one folder have changed, as the kernel reports it (inotify(7)).

Rule: Linux alone has it, and the standard library has no call for it, so it is called in libc. A report may be lost:
then every file counts as changed.
"""

from __future__ import annotations

import ctypes
import os
import struct

_CLOSE_WRITE = 0x08
_MOVED_FROM = 0x40
_MOVED_TO = 0x80
_DELETE = 0x200
_MOVE_SELF = 0x800
_Q_OVERFLOW = 0x4000
_IGNORED = 0x8000
_ONLYDIR = 0x01000000
# Each writer opens the file, writes once and closes it (`maestro_runtime.hook_state`).
_MASK = _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _DELETE | _MOVE_SELF | _ONLYDIR
# Watch, mask, cookie and the length of the name that follows.
_EVENT = struct.Struct("iIII")
_READ_BYTES = 16_384


class FolderChanges:
    """The changes of one folder, once `watch` has named it. `fd` is readable when there are some."""

    def __init__(self) -> None:
        """Raises OSError: the system has no inotify, or no more instances of it for this user."""
        try:
            self._libc = ctypes.CDLL(None, use_errno=True)
            self.fd = self._call("inotify_init1", os.O_NONBLOCK | os.O_CLOEXEC)
        except AttributeError:
            raise OSError("this system has no inotify") from None
        self._watch: int | None = None

    @property
    def is_watching(self) -> bool:
        """Whether the folder that was named is still there."""
        return self._watch is not None

    def watch(self, folder: str) -> None:
        """Watch this folder. Raises OSError."""
        self._watch = self._call("inotify_add_watch", self.fd, os.fsencode(folder), _MASK)

    def take(self) -> set[str] | None:
        """The names of the files that have changed since the last call; None where that is not known."""
        changed: set[str] = set()
        is_whole = True
        while True:
            try:
                content = os.read(self.fd, _READ_BYTES)
            except BlockingIOError:
                return changed if is_whole else None
            at = 0
            while at < len(content):
                watch, mask, _, name_bytes = _EVENT.unpack_from(content, at)
                at += _EVENT.size + name_bytes
                if mask & _Q_OVERFLOW:
                    is_whole = False
                elif watch != self._watch:
                    pass  # of a folder before
                elif mask & (_MOVE_SELF | _IGNORED):
                    is_whole = False
                    self._lose(is_removed=bool(mask & _IGNORED))
                else:
                    changed.add(os.fsdecode(content[at - name_bytes : at].rstrip(b"\0")))

    def close(self) -> None:
        """Watch nothing any more."""
        os.close(self.fd)

    def _lose(self, *, is_removed: bool) -> None:
        """The folder has another name now, or none: what is in it are not the files that hooks write."""
        watch, self._watch = self._watch, None
        if not is_removed:
            self._call("inotify_rm_watch", self.fd, watch)

    def _call(self, name: str, *arguments: object) -> int:
        result = int(getattr(self._libc, name)(*arguments))
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), name)
        return result
