"""Markers: `.pending` in the folder of each mailbox with mail that no reader was offered yet.

Rule: a hook looks for the name and never for content, so all markers are hard links to one empty file. A link takes
4 us; a file of its own takes 100 to 450 us on an ext4 in long use, which then looks for a free inode. A marker may
be there too early: each start compares the markers with the counters. None is missing once its sender has an answer.
"""

from __future__ import annotations

import contextlib
import errno
import os
import queue
import threading
from typing import TYPE_CHECKING

from . import disk

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PENDING_MARKER = ".pending"


class Markers:
    """The markers of a data directory. One thread adds them at a time; any may remove them."""

    def __init__(self, messages: str) -> None:
        self._receivers = os.path.join(messages, "by-receiver")
        # What the markers are links to; it is made when the first one is set.
        self._empty = os.path.join(messages, PENDING_MARKER)
        self._is_made = False
        self._can_link = True

    def add(self, session: str) -> bool:
        """Set a mailbox's marker; False if the disk has no space for it. Raises OSError for other errors."""
        path = self._path(session)
        try:
            try:
                self._make(path)
            except FileNotFoundError:  # a new session's folder; or someone has removed the empty file
                os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
                self._is_made = self._is_made and os.path.exists(self._empty)
                self._make(path)
        except OSError as error:
            if error.errno not in disk.FULL:
                raise
            return False
        return True

    def add_all(self, sessions: Iterable[str]) -> set[str]:
        """Set several; returns the mailboxes for whose markers the disk has no space."""
        return {session for session in sessions if not self.add(session)}

    def remove(self, session: str) -> None:
        """Remove a mailbox's marker, if it is there. Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path(session))

    def has(self, session: str) -> bool:
        """Whether the marker exists."""
        return os.path.lexists(self._path(session))

    def _path(self, session: str) -> str:
        return f"{self._receivers}/{session}/{PENDING_MARKER}"

    def _make(self, path: str) -> None:
        if not self._is_made:
            self._make_empty()
        if self._can_link:
            try:
                os.link(self._empty, path)
            except FileExistsError:
                pass
            except FileNotFoundError:
                raise
            except OSError as error:
                if error.errno in disk.FULL:
                    raise
                # The file has as many links as its file system allows (65,000 on ext4), or there are no links there.
                if error.errno == errno.EMLINK:
                    self._make_empty()
                else:
                    self._can_link = False
                _create(path)
            return
        _create(path)

    def _make_empty(self) -> None:
        """Make the empty file again, since what an earlier broker has left may be anything. Raises OSError if the
        disk is full."""
        self._is_made = True
        try:
            disk.remove(self._empty)
            _create(self._empty)
        except OSError as error:
            if error.errno in disk.FULL:
                self._is_made = False
                raise
            self._can_link = False


class MarkerThread:
    """Sets many markers while the main loop waits for the commit log."""

    def __init__(self, markers: Markers) -> None:
        self._markers = markers
        self._work: queue.SimpleQueue[Sequence[str]] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[set[str] | BaseException] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def begin(self, sessions: Sequence[str]) -> None:
        """Begin to set the markers of these mailboxes; `finish` comes next."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="markers", daemon=True)
            self._thread.start()
        self._work.put(sessions)

    def finish(self) -> set[str]:
        """Wait until they are set; returns the mailboxes for whose markers the disk has no space. Raises OSError."""
        result = self._results.get()
        if isinstance(result, BaseException):
            raise result
        return result

    def _run(self) -> None:
        while True:
            sessions = self._work.get()
            try:
                self._results.put(self._markers.add_all(sessions))
            except BaseException as error:  # noqa: BLE001 - the main loop raises it
                self._results.put(error)


def _create(path: str) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
