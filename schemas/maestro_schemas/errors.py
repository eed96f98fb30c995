"""Errors: one family, one table of stable codes.

Rule: an error says what happened, why, and the next step. The code is the contract: programs branch on it, and its
meaning never changes. The words may improve. `status` is an HTTP status, on the wire too.
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing `typing` costs as much as everything else that a fast command imports
if TYPE_CHECKING:
    from typing import Any, Final, Literal, TypeGuard

    Kind = Literal["client", "busy", "unreachable", "fatal"]

# code -> (HTTP status, whether the same request may succeed later, kind). The kinds:
# client: the error concerns this request, its sender or its receiver; another request may succeed at once.
# busy: the broker runs and accepts no such request at the moment.
# unreachable: no broker answered, or it is stopping; whether the request was done is unknown.
# fatal: the broker, the gateway or its files need repair by a person.
CODES: Final[dict[str, tuple[int, bool, Kind]]] = {
    # the request itself
    "BAD_REQUEST": (400, False, "client"),  # frames or body that can't be decoded
    "INVALID": (400, False, "client"),  # decoded, but a field has no allowed value
    "VALIDATION_ERROR": (400, False, "client"),  # the same over HTTP, in the words of Maestro's own clients
    "INVALID_QUERY": (400, False, "client"),  # a search with an operator or a value that there is not
    "INVALID_ID": (400, False, "client"),
    "EMPTY_MESSAGE": (400, False, "client"),
    "TEXT_TOO_LONG": (400, False, "client"),
    "DATA_TOO_LARGE": (400, False, "client"),
    "TOO_MANY": (400, False, "client"),  # more items in one request than the limit
    "BLOB_MISMATCH": (400, False, "client"),  # the content of a file has another digest or size than was said
    "ATTACHMENT_TOO_LARGE": (413, False, "client"),
    "ATTACHMENT_UNUSABLE": (400, False, "client"),  # no regular file, or it changed while it was read
    "FRAME_TOO_LARGE": (413, False, "client"),
    "HEAD_TOO_LARGE": (431, False, "client"),
    "REQUEST_TIMEOUT": (408, False, "client"),  # a request over HTTP that did not arrive completely
    "UNSUPPORTED_PROTOCOL": (426, False, "client"),
    "UNKNOWN_COMMAND": (501, False, "client"),
    # the caller
    "NO_SESSION": (401, False, "client"),
    "UNKNOWN_SESSION": (401, False, "client"),
    "SESSION_ENDED": (401, False, "client"),
    "TOKEN_REQUIRED": (401, False, "client"),
    "TOKEN_MISMATCH": (401, False, "client"),
    "KEY_REFUSED": (401, False, "client"),  # the handshake of a connection from another machine failed
    "KEY_REVOKED": (401, False, "client"),
    "PEER_REFUSED": (403, False, "client"),
    "HOST_REFUSED": (421, False, "client"),
    "ORIGIN_REFUSED": (403, False, "client"),
    "LOGIN_REQUIRED": (401, False, "client"),  # the page in a browser that nothing vouches for
    "LOGIN_REFUSED": (403, False, "client"),  # a code of `maestro ui` that is used, too old or none
    "VIEW_ONLY": (403, False, "client"),  # a login that may only show would change something
    "FORBIDDEN": (403, False, "client"),  # the caller may not read or change this
    "ROLE_FORBIDDEN": (403, False, "client"),  # the caller may not send to that session
    "ATTACHMENT_OUTSIDE": (403, False, "client"),  # the file may not leave this machine
    # the object of the request
    "RECEIVER_NOT_FOUND": (404, False, "client"),
    "SESSION_NOT_FOUND": (404, False, "client"),
    "KEY_NOT_FOUND": (404, False, "client"),
    "MESSAGE_NOT_FOUND": (404, False, "client"),
    "GROUP_NOT_FOUND": (404, False, "client"),
    "BLOB_NOT_FOUND": (404, False, "client"),  # a file that a message names is not there
    "NO_RECEIVERS": (404, False, "client"),  # an audience has no member
    "AMBIGUOUS_NAME": (409, False, "client"),
    "AMBIGUOUS_ID": (409, False, "client"),  # a message with several deliveries, and none was named
    "NAME_TAKEN": (409, False, "client"),  # another active session has the name or id
    "CONFIRM_FANOUT": (409, False, "client"),  # an audience that the sender must confirm first
    "CONFLICT": (409, False, "client"),  # another message has the id
    "RECEIVER_ENDED": (409, False, "client"),
    "STATUS_CONFLICT": (409, False, "client"),  # the status can't change from this one to that one
    "CURSOR_EXPIRED": (410, False, "client"),
    "CURSOR_AHEAD": (409, False, "client"),
    # not now
    "RATE_LIMITED": (429, True, "client"),
    "LOOP_GUARD": (429, True, "client"),
    "MAILBOX_FULL": (429, True, "client"),
    "SLOW_CONSUMER": (429, True, "client"),  # a reader of live events that does not keep up
    "BUSY": (503, True, "busy"),  # back-pressure: the spool writer is behind
    "STORAGE_FULL": (503, True, "busy"),
    "INDEX_UNAVAILABLE": (503, True, "busy"),  # the process of the search index does not answer now
    "STOPPING": (503, True, "unreachable"),
    # the client had no answer
    "BROKER_UNREACHABLE": (503, True, "unreachable"),
    "AUTOSTART_FAILED": (503, False, "unreachable"),
    "TIMEOUT": (504, True, "unreachable"),
    # files and the broker's process
    "DATA_DIR_UNUSABLE": (500, False, "fatal"),
    "NOT_PRIVATE": (500, False, "fatal"),  # another user owns a directory or socket, or can write to it
    "DATA_DIR_LOCKED": (409, False, "client"),
    "PATH_TOO_LONG": (500, False, "fatal"),
    "FORMAT_UNSUPPORTED": (500, False, "fatal"),
    "JOURNAL_FAILED": (500, False, "fatal"),
    "CORRUPT": (500, False, "fatal"),
    "BAD_SETTING": (400, False, "client"),
    "KEY_FILE_UNUSABLE": (400, False, "client"),
    "CURVE_MISSING": (500, False, "fatal"),
    "FILE_UNREADABLE": (400, False, "client"),
    "INTERNAL": (500, False, "fatal"),
}


# The next step for a caller without a session. An agent runs each command in a new shell, so `eval` is not all.
START_A_SESSION: Final = (
    "Start one: `maestro session start` prints the two variables that each command of it needs. In a shell that "
    'stays open: eval "$(maestro session start --export)".'
)

# The next step for what only the operator may do.
OPERATOR_MAY: Final = "The operator may: you, in a shell without a session (unset MAESTRO_SESSION_ID)."

# For a code of a newer peer that this version does not know.
_UNKNOWN: Final[tuple[int, bool, Kind]] = (500, False, "fatal")


class MaestroError(Exception):
    """Every error of the project.

    `code`: a key of CODES. `message`: what happened, and why. `hint`: the next step, a sentence. `http_hint`: the
    step of a caller that has only HTTP, where that is another one. `retry_after_s`: if waiting helps. `limit`,
    `actual`: both numbers, if a limit was exceeded. `details`: more for programs, such as `ids`. For the hint in
    the words of another caller there is `texts/next_steps.py`.
    """

    _notes: tuple[str, ...] = ()

    def __init__(
        self,
        code: str,
        message: str,
        hint: str = "",
        *,
        http_hint: str = "",
        retry_after_s: float | None = None,
        limit: int | None = None,
        actual: int | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.http_hint = http_hint
        self.retry_after_s = retry_after_s
        self.limit = limit
        self.actual = actual
        self.details = details

    @property
    def __notes__(self) -> list[str]:  # type: ignore[override]
        """What a traceback shows below the error (PEP 678): the next step, for the author of the Python program."""
        from .texts import next_steps

        step = next_steps.in_python(self)
        return [*self._notes, *([f"next: {step}"] if step else [])]

    def add_note(self, note: str) -> None:
        """As for each exception; the next step stays the last."""
        self._notes = (*self._notes, note)

    @property
    def status(self) -> int:
        """The HTTP status; 500 for an unknown code of a newer peer."""
        return CODES.get(self.code, _UNKNOWN)[0]

    @property
    def retryable(self) -> bool:
        """Whether the same request, unchanged and under the same id, may succeed later."""
        return CODES.get(self.code, _UNKNOWN)[1]

    @property
    def kind(self) -> Kind:
        """What the error concerns; the comment above CODES explains the kinds."""
        return CODES.get(self.code, _UNKNOWN)[2]

    def body(self) -> dict[str, Any]:
        """The error as the wire, `--json` and HTTP carry it; absent fields are left out."""
        body: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.hint:
            body["hint"] = self.hint
        if self.http_hint:
            body["httpHint"] = self.http_hint
        if self.retry_after_s is not None:
            body["retryAfter"] = round(self.retry_after_s, 3)
        if self.limit is not None:
            body["limit"] = self.limit
        if self.actual is not None:
            body["actual"] = self.actual
        if self.details is not None:
            body["details"] = self.details
        return body

    @classmethod
    def from_body(cls, body: object) -> MaestroError:
        """The inverse of `body()`; anything that is not an error body becomes INTERNAL, never an exception.

        A field of another type than `body()` writes is ignored.
        """
        if not isinstance(body, dict) or not isinstance(body.get("code"), str):
            # The type and not the repr, which raises for a deeply nested value.
            return cls("INTERNAL", f"the peer answered with an error that can't be read (a {type(body).__name__})")
        message, hint, details = body.get("message"), body.get("hint"), body.get("details")
        http_hint = body.get("httpHint")
        retry_after = body.get("retryAfter")
        return cls(
            body["code"],
            message if isinstance(message, str) else "",
            hint if isinstance(hint, str) else "",
            http_hint=http_hint if isinstance(http_hint, str) else "",
            # The comparison also refuses NaN, and an integer that is too large for a float.
            retry_after_s=float(retry_after) if _is_number(retry_after) and 0 <= retry_after <= _WAIT_S_MAX else None,
            limit=_count(body.get("limit")),
            actual=_count(body.get("actual")),
            details=details if isinstance(details, dict) else None,
        )


class FatalError(MaestroError):
    """After this error the process must end: it does not know what is durable, or a thread that it needs has died.

    It is raised inside a process and never sent. A peer sees the connection close and repeats its request.
    """


# A longer wait is ignored: thirty years are of no use to a client.
_WAIT_S_MAX = 1e9


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
