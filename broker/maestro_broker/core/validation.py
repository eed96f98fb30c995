"""Validation: which fields and texts are accepted, which roles may write to each other, and how often.

Rule: pure functions and one small window. Each refusal is a typed error with the next step. The handlers decide the
order of the checks.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import NAME_CHARS_MAX, PROJECT_CHARS_MAX, RATE_WINDOW_MS, TASK_ID_CHARS_MAX
from maestro_schemas.names import (
    AUDIENCE_SIGIL,
    RESERVED_IDS,
    is_id,
    is_new_session_id,
    is_reserved,
    plain_name,
)
from maestro_schemas.texts.visible_text import clean, cleaned, escaped, first_hidden

if TYPE_CHECKING:
    from maestro_schemas.limits import Limits
    from maestro_schemas.messages import Metadata
    from maestro_schemas.sessions import Session


_BRAILLE_BLANK = "\u2800"  # a symbol to Python
_RESERVED = f"Choose another: {', '.join(sorted(RESERVED_IDS))} and what begins with {AUDIENCE_SIGIL} are addresses."


def check_message(text: str, limits: Limits) -> tuple[str, int]:
    """The cleaned text of a message, and how many characters were taken out of it. Raises MaestroError EMPTY_MESSAGE
    or TEXT_TOO_LONG."""
    left, removed = cleaned(text)
    if not left or left.isspace():
        raise MaestroError(
            "EMPTY_MESSAGE",
            "the message is empty" if not text.strip() else "the message has no character that a reader can see",
            "Send some text.",
        )
    if len(left) > limits.text_chars_max:
        raise MaestroError(
            "TEXT_TOO_LONG",
            f"the message has {len(left):,} characters, and the limit is {limits.text_chars_max:,}",
            "Write the long part to a file and send its path, or split the message.",
            limit=limits.text_chars_max,
            actual=len(left),
        )
    return left, removed


def check_remark(name: str, text: str, chars_max: int) -> str:
    """The cleaned text of a field that people read and that may have several lines, such as a note.

    Raises MaestroError EMPTY_MESSAGE or TEXT_TOO_LONG.
    """
    left = clean(text)
    if not left or left.isspace():
        raise MaestroError("EMPTY_MESSAGE", f"{name} has no character that a reader can see", "Give some text.")
    if len(left) > chars_max:
        raise MaestroError(
            "TEXT_TOO_LONG",
            f"{name} has {len(left):,} characters, and the limit is {chars_max:,}",
            "Shorten it; a longer text can be sent as a message.",
            limit=chars_max,
            actual=len(left),
        )
    return left


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
    """Check a short text for people: 1 to `chars_max` characters on one line, none that `clean` takes out."""
    if 0 < len(text) <= chars_max and text.isascii() and text.isprintable() and not text.isspace():
        return
    hint = f"Use 1 to {chars_max:,} printable characters on one line."
    if len(text) > chars_max:
        raise MaestroError(
            "INVALID",
            f"{name} has {len(text):,} characters, and the limit is {chars_max:,}",
            hint,
            limit=chars_max,
            actual=len(text),
        )
    if not text.strip():
        raise MaestroError("INVALID", f"{name} is empty", hint, limit=chars_max, actual=len(text))
    hidden = "a tab or the end of a line" if "\n" in text or "\t" in text else first_hidden(text)
    if hidden:
        raise MaestroError(
            "INVALID",
            f"{name} can't be {escaped(repr(text[:40]))}: it has {hidden}, which a reader can't see",
            hint,
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


def session_name(text: str, *, is_base: bool = False) -> str:
    """A session's name in its stored form. Raises INVALID for an impossible name, or one that is an address.

    `is_base`: it may be an address, since it then gets a number.
    """
    name = plain_name(text)
    check_label("the session's name", name, NAME_CHARS_MAX)
    if not is_base and is_reserved(name):
        raise MaestroError("INVALID", f"the name {name!r} is reserved, or looks like a name that is", _RESERVED)
    _check_blanks("the session's name", name)
    if not name[0].isalnum():
        raise MaestroError(
            "INVALID", f"the session's name can't be {name!r}", "A name begins with a letter or a digit."
        )
    return name


def project_id(text: str) -> str:
    """A project's id in its stored form. Raises INVALID."""
    project = plain_name(text)
    check_label("projectId", project, PROJECT_CHARS_MAX)
    _check_blanks("projectId", project)
    return project


def _check_blanks(what: str, text: str) -> None:
    """Two names that differ in the width of a blank would be one to every reader."""
    if any(letter != " " and (letter.isspace() or letter == _BRAILLE_BLANK) for letter in text):
        raise MaestroError("INVALID", f"{what} can't be {text!a}", "Use no other blank than the plain one.")


def invalid_id(name: str, text: str) -> MaestroError:
    """The error for a malformed id."""
    return MaestroError(
        "INVALID_ID",
        f"{name} can't be {escaped(repr(text[:80]))}",
        "An id has 1 to 64 of the characters A-Z a-z 0-9 _ and -.",
        limit=64,
        actual=len(text),
    )


def token_hash(token: str) -> str:
    """The hash that is stored of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def is_token(stored_hash: str | None, token: str | None) -> bool:
    """Whether this is the token of which the hash was stored; False for a session without a token."""
    return stored_hash is not None and token is not None and hmac.compare_digest(stored_hash, token_hash(token))


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


def may_write(sender: Session, receiver: Session) -> bool:
    """Orchestrators may write to all sessions, workers to orchestrators and to workers of their own project."""
    return "orchestrator" in (sender.role, receiver.role) or sender.project_id == receiver.project_id


def check_role(sender: Session, receiver: Session) -> None:
    """Raises ROLE_FORBIDDEN where the sender may not write to the receiver."""
    if may_write(sender, receiver):
        return
    raise MaestroError(
        "ROLE_FORBIDDEN",
        f"worker {sender.id} (project {sender.project_id}) may not write to worker {receiver.id} "
        f"(project {receiver.project_id})",
        "Workers write to orchestrators and to workers of their own project: ask an orchestrator to pass it on.",
    )


class RateWindow(deque[int]):
    """The times (ms) of the accepted sends of one session in the last minute (a sliding log: exact, and at most
    `limit` long). An accepted send is appended."""

    __slots__ = ()

    def is_full(self, now_ms: int, limit: int) -> bool:
        """Whether the next send would be refused. Without a limit (0) it never is."""
        while self and self[0] <= now_ms - RATE_WINDOW_MS:
            self.popleft()
        return bool(limit) and len(self) >= limit

    def check(self, now_ms: int, limit: int) -> None:
        """Raises RATE_LIMITED with the time until the next send is accepted."""
        if self.is_full(now_ms, limit):
            wait_s = (self[len(self) - limit] + RATE_WINDOW_MS - now_ms) / 1000
            raise MaestroError(
                "RATE_LIMITED",
                f"this session has sent {len(self)} messages in the last minute, and the limit is {limit}",
                f"Send again in {max(1, round(wait_s + 0.5))} s, or put several points into one message. "
                "The limit is MAESTRO_RATE_LIMIT of the broker.",
                retry_after_s=wait_s,
                limit=limit,
                actual=len(self) + 1,
            )
