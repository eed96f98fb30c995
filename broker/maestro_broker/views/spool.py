"""Spool: the mail as files, readable with `ls` and `cat`.

Rule: `messages/by-receiver/<session>/<id>.json` is the documented Message, made and replaced whole; each receiver has
its own. `by-sender/<session>/<id>.json` leads to it: a link for one delivery, a list for several. `by-thread/<id>/`
leads to the answers of a thread, and `by-group/<name>/` to what was sent to a group (`group_files`). Links go through
`to/<mark>`, which leads to the receiver's mailbox: a target of at most 59 bytes needs no block of its own on ext4.

The spool follows the journal: it may lag behind it and, after a crash, be ahead of the last checkpoint. An unreadable
file is moved to `messages/quarantine` and reported, never dropped. A message's file is writable by its owner (0600)
while the message is pending, and read-only (0400) afterwards, so that the pending mail of a long mailbox is found
without reading all of it. The mode is a hint, since any program can change it: readers count the messages.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from maestro_broker.attachments.blob_store import BlobStore
from maestro_broker.core import retention
from maestro_broker.core.model.records import SentFile
from maestro_broker.files import disk
from maestro_broker.files.markers import Markers
from maestro_broker.files.new_files import NewFiles
from maestro_broker.files.wake_files import WakeFiles
from maestro_runtime import atomic_file
from maestro_schemas.messages import Message
from maestro_schemas.names import ending_of, is_id, mark_of
from maestro_schemas.sessions import StoredSession

from . import sent_list
from .group_files import GroupFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Iterable

    from maestro_broker.core.model.records import Accepted

SUFFIX = ".json"
_ASIDE = ".tmp"
MODE_PENDING = 0o600
MODE_FINAL = 0o400
# Longer than nearly every message.
_READ_BYTES = 1 << 15
# `../../to/<mark>/<name>`, or `../../by-sender/<session>/<name>`.
_LINK_PARTS = 5
# Names that one look for an id's beginning reads: a few ms.
_NAMES_MAX = 20_000
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

    def __init__(self, data: str, report: Callable[[str], None], *, is_read_only: bool = False) -> None:
        self._receivers = os.path.join(data, "messages", "by-receiver")
        self._senders = os.path.join(data, "messages", "by-sender")
        self._threads = os.path.join(data, "messages", "by-thread")
        self._marks = os.path.join(data, "messages", "to")
        self._quarantine = os.path.join(data, "messages", "quarantine")
        self._sessions = os.path.join(data, "sessions")
        self.groups = GroupFiles(data, _content)
        # The main loop adds and removes them; this thread removes that of a forgotten session.
        self.markers = Markers(os.path.join(data, "messages"))
        self.wake_files = WakeFiles(os.path.join(data, "messages"))
        self.blobs = BlobStore(data)
        self._report = report
        self._made: set[str] = set()
        # The mark of each session, and back. Both threads use them; an entry never changes.
        self._mark_of: dict[str, str] = {}
        self._owner_of: dict[str, str] = {}
        folders = (
            self._receivers,
            self._senders,
            self._threads,
            self.groups.mail_folder,
            self._marks,
            self._quarantine,
            self._sessions,
        )
        if is_read_only:
            return
        for directory in folders:
            os.makedirs(directory, mode=0o700, exist_ok=True)
        self._new_files = NewFiles(os.path.join(data, "messages"))

    # --- writing, by the spool writer's thread -------------------------------------------------------------

    def write_message(self, message: Message) -> None:
        """Create or replace a message's file. Raises OSError."""
        directory = self._make_mailbox(message.receiver)
        name, content, mode = message.id + SUFFIX, _encode(message) + b"\n", _mode_of(message)
        is_first = message.status == "pending" and message.offered_at is None
        # Where a replay finds the name taken, the file is replaced: a power cut may have torn it.
        if is_first and self._new_files.create(f"by-receiver/{message.receiver}/{name}", content, mode):
            return
        if message.status != "expired":
            _replace(directory, name, content, mode)
            return
        aside = _aside(directory, name)
        atomic_file.stage(aside, content, mode=mode, durable=False)
        _keep_age(aside, message)
        os.rename(aside, os.path.join(directory, name))

    def rewrite_messages(self, messages: Collection[Message]) -> None:
        """As `write_message`, for messages whose text the journal may have released: the new file is synced before it
        replaces the old one, or a power cut might leave neither. Raises OSError."""
        few = len(messages) <= _FSYNC_EACH
        staged: list[tuple[str, str]] = []
        for message in messages:
            directory = self._make_mailbox(message.receiver)
            aside = _aside(directory, message.id + SUFFIX)
            staged.append((aside, os.path.join(directory, message.id + SUFFIX)))
            atomic_file.stage(aside, _encode(message) + b"\n", mode=_mode_of(message), durable=few)
        if not few:
            disk.sync_file_system(self._receivers)
        for (aside, path), message in zip(staged, messages, strict=True):
            _keep_age(aside, message)
            os.rename(aside, path)

    def file_sent(self, record: Accepted, deleted_groups: Container[str] = ()) -> None:
        """Make the sender's link, or its list of several deliveries; the thread's link if the message answers
        another; and the link of each group that it was sent to and that is not among the `deleted_groups`. A
        link that exists is kept. A list is written again, because a power cut may have torn it."""
        message = record.message
        name = message.id + SUFFIX
        target = f"../../to/{self._mark(message.receiver)}/{name}"
        folder = f"{self._senders}/{message.sender}"
        self._make(folder)
        if record.more or record.refused:
            target = f"../../by-sender/{message.sender}/{name}"
            _replace(folder, name, _encode(sent_list.SentList.of(record)) + b"\n", MODE_FINAL)
        else:
            self._new_files.link(f"by-sender/{message.sender}/{name}", target)
        thread_id = message.meta.thread_id
        if thread_id is not None:
            self._make(os.path.join(self._threads, thread_id))
            self._new_files.link(f"by-thread/{thread_id}/{name}", target)
        if message.audience is not None:
            for group in message.groups:
                if group not in deleted_groups:
                    self._make(self.groups.folder(group))
                    self._new_files.link(f"by-group/{group}/{name}", target)

    def file_attachments(self, record: Accepted, receivers: Iterable[str]) -> None:
        """Make the files of a message beside those receivers' copies of it; the main loop has mostly made them.
        Raises OSError."""
        for receiver in receivers:
            for name in self.blobs.link(receiver, record.message):
                self._report(f"message {record.message.id} to {receiver} has lost its file {name}: no blob has it")

    def write_failed(self, message: Message) -> None:
        """Write a message that was refused for good: its sender's file is the message. Raises OSError."""
        folder = os.path.join(self._senders, message.sender)
        self._make(folder)
        _replace(folder, message.id + SUFFIX, _encode(message) + b"\n", MODE_FINAL)

    def remove_message(self, receiver: str, message_id: str) -> None:
        """Remove a message's file and its attached files; the sender's link remains as its tombstone."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self._receivers, receiver, message_id + SUFFIX))
        folder = self.blobs.folder(receiver, message_id)
        if _exists(folder):
            self.blobs.unlink(folder)

    def remove_folder(self, directory: str) -> None:
        """Remove an empty folder of links or mail. Raises OSError, also if it is not empty."""
        os.rmdir(directory)
        self._made.discard(directory)

    def forget_session(self, session: str) -> None:
        """Remove a session's file and its empty folders. The sweep removes the others once they are empty."""
        for path in (os.path.join(self._sessions, session + SUFFIX), os.path.join(self._marks, self._mark(session))):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        self.markers.remove(session)
        self.wake_files.remove(session)
        for folder in (self._receivers, self._senders):
            with contextlib.suppress(OSError):
                self.remove_folder(os.path.join(folder, session))

    def write_session(self, stored: StoredSession) -> None:
        """Create or replace a session's file (0600: it holds the token's hash), and its mailbox's folder."""
        self._learn(stored)
        _replace(self._sessions, stored.session.id + SUFFIX, _encode(stored) + b"\n", MODE_PENDING)
        self._make_mailbox(stored.session.id)

    def remove_group_mail(self, group: str) -> None:
        """Remove the links to what was sent to a group; the mail stays. Raises OSError."""
        folder = self.groups.folder(group)
        with contextlib.suppress(FileNotFoundError):
            for link in os.listdir(folder):
                os.unlink(os.path.join(folder, link))
            self.remove_folder(folder)

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

    def sent(self, sender: str, message_id: str) -> SentFile | None:
        """To whom a sender's message was delivered, even if it was deleted; None if it was never sent."""
        return self.sent_by(f"{self._senders}/{sender}/{message_id}{SUFFIX}")

    def answers(self, thread_id: str) -> dict[str, tuple[str, ...]]:
        """The receivers of each message of a thread, by id, without the thread's first message."""
        directory = os.path.join(self._threads, thread_id)
        try:
            names = os.listdir(directory)
        except FileNotFoundError:
            return {}
        found = {name.removesuffix(SUFFIX): self.sent_by(f"{directory}/{name}") for name in names}
        return {message_id: sent.receivers for message_id, sent in found.items() if sent and is_id(message_id)}

    def names_beginning_with(self, session: str, prefix: str) -> list[str]:
        """Some ids of filed mail that begin with `prefix`. Reads a bounded number of names."""
        try:
            with os.scandir(os.path.join(self._receivers, session)) as found:
                names = [entry.name for entry in islice(found, _NAMES_MAX) if entry.name.startswith(prefix)]
        except FileNotFoundError:
            return []
        return [name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)]

    def sent_by(self, path: str) -> SentFile | None:
        """What a link, a list or a failed message of `by-sender` or `by-thread` says; None if it is none of these."""
        target = read_link(path)
        if target is None:
            if not _exists(path):
                return None
            try:
                return _list_or_failed(_content(path))
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError, msgspec.MsgspecError):
                return None
        parts = target.split("/")
        if parts[:3] == ["..", "..", "by-sender"] and len(parts) == _LINK_PARTS:
            return self.sent_by(f"{self._senders}/{parts[3]}/{parts[4]}")
        if parts[:3] != ["..", "..", "to"] or len(parts) != _LINK_PARTS:
            return None
        owner = self.owner_of(parts[3])
        # The receiver was forgotten with its mailbox; the message was delivered all the same.
        return SentFile(((owner or "", None),))

    def owner_of(self, mark: str) -> str | None:
        """The session whose mailbox `to/<mark>` is."""
        owner = self._owner_of.get(mark)
        if owner is None:
            target = read_link(f"{self._marks}/{mark}")
            owner = target.rpartition("/")[2] if target is not None else None
            if owner is not None:
                self._owner_of[mark] = owner
        return owner

    def mark_in_use(self, sender: str) -> str | None:
        """The mark in the ids of a sender's messages; None if it has sent none."""
        try:
            with os.scandir(os.path.join(self._senders, sender)) as found:
                marks = (ending_of(entry.name.removesuffix(SUFFIX)) for entry in found)
                return next((mark for mark in marks if mark is not None), None)
        except (FileNotFoundError, NotADirectoryError):
            return None

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
                self._learn(stored)
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

    def _mark(self, session: str) -> str:
        mark = self._mark_of.get(session)
        if mark is None:
            mark = self._mark_of[session] = mark_of(session)
        return mark

    def _learn(self, stored: StoredSession) -> None:
        session = stored.session.id
        if session not in self._mark_of or stored.salt:
            self._mark_of[session] = mark = mark_of(session, stored.salt)
            self._owner_of[mark] = session

    def _make_mailbox(self, session: str) -> str:
        """The folder of a mailbox, which is made with the link `to/<mark>` that leads to it."""
        directory = f"{self._receivers}/{session}"
        if directory not in self._made:
            self._make(directory)
            self._new_files.link(f"to/{self._mark(session)}", f"../by-receiver/{session}")
        return directory

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


def _bytes(path: str) -> bytes:
    # As os.fsencode does, for a third of its time.
    return path.encode("utf-8", "surrogateescape")


def _exists(path: str) -> bool:
    return bool(_libc.access(_bytes(path), os.F_OK) == 0)


def read_link(path: str) -> str | None:
    """The target of a symbolic link; None for anything else."""
    if _libc.readlink(_bytes(path), _scrap, 1) < 0:
        return None
    try:
        return os.readlink(path)
    except OSError:  # removed since
        return None


def _list_or_failed(content: bytes) -> SentFile | None:
    try:
        return sent_list.DECODER.decode(content).sent_file()
    except msgspec.ValidationError:
        message = _message_decoder.decode(content)
        return SentFile((), (), message) if message.status == "failed" else None


def _keep_age(path: str, message: Message) -> None:
    """Give the file of an expired message the time of the message's last change. The sweep looks only into files that
    are old by their time, and an expiry does not prolong the retention."""
    if message.status == "expired":
        changed_s = retention.changed_ms(message) / 1000
        os.utime(path, (changed_s, changed_s))


def _mode_of(message: Message) -> int:
    return MODE_PENDING if message.status == "pending" else MODE_FINAL


def _replace(directory: str, name: str, content: bytes, mode: int) -> None:
    """Not synced: the journal keeps the content until a checkpoint has synced the file system."""
    path, aside = os.path.join(directory, name), _aside(directory, name)
    atomic_file.replace(path, content, mode=mode, durable=False, aside=aside)


def _aside(directory: str, name: str) -> str:
    """The temporary path of a file: hidden, so that nothing takes it for mail."""
    return os.path.join(directory, f".{name}{_ASIDE}")
