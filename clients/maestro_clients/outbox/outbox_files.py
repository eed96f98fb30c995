"""Outbox files: the outbox of a data directory, as clients use it.

Rule: clients only add entries; see `maestro_runtime.outbox_dir` for the files.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any, cast

from maestro_runtime import ownership, paths, places
from maestro_runtime.outbox_dir import OutboxDir, QueuedEntry
from maestro_schemas.errors import START_A_SESSION, MaestroError
from maestro_schemas.names import is_id
from maestro_schemas.outbox_entry import OutboxEntry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from maestro_clients.attachments.outgoing_files import OutgoingFile
    from maestro_clients.protocol.callers import Caller
    from maestro_schemas.documents import OutgoingDoc

_FULL = (errno.ENOSPC, errno.EDQUOT)


def queue(data: str, caller: Caller, outgoing: OutgoingDoc, now_ms: int, files: Sequence[OutgoingFile] = ()) -> str:
    """Keep a send for a later broker; its entry's path. `now_ms`: milliseconds since the epoch; the entry is sorted
    behind all that wait, whatever it says. `files`: those that the message names, kept with it.

    Raises MaestroError NO_SESSION, INVALID_ID (of the session or the message), STORAGE_FULL, DATA_DIR_UNUSABLE or
    NOT_PRIVATE; then no entry is kept.
    """
    session = caller.session
    if session is None:
        raise MaestroError(
            "NO_SESSION",
            "a message needs a sender, and no session was named",
            START_A_SESSION,
        )
    for text in (session, outgoing["id"]):
        # Both become file names.
        if not is_id(text):
            raise MaestroError("INVALID_ID", f"{text!r:.100} can't be an id", "Use 1 to 64 of A-Z a-z 0-9 _ -.")
    ownership.check_data_dir(data)
    entry = OutboxEntry(now_ms, session, caller.token, cast("dict[str, Any]", outgoing))
    try:
        return OutboxDir(paths.outbox_dir(data)).add(entry, {file.sha256: file.content for file in files})
    except OSError as error:
        full = error.errno in _FULL
        raise places.refusal(
            "STORAGE_FULL" if full else "DATA_DIR_UNUSABLE",
            "the message can't be kept in the outbox",
            error,
            "Free some space, then send it again." if full else "Or set MAESTRO_DATA_DIR to another directory.",
        ) from None


def kept_files(data: str, files: Sequence[Mapping[str, Any]]) -> list[OutgoingFile]:
    """Those files of a message whose contents the outbox has; the post office may hold the others. `files`: their
    documents. Raises OSError."""
    if not files:
        return []
    from maestro_clients.attachments.outgoing_files import OutgoingFile

    blobs = OutboxDir(paths.outbox_dir(data)).blobs
    found = []
    for file in files:
        content = blobs.read(file["sha256"], file["size"])
        if content is not None:
            found.append(OutgoingFile(file["name"], file["type"], content, file["sha256"]))
    return found


def entries(data: str, session: str | None = None) -> list[QueuedEntry]:
    """The entries with their paths, refused ones (which have `failure`) among them: by session, then by time.

    Raises MaestroError DATA_DIR_UNUSABLE when the outbox can't be read, NOT_PRIVATE when it is another user's.
    """
    ownership.check_data_dir(data)
    outbox = paths.outbox_dir(data)
    try:
        if os.path.lexists(outbox) and not os.path.isdir(outbox):
            raise places.MisplacedError(outbox, places.kind_at(outbox), places.DIRECTORY)
        return OutboxDir(outbox).entries(session)
    except OSError as error:
        raise places.refusal("DATA_DIR_UNUSABLE", "the outbox can't be read", error, "") from None
