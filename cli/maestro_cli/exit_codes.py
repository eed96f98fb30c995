"""Exit codes: what a script learns from `$?`.

Rule: every stable error code has exactly one exit code, chosen by what the caller should do next; the numbers are
documented in `maestro --help` and never change their meaning.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from typing import Final

    from maestro_schemas.errors import MaestroError

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
REFUSED: Final = 4
NOT_NOW: Final = 5
UNREACHABLE: Final = 6
TIMED_OUT: Final = 7
PARTLY: Final = 8

# The shell's 128 + signal, for a command that a signal or a closed pipe ended.
INTERRUPTED: Final = 130
PIPE_CLOSED: Final = 141
TERMINATED: Final = 143

MEANINGS: Final[dict[int, str]] = {
    DONE: "done (or queued in the outbox, and reported so)",
    FAILED: "failed",
    USAGE: "usage: an argument is wrong, and nothing was done",
    NOT_FOUND: "not found: no such session or message, or an ambiguous name",
    REFUSED: "refused: identity, role, ended receiver, conflict",
    NOT_NOW: "not now: rate limited, mailbox full, broker busy, disk full",
    UNREACHABLE: "broker unreachable",
    TIMED_OUT: "timed out waiting",
    PARTLY: "sent to some of several receivers; the others refused",
}

# By the kind of the error; `client` errors have no common exit code.
_OF_KIND: Final[dict[str, int]] = {"busy": NOT_NOW, "unreachable": UNREACHABLE, "fatal": FAILED}

# Every `client` error, and the others that do not follow their kind.
EXIT_OF_CODE: Final[dict[str, int]] = {
    "BAD_REQUEST": FAILED,
    "INVALID": USAGE,
    "INVALID_QUERY": USAGE,
    "VALIDATION_ERROR": USAGE,
    "INVALID_ID": USAGE,
    "EMPTY_MESSAGE": USAGE,
    "TEXT_TOO_LONG": USAGE,
    "DATA_TOO_LARGE": USAGE,
    "TOO_MANY": USAGE,
    "BLOB_MISMATCH": FAILED,
    "ATTACHMENT_TOO_LARGE": USAGE,
    "ATTACHMENT_UNUSABLE": USAGE,
    "FRAME_TOO_LARGE": USAGE,
    "HEAD_TOO_LARGE": USAGE,
    "REQUEST_TIMEOUT": TIMED_OUT,
    "UNSUPPORTED_PROTOCOL": FAILED,
    "UNKNOWN_COMMAND": FAILED,
    "NO_SESSION": REFUSED,
    "UNKNOWN_SESSION": REFUSED,
    "SESSION_ENDED": REFUSED,
    "TOKEN_REQUIRED": REFUSED,
    "TOKEN_MISMATCH": REFUSED,
    "KEY_REFUSED": REFUSED,
    "KEY_REVOKED": REFUSED,
    "PEER_REFUSED": REFUSED,
    "HOST_REFUSED": REFUSED,
    "ORIGIN_REFUSED": REFUSED,
    "LOGIN_REQUIRED": REFUSED,
    "LOGIN_REFUSED": REFUSED,
    "VIEW_ONLY": REFUSED,
    "FORBIDDEN": REFUSED,
    "ROLE_FORBIDDEN": REFUSED,
    "ATTACHMENT_OUTSIDE": REFUSED,
    "RECEIVER_NOT_FOUND": NOT_FOUND,
    "SESSION_NOT_FOUND": NOT_FOUND,
    "KEY_NOT_FOUND": NOT_FOUND,
    "MESSAGE_NOT_FOUND": NOT_FOUND,
    "GROUP_NOT_FOUND": NOT_FOUND,
    "BLOB_NOT_FOUND": NOT_FOUND,
    "NO_RECEIVERS": NOT_FOUND,
    "AMBIGUOUS_NAME": NOT_FOUND,
    "AMBIGUOUS_ID": NOT_FOUND,
    "CONFIRM_FANOUT": REFUSED,
    "NAME_TAKEN": REFUSED,
    "CONFLICT": REFUSED,
    "RECEIVER_ENDED": REFUSED,
    "STATUS_CONFLICT": REFUSED,
    "CURSOR_EXPIRED": NOT_FOUND,
    "CURSOR_AHEAD": NOT_FOUND,
    "RATE_LIMITED": NOT_NOW,
    "LOOP_GUARD": NOT_NOW,
    "MAILBOX_FULL": NOT_NOW,
    "SLOW_CONSUMER": NOT_NOW,
    "TIMEOUT": TIMED_OUT,
    "NOT_PRIVATE": REFUSED,
    "DATA_DIR_LOCKED": REFUSED,
    "BAD_SETTING": USAGE,
    "KEY_FILE_UNUSABLE": USAGE,
    "FILE_UNREADABLE": USAGE,
}


def of(error: MaestroError) -> int:
    """The exit code for an error; FAILED for a code that a newer broker sends and this version does not know."""
    found = EXIT_OF_CODE.get(error.code)
    return _OF_KIND[error.kind] if found is None else found
