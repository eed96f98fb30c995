"""Attached files: what a send may say of the files that belong to its message.

Rule: a message is accepted only if the post office has every file whole, of the size that the sender says. A file
that is not there is no fault of the message: the sender puts it, and sends again under the same id.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec.structs import replace

from maestro_broker.core import validation
from maestro_broker.core.model.reads import Read
from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import ATTACHMENT_TYPE_CHARS_MAX, message_files_max
from maestro_schemas.texts.attachment_names import safe_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from maestro_broker.core.model.reads import Reads
    from maestro_schemas.limits import Limits
    from maestro_schemas.messages import Attachment

_DIGEST = re.compile(r"[0-9a-f]{64}")


def is_digest(text: str) -> bool:
    """Whether it is a SHA-256 digest in lower-case hex, and so safe as a part of a path."""
    return _DIGEST.fullmatch(text) is not None


def check_digest(text: str) -> None:
    """Raises INVALID."""
    if not is_digest(text):
        raise MaestroError(
            "INVALID", f"{text[:80]!a} is no SHA-256 digest", "Give it as 64 digits of hex, in lower case."
        )


def look_up(attachments: Sequence[Attachment], limits: Limits) -> Reads[dict[str, int]]:
    """The size of each blob that is there, of those that a message may name at all."""
    found: dict[str, int] = {}
    for sha256 in dict.fromkeys(each.sha256 for each in attachments[: message_files_max(limits)]):
        if is_digest(sha256):
            size: int | None = yield Read("blob", "", sha256)
            if size is not None:
                found[sha256] = size
    return found


def named_safely(attachments: Sequence[Attachment]) -> tuple[Attachment, ...]:
    """The attachments, with the names that they get beside the message."""
    names = safe_names(each.name for each in attachments)
    return tuple(
        each if each.name == name else replace(each, name=name) for each, name in zip(attachments, names, strict=True)
    )


def checked(attachments: Sequence[Attachment], blobs: Mapping[str, int], limits: Limits) -> tuple[Attachment, ...]:
    """What the message has of them. Raises TOO_MANY, INVALID, ATTACHMENT_TOO_LARGE, BLOB_MISMATCH or
    BLOB_NOT_FOUND."""
    _check_fields(attachments, limits)
    missing = list(dict.fromkeys(each.sha256 for each in attachments if each.sha256 not in blobs))
    if missing:
        names = ", ".join(each.name for each in named_safely(attachments) if each.sha256 in missing)
        raise MaestroError(
            "BLOB_NOT_FOUND",
            f"the post office does not have {names}; nothing was sent",
            "Put each digest of details.digests (`blob.put`), and send the same again under the same id.",
            http_hint="PUT /api/blobs/:sha256 with each digest of details.digests, then send the same again.",
            details={"digests": missing},
        )
    for each in attachments:
        if blobs[each.sha256] != each.size:
            raise MaestroError(
                "BLOB_MISMATCH",
                f"the file {each.sha256} has {blobs[each.sha256]:,} bytes, and the message says {each.size:,}",
                "Name the size of the content that has this digest.",
                actual=each.size,
            )
    return named_safely(attachments)


def kept_of_failed(attachments: Sequence[Attachment], limits: Limits) -> tuple[Attachment, ...]:
    """What a message keeps of them that was refused for good: all, or nothing if a field is not allowed."""
    try:
        _check_fields(attachments, limits)
    except MaestroError:
        return ()
    return named_safely(attachments)


def check_size(size: int, limits: Limits) -> None:
    """Raises INVALID or ATTACHMENT_TOO_LARGE."""
    if size < 0:
        raise MaestroError("INVALID", f"a file can't have {size:,} bytes", "Give its size in bytes.")
    if size > limits.attachment_bytes_max:
        raise _too_large("an attached file", size, limits.attachment_bytes_max, "attachment_bytes_max")


def _check_fields(attachments: Sequence[Attachment], limits: Limits) -> None:
    most = message_files_max(limits)
    if len(attachments) > most:
        raise MaestroError(
            "TOO_MANY",
            f"{len(attachments):,} files are attached to one message, and the limit is {most}",
            "Attach fewer, or one archive of them. The limit is attachments_max of the broker; small segments "
            "(segment_bytes) lower it.",
            limit=most,
            actual=len(attachments),
        )
    for each in attachments:
        check_digest(each.sha256)
        validation.check_label("attachments.type", each.type, ATTACHMENT_TYPE_CHARS_MAX)
        check_size(each.size, limits)
    total = sum(each.size for each in attachments)
    if total > limits.message_attachments_bytes_max:
        allowed = limits.message_attachments_bytes_max
        raise _too_large("the files of one message together", total, allowed, "message_attachments_bytes_max")


def _too_large(what: str, actual: int, limit: int, setting: str) -> MaestroError:
    return MaestroError(
        "ATTACHMENT_TOO_LARGE",
        f"{what} would have {actual:,} bytes, and the limit is {limit:,}",
        f"Send the path of a file that the receiver can read, or less. The limit is MAESTRO_{setting.upper()} of the "
        "broker.",
        limit=limit,
        actual=actual,
    )
