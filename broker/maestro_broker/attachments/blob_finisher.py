"""Blob finisher: the thread that makes uploads whole.

Rule: it reads a whole file for its digest and waits for the disk, so that the main loop does neither. It begins with
the first upload. The main loop gives it uploads and takes outcomes; `fd` is readable when there are some, and wakes
the loop.
"""

from __future__ import annotations

import logging
import queue
import socket
import threading
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from .blob_store import BlobStore

_log = logging.getLogger(__name__)

_DRAIN_BYTES = 4_096


class Upload(NamedTuple):
    """An upload of which all bytes are there."""

    path: str
    sha256: str
    size: int


class BlobFinisher:
    """The thread and its queue."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._orders: queue.SimpleQueue[Upload | None] = queue.SimpleQueue()
        self._outcomes: deque[tuple[Upload, MaestroError | OSError | None]] = deque()
        self._thread: threading.Thread | None = None
        self._reader, self._writer = socket.socketpair()
        for end in (self._reader, self._writer):
            end.setblocking(False)  # noqa: FBT003

    @property
    def fd(self) -> int:
        """Readable when there are outcomes."""
        return self._reader.fileno()

    def begin(self, upload: Upload) -> None:
        """Have an upload made whole."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="blob-finisher", daemon=True)
            self._thread.start()
        self._orders.put(upload)

    def outcomes(self) -> list[tuple[Upload, MaestroError | OSError | None]]:
        """The uploads that were finished since the last call, each with its error."""
        try:
            self._reader.recv(_DRAIN_BYTES)
        except BlockingIOError:
            pass
        found = []
        while self._outcomes:
            found.append(self._outcomes.popleft())
        return found

    def close(self) -> None:
        """End the thread. An upload that it works on is finished, or found again by the next broker."""
        if self._thread is not None:
            self._orders.put(None)
            self._thread.join()
        self._reader.close()
        self._writer.close()

    def _run(self) -> None:
        while (upload := self._orders.get()) is not None:
            error: MaestroError | OSError | None = None
            try:
                self._store.adopt(upload.path, upload.sha256, upload.size)
            except (MaestroError, OSError) as failed:
                error = failed
            except Exception as failed:  # noqa: BLE001 - the top of the thread: one upload's defect ends no other
                _log.exception("an upload met an unexpected error")
                error = MaestroError(
                    "INTERNAL",
                    f"the upload failed: {failed!r}",
                    "logs/broker.log in the data directory has the error.",
                )
            self._outcomes.append((upload, error))
            try:
                self._writer.send(b"\0")
            except BlockingIOError:  # it is readable already
                pass
