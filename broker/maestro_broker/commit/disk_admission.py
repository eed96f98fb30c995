"""Disk admission: whether the log's disk has space for the records of a request.

Rule: asked before the request is carried out, since no answer may promise what can't be written. New mail needs free
space. Commands that free space or say what became of mail may use a reserve; reading continues when that is used up
too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maestro_broker.files import disk
from maestro_schemas.commands import BY_REQUEST
from maestro_schemas.limits import DELIVERY_BYTES_MAX

if TYPE_CHECKING:
    from maestro_schemas.errors import MaestroError
    from maestro_schemas.requests import Request

    from .log import CommitLog

# The bytes of a send's record beside the request's body: field names, ids, times. Measured: 200 to 330.
RECORD_BYTES = 512
# Of how much more than a request needs the log is asked for space.
_AHEAD_BYTES = 1 << 16


class DiskAdmission:
    """Counts the bytes of the current batch."""

    def __init__(self, data: str, log: CommitLog, receivers_max: int) -> None:
        self._data = data
        self._log = log
        # Of one message.
        self._receivers_max = receivers_max
        # An upper bound of what the current batch takes.
        self._batch_bytes = 0
        # What the log has set aside for it: some more than was asked for, so that not each request asks.
        self._promised_bytes = 0

    def begin_batch(self) -> None:
        """The current batch is submitted, and another one begins."""
        self._batch_bytes = self._promised_bytes = 0

    def admit(self, request: Request, body_bytes: int) -> MaestroError | None:
        """Count a request. Returns STORAGE_FULL if the request may be carried out, but no new mail accepted and no
        refusal recorded; None without restriction. Raises MaestroError STORAGE_FULL if it must be refused."""
        records, further = request.record_bounds(self._receivers_max)
        # What a request without a record brings is not kept.
        record_bytes = body_bytes + RECORD_BYTES * records + DELIVERY_BYTES_MAX * further if records else 0
        wanted = self._batch_bytes + record_bytes
        if wanted <= self._promised_bytes or self._promise(wanted):
            self._batch_bytes = wanted
            return None
        full = disk.storage_full(self._data)
        if BY_REQUEST[type(request)].from_reserve and not self.reserve(record_bytes):
            raise full
        return full

    def _promise(self, wanted_bytes: int) -> bool:
        for ahead in (_AHEAD_BYTES, 0):
            if self._log.has_room(wanted_bytes + ahead):
                self._promised_bytes = wanted_bytes + ahead
                return True
        return False

    def reserve(self, record_bytes: int) -> bool:
        """Count bytes that may come from the reserve; False if they have no space."""
        if not self._log.has_room(self._batch_bytes + record_bytes, from_reserve=True):
            return False
        self._batch_bytes += record_bytes
        return True
