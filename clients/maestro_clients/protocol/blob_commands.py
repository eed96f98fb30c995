"""Blob commands: the requests about attached files, as `commands` has the others.

Rule: it is imported where it is used, since a send without files does not need it. A blob is the content of a file,
named by its SHA-256 digest in hex.
"""

from __future__ import annotations

from .reply_fields import given, whole

TYPE_CHECKING = False  # importing `typing` costs as much as a whole command of the fast path
if TYPE_CHECKING:
    from maestro_schemas.documents import BlobDoc, BlobPartDoc

    from .callers import Caller
    from .commands import Request


def blob_stat(sha256: str, size: int, *, caller: Caller | None = None) -> Request[BlobDoc]:
    """How much of a blob the post office holds: `held` bytes, and whether it is `whole`, so that a message may name
    it. The broker then keeps it for an hour. Raises MaestroError BLOB_MISMATCH, ATTACHMENT_TOO_LARGE or INVALID."""
    return "blob.stat", {"sha256": sha256, "size": size}, whole("blob.stat", "held", int), caller


def blob_put(sha256: str, size: int, offset: int, data: bytes, *, caller: Caller | None = None) -> Request[BlobDoc]:
    """Put the part of a blob that begins at `offset`, at most BLOB_PART_BYTES_MAX bytes. Go on at `held` of the reply
    until it is `whole`: the last part, which may be empty, has the broker check the digest.

    The same part can be put again. Raises MaestroError BLOB_MISMATCH where the digest of all parts is another one;
    they are gone then. Also STORAGE_FULL, ATTACHMENT_TOO_LARGE or INVALID.
    """
    body = {"sha256": sha256, "size": size, "offset": offset, "data": data}
    return "blob.put", body, whole("blob.put", "held", int), caller


def blob_get(
    message_id: str, name: str, *, offset: int = 0, limit: int | None = None, caller: Caller | None = None
) -> Request[BlobPartDoc]:
    """A part of a file that a message names, for callers that may see the message. The file ends at `size`. Raises
    MaestroError MESSAGE_NOT_FOUND, BLOB_NOT_FOUND or INVALID."""
    body = given(id=message_id, name=name, offset=offset or None, limit=limit)
    return "blob.get", body, whole("blob.get", "data", bytes), caller
