"""Route codes: the errors that several calls share.

Rule: without those of every call, which `docs.openapi` adds.
"""

from __future__ import annotations

SEND_CODES = (
    "NO_SESSION",
    "UNKNOWN_SESSION",
    "SESSION_ENDED",
    "ROLE_FORBIDDEN",
    "RECEIVER_NOT_FOUND",
    "RECEIVER_ENDED",
    "AMBIGUOUS_NAME",
    "CONFLICT",
    "MESSAGE_NOT_FOUND",
    "INVALID_ID",
    "EMPTY_MESSAGE",
    "TEXT_TOO_LONG",
    "DATA_TOO_LARGE",
    "RATE_LIMITED",
    "LOOP_GUARD",
    "MAILBOX_FULL",
    "BUSY",
    "STORAGE_FULL",
    "BLOB_NOT_FOUND",
    "ATTACHMENT_TOO_LARGE",
    "TOO_MANY",
)
UPLOAD_CODES = (
    "BAD_REQUEST",
    "INVALID",
    "UNSUPPORTED_MEDIA_TYPE",
    "REQUEST_TIMEOUT",
    "ATTACHMENT_TOO_LARGE",
    "BLOB_MISMATCH",
    "BUSY",
    "STORAGE_FULL",
    "TOO_MANY",
)
# Those of a list of addresses and of audiences.
FAN_OUT_CODES = (
    *SEND_CODES,
    "NO_RECEIVERS",
    "GROUP_NOT_FOUND",
    "CONFIRM_FANOUT",
    "FORBIDDEN",
)
# Those of the calls about the mail of before.
ARCHIVE_CODES = (
    "NO_SESSION",
    "UNKNOWN_SESSION",
    "SESSION_NOT_FOUND",
    "AMBIGUOUS_NAME",
    "FORBIDDEN",
    "INVALID",
    "INDEX_UNAVAILABLE",
)
# Those of a message that is not sent yet.
PREVIEW_CODES = (
    "NO_SESSION",
    "UNKNOWN_SESSION",
    "SESSION_ENDED",
    "ROLE_FORBIDDEN",
    "RECEIVER_NOT_FOUND",
    "AMBIGUOUS_NAME",
    "RECEIVER_ENDED",
    "NO_RECEIVERS",
    "GROUP_NOT_FOUND",
    "FORBIDDEN",
    "TOO_MANY",
    "INVALID_ID",
    "DATA_TOO_LARGE",
)
