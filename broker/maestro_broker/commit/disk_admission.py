"""Disk admission: whether the commit log has space for the records of a request.

Rule: it is checked before a request is applied, because the state must not change if the records cannot be written.
New mail needs free space. On a full disk a reserve serves the requests that free space or record what became of mail
(confirm, delete, sessions). Reading is possible even when the reserve is used up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maestro_broker.files import disk
from maestro_schemas.requests import Confirm, Delete, Request, Send, SessionEnd, SessionStart, SessionTouch

if TYPE_CHECKING:
    from maestro_broker.core.model.state import State

    from .log import CommitLog

# What a record of a send takes beside its text: field names, ids, times. Measured: 200 to 330 bytes.
RECORD_BYTES = 512


class DiskAdmission:
    """The room for the batch under way, whose bytes the state counts."""

    def __init__(self, data: str, log: CommitLog) -> None:
        self._data = data
        self._log = log

    def for_send(self, state: State, request: Send, body_bytes: int) -> None:
        """Count a send; without room for it the state gets its back-pressure, with which the core refuses."""
        state.batch_bytes += body_bytes + RECORD_BYTES * len(request.messages)
        if state.back_pressure is None and not self._log.has_room(state.batch_bytes):
            state.back_pressure = disk.storage_full(self._data)

    def for_request(self, state: State, request: Request, body_bytes: int) -> None:
        """Count anything else. Raises MaestroError STORAGE_FULL where the reserve is used up, but for reading."""
        items = len(request.ids) if isinstance(request, Confirm | Delete) else 1
        record_bytes = body_bytes + RECORD_BYTES * items
        if self._log.has_room(state.batch_bytes + record_bytes):
            state.batch_bytes += record_bytes
            return
        full = disk.storage_full(self._data)
        # The reserve is for what makes room; a refusal (401, 403) must leave no record now.
        state.back_pressure = full
        if self.reserve(state, record_bytes):
            return
        if isinstance(request, Confirm | Delete | SessionStart | SessionEnd | SessionTouch):
            raise full

    def reserve(self, state: State, record_bytes: int) -> bool:
        """Whether so much more fits into the batch under way, if need be out of the reserve."""
        if not self._log.has_room(state.batch_bytes + record_bytes, from_reserve=True):
            return False
        state.batch_bytes += record_bytes
        return True
