"""Attachments: the requests and replies of the `blob` commands.

Rule: a blob is the content of an attached file, named by its SHA-256 digest in hex. A client puts the blobs first; a
message then names them (`messages.Attachment`). What a message names is immutable. The comment above a field is its
description in the JSON Schemas.
"""

from __future__ import annotations

from msgspec import Struct

from maestro_schemas.requests import Request


class BlobStat(Request, frozen=True):
    """`blob.stat`: how much of a blob the post office holds, so that nothing is sent twice."""

    # The digest in hex.
    sha256: str
    # The blob's whole size, bytes.
    size: int


class BlobPut(Request, frozen=True):
    """`blob.put`: a part of a blob. The same part may be put again; the last part makes the blob whole."""

    # The digest of the whole blob in hex.
    sha256: str
    # The blob's whole size, bytes.
    size: int
    # Where this part begins, bytes.
    offset: int
    # At most 512 KiB.
    data: bytes

    def record_bounds(self, _most: int) -> tuple[int, int]:
        """None: what it brings is no record."""
        return 0, 0


class BlobGet(Request, frozen=True):
    """`blob.get`: a part of a file that a message names, for callers that may see the message."""

    # The message's id.
    id: str
    # The attachment's name in that message.
    name: str
    # Where the part begins, bytes.
    offset: int = 0
    # The most bytes in the reply; by default, and at most, 512 KiB.
    limit: int | None = None


class BlobReply(Struct, frozen=True, rename="camel", kw_only=True):
    """What the post office holds of a blob."""

    sha256: str
    # How many bytes from its beginning are there: the offset of the next part.
    held: int
    # All of it is on disk, and its digest was checked.
    whole: bool


class BlobPartReply(Struct, frozen=True, rename="camel", kw_only=True):
    """A part of a blob."""

    sha256: str
    # The blob's whole size, bytes.
    size: int
    offset: int
    data: bytes
