"""Received files: where the files of a message are on this machine, so that an agent can open them by their path.

Rule: a file is where the broker has put it, beside its receiver's message. Where that can't be read from here, it is
fetched into a folder of this machine's data directory, with its digest checked. That folder is private and bounded:
old files go. A file that can't be fetched has no path, and the message is shown all the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import time
from typing import TYPE_CHECKING, Any, Protocol

from maestro_runtime import atomic_file, paths, places
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import is_id
from maestro_schemas.texts.attachment_names import safe_names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from maestro_schemas.documents import AttachmentDoc, BlobPartDoc, MessageDoc

# What the folder holds at most, and for how long: the next fetch removes what is over that, the oldest first.
KEPT_BYTES_MAX = 256 << 20
KEPT_S_MAX = 7 * 24 * 3_600
# The longest that a page of mail waits for its files.
FETCH_S_MAX = 5.0
_FILE_MODE = 0o400


class Fetcher(Protocol):
    """The method of a client that reads a part of a message's file."""

    def blob_get(self, message_id: str, name: str, *, offset: int = 0) -> BlobPartDoc:
        """As `blob_commands.blob_get`."""


def locate(
    messages: Iterable[MessageDoc], data: str, client: Fetcher | None, *, copies_in: str | None = None
) -> None:
    """Give each file of the messages its `path`, where it has one. `client`: None fetches nothing. `copies_in`: the
    only folder of which the agent reads files; there each file is copied."""
    deadline_s = time.monotonic() + FETCH_S_MAX
    for message in messages:
        for file in message.get("attachments", ()):
            found = beside(data, message, file)
            if found is None or copies_in is not None:
                folder = copies_in or paths.received_files_dir(data)
                found = _fetched(folder, message, file, client, found, deadline_s) or found
            if found is not None:
                add_path(file, found)


def add_path(file: AttachmentDoc, path: str) -> None:
    """Let the document say where the file is. It is no field of the wire: it holds on this machine alone."""
    document: Any = file
    document["path"] = path


def beside(data: str, message: MessageDoc, file: AttachmentDoc) -> str | None:
    """The path beside the receiver's message; None where this machine does not have it."""
    if not (is_id(message["to"]) and is_id(message["id"])) or safe_names([file["name"]])[0] != file["name"]:
        return None
    path = os.path.join(paths.message_files_dir(data, message["to"], message["id"]), file["name"])
    return path if _is_whole(path, file) else None


def content(client: Fetcher, message_id: str, file: AttachmentDoc, *, deadline_s: float | None = None) -> bytes:
    """The whole content. Raises MaestroError, also CORRUPT where it has another digest."""
    pieces: list[bytes] = []
    offset = 0
    while offset < file["size"] or not pieces:
        part = client.blob_get(message_id, file["name"], offset=offset)
        pieces.append(part["data"])
        offset += len(part["data"])
        late = deadline_s is not None and time.monotonic() > deadline_s
        if offset < file["size"] and (late or not part["data"]):
            raise MaestroError("TIMEOUT", "the file did not come in time", "Fetch it again.")
    whole = b"".join(pieces)
    if len(whole) != file["size"] or hashlib.sha256(whole).hexdigest() != file["sha256"]:
        raise MaestroError(
            "CORRUPT",
            f"the content of {file['name']} is not what the message names: its digest differs",
            "On the broker's machine: maestro spool verify",
        )
    return whole


def _fetched(
    top: str, message: MessageDoc, file: AttachmentDoc, client: Fetcher | None, here: str | None, deadline_s: float
) -> str | None:
    if not is_id(message["id"]):
        return None
    folder = os.path.join(top, message["id"])
    # The broker of another machine is not trusted to have made the name safe.
    [name] = safe_names([file["name"]])
    path = os.path.join(folder, name)
    if _is_whole(path, file):
        return path
    if client is None and here is None:
        return None
    try:
        if here is not None:
            whole = places.read(here, file["size"])
        else:
            assert client is not None  # noqa: S101 - asked above
            whole = content(client, message["id"], file, deadline_s=deadline_s)
        _make_room(top, file["size"])
        places.make_directory(folder)
        aside = os.path.join(folder, f".{os.getpid()}.new")
        atomic_file.replace(path, whole, durable=False, mode=_FILE_MODE, aside=aside)
    except (MaestroError, OSError):
        # It is shown with the command that saves it, which says what is wrong.
        return None
    return path


def _is_whole(path: str, file: AttachmentDoc) -> bool:
    try:
        found = os.lstat(path)
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size == file["size"]


def _make_room(folder: str, size: int) -> None:
    """Remove the folders of the oldest messages that are over the bounds."""
    kept: list[tuple[float, int, str]] = []
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as found:
        for each in found:
            with contextlib.suppress(OSError), os.scandir(each.path) as files:
                held = sum(file.stat(follow_symlinks=False).st_size for file in files)
                kept.append((each.stat(follow_symlinks=False).st_mtime, held, each.path))
    oldest = time.time() - KEPT_S_MAX
    room = KEPT_BYTES_MAX - size
    for made, held, path in sorted(kept, reverse=True):
        room -= held
        if room < 0 or made < oldest:
            shutil.rmtree(path, ignore_errors=True)
