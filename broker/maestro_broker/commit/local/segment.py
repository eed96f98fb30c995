"""Segment: one file of the journal, and the format of its bytes.

Rule: a segment is a header, then records without gaps, then zeros. No stored body can look like a record: every
record header begins with nine bytes of 0xC1, which a body must not contain. 0xC1 is no byte of UTF-8 and no type byte
of msgpack, and a msgpack number has eight bytes at most, so no encoded message has nine in a row.

The first 32 bytes keep their layout in every later format, so that an older broker recognises a newer segment.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from maestro_runtime import places
from maestro_schemas import DATA_FORMAT_VERSION
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SUFFIX = ".seg"
NAME_DIGITS = 20

_SEGMENT = struct.Struct(">8sIQQ")  # magic, format version, first LSN, size of the file as it was made
_SEGMENT_MAGIC = b"MAESTROJ"
_FIELDS = struct.Struct(">10sIQQ")  # mark and kind, length of the body, LSN, synced LSN
_CRC = struct.Struct(">I")

# Nearly no body has one, and to look for one byte takes an eighth of the time for nine.
_MARK_BYTE = 0xC1
MARK = bytes([_MARK_BYTE]) * 9
_RECORD = MARK + b"R"
_SEAL = MARK + b"S"

HEADER_BYTES = _SEGMENT.size + _CRC.size
RECORD_BYTES = _FIELDS.size + _CRC.size  # of a record's header; a seal has no body
SEAL_BYTES = RECORD_BYTES

_ZEROS = bytes(1 << 20)
_ZERO_BLOCK = bytes(1 << 16)


class Header(NamedTuple):
    """The header of a segment file."""

    version: int
    first_lsn: int
    size: int  # of the new file, in bytes


class SegmentRecord(NamedTuple):
    """A whole record, or a seal."""

    lsn: int  # of a seal: the last one before it
    synced: int  # everything up to this LSN was durable when this was written
    offset: int
    end: int  # the offset after it
    body: bytes | None  # None: a seal


def file_name(first_lsn: int) -> str:
    """The name of the segment that begins with this LSN."""
    return f"{first_lsn:0{NAME_DIGITS}d}{SUFFIX}"


def named_lsn(name: str) -> int:
    """The first LSN in a segment's file name; 0 for other names."""
    digits = name.removesuffix(SUFFIX)
    has_form = len(digits) == NAME_DIGITS and len(name) == NAME_DIGITS + len(SUFFIX) and digits.isascii()
    return int(digits) if has_form and digits.isdecimal() else 0


def body_bytes_max(segment_bytes: int) -> int:
    """The largest body that a new segment of this size takes."""
    return segment_bytes - HEADER_BYTES - RECORD_BYTES - SEAL_BYTES


def pack_header(first_lsn: int, size: int) -> bytes:
    """The first bytes of a segment."""
    start = _SEGMENT.pack(_SEGMENT_MAGIC, DATA_FORMAT_VERSION, first_lsn, size)
    return start + _CRC.pack(crc32(start))


def parse_header(data: bytes) -> Header | None:
    """The inverse of `pack_header`, for any format version; None if the bytes are damaged."""
    if len(data) < HEADER_BYTES:
        return None
    magic, version, first_lsn, size = _SEGMENT.unpack_from(data)
    if magic != _SEGMENT_MAGIC or _CRC.unpack_from(data, _SEGMENT.size)[0] != crc32(data[: _SEGMENT.size]):
        return None
    return Header(version, first_lsn, size)


def pack_records(bodies: Sequence[bytes], synced_lsn: int) -> bytes:
    """Records for the LSNs after `synced_lsn`, the last durable one. Raises MaestroError INVALID for a body that
    contains a record's mark."""
    pack, pack_crc = _FIELDS.pack, _CRC.pack
    parts: list[bytes] = []
    add = parts.append
    for lsn, body in enumerate(bodies, synced_lsn + 1):
        if _MARK_BYTE in body and MARK in body:
            raise _looks_like_a_record(lsn)
        start = pack(_RECORD, len(body), lsn, synced_lsn)
        add(start)
        add(pack_crc(crc32(body, crc32(start))))
        add(body)
    return b"".join(parts)


def pack_seal(lsn: int) -> bytes:
    """A seal: everything up to `lsn` is durable."""
    start = _FIELDS.pack(_SEAL, 0, lsn, lsn)
    return start + _CRC.pack(crc32(start))


def split(bodies: Sequence[bytes], left_bytes: int, new_segment_bytes: int) -> list[list[bytes]]:
    """Split the bodies of a batch between segments: the present one with `left_bytes`, whose part may be empty, and
    new ones with `new_segment_bytes`. Raises MaestroError DATA_TOO_LARGE or INVALID."""
    pieces: list[list[bytes]] = [[]]
    for body in bodies:
        if _MARK_BYTE in body and MARK in body:
            raise _looks_like_a_record(None)
        need = RECORD_BYTES + len(body)
        if need > new_segment_bytes:
            raise MaestroError(
                "DATA_TOO_LARGE",
                f"a record of {len(body):,} bytes does not fit into a segment of the journal",
                "Store less at once, or raise the setting segment_bytes.",
                limit=new_segment_bytes - RECORD_BYTES,
                actual=len(body),
            )
        if need > left_bytes:
            pieces.append([])
            left_bytes = new_segment_bytes
        pieces[-1].append(body)
        left_bytes -= need
    return pieces


def _looks_like_a_record(lsn: int | None) -> MaestroError:
    at = "" if lsn is None else f" for LSN {lsn}"
    return MaestroError(
        "INVALID",
        f"the body{at} contains the mark of a journal record",
        "Encode it as msgpack of plain values (no binary, no extension types).",
    )


def scan(data: bytes, keep_after_lsn: int) -> Iterator[SegmentRecord]:
    """Every whole record and seal of a segment's bytes, in the order of the file; damaged bytes are skipped.

    To save memory, bodies up to `keep_after_lsn` are returned empty.
    """
    position = HEADER_BYTES
    while position >= 0:
        entry = _entry_at(data, position, keep_after_lsn)
        if entry is None:
            position = data.find(MARK, position + 1)
        else:
            yield entry
            position = entry.end


def _entry_at(data: bytes, position: int, keep_after_lsn: int) -> SegmentRecord | None:
    start = position + RECORD_BYTES
    if start > len(data):
        return None
    kind, body_bytes, lsn, synced = _FIELDS.unpack_from(data, position)
    end = start + body_bytes
    if end > len(data):
        return None
    body = data[start:end]
    if _CRC.unpack_from(data, position + _FIELDS.size)[0] != crc32(body, crc32(data[position : start - _CRC.size])):
        return None
    if kind == _RECORD:
        return SegmentRecord(lsn, synced, position, end, body if lsn > keep_after_lsn else b"")
    return SegmentRecord(lsn, synced, position, end, None) if kind == _SEAL else None


def used_bytes(data: bytes) -> int:
    """The length without the zeros at the end."""
    end = len(data)
    while end >= len(_ZERO_BLOCK) and data[end - len(_ZERO_BLOCK) : end] == _ZERO_BLOCK:
        end -= len(_ZERO_BLOCK)
    return len(data[max(0, end - len(_ZERO_BLOCK)) : end].rstrip(b"\0")) + max(0, end - len(_ZERO_BLOCK))


def read(path: str) -> bytes:
    """All bytes of a file. Not mapped into memory: a bad sector would then kill the process with a signal."""
    return places.read(path, sys.maxsize)


def write_all(fd: int, data: bytes, offset: int) -> None:
    """Write at an offset, continuing after short writes. Raises OSError."""
    written = os.pwrite(fd, data, offset)
    while written < len(data):
        count = os.pwrite(fd, memoryview(data)[written:], offset + written)
        if count == 0:
            raise OSError(errno.EIO, "a write wrote nothing")
        written += count


def write_zeros(fd: int, offset: int, end: int) -> None:
    """Write zeros from `offset` to before `end`. Raises OSError."""
    while offset < end:
        count = min(len(_ZEROS), end - offset)
        write_all(fd, _ZEROS[:count] if count < len(_ZEROS) else _ZEROS, offset)
        offset += count


if sys.platform == "darwin":  # pragma: no cover - written for, untested

    def sync_data(fd: int) -> None:
        """Make the written data durable. On macOS, fsync only hands it to the drive. Raises OSError."""
        import fcntl

        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)

else:

    def sync_data(fd: int) -> None:
        """Make the written data durable. Raises OSError; a second call for the same data would report success."""
        os.fdatasync(fd)


def make_zeros(path: str, size: int) -> None:
    """Make a durable file of zeros; its name is not yet durable. Raises OSError, after removing the file.

    The zeros are really written: after fallocate alone, each later fdatasync would have to convert unwritten extents,
    which is a commit of the file system's own journal.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        write_zeros(fd, 0, size)
        os.fsync(fd)
    except OSError:
        os.unlink(path)
        raise
    finally:
        os.close(fd)
