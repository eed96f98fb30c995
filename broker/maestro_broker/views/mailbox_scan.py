"""Mailbox scan: reads all files of one mailbox, or those of its pending mail, step by step.

Rule: a step is short, whatever the mailbox's size, so that other requests do not wait for it. Pending mail is found
by the files' mode (see `spool`). The mode is a hint: the caller must check the result against the counters.
Unreadable files are quarantined and reported.
"""

from __future__ import annotations

import os
import stat
import time
from itertools import islice
from typing import TYPE_CHECKING

from maestro_broker.attachments.blob_store import FILES_SUFFIX

from .spool import SUFFIX, will_be_read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from maestro_schemas.messages import Message

    from .spool import Spool

# Files between two looks at the clock. A file takes 10 us from memory, and a thousand from a busy disk.
_READ_AT_ONCE = 4
# The kernel reads this many files ahead: otherwise each file would wait for the disk alone. Measured for 1,000 files
# that are not in memory: 115 ms without, 20 to 30 with.
_AHEAD = 32
_LIST_AT_ONCE = 200
# A step ends after this time, which is that of a commit on a slow disk.
STEP_S = 0.0015


class MailboxScan:
    """One scan."""

    def __init__(self, spool: Spool, session: str, is_known: Callable[[str], bool], *, whole: bool) -> None:
        """`whole`: read all files, not only those that look like pending mail. `is_known`: ids to leave out: a record
        in memory will be written again, and a power cut may have torn its file."""
        self.session = session
        self.whole = whole
        self._spool = spool
        self._is_known = is_known
        self._directory = spool.mailbox_dir(session)
        self._found: dict[int, Message] = {}
        self._names: list[str] = []
        self._read = 0
        self._announced = 0
        self._entries: os._ScandirIterator[str] | None = None
        try:
            self._entries = os.scandir(self._directory)
        except FileNotFoundError:
            pass

    def step(self) -> bool:
        """Read some more files; true if none are left. Raises OSError."""
        until = time.perf_counter() + STEP_S
        while not self._read_some():
            if time.perf_counter() >= until:
                return False
        return True

    def _read_some(self) -> bool:
        if self._entries is not None:
            if self._list_some(self._entries):
                return False
            self.close()
            # Most names begin with a time, so this is nearly the order of seq.
            self._names.sort()
        until = self._read + _READ_AT_ONCE
        for name in self._names[self._announced : until + _AHEAD]:
            will_be_read(os.path.join(self._directory, name))
        self._announced = until + _AHEAD
        for name in self._names[self._read : until]:
            self._take(name)
        self._read = until
        return until >= len(self._names)

    def messages(self) -> list[Message]:
        """The messages read so far, by seq."""
        return [self._found[seq] for seq in sorted(self._found)]

    def close(self) -> None:
        """End the scan."""
        if self._entries is not None:
            self._entries.close()
            self._entries = None

    def _list_some(self, entries: Iterator[os.DirEntry[str]]) -> bool:
        """List some more names; whether there may be others."""
        listed = list(islice(entries, _LIST_AT_ONCE))
        for entry in listed:
            name = entry.name
            if name.startswith(".") or name.endswith(FILES_SUFFIX) or self._is_known(name.removesuffix(SUFFIX)):
                continue
            if self.whole or _looks_pending(entry):
                self._names.append(name)
        return len(listed) == _LIST_AT_ONCE

    def _take(self, name: str) -> None:
        message = self._spool.read_file(self._directory, name, self.session)
        if message is None:
            return
        other = self._found.setdefault(message.seq, message)
        # Not two files: a file system may list a name twice if a file is replaced meanwhile.
        if other.id != message.id:
            path = os.path.join(self._directory, name)
            self._spool.quarantine(path, f"a message's number {message.seq} is that of {other.id}")


def scan_mailbox(spool: Spool, session: str, is_known: Callable[[str], bool] = lambda _: False) -> list[Message]:
    """All messages of a mailbox at once, by seq: for the start, when no request waits."""
    scan = MailboxScan(spool, session, is_known, whole=True)
    while not scan.step():
        pass
    return scan.messages()


def _looks_pending(entry: os.DirEntry[str]) -> bool:
    try:
        return bool(entry.stat(follow_symlinks=False).st_mode & stat.S_IWUSR)
    except FileNotFoundError:
        return False
