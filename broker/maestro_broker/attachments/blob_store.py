"""Blob store: the attached files of a data directory, each once, by the digest of its content.

Rule: `attachments/blobs/ab/<sha256>` is whole, has that digest, and is durable, or it does not count as there. It is
never changed. `attachments/parts` has uploads that are not finished. Beside each receiver's message is a folder
`<id>.files` with a hard link to each of its files under the sender's name, so a blob with one link is named by no
message. Where no further link can be made there is a copy instead.

Three threads use it: the main loop, the spool writer's, and that which finishes uploads (`blob_finisher`). A blob
that the main loop has just named is safe from collection: its age begins again under the lock under which a
collection looks at it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from maestro_broker.files import disk
from maestro_runtime import atomic_file
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from maestro_schemas.messages import Attachment, Message

FILES_SUFFIX = ".files"
# A file that no message names is kept for this time, in which its sender names it.
UNNAMED_MS = 3_600_000
_MODE = 0o400
_FOLDER_MODE = 0o700
_GONE_SUFFIX = ".gone"
_NEW_SUFFIX = ".new"
_COPY_BYTES = 1 << 20
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# No link can be made to this file, or none at all on this file system.
_NO_LINK = (errno.EMLINK, errno.EPERM, errno.EXDEV, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


class StoreSize(NamedTuple):
    """What the store holds."""

    blobs: int
    # Of blobs and of parts.
    total_bytes: int


class BlobStore:
    """The files of one data directory."""

    def __init__(self, data: str) -> None:
        self._data = data
        self._top = os.path.join(data, "attachments")
        self.blobs_dir = os.path.join(self._top, "blobs")
        self.parts_dir = os.path.join(self._top, "parts")
        self._receivers = os.path.join(data, "messages", "by-receiver")
        self._lock = Lock()
        self._count = 0
        self._bytes = 0
        # Blobs that have their name and are not durable yet.
        self._settling: set[str] = set()
        # The digests of each folder that could not be made yet, whose message is accepted.
        self._unmade: dict[str, frozenset[str]] = {}

    def measure(self) -> None:
        """At a start: count what is there, and remove what a collection left behind."""
        count = total_bytes = 0
        for entry in self._entries():
            if entry.name.endswith(_GONE_SUFFIX):
                os.unlink(entry.path)
                continue
            count += 1
            total_bytes += entry.stat(follow_symlinks=False).st_size
        for part in _entries(self.parts_dir):
            total_bytes += part.stat(follow_symlinks=False).st_size
        self._count, self._bytes = count, total_bytes

    @property
    def size(self) -> StoreSize:
        """What the store holds now."""
        return StoreSize(self._count, self._bytes)

    def path(self, sha256: str) -> str:
        """Where a blob is."""
        return f"{self.blobs_dir}/{sha256[:2]}/{sha256}"

    def folder(self, receiver: str, message_id: str) -> str:
        """The folder of a message's files, beside the message of this receiver."""
        return f"{self._receivers}/{receiver}/{message_id}{FILES_SUFFIX}"

    # --- blobs -------------------------------------------------------------------------------------------

    def touch(self, sha256: str) -> int | None:
        """The size of a blob that is there; its age begins again. None if it is not there. Raises OSError."""
        path = self.path(sha256)
        with self._lock:
            if sha256 in self._settling:
                return None
            try:
                status = os.lstat(path)
                if not stat.S_ISREG(status.st_mode):
                    return None
                os.utime(path, follow_symlinks=False)
            except FileNotFoundError:
                return None
            return status.st_size

    def adopt(self, path: str, sha256: str, size: int) -> None:
        """Make a file in `parts_dir` the blob of this digest, durably; or drop it, if that is there.

        Reads the whole file, and waits for the disk. Raises MaestroError BLOB_MISMATCH, and the file is then removed;
        OSError, and it is still there.
        """
        if not stat.S_ISREG(os.lstat(path).st_mode):
            self.drop_part(path)
            raise MaestroError("BLOB_MISMATCH", f"what came for {sha256} is no regular file", "Put the file itself.")
        fd = os.open(path, _READ)
        try:
            found = os.fstat(fd)
            with open(fd, "rb", closefd=False) as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest != sha256 or found.st_size != size:
                self.drop_part(path)
                raise MaestroError(
                    "BLOB_MISMATCH",
                    f"what came for {sha256} has the digest {digest} and {found.st_size:,} of {size:,} bytes, and "
                    "was removed",
                    "Put it again from its beginning. If it changes all the time, attach a copy of it.",
                )
            os.fchmod(fd, _MODE)
            os.fsync(fd)
        finally:
            os.close(fd)
        target = self.path(sha256)
        self._make_durably(os.path.dirname(target))
        with self._lock:
            if os.path.isfile(target) and not os.path.islink(target):
                os.unlink(path)
                self._bytes -= size
                os.utime(target, follow_symlinks=False)
            else:
                os.rename(path, target)
                self._count += 1
                self._settling.add(sha256)
        atomic_file.sync_directory(os.path.dirname(target))
        self._settling.discard(sha256)

    def collect(self, sha256: str, now_ms: int, *, dry_run: bool = False) -> int | None:
        """Remove a blob that no message names and that is old; the bytes that it had. None if it stays.

        The decision is one look and one rename, under the lock; the file itself is removed after it.
        """
        path = self.path(sha256)
        aside = f"{path}{_GONE_SUFFIX}"
        with self._lock:
            try:
                status = os.lstat(path)
            except FileNotFoundError:
                return None
            if status.st_nlink > 1 or status.st_mtime_ns // 1_000_000 > now_ms - UNNAMED_MS:
                return None
            if any(sha256 in digests for digests in self._unmade.values()):
                return None
            if dry_run:
                return status.st_size
            os.rename(path, aside)
            self._count -= 1
            self._bytes -= status.st_size
        os.unlink(aside)
        return status.st_size

    def digests(self) -> Iterator[str]:
        """The digests of all blobs, one after the other."""
        for entry in self._entries():
            if not entry.name.endswith(_GONE_SUFFIX):
                yield entry.name

    # --- parts -------------------------------------------------------------------------------------------

    def part_path(self, sha256: str, size: int, caller: str) -> str:
        """Where an upload of this caller is, until it is finished. Each caller has its own, so no other one can put
        wrong bytes into it."""
        return f"{self.parts_dir}/{sha256}.{size}.{caller}"

    def part_bytes(self, path: str) -> int | None:
        """How much of an upload is there; None if it has not begun. Raises OSError."""
        try:
            return os.lstat(path).st_size
        except FileNotFoundError:
            return None

    def uploads_of(self, caller: str) -> int:
        """How many uploads of this caller are not finished."""
        return sum(entry.name.endswith(f".{caller}") for entry in _entries(self.parts_dir))

    def append(self, path: str, held: int, data: bytes) -> None:
        """Add bytes to an upload. Raises OSError; then it has `held` bytes as before."""
        if not os.path.isdir(self.parts_dir):
            self._make_durably(self.parts_dir)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        try:
            written = 0
            try:
                while written < len(data):
                    written += os.pwrite(fd, data[written:], held + written)
            except OSError:
                os.ftruncate(fd, held)
                raise
        finally:
            os.close(fd)
        with self._lock:
            self._bytes += len(data)

    def drop_part(self, path: str) -> int:
        """Remove an upload; the bytes that it had."""
        with self._lock, contextlib.suppress(FileNotFoundError):
            size = os.lstat(path).st_size
            os.unlink(path)
            self._bytes -= size
            return size
        return 0

    def begin_with(self, source: str, path: str) -> None:
        """Begin an upload with the whole of another file of this user, which stays. Raises OSError."""
        self._make_durably(self.parts_dir)
        self.drop_part(path)
        os.link(source, path, follow_symlinks=False)
        with self._lock:
            self._bytes += os.lstat(path).st_size

    # --- beside the messages -----------------------------------------------------------------------------

    def link(self, receiver: str, message: Message) -> list[str]:
        """Make a message's files beside a receiver's; what is there is kept, since a replay makes the same again.
        Returns the names whose blobs are not there. Raises OSError; the blobs then stay until a later call."""
        folder = self.folder(receiver, message.id)
        with self._lock:
            self._unmade[folder] = frozenset(each.sha256 for each in message.attachments)
        missing = self._linked(folder, message.attachments)
        with self._lock:
            self._unmade.pop(folder, None)
        return missing

    def _linked(self, folder: str, attachments: Sequence[Attachment]) -> list[str]:
        with contextlib.suppress(FileExistsError):
            try:
                os.mkdir(folder, _FOLDER_MODE)
            except FileNotFoundError:  # the receiver's first mail
                os.makedirs(folder, _FOLDER_MODE)
        missing = []
        for each in attachments:
            target = f"{folder}/{each.name}"
            try:
                os.link(self.path(each.sha256), target, follow_symlinks=False)
            except FileExistsError:
                continue
            except FileNotFoundError:
                if not os.path.lexists(target):
                    missing.append(each.name)
            except OSError as error:
                if error.errno not in _NO_LINK:
                    raise
                self._copy(self.path(each.sha256), folder, each.name)
        return missing

    def unlink(self, folder: str) -> int:
        """Remove a message's files with their folder; how many there were. What is no file of ours stays."""
        removed = 0
        with self._lock:
            self._unmade.pop(folder, None)
        try:
            names = os.listdir(folder)
        except (FileNotFoundError, NotADirectoryError):
            return 0
        for name in names:
            with contextlib.suppress(FileNotFoundError, IsADirectoryError, PermissionError):
                os.unlink(f"{folder}/{name}")
                removed += 1
        try:
            os.rmdir(folder)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST):
                raise
        return removed

    def read(self, attachment: Attachment, folder: str, offset: int, limit: int) -> bytes | None:
        """A part of a message's file; None if it is not there, or has another size. Raises OSError.

        The file beside the message comes second: it is there alone where a data directory was copied without links.
        """
        for path in (self.path(attachment.sha256), f"{folder}/{attachment.name}"):
            try:
                fd = os.open(path, _READ)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.ENXIO):
                    continue
                raise
            try:
                status = os.fstat(fd)
                if stat.S_ISREG(status.st_mode) and status.st_size == attachment.size:
                    return os.pread(fd, limit, offset)
            finally:
                os.close(fd)
        return None

    def _copy(self, source: str, folder: str, name: str) -> None:
        aside = f"{folder}/.{name}{_NEW_SUFFIX}"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(aside)
        fd = os.open(source, _READ)
        try:
            to = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
            try:
                held = 0
                while content := os.pread(fd, _COPY_BYTES, held):
                    held += os.write(to, content)
            finally:
                os.close(to)
        finally:
            os.close(fd)
        os.rename(aside, f"{folder}/{name}")

    # --- folders -----------------------------------------------------------------------------------------

    def _make_durably(self, directory: str) -> None:
        """Make a folder and those above it up to the data directory, with their names on disk."""
        if directory == self._data or os.path.isdir(directory):
            return
        above = os.path.dirname(directory)
        self._make_durably(above)
        with contextlib.suppress(FileExistsError):
            os.mkdir(directory, _FOLDER_MODE)
            os.chmod(directory, _FOLDER_MODE)
        atomic_file.sync_directory(above)

    def _entries(self) -> Iterator[os.DirEntry[str]]:
        for folder in _entries(self.blobs_dir):
            yield from _entries(folder.path)


def storage_full(limit: int, actual: int) -> MaestroError:
    """The error for an upload that the store has no room for."""
    return MaestroError(
        "STORAGE_FULL",
        f"with this file all attached files would have {actual:,} bytes, and the limit is {limit:,}",
        "Files go with their messages: delete some, or `maestro spool prune`. The limit is "
        "MAESTRO_ATTACHMENTS_TOTAL_BYTES_MAX of the broker. Reading goes on.",
        http_hint="Files go with their messages: delete some, or send the path of the file.",
        retry_after_s=60.0,
        limit=limit,
        actual=actual,
    )


def no_space(error: OSError, data: str) -> MaestroError | None:
    """STORAGE_FULL where the disk is full; None for another error."""
    return disk.storage_full(data) if error.errno in disk.FULL else None


def _entries(directory: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as found:
            yield from found
    except (FileNotFoundError, NotADirectoryError):
        return
