"""Journal tail: the records of format 1 that no checkpoint covers, written again with new ids.

Rule: LSNs stay what they are, and a record whose loss is known stays lost, so that the start after the step recovers
as it would have before. The old segments go only after the new ones are durable.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

import msgspec

from maestro_broker.commit.local import repair, segment
from maestro_broker.commit.local.journal import first_segment_lsn
from maestro_broker.core.model import checkpoint
from maestro_broker.files import disk
from maestro_broker.views.spool_writer import HEADS_FILE
from maestro_broker.views.timeline import Timeline
from maestro_runtime import atomic_file
from maestro_schemas.errors import MaestroError

from .old_files import remove_tree
from .sent_ids import link_target

if TYPE_CHECKING:
    from .translation import Translation

_log = logging.getLogger(__name__)

# The segments of an interrupted step may have the newer version already.
VERSIONS = frozenset({1, 2})
_SEGMENT_BYTES = 8 << 20


class JournalTail:
    """The records above the checkpoint of `data`, after the journal was repaired. Raises OSError."""

    def __init__(self, data: str) -> None:
        self._data = data
        directory = os.path.join(data, "messages", "journal")
        filed_lsn = Timeline(os.path.join(data, "timeline")).last_lsn
        recovery, repaired = repair.repair_directory(
            directory,
            segment_bytes=0,  # so that it removes the prepared segments, which a start makes again
            after_lsn=_checkpoint_lsn(data, directory, filed_lsn),
            attested_lsn=filed_lsn,
            versions=VERSIONS,
        )
        for warning in recovery.warnings():
            _log.warning("%s", warning)
        self._head_lsn = repaired.head_lsn
        self._records = recovery.records

    def file_names(self) -> None:
        """Make the files that the rest of the step looks into: the sessions of the tail, and the links of the
        messages that were sent in it. Both may be ahead of the checkpoint."""
        for _, body in self._records:
            match record := _decoded(body):
                case {"type": "session", "stored": {"session": {"id": str(session)}}}:
                    path = os.path.join(self._data, "sessions", f"{session}.json")
                    atomic_file.replace(path, msgspec.json.encode(record["stored"]) + b"\n", durable=False)
                case {"type": "accepted", "message": {"id": str(old), "from": str(sender), "to": str(receiver)}}:
                    folder = os.path.join(self._data, "messages", "by-sender", sender)
                    os.makedirs(folder, mode=0o700, exist_ok=True)
                    path = os.path.join(folder, f"{old}.json")
                    if not os.path.islink(path):
                        os.symlink(link_target(receiver, old), path)

    def write(self, directory: str, translation: Translation) -> None:
        """Write the tail with new ids as the journal `directory`, which is complete and durable, or is not there.
        Raises OSError."""
        part = f"{directory}.part"
        if os.path.isdir(part):
            remove_tree(part)
        os.mkdir(part, 0o700)
        bodies: list[bytes] = []
        first_lsn = size = 0
        for lsn, old_body in self._records:
            record = _decoded(old_body)
            translation.record(record)
            # What can't be decoded stays as it is; the next start reports it.
            body = old_body if record is None else msgspec.msgpack.encode(record)
            if bodies and (lsn != first_lsn + len(bodies) or size >= _SEGMENT_BYTES):
                _write_segment(part, first_lsn, bodies)
                bodies, size = [], 0
            if not bodies:
                first_lsn = lsn
            bodies.append(body)
            size += len(body)
        if bodies:
            _write_segment(part, first_lsn, bodies)
        elif self._head_lsn:
            # Its name says how far the journal was.
            _write_segment(part, self._head_lsn + 1, [])
        disk.sync_file_system(part)
        os.rename(part, directory)


def _write_segment(directory: str, first_lsn: int, bodies: list[bytes]) -> None:
    """A segment that is just large enough."""
    content = segment.pack_records(bodies, first_lsn - 1) + segment.pack_seal(first_lsn - 1 + len(bodies))
    header = segment.pack_header(first_lsn, segment.HEADER_BYTES + len(content))
    atomic_file.create(os.path.join(directory, segment.file_name(first_lsn)), header + content, durable=False)


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.msgpack.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _checkpoint_lsn(data: str, journal: str, filed_lsn: int) -> int:
    """Up to where records are in the files; as recovery finds it."""
    try:
        with open(os.path.join(data, HEADS_FILE), "rb") as file:
            return checkpoint.decode(file.read()).lsn
    except FileNotFoundError:
        return 0 if first_segment_lsn(journal, VERSIONS) == 1 else filed_lsn
    except MaestroError:
        return filed_lsn
