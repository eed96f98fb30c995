"""Mailbox reading: all files of one mailbox, or those of its pending mail, read step by step.

Rule: a step is so short that nobody else's request waits long for it, whatever the mailbox's size. Which files are
pending mail's is told by their mode (see `spool`), a hint that whoever asks must check against the counters. What is
found broken is quarantined and reported.
"""

from __future__ import annotations

import os
import stat
import time
from itertools import islice
from typing import TYPE_CHECKING

from .spool import SUFFIX, will_be_read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from maestro_schemas.messages import Message

    from .spool import Spool

# So many between two looks at the clock. From memory a file takes 10 us, from a disk that is busy a thousand.
_READ_AT_ONCE = 4
# The kernel is told of so many files before they are read: one after the other, each would wait for the disk alone.
# Measured, 1,000 files that are not in memory: 115 ms without, 20 to 30 with.
_AHEAD = 32
_LIST_AT_ONCE = 200
# A step ends after so long: as much as a commit takes on a slow disk.
STEP_S = 0.0015


class MailboxScan:
    """One reading. `whole`: of all files, and else of those that look like pending mail.

    `is_known`: ids to pass over. The files of what is not filed yet may be torn by a power cut, and are about to be
    written again.
    """

    def __init__(self, spool: Spool, session: str, is_known: Callable[[str], bool], *, whole: bool) -> None:
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
        """Look at some more files; True when there are none left. Raises OSError."""
        until = time.perf_counter() + STEP_S
        while not self._look_at_some():
            if time.perf_counter() >= until:
                return False
        return True

    def _look_at_some(self) -> bool:
        """As many as between two looks at the clock."""
        if self._entries is not None:
            if self._list_some(self._entries):
                return False
            self.close()
            # Names begin with a time, mostly, so this is nearly the order of seq.
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
        """What was found, by seq."""
        return [self._found[seq] for seq in sorted(self._found)]

    def close(self) -> None:
        """Give it up."""
        if self._entries is not None:
            self._entries.close()
            self._entries = None

    def _list_some(self, entries: Iterator[os.DirEntry[str]]) -> bool:
        """Some more names; whether there may be others."""
        listed = list(islice(entries, _LIST_AT_ONCE))
        for entry in listed:
            name = entry.name
            if name.startswith(".") or self._is_known(name.removesuffix(SUFFIX)):
                continue
            if self.whole or _looks_pending(entry):
                self._names.append(name)
        return len(listed) == _LIST_AT_ONCE

    def _take(self, name: str) -> None:
        message = self._spool.read_file(self._directory, name, self.session)
        if message is None:
            return
        other = self._found.setdefault(message.seq, message)
        # (Not every file system lists a name once where a file takes another's place meanwhile.)
        if other.id != message.id:
            path = os.path.join(self._directory, name)
            self._spool.put_path_away(path, f"a message's number {message.seq} is that of {other.id}")


def scan_mailbox(spool: Spool, session: str, is_known: Callable[[str], bool] = lambda _: False) -> list[Message]:
    """All messages of a mailbox at once, by seq: for a start, which nobody waits beside."""
    reading = MailboxScan(spool, session, is_known, whole=True)
    while not reading.step():
        pass
    return reading.messages()


def _looks_pending(entry: os.DirEntry[str]) -> bool:
    try:
        return bool(entry.stat(follow_symlinks=False).st_mode & stat.S_IWUSR)
    except FileNotFoundError:
        return False
