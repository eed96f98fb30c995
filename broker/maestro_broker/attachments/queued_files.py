"""Queued files: takes the files of the outbox into the store, before the message that names them is sent.

Rule: what can't be taken in now is "not now" for its message. What can't be taken in at all is left out: the send
finds that it is not there, and its sender reads that.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from maestro_schemas.errors import MaestroError

from . import blob_store

if TYPE_CHECKING:
    from maestro_schemas.limits import Limits

    from .blob_store import BlobStore

_log = logging.getLogger(__name__)


class QueuedFiles:
    """`data`: the data directory."""

    def __init__(self, data: str, store: BlobStore, limits: Limits) -> None:
        self._data = data
        self._store = store
        self._limits = limits

    def take(self, source: str, sha256: str, size: int) -> MaestroError | None:
        """Have the blob of this digest in the store, from the file `source`; the error where that must wait."""
        if not 0 <= size <= self._limits.attachment_bytes_max or self._store.touch(sha256) is not None:
            return None
        limit, wanted = self._limits.attachments_total_bytes_max, self._store.size.total_bytes + size
        if wanted > limit:
            return blob_store.storage_full(limit, wanted)
        try:
            self._store.take_in(source, sha256, size)
        except FileNotFoundError:
            return None
        except MaestroError as error:
            _log.warning("outbox: %s was not taken in: %s", source, error)
            return None
        except OSError as error:
            full = blob_store.no_space(error, self._data)
            if full is None:
                _log.warning("outbox: %s can't be taken in: %s", source, error)
            return full
        return None
