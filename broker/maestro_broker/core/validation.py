"""Validation: which fields and texts are accepted, which roles may write to each other, and how often.

Rule: pure functions and one small window. Each refusal is a typed error with the next step. The handlers decide the
order of the checks.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import NAME_CHARS_MAX, RATE_WINDOW_MS, TASK_ID_CHARS_MAX
from maestro_schemas.names import (
    AUDIENCE_SIGIL,
    ID_CHARS_MAX,
    RESERVED_IDS,
    is_id,
    is_new_session_id,
    is_reserved,
    plain_name,
)

if TYPE_CHECKING:
    from maestro_schemas.limits import Limits
    from maestro_schemas.messages import Metadata
    from maestro_schemas.sessions import Session

# Terminal escape sequences: CSI, OSC and the other string sequences with their ends, then two-character ones
# (ECMA-48 5.3 and 5.6). Each is removed whole: without its ESC, "[31m" would stay in the text.
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x9b[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c|$)"
    r"|\x1b[ -/]*[0-~]?"
)
# C0 but tab and newline, DEL, C1; and the bidirectional embeddings, overrides and isolates (UAX 9, 2).
_ASCII_CONTROLS = bytes([*range(0x09), *range(0x0B, 0x20), 0x7F])
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

# Characters that Python calls printable and fonts show as nothing: fillers, joiners, variation selectors.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_RESERVED = f"Choose another: {', '.join(sorted(RESERVED_IDS))} and what begins with {AUDIENCE_SIGIL} are addresses."


def clean_text(text: str) -> str:
    """The text without control characters, escape sequences and bidirectional overrides; CR LF becomes LF."""
    # The expression alone takes 2.9 us for 512 characters; removing what ASCII has of it and counting, 0.7.
    if text.isascii():
        if len(text.encode().translate(None, _ASCII_CONTROLS)) == len(text):
            return text
    # Every control, escape and bidirectional mark is "not printable" to Python.
    elif text.isprintable() or _CONTROLS.search(text) is None:
        return text
    return _CONTROLS.sub("", _ESCAPES.sub("", text.replace("\r\n", "\n")))


def check_text(text: str, limits: Limits) -> str:
    """The sanitised text. Raises MaestroError EMPTY_MESSAGE or TEXT_TOO_LONG."""
    clean = clean_text(text)
    if not clean or clean.isspace():
        raise MaestroError(
            "EMPTY_MESSAGE",
            "the message is empty" if not text.strip() else "nothing is left of the message but control characters",
            "Send some text.",
        )
    if len(clean) > limits.text_chars_max:
        raise MaestroError(
            "TEXT_TOO_LONG",
            f"the message has {len(clean):,} characters, and the limit is {limits.text_chars_max:,}",
            "Write the long part to a file and send its path, or split the message.",
            limit=limits.text_chars_max,
            actual=len(clean),
        )
    return clean


def check_metadata(metadata: Metadata, limits: Limits) -> None:
    """Raises MaestroError INVALID, INVALID_ID or DATA_TOO_LARGE."""
    if metadata.thread_id is not None:
        raise MaestroError(
            "INVALID", "metadata.threadId is set by the broker", "Give metadata.inReplyTo instead (`--reply-to`)."
        )
    if metadata.task_id is not None:
        check_label("metadata.taskId", metadata.task_id, TASK_ID_CHARS_MAX)
    if metadata.in_reply_to is not None and not is_id(metadata.in_reply_to):
        raise invalid_id("metadata.inReplyTo", metadata.in_reply_to)
    if metadata.data is not None:
        check_json("metadata.data", metadata.data, limits.data_bytes_max)


def check_json(name: str, value: Any, bytes_max: int) -> None:
    """Raises INVALID for a value that JSON can't carry (bytes, NaN, a key that is no text), or DATA_TOO_LARGE."""
    try:
        encoded = msgspec.json.encode(value)
        survives = msgspec.json.decode(encoded) == value
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError, OverflowError):
        survives, encoded = False, b""
    if not survives:
        raise MaestroError("INVALID", f"{name} has a value that JSON can't carry", "Use plain JSON values.")
    if len(encoded) > bytes_max:
        raise MaestroError(
            "DATA_TOO_LARGE",
            f"{name} is {len(encoded):,} bytes of JSON, and the limit is {bytes_max:,}",
            "Write it to a file and send the path.",
            limit=bytes_max,
            actual=len(encoded),
        )


def check_label(name: str, text: str, chars_max: int) -> None:
    """Check a short name for people: 1 to `chars_max` characters on one line, none that `clean_text` removes."""
    if not text.strip() or len(text) > chars_max or "\n" in text or "\t" in text or clean_text(text) != text:
        raise MaestroError(
            "INVALID",
            f"{name} can't be {text[:40]!r}",
            f"Use 1 to {chars_max} printable characters on one line.",
            limit=chars_max,
            actual=len(text),
        )


def check_many(count: int, what: str, most: int) -> None:
    """Raises TOO_MANY."""
    if count > most:
        raise MaestroError(
            "TOO_MANY",
            f"{count:,} {what} in one request, and the limit is {most}",
            f"Send at most {most} at a time.",
            limit=most,
            actual=count,
        )


def check_new_session_id(session_id: str) -> None:
    """Raises INVALID_ID for an id that no new session may have."""
    if not is_id(session_id):
        raise invalid_id("the session's id", session_id)
    if is_reserved(session_id):
        raise MaestroError("INVALID_ID", f"the id {session_id!r} is reserved", _RESERVED)
    if not is_new_session_id(session_id):
        raise MaestroError(
            "INVALID_ID", f"the session's id can't be {session_id!r}", "An id begins with a letter or a digit."
        )


def session_name(text: str) -> str:
    """A session's name in its stored form. Raises INVALID for an impossible name, or one that is an address."""
    name = plain_name(text)
    check_label("the session's name", name, NAME_CHARS_MAX)
    if is_reserved(name):
        raise MaestroError("INVALID", f"the name {name!r} is reserved, or looks like a name that is", _RESERVED)
    _check_visible("the session's name", name)
    if not name[0].isalnum():
        raise MaestroError(
            "INVALID", f"the session's name can't be {name!r}", "A name begins with a letter or a digit."
        )
    return name


def project_id(text: str) -> str:
    """A project's id in its stored form. Raises INVALID."""
    project = plain_name(text)
    check_label("projectId", project, ID_CHARS_MAX)
    _check_visible("projectId", project)
    return project


def _check_visible(what: str, text: str) -> None:
    """Two names that print alike would be one to every reader."""
    if not text.isprintable() or _INVISIBLE.search(text) is not None:
        raise MaestroError(
            "INVALID", f"{what} can't be {text!a}", "Use characters that can be seen, and plain blanks."
        )


def invalid_id(name: str, text: str) -> MaestroError:
    """The error for a malformed id."""
    return MaestroError(
        "INVALID_ID",
        f"{name} can't be {text[:80]!r}",
        "An id has 1 to 64 of the characters A-Z a-z 0-9 _ and -.",
        limit=64,
        actual=len(text),
    )


def token_hash(token: str) -> str:
    """The hash that is stored of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def is_token(stored_hash: str, token: str) -> bool:
    """Whether this is the token with the stored hash."""
    return hmac.compare_digest(stored_hash, token_hash(token))


def check_token(session_id: str, stored_hash: str | None, token: str | None) -> None:
    """Raises TOKEN_REQUIRED or TOKEN_MISMATCH. A session without a token takes any."""
    if stored_hash is None:
        return
    if token is None:
        raise MaestroError(
            "TOKEN_REQUIRED",
            f"session {session_id} was started with a token, and none was given",
            "Set MAESTRO_SESSION_TOKEN to what `maestro session start` printed.",
        )
    if not is_token(stored_hash, token):
        raise MaestroError(
            "TOKEN_MISMATCH",
            f"that is not the token of session {session_id}",
            "Set MAESTRO_SESSION_TOKEN to what `maestro session start` printed for this session.",
        )


def check_role(sender: Session, receiver: Session) -> None:
    """Orchestrators may write to all sessions, workers to orchestrators and to workers of their own project.

    Raises ROLE_FORBIDDEN.
    """
    if "orchestrator" in (sender.role, receiver.role) or sender.project_id == receiver.project_id:
        return
    raise MaestroError(
        "ROLE_FORBIDDEN",
        f"worker {sender.id} (project {sender.project_id}) may not write to worker {receiver.id} "
        f"(project {receiver.project_id})",
        "Workers write to orchestrators and to workers of their own project: ask an orchestrator to pass it on.",
    )


class RateWindow:
    """The accepted sends of one session in the last minute (a sliding log: exact, and at most `limit` long)."""

    __slots__ = ("_times_ms",)

    def __init__(self) -> None:
        self._times_ms: deque[int] = deque()

    def check(self, now_ms: int, limit: int) -> None:
        """Raises RATE_LIMITED with the time until the next send is accepted."""
        times = self._times_ms
        while times and times[0] <= now_ms - RATE_WINDOW_MS:
            times.popleft()
        if limit and len(times) >= limit:
            wait_s = (times[len(times) - limit] + RATE_WINDOW_MS - now_ms) / 1000
            raise MaestroError(
                "RATE_LIMITED",
                f"this session has sent {len(times)} messages in the last minute, and the limit is {limit}",
                f"Send again in {max(1, round(wait_s + 0.5))} s, or put several points into one message. "
                "The limit is MAESTRO_RATE_LIMIT of the broker.",
                retry_after_s=wait_s,
                limit=limit,
                actual=len(times) + 1,
            )

    def add(self, at_ms: int) -> None:
        """Count an accepted send."""
        self._times_ms.append(at_ms)

    def times_ms(self) -> list[int]:
        """The times of the sends, for the checkpoint."""
        return list(self._times_ms)
