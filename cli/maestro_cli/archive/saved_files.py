"""Saved files: the attachments of an export, beside its document.

Rule: a file is named for its digest and for its sender's name, so that the same content is saved once and a repeat
changes nothing. Its digest is checked before it gets that name. A file that the post office has no more is noted.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING
from urllib.parse import quote

from maestro_cli.output import streams
from maestro_cli.output.progress import progress
from maestro_clients.protocol import blob_commands
from maestro_runtime import places
from maestro_schemas.errors import MaestroError
from maestro_schemas.texts.attachment_names import safe_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from maestro_clients.exports.collecting import Export
    from maestro_clients.one_shot_client import AnyClient
    from maestro_schemas.documents import AttachmentDoc

_FOLDER = "files"
_DIGITS = 12
_PRIVATE = 0o600
_GONE = ("BLOB_NOT_FOUND", "MESSAGE_NOT_FOUND")


def save(client: AnyClient, export: Export, directory: str) -> Mapping[str, str]:
    """Save each file once, in `files` of the directory. Returns its path from the document, by digest. Raises
    MaestroError."""
    saved: dict[str, str] = {}
    folder = os.path.join(directory, _FOLDER)
    wanted = [
        (entry.message["id"], attachment)
        for entry in export.entries
        for attachment in entry.message.get("attachments", ())
    ]
    if wanted:
        _make(folder)
    with progress("files") as show:
        for message_id, attachment in wanted:
            if attachment["sha256"] in saved:
                continue
            # The name was the sender's choice once, and an older broker may have let more pass.
            name = f"{attachment['sha256'][:_DIGITS]}-{safe_names([attachment['name']])[0]}"
            if _is_saved(client, message_id, attachment, os.path.join(folder, name)):
                saved[attachment["sha256"]] = f"{_FOLDER}/{quote(name)}"
                show("", len(saved), len(wanted))
    return saved


def _make(folder: str) -> None:
    try:
        places.make_directory(folder)
    except OSError as error:
        raise places.refusal(
            "FILE_UNREADABLE", f"{places.shown(folder)} can't be used", error, "Give another place."
        ) from None


def _is_saved(client: AnyClient, message_id: str, attachment: AttachmentDoc, path: str) -> bool:
    """Save one file, unless it is there. Returns False for a file that is in the post office no more."""
    if os.path.exists(path):
        return True
    aside = f"{path}.{os.getpid()}.part"
    digest = hashlib.sha256()
    try:
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, _PRIVATE)
        with open(fd, "wb") as file:
            for part in _parts(client, message_id, attachment["name"]):
                digest.update(part)
                file.write(part)
            file.flush()
            os.fsync(fd)
        _check(digest.hexdigest(), message_id, attachment)
        os.replace(aside, path)
    except OSError as error:
        raise places.refusal(
            "FILE_UNREADABLE", f"{places.shown(path)} can't be written", error, "Give another place."
        ) from None
    except MaestroError as error:
        if error.code not in _GONE:
            raise
        streams.note(f"maestro: {places.shown(attachment['name'])} of {message_id} is not there any more")
        return False
    finally:
        if os.path.lexists(aside):
            os.unlink(aside)
    return True


def _check(found: str, message_id: str, attachment: AttachmentDoc) -> None:
    if found != attachment["sha256"]:
        raise MaestroError(
            "BLOB_MISMATCH",
            f"{places.shown(attachment['name'])} of {message_id} has another digest than the message says",
            "It was not saved. `maestro spool verify` looks at every file.",
        )


def _parts(client: AnyClient, message_id: str, name: str) -> Iterator[bytes]:
    at = 0
    while True:
        found = client.request(blob_commands.blob_get(message_id, name, offset=at))
        yield found["data"]
        at += len(found["data"])
        if at >= found["size"] or not found["data"]:
            return
