"""Outgoing files: opens what a sender attaches, and reads each file whole before anything is sent.

Rule: only the client opens a path, never the broker or the gateway: a path that came over a socket would let its
writer read every file of this user. A path is opened without following a link and without waiting. Only a regular
file is read, to the size that it had when it was opened; one that changes meanwhile is refused.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import tempfile
from typing import TYPE_CHECKING, NamedTuple

from maestro_runtime import places
from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import Limits
from maestro_schemas.texts.attachment_names import safe_names

from .media_types import media_type

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from maestro_schemas.documents import AttachmentDoc, OutgoingDoc

_NOTHING_SENT = "Nothing was sent."
_READ_BYTES = 1 << 20


class OutgoingFile(NamedTuple):
    """A file as it was read."""

    name: str
    # A media type, by the name.
    type: str
    content: bytes
    # The digest of the content in hex.
    sha256: str

    def part(self, offset: int, count: int) -> bytes:
        """These bytes of the content."""
        return self.content[offset : offset + count]

    def document(self) -> AttachmentDoc:
        """How a message names it."""
        return {"name": self.name, "size": len(self.content), "type": self.type, "sha256": self.sha256}


class FileBounds(NamedTuple):
    """What the files of one message must keep to."""

    file_bytes_max: int
    files_max: int
    message_bytes_max: int
    # Where they must lie; None: anywhere.
    below: tuple[str, ...] | None = None

    @classmethod
    def of(cls, limits: Mapping[str, int] | None, below: Sequence[str] | None = None) -> FileBounds:
        """From a broker's limits, as its `hello` has them; without a broker, the shipped ones."""
        given, shipped = limits or {}, Limits()
        return cls(
            given.get("attachment_bytes_max", shipped.attachment_bytes_max),
            given.get("attachments_max", shipped.attachments_max),
            given.get("message_attachments_bytes_max", shipped.message_attachments_bytes_max),
            None if below is None else tuple(map(os.path.realpath, below)),
        )


def folders_of(cwd: str | None) -> tuple[str, ...]:
    """Where the files of a session must lie that sends to another machine. `cwd`: the session's own directory;
    without one, that of this process."""
    own = cwd or places.current_directory()
    return (*([own] if own else []), tempfile.gettempdir())


def read(paths: Sequence[str | os.PathLike[str]], bounds: FileBounds) -> list[OutgoingFile]:
    """The files at these paths, in their order. All are opened and measured before the first is read.

    Raises MaestroError ATTACHMENT_UNUSABLE, ATTACHMENT_TOO_LARGE, ATTACHMENT_OUTSIDE, or TOO_MANY.
    """
    if len(paths) > bounds.files_max:
        raise MaestroError(
            "TOO_MANY",
            f"{len(paths):,} files are attached, and the limit is {bounds.files_max:,} for a message",
            f"{_NOTHING_SENT} Send them in several messages, or as one archive.",
            limit=bounds.files_max,
            actual=len(paths),
        )
    shown = [os.fspath(path) for path in paths]
    with contextlib.ExitStack() as opened:
        files = [opened.enter_context(_opened(path)) for path in shown]
        for path, fd in zip(shown, files, strict=True):
            _check_place(path, fd, bounds)
        sizes = [os.fstat(fd).st_size for fd in files]
        _check_sizes(shown, sizes, bounds)
        contents = [_content(path, fd) for path, fd in zip(shown, files, strict=True)]
    names = safe_names([os.path.basename(path) for path in shown])
    return [
        OutgoingFile(name, media_type(name), content, hashlib.sha256(content).hexdigest())
        for name, content in zip(names, contents, strict=True)
    ]


def attach(outgoing: OutgoingDoc, files: Sequence[OutgoingFile]) -> None:
    """Let a message name the files."""
    if files:
        outgoing["attachments"] = [file.document() for file in files]


@contextlib.contextmanager
def _opened(path: str) -> Iterator[int]:
    try:
        # A device may act on being opened.
        _check_kind(path, os.lstat(path).st_mode)
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _link(path) from None
        raise _unusable(path or "''", f"can't be opened: {error.strerror or error}") from None
    except ValueError as error:
        raise _unusable(path, f"can't be a path: {error}") from None
    try:
        _check_kind(path, os.fstat(fd).st_mode)
        yield fd
    finally:
        os.close(fd)


def _check_kind(path: str, mode: int) -> None:
    if stat.S_ISLNK(mode):
        raise _link(path)
    if stat.S_ISDIR(mode):
        raise _unusable(path, "is a directory", "Attach the files in it, or an archive of it.")
    if not stat.S_ISREG(mode):
        kind = {stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}.get(stat.S_IFMT(mode), "a device")
        raise _unusable(path, f"is {kind}, and only a regular file can be attached", "Write it to a file first.")


def _check_place(path: str, fd: int, bounds: FileBounds) -> None:
    if bounds.below is None:
        return
    real = os.path.realpath(path)
    try:
        found = os.stat(real)
    except OSError:
        raise _unusable(path, "was replaced while it was opened") from None
    opened = os.fstat(fd)
    if (found.st_dev, found.st_ino) != (opened.st_dev, opened.st_ino):
        raise _unusable(path, "was replaced while it was opened")
    if not any(places.is_below(real, folder) for folder in bounds.below):
        allowed = " or ".join(map(places.quoted, bounds.below))
        raise MaestroError(
            "ATTACHMENT_OUTSIDE",
            f"{places.shown(path)} lies outside the session's directory, and the broker is on another machine",
            f"{_NOTHING_SENT} Copy it below {allowed} if it may leave this machine.",
        )


def _check_sizes(paths: Sequence[str], sizes: Sequence[int], bounds: FileBounds) -> None:
    for path, size in zip(paths, sizes, strict=True):
        if size > bounds.file_bytes_max:
            raise _too_large(f"{places.shown(path)} has", size, bounds.file_bytes_max, "a file", "Make it smaller.")
    if sum(sizes) > bounds.message_bytes_max:
        many = "Send them in several messages."
        raise _too_large("the attached files have", sum(sizes), bounds.message_bytes_max, "a message", many)


def _too_large(what: str, actual: int, limit: int, of: str, hint: str) -> MaestroError:
    return MaestroError(
        "ATTACHMENT_TOO_LARGE",
        f"{what} {actual:,} bytes, and the limit is {limit:,} for {of}",
        f"{_NOTHING_SENT} {hint}",
        limit=limit,
        actual=actual,
    )


def _content(path: str, fd: int) -> bytes:
    before = os.fstat(fd)
    pieces: list[bytes] = []
    left = before.st_size
    try:
        while left and (piece := os.read(fd, min(left, _READ_BYTES))):
            pieces.append(piece)
            left -= len(piece)
        grew = bool(os.read(fd, 1))
    except OSError as error:
        raise _unusable(path, f"can't be read: {error.strerror or error}") from None
    after = os.fstat(fd)
    if not after.st_nlink:
        raise _unusable(path, "was removed while it was read", "Attach it again once it is there.")
    if left or grew or (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise _unusable(path, "changed while it was read", "Send it again once it is complete.")
    return b"".join(pieces)


def _link(path: str) -> MaestroError:
    return _unusable(path, "is a symbolic link, which may lead anywhere", "Attach the file that it leads to.")


def _unusable(path: str, why: str, hint: str = "Check the path.") -> MaestroError:
    return MaestroError("ATTACHMENT_UNUSABLE", f"{places.shown(path)} {why}", f"{_NOTHING_SENT} {hint}")
