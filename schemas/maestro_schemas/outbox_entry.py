"""Outbox entry: one send without an answer, which a client stores for the broker.

Rule: an entry holds all that the send needs, including its id and the sender's token (so the file is 0600). It is
complete or absent: written aside, fsynced, renamed. A refused entry stays, renamed to `*.failed`, with the error.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from .errors import MaestroError
from .names import is_id

ENTRY_VERSION = 1
# Enough digits in a file's name for times until the year 33658.
TIME_DIGITS = 15
QUEUED_AT_MS_MAX: int = 10**TIME_DIGITS - 1
WAITING_SUFFIX = ".json"
FAILED_SUFFIX = ".failed"


class OutboxEntry(NamedTuple):
    """One entry; `requests.OutboxFile` describes its file."""

    # Milliseconds since the epoch.
    queued_at: int
    # The sender.
    session: str
    token: str | None
    # The message, as `send` takes it.
    outgoing: dict[str, Any]
    # The error's body, if the broker refused it for good.
    failure: dict[str, Any] | None = None

    @property
    def addresses(self) -> list[str]:
        """To whom the message is addressed."""
        to = self.outgoing["to"]
        return [to] if isinstance(to, str) else list(to)

    @property
    def files(self) -> list[dict[str, Any]]:
        """The documents of the files that the message names. What is none is left for the broker to refuse."""
        found = self.outgoing.get("attachments")
        return [file for file in found if _is_file(file)] if isinstance(found, list) else []

    @property
    def digests(self) -> list[str]:
        """The digests of these files."""
        return [file["sha256"] for file in self.files]


def file_name(entry: OutboxEntry) -> str:
    """A name that sorts by the time of queueing. With the id in it, a send that is queued twice is one file."""
    return f"{entry.queued_at:0{TIME_DIGITS}d}-{entry.outgoing['id']}{WAITING_SUFFIX}"


def encode(entry: OutboxEntry) -> bytes:
    """UTF-8 JSON, one object and a newline. Raises MaestroError INVALID for a value that JSON can't hold."""
    body: dict[str, Any] = {
        "version": ENTRY_VERSION,
        "queuedAt": entry.queued_at,
        "session": entry.session,
        "message": entry.outgoing,
    }
    if entry.token is not None:
        body["token"] = entry.token
    if entry.failure is not None:
        body["failure"] = entry.failure
    try:
        return json.dumps(body, ensure_ascii=False).encode() + b"\n"
    except (ValueError, TypeError, RecursionError) as error:
        raise MaestroError(
            "INVALID", f"the message can't be kept in the outbox: {error}", "Use valid Unicode and plain JSON values."
        ) from None


def decode(raw: bytes) -> OutboxEntry:
    """The inverse of `encode`. Raises MaestroError CORRUPT for any other bytes."""
    try:
        body = json.loads(raw)
        outgoing, session, token = body["message"], body["session"], body.get("token")
        # An escaped half of a surrogate pair is valid JSON, but not a text that the journal can hold.
        json.dumps(body, ensure_ascii=False).encode()
        entry = OutboxEntry(body["queuedAt"], session, token, outgoing, body.get("failure"))
        whole = (
            body["version"] == ENTRY_VERSION
            and type(entry.queued_at) is int
            and 0 <= entry.queued_at <= QUEUED_AT_MS_MAX
            and isinstance(session, str)
            and is_id(session)
            and isinstance(token, str | None)
            and isinstance(outgoing, dict)
            and isinstance(outgoing.get("id"), str)
            and is_id(outgoing["id"])
            and _is_address(outgoing.get("to"))
            and isinstance(outgoing.get("message"), str)
            and isinstance(entry.failure, dict | None)
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise MaestroError("CORRUPT", f"not an outbox entry ({type(error).__name__})") from None
    if not whole:
        raise MaestroError("CORRUPT", f"not an outbox entry of version {ENTRY_VERSION}")
    return entry


def _is_file(file: object) -> bool:
    return (
        isinstance(file, dict)
        and all(isinstance(file.get(name), str) for name in ("name", "type", "sha256"))
        and type(file.get("size")) is int
    )


def _is_address(to: object) -> bool:
    """One address, or a list of them."""
    return isinstance(to, str) or (isinstance(to, list) and all(isinstance(address, str) for address in to))
