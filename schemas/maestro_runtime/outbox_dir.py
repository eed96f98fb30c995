"""Outbox directory: the files of sends that no broker has accepted yet.

Rule: an entry is complete or absent, durable once `add` returns, and readable by its owner only, since it holds the
sender's token. Clients add entries. One drain at a time takes them, oldest first in each session: the local broker,
or, for a broker on another machine, one of this machine's clients.

`<session>/<time>-<id>.json` waits, `*.failed` was refused for good and holds the reason, `*.unreadable` is no entry.
`blobs/<sha256>` is the content of a file that entries name: `OutboxBlobs` has the rules of these.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from maestro_schemas import outbox_entry
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import is_id
from maestro_schemas.outbox_entry import FAILED_SUFFIX, QUEUED_AT_MS_MAX, TIME_DIGITS, WAITING_SUFFIX

from . import atomic_file, places

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from maestro_schemas.outbox_entry import OutboxEntry

# It may be a session's folder, too: their files have other names.
BLOBS = "blobs"
_DIGEST_CHARS = 64
_BLOB_MODE = 0o400
_UNREADABLE_SUFFIX = ".unreadable"
# No setting allows a message above 16 MiB on the wire; JSON escapes can make it longer.
_ENTRY_BYTES_MAX = 64 << 20
# A drain removes empty folders, so a client may find its folder gone this often.
_TRIES = 100


class QueuedEntry(NamedTuple):
    """An entry and the path of its file."""

    path: str
    entry: OutboxEntry


class OutboxBlobs:
    """The contents of files that entries name, in the folder at `path`. Every method raises OSError.

    A content is durable before the entry that names it, under its digest in hex. What no entry names is removed. A
    client holds a shared lock on the folder from the first content to the entry, and who removes holds the exclusive
    one: so nothing is removed between the two, and the lock of a killed client is gone with it.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def file(self, sha256: str) -> str | None:
        """The path of a content; None for what is no digest."""
        return os.path.join(self.path, sha256) if _is_digest(sha256) else None

    def read(self, sha256: str, bytes_max: int) -> bytes | None:
        """A content, at most `bytes_max` of it; None where it is not there."""
        path = self.file(sha256)
        try:
            return None if path is None else places.read(path, bytes_max)
        except FileNotFoundError:
            return None

    @contextlib.contextmanager
    def kept(self, files: Mapping[str, bytes]) -> Iterator[None]:
        """Store contents durably, and keep them until the block has ended; then an entry names them."""
        fd = self._locked()
        try:
            for sha256, content in files.items():
                path = os.path.join(self.path, sha256)
                if not _is_whole(path, len(content)):
                    aside = os.path.join(self.path, f".{os.getpid()}-{sha256}.new")
                    atomic_file.replace(path, content, durable=True, mode=_BLOB_MODE, aside=aside)
            atomic_file.sync_directory(os.path.dirname(self.path))
            yield
        finally:
            os.close(fd)

    def collect(self, named: Callable[[], set[str]]) -> None:
        """Remove the contents that `named` does not have, unless a client adds some at the moment. `named` is asked
        while no client does."""
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            names = os.listdir(self.path)
            kept = named() if names else set()
            for name in names:
                # Also what a killed client has left half written. Other names are not ours.
                if name not in kept and (_is_digest(name) or name.startswith(".")):
                    os.unlink(os.path.join(self.path, name))
            with contextlib.suppress(OSError):
                os.rmdir(self.path)
        except BlockingIOError:
            return
        finally:
            os.close(fd)

    def _locked(self) -> int:
        for _ in range(_TRIES):
            # A collection may remove it at any moment until it is locked.
            with contextlib.suppress(FileNotFoundError):
                places.make_directory(self.path)
                fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                fcntl.flock(fd, fcntl.LOCK_SH)
                # Removed before it was locked: what is written into it would be lost.
                with contextlib.suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(fd), os.stat(self.path)):
                        return fd
                os.close(fd)
        raise FileNotFoundError(f"{self.path} is removed again and again")


class OutboxDir:
    """The outbox at `path`. Every method raises OSError for what it does not handle itself."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.blobs = OutboxBlobs(os.path.join(path, BLOBS))

    # --- reading -----------------------------------------------------------------------------------------

    def sessions(self) -> list[str]:
        """The senders that have a folder."""
        return [name for name in _names(self.path) if is_id(name)]

    def waiting_paths(self, session: str) -> list[str]:
        """The entries that wait, oldest first. No entry is missing that is older than the last one listed.

        One listing of a folder that grows meanwhile can show an entry and not an older one (seen on ext4 from some
        400 entries on). All entries of the first listing, and all older ones, existed before the second began.
        """
        folder = os.path.join(self.path, session)
        first = _names(folder, WAITING_SUFFIX)
        if not first:
            return []
        return [os.path.join(folder, name) for name in _names(folder, WAITING_SUFFIX) if name <= first[-1]]

    def entries(self, session: str | None = None) -> list[QueuedEntry]:
        """All readable entries, by session, then by time; refused ones have `failure`.

        A file that vanishes meanwhile was sent. A file that is no entry is left for the drain to quarantine.
        """
        found: list[QueuedEntry] = []
        for name in self.sessions() if session is None else filter(is_id, [session]):
            folder = os.path.join(self.path, name)
            for path in (os.path.join(folder, name) for name in _names(folder, WAITING_SUFFIX, FAILED_SUFFIX)):
                entry = _read_if_entry(path)
                if entry is not None:
                    found.append(QueuedEntry(path, entry))
        return found

    def counts(self) -> tuple[int, int]:
        """The number of entries that wait, and of refused ones."""
        waiting = failed = 0
        for session in self.sessions():
            folder = os.path.join(self.path, session)
            waiting += len(_names(folder, WAITING_SUFFIX))
            failed += len(_names(folder, FAILED_SUFFIX))
        return waiting, failed

    # --- a client adds -----------------------------------------------------------------------------------

    def add(self, entry: OutboxEntry, files: Mapping[str, bytes] | None = None) -> str:
        """Store an entry durably; return its path. The same send added again is one entry.

        The entry is sorted behind all that wait, whatever its `queued_at`: wall clocks are set back, and two sends
        fall into one millisecond. `entry.session` and the message's id must be ids: they become file names. `files`:
        the contents of the files that the message names, by digest; they are durable before the entry.
        """
        if not files:
            return self._add(entry)
        self._make()
        with self.blobs.kept(files):
            return self._add(entry)

    def _add(self, entry: OutboxEntry) -> str:
        folder = os.path.join(self.path, entry.session)
        same = self._same(entry)
        if same is not None:
            return same
        entry = entry._replace(queued_at=_behind_all(folder, entry.queued_at))
        self._make()
        path = os.path.join(folder, outbox_entry.file_name(entry))
        aside = self._aside(entry)
        atomic_file.stage(aside, outbox_entry.encode(entry), durable=True)
        try:
            _move_into_folder(aside, path)
        except OSError:
            _remove(aside)
            raise
        # The folder's own name may be new.
        atomic_file.sync_directory(self.path)
        return path

    def _make(self) -> None:
        for made in (os.path.dirname(self.path), self.path):
            if not os.path.isdir(made):
                places.make_directory(made)
                atomic_file.sync_directory(os.path.dirname(made))

    def _same(self, entry: OutboxEntry) -> str | None:
        """The path of this very send, if it is there already. Another message of the same id is for the broker to
        judge."""
        folder = os.path.join(self.path, entry.session)
        for name in _names(folder, f"-{entry.outgoing['id']}{WAITING_SUFFIX}"):
            path = os.path.join(folder, name)
            found = _read_if_entry(path)
            if found is not None and (found.outgoing, found.token) == (entry.outgoing, entry.token):
                return path
        return None

    # --- a drain takes -----------------------------------------------------------------------------------

    def remove(self, path: str) -> None:
        """Remove an entry whose message is durable, and its folder if it is then empty."""
        _remove(path)
        self.remove_if_empty(os.path.basename(os.path.dirname(path)))

    def remove_if_empty(self, session: str) -> None:
        """Remove a session's folder if it is empty. A client that adds an entry at this moment makes it again."""
        if session == BLOBS:
            # By `collect_blobs` alone, under its lock.
            return
        try:
            os.rmdir(os.path.join(self.path, session))
        except OSError:
            return

    def keep_as_failed(self, queued: QueuedEntry, error: MaestroError) -> str:
        """Replace an entry that waits by one that records why it was refused for good; return its path."""
        entry = queued.entry._replace(failure=error.body())
        target = queued.path.removesuffix(WAITING_SUFFIX) + FAILED_SUFFIX
        atomic_file.replace(target, outbox_entry.encode(entry), durable=True, aside=self._aside(entry))
        _remove(queued.path)
        return target

    def quarantine(self, path: str) -> str | None:
        """Rename a file that is no entry, so that it is not read again; return its path, None if it is gone."""
        target = path.removesuffix(WAITING_SUFFIX) + _UNREADABLE_SUFFIX
        try:
            os.rename(path, target)
        except FileNotFoundError:
            return None
        return target

    def collect_blobs(self) -> None:
        """Remove the files' contents that no entry names, unless a client is about to add one. Raises OSError."""
        self.blobs.collect(lambda: {digest for queued in self.entries() for digest in queued.entry.digests})

    def _aside(self, entry: OutboxEntry) -> str:
        # Hidden, so that it is no session's name; not in the session's folder, which may be removed while empty.
        return os.path.join(self.path, f".{os.getpid()}-{entry.outgoing['id']}.new")


def is_entry(name: str) -> bool:
    """Whether a file name is an entry's."""
    return name.endswith((WAITING_SUFFIX, FAILED_SUFFIX)) and not name.startswith(".")


def read(path: str, *, any_owner: bool = False) -> OutboxEntry | None:
    """The entry in a file; None if the file is gone.

    `any_owner`: also a file of another user; for a drain it must be false, since an entry speaks for a session.
    Raises MaestroError CORRUPT for a file that is no entry of its folder's session, or OSError.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise MaestroError("CORRUPT", f"can't be read: {error}") from None
        raise
    try:
        status = os.fstat(fd)
        owned = any_owner or status.st_uid in (os.getuid(), 0)
        if not owned or not stat.S_ISREG(status.st_mode):
            raise MaestroError("CORRUPT", "is no file of this user")
        raw = os.read(fd, min(status.st_size, _ENTRY_BYTES_MAX))
    finally:
        os.close(fd)
    entry = outbox_entry.decode(raw)
    if entry.session != os.path.basename(os.path.dirname(path)):
        raise MaestroError("CORRUPT", f"is of session {entry.session}")
    return entry


def _read_if_entry(path: str) -> OutboxEntry | None:
    try:
        return read(path, any_owner=True)
    except MaestroError:
        return None


def _names(folder: str, *suffixes: str) -> list[str]:
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(name for name in names if name.endswith(suffixes or "") and not name.startswith("."))


def _behind_all(folder: str, now_ms: int) -> int:
    times = (name[:TIME_DIGITS] for name in _names(folder, WAITING_SUFFIX))
    newest = max((int(digits) for digits in times if digits.isdecimal()), default=-1)
    return min(max(now_ms, newest + 1), QUEUED_AT_MS_MAX)


def _move_into_folder(aside: str, path: str) -> None:
    """Make the folder again each time that a drain has removed it because it was empty."""
    for attempt in range(_TRIES):
        try:
            _make_folder(os.path.dirname(path))
            fd = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.rename(aside, path)
                # By descriptor: the broker may have taken the entry and removed the folder already.
                os.fsync(fd)
            finally:
                os.close(fd)
        except FileNotFoundError:
            if attempt == _TRIES - 1 or not os.path.exists(aside):
                raise
        else:
            return


def _make_folder(path: str) -> None:
    # Not makedirs(exist_ok=True): it fails if the folder is there at its first look and gone at its second.
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        return


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def _is_whole(path: str, size: int) -> bool:
    try:
        return os.lstat(path).st_size == size
    except OSError:
        return False


def _is_digest(name: str) -> bool:
    return len(name) == _DIGEST_CHARS and not name.strip("0123456789abcdef")
