"""Spool: the mail as files, readable with `ls` and `cat`.

Rule: `messages/by-receiver/<session>/<id>.json` is the documented Message, replaced atomically; `by-sender` has links
to it. The spool follows the journal: it may lag behind it and, after a crash, be ahead of the last checkpoint. An
unreadable file is moved to `messages/quarantine` and reported, never dropped. A message's file is writable by its
owner (0600) while the message is pending, and read-only (0400) afterwards, so that the pending mail of a long mailbox
is found without reading all of it. The mode is a hint, since any program can change it: readers count the messages.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from maestro_broker.files import disk
from maestro_runtime import atomic_file
from maestro_schemas.messages import Message
from maestro_schemas.names import is_id
from maestro_schemas.sessions import StoredSession

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

PENDING_MARKER = ".pending"
SUFFIX = ".json"
_ASIDE = ".tmp"
MODE_PENDING = 0o600
MODE_FINAL = 0o400
# Longer than nearly every message.
_READ_BYTES = 1 << 15
# Up to this number, files are synced one by one; more are synced by one sync of the whole file system.
_FSYNC_EACH = 8

# Two lookups precede every accepted message: was this id sent before, and is it in the mailbox. Both nearly always
# find nothing, within a microsecond. `os` would release the interpreter's lock for each and then wait for the spool
# writer's thread, which cost a fifth of the loop's time; PyDLL keeps the lock.
_libc = ctypes.PyDLL(None)
_libc.access.argtypes = (ctypes.c_char_p, ctypes.c_int)
_libc.readlink.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t)
_libc.readlink.restype = ctypes.c_ssize_t
_scrap = ctypes.create_string_buffer(1)

_encode = msgspec.json.Encoder().encode
_message_decoder = msgspec.json.Decoder(Message)
_session_decoder = msgspec.json.Decoder(StoredSession)


class UnreadableSession(NamedTuple):
    """A session file that does not hold the session of its name."""

    path: str
    session: str
    why: str


# Errors that concern one file alone: it is a directory, a socket, a FIFO that has a writer, or a circle of links; or
# this user may not read it.
_OF_THE_FILE = (errno.EISDIR, errno.ENXIO, errno.EAGAIN, errno.ELOOP, errno.EACCES)


class Spool:
    """The files of one data directory. `report(text)` gets a sentence for each file that is quarantined."""

    def __init__(self, data: str, report: Callable[[str], None]) -> None:
        self._receivers = os.path.join(data, "messages", "by-receiver")
        self._senders = os.path.join(data, "messages", "by-sender")
        self._threads = os.path.join(data, "messages", "by-thread")
        self._quarantine = os.path.join(data, "messages", "quarantine")
        self._sessions = os.path.join(data, "sessions")
        self._report = report
        self._made: set[str] = set()
        for directory in (self._receivers, self._senders, self._threads, self._quarantine, self._sessions):
            os.makedirs(directory, mode=0o700, exist_ok=True)

    # --- writing, by the spool writer's thread -------------------------------------------------------------

    def write_message(self, message: Message) -> None:
        """Create or replace a message's file. Raises OSError."""
        directory = os.path.join(self._receivers, message.receiver)
        self._make(directory)
        _replace(directory, message.id + SUFFIX, _encode(message) + b"\n", _mode_of(message))

    def rewrite_messages(self, messages: Collection[Message]) -> None:
        """As `write_message`, for messages whose text the journal may have released: the new file is synced before it
        replaces the old one, or a power cut might leave neither. Raises OSError."""
        few = len(messages) <= _FSYNC_EACH
        staged: list[tuple[str, str]] = []
        for message in messages:
            directory = os.path.join(self._receivers, message.receiver)
            self._make(directory)
            aside = _aside(directory, message.id + SUFFIX)
            staged.append((aside, os.path.join(directory, message.id + SUFFIX)))
            atomic_file.stage(aside, _encode(message) + b"\n", mode=_mode_of(message), durable=few)
        if not few:
            disk.sync_file_system(self._receivers)
        for aside, path in staged:
            os.rename(aside, path)

    def link_sent(self, message: Message) -> None:
        """Make the sender's link, and the thread's if the message answers another."""
        self._link(os.path.join(self._senders, message.sender), message)
        thread_id = message.meta.thread_id
        if thread_id is not None:
            self._link(os.path.join(self._threads, thread_id), message)

    def _link(self, directory: str, message: Message) -> None:
        """An existing link is kept: a replay makes the same links again."""
        self._make(directory)
        target = f"../../by-receiver/{message.receiver}/{message.id}{SUFFIX}"
        with contextlib.suppress(FileExistsError):
            os.symlink(target, os.path.join(directory, message.id + SUFFIX))

    def remove_message(self, receiver: str, message_id: str) -> None:
        """Remove a message's file; the sender's link remains as its tombstone."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self._receivers, receiver, message_id + SUFFIX))

    def remove_folder(self, directory: str) -> None:
        """Remove an empty folder of links or mail. Raises OSError, also if it is not empty."""
        os.rmdir(directory)
        self._made.discard(directory)

    def forget_session(self, session: str) -> None:
        """Remove a session's file and its empty folders. The sweep removes the others once they are empty."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self._sessions, session + SUFFIX))
        self.mark(session, pending=False)
        for folder in (self._receivers, self._senders):
            with contextlib.suppress(OSError):
                self.remove_folder(os.path.join(folder, session))

    def write_session(self, stored: StoredSession) -> None:
        """Create or replace a session's file (0600: it holds the token's hash), and its mailbox's folder."""
        _replace(self._sessions, stored.session.id + SUFFIX, _encode(stored) + b"\n", MODE_PENDING)
        self._make(os.path.join(self._receivers, stored.session.id))

    # --- the marker, by the main loop --------------------------------------------------------------------

    def mark(self, session: str, *, pending: bool) -> bool:
        """Create or remove `.pending`; false if the disk has no space for it. Raises OSError for other errors."""
        path = os.path.join(self._receivers, session, PENDING_MARKER)
        if not pending:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            return True
        try:
            try:
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            except FileNotFoundError:
                os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            if error.errno not in disk.FULL:
                raise
            return False
        return True

    def is_marked(self, session: str) -> bool:
        """Whether `.pending` exists."""
        return os.path.lexists(os.path.join(self._receivers, session, PENDING_MARKER))

    # --- reading, by the main loop -----------------------------------------------------------------------

    def mailbox_dir(self, session: str) -> str:
        """The folder of a session's mailbox."""
        return os.path.join(self._receivers, session)

    def read_message(self, session: str, message_id: str) -> Message | None:
        """One message of a mailbox; None if there is no such file, or an unreadable one, which is quarantined."""
        directory = f"{self._receivers}/{session}"
        if not _exists(f"{directory}/{message_id}{SUFFIX}"):
            return None
        return self.read_file(directory, message_id + SUFFIX, session)

    def peek(self, path: str) -> Message | None:
        """The message in a file; None if it is missing or unreadable. Quarantines nothing."""
        try:
            return _message_decoder.decode(_content(path))
        except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError, IsADirectoryError):
            return None

    def link_target(self, sender: str, message_id: str) -> str | None:
        """The receiver of a sender's message, even if the message was deleted; None if it was never sent."""
        return _receiver_of(f"{self._senders}/{sender}/{message_id}{SUFFIX}")

    def answers(self, thread_id: str) -> dict[str, str]:
        """The receiver of each message of a thread, by id, without the thread's first message."""
        directory = os.path.join(self._threads, thread_id)
        try:
            names = os.listdir(directory)
        except FileNotFoundError:
            return {}
        found = {name.removesuffix(SUFFIX): _receiver_of(f"{directory}/{name}") for name in names}
        return {message_id: receiver for message_id, receiver in found.items() if receiver and is_id(message_id)}

    def holders(self, message_id: str) -> list[str]:
        """The sessions whose mailbox has a message with this id: one system call for each mailbox."""
        return [
            session for session in self.mailboxes() if _exists(f"{self._receivers}/{session}/{message_id}{SUFFIX}")
        ]

    def mailboxes(self) -> list[str]:
        """The sessions that have a mailbox."""
        return [name for name in os.listdir(self._receivers) if is_id(name)]

    def senders(self) -> list[str]:
        """The sessions that have sent messages."""
        return [name for name in os.listdir(self._senders) if is_id(name)]

    def read_sessions(self) -> tuple[list[StoredSession], list[UnreadableSession]]:
        """All sessions, and the unreadable files, for the caller to quarantine if no replay writes them again."""
        found: list[StoredSession] = []
        broken: list[UnreadableSession] = []
        for name in sorted(os.listdir(self._sessions)):
            if name.startswith(".") or not name.endswith(SUFFIX):
                continue
            path = os.path.join(self._sessions, name)
            session = name.removesuffix(SUFFIX)
            try:
                stored = _session_decoder.decode(_content(path))
            except (msgspec.MsgspecError, UnicodeDecodeError, OSError) as error:
                if isinstance(error, OSError) and error.errno not in _OF_THE_FILE:
                    raise
                broken.append(UnreadableSession(path, session, f"a session's file can't be read: {error}"))
                continue
            if stored.session.id == session:
                found.append(stored)
            else:
                why = f"a session's file holds another session, {stored.session.id!r}"
                broken.append(UnreadableSession(path, session, why))
        return found, broken

    def read_file(self, directory: str, name: str, session: str) -> Message | None:
        """The message in one file of a mailbox; None if it is gone, or unreadable and therefore quarantined."""
        path = os.path.join(directory, name)
        if not name.endswith(SUFFIX):
            self.quarantine(path, "a file in a mailbox is no message")
            return None
        try:
            message = _message_decoder.decode(_content(path))
        except FileNotFoundError:
            return None
        except (msgspec.MsgspecError, UnicodeDecodeError, OSError) as error:
            if isinstance(error, OSError) and error.errno not in _OF_THE_FILE:
                raise
            self.quarantine(path, f"a message's file can't be read: {error}")
            return None
        if message.id + SUFFIX != name or message.receiver != session:
            self.quarantine(path, f"a message's file holds another message, {message.id!r} to {message.receiver!r}")
            return None
        return message

    def quarantine(self, path: str, why: str) -> None:
        """Move a file to the quarantine, under a name that contains its folder's, and report it."""
        parent, name = os.path.split(path)
        base = os.path.join(self._quarantine, f"{os.path.basename(parent)}--{name}")
        target, number = base, 1
        while os.path.lexists(target):
            target, number = f"{base}.{number}", number + 1
        with contextlib.suppress(FileNotFoundError):
            os.rename(path, target)
            self._report(f"{why}: {path} is now {target}")

    def _make(self, directory: str) -> None:
        if directory not in self._made:
            os.makedirs(directory, mode=0o700, exist_ok=True)
            self._made.add(directory)


def will_be_read(path: str) -> None:
    """Let the kernel read a file ahead of its use."""
    with contextlib.suppress(OSError, AttributeError):  # macOS has no such call
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_WILLNEED)
        finally:
            os.close(fd)


def _content(path: str) -> bytes:
    # Not `open`, whose objects cost three times as much as the system calls, a thousand times for a mailbox.
    # O_NONBLOCK: a FIFO is not waited for, and looks like an empty file.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        content = os.read(fd, _READ_BYTES)
        if len(content) == _READ_BYTES:
            parts = [content]
            while part := os.read(fd, _READ_BYTES):
                parts.append(part)
            content = b"".join(parts)
        return content
    finally:
        os.close(fd)


def _exists(path: str) -> bool:
    return bool(_libc.access(path.encode(), os.F_OK) == 0)


def _receiver_of(link: str) -> str | None:
    """The session into whose mailbox a link leads."""
    target = read_link(link)
    if target is None:
        return None
    parts = target.split("/")
    return parts[-2] if len(parts) > 1 and is_id(parts[-2]) else None


def read_link(path: str) -> str | None:
    """The target of a symbolic link; None for anything else."""
    if _libc.readlink(path.encode(), _scrap, 1) < 0:
        return None
    try:
        return os.readlink(path)
    except OSError:  # removed since
        return None


def _mode_of(message: Message) -> int:
    return MODE_PENDING if message.status == "pending" else MODE_FINAL


def _replace(directory: str, name: str, content: bytes, mode: int) -> None:
    """Not synced: the journal keeps the content until a checkpoint has synced the file system."""
    path, aside = os.path.join(directory, name), _aside(directory, name)
    atomic_file.replace(path, content, mode=mode, durable=False, aside=aside)


def _aside(directory: str, name: str) -> str:
    """The temporary path of a file: hidden, so that nothing takes it for mail."""
    return os.path.join(directory, f".{name}{_ASIDE}")
