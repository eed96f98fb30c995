"""Blob checks: whether the attached files of a data directory are what their names and their messages say.

Rule: as `spool verify`, which runs them: everything is read, also each file for its digest, and nothing is changed.
"""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING

from maestro_broker.core.sending.attached import is_digest
from maestro_broker.files.file_findings import VerifyFinding, status_of, visible_names

from .blob_store import FILES_SUFFIX, BlobStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from maestro_schemas.messages import Attachment, Message

_DAMAGED = "Ask its sender to send it again, and remove the damaged one."


class BlobChecks:
    """The checks of one data directory."""

    def __init__(self, store: BlobStore, look: Callable[[], None]) -> None:
        """`look` is called for each file."""
        self._store = store
        self._look = look
        # The blobs whose digest was found to be right, by their file.
        self._right: dict[tuple[int, int], str] = {}

    def blobs(self) -> Iterator[VerifyFinding]:
        """Each blob has the digest that its name says."""
        top = self._store.blobs_dir
        for folder in visible_names(top):
            for name in visible_names(os.path.join(top, folder)):
                path = os.path.join(top, folder, name)
                self._look()
                if not is_digest(name) or name[:2] != folder:
                    yield VerifyFinding(path, "it is no attached file", f"rm {path}", harmless=True)
                    continue
                status = status_of(path)
                if status is None:
                    continue
                why = self._wrong(path, status, name)
                if why:
                    yield VerifyFinding(path, why, _DAMAGED)
                elif status.st_mode & (stat.S_IWUSR | stat.S_IXUSR):
                    yield VerifyFinding(path, "it can be changed", f"chmod 400 {path}", harmless=True)

    def of_message(self, message: Message) -> Iterator[VerifyFinding]:
        """Each file of a message is beside it, with its content."""
        folder = self._store.folder(message.receiver, message.id)
        for attachment in message.attachments:
            path = os.path.join(folder, attachment.name)
            self._look()
            status = status_of(path)
            if status is not None:
                why = self._wrong_beside(path, status, attachment)
                todo = _DAMAGED
            elif status_of(folder.removesuffix(FILES_SUFFIX) + ".json") is None:
                return  # the message was removed meanwhile
            else:
                blob = self._store.path(attachment.sha256)
                why = "the message names it, and it is not there"
                todo = f"mkdir -p {folder} && ln {blob} {path}" if os.path.lexists(blob) else _DAMAGED
            if why:
                yield VerifyFinding(path, why, todo)
        names = {attachment.name for attachment in message.attachments}
        for name in visible_names(folder):
            if name not in names:
                path = os.path.join(folder, name)
                yield VerifyFinding(path, "its message names no such file", f"rm {path}", harmless=True)

    def orphan(self, folder: str) -> Iterator[VerifyFinding]:
        """A folder of files belongs to a message."""
        if status_of(folder.removesuffix(FILES_SUFFIX) + ".json") is None and status_of(folder) is not None:
            yield VerifyFinding(
                folder,
                "the message of these files is not there",
                "The sweep removes it within the hour.",
                harmless=True,
            )

    def _wrong_beside(self, path: str, status: os.stat_result, attachment: Attachment) -> str:
        if status.st_size != attachment.size:
            return f"it has {status.st_size:,} bytes, and its message says {attachment.size:,}"
        if self._right.get((status.st_dev, status.st_ino)) == attachment.sha256:
            return ""
        return self._wrong(path, status, attachment.sha256)

    def _wrong(self, path: str, status: os.stat_result, sha256: str) -> str:
        """What is wrong with a file that should have this digest."""
        if not stat.S_ISREG(status.st_mode):
            return "it is no regular file"
        try:
            with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            return ""
        except OSError as error:
            return f"it can't be read: {error.strerror}"
        if found != sha256:
            return f"its content has the digest {found}, not {sha256}"
        self._right[status.st_dev, status.st_ino] = sha256
        return ""
