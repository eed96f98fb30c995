"""Mail files: the messages of format 1 and the links to them, written again with new ids.

Rule: a message keeps everything but its ids; files and links keep their times, by which the sweep counts retention.
An interrupted run leaves each message in its old place, or in the new one too.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

import msgspec

from maestro_runtime import atomic_file
from maestro_schemas.names import is_id, message_time_ms

from .old_files import move_along
from .sent_ids import SUFFIX, receiver_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .old_files import OldFiles
    from .progress import Progress
    from .sent_ids import SentIds
    from .translation import Translation

_ASIDE = ".tmp"
_MODE_PENDING = 0o600
_MODE_FINAL = 0o400
_READ_BYTES = 1 << 16

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class MailFiles:
    """From the folders below `messages` to those below `new`."""

    def __init__(
        self,
        messages: str,
        new: str,
        *,
        translation: Translation,
        sent: SentIds,
        old_files: OldFiles,
        progress: Progress,
    ) -> None:
        self._messages = messages
        self._new = new
        self._translation = translation
        self._sent = sent
        self._old_files = old_files
        self._progress = progress
        # By sender, the newest time in an id that had none before it had a mark.
        self.new_times_ms: dict[str, int] = {}
        self._made: set[str] = set()
        for folder in ("by-receiver", "by-sender", "by-thread", "to"):
            self._made_folder(folder)

    # --- mailboxes ---------------------------------------------------------------------------------------

    def write_mailboxes(self) -> None:
        """Write every message again, with its link in its thread, and remove the old file. Raises OSError."""
        top = os.path.join(self._messages, "by-receiver")
        new = os.path.join(self._new, "by-receiver")
        left = True
        while left:  # a folder whose files are removed while it is listed need not show all of them
            left = False
            for receiver in sorted(os.listdir(top)):
                directory = os.path.join(top, receiver)
                if os.path.isdir(directory) and is_id(receiver):
                    left = self._is_mailbox_written(directory, receiver) or left
                else:
                    move_along(directory, new)
            self._old_files.remove()

    def _is_mailbox_written(self, directory: str, receiver: str) -> bool:
        """Write what is in a mailbox's folder; whether there was something."""
        new = self._made_folder(f"by-receiver/{receiver}")
        left = False
        with os.scandir(directory) as entries:
            for entry in entries:
                left = True
                if entry.name.endswith(_ASIDE):
                    os.unlink(entry.path)  # an interrupted write left it
                elif entry.name.startswith(".") or not self._is_message_written(entry, receiver):
                    move_along(entry.path, new)
        return left

    def _is_message_written(self, entry: os.DirEntry[str], receiver: str) -> bool:
        """Write a message again; false if the file has none."""
        if not entry.name.endswith(SUFFIX) or not entry.is_file(follow_symlinks=False):
            return False
        raw, time_ns = _content(entry.path)
        try:
            document: Any = _decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return False
        if not isinstance(document, dict) or (document.get("id"), document.get("to")) != (
            entry.name.removesuffix(SUFFIX),
            receiver,
        ):
            return False
        translated = self._translation.message(document)
        if translated is None:
            return False
        path = f"{self._new}/by-receiver/{receiver}/{translated.id}{SUFFIX}"
        mode = _MODE_PENDING if document.get("status") == "pending" else _MODE_FINAL
        atomic_file.stage(path, _encode(document) + b"\n", durable=False, mode=mode)
        os.utime(path, ns=(time_ns, time_ns))
        if translated.thread is not None:
            self._link(f"by-thread/{translated.thread}", translated.id, receiver, time_ns)
        self._progress.count("messages")
        self._old_files.supersede(entry.path, len(raw))
        return True

    def write_ways(self) -> None:
        """Make the link `to/<mark>` of each mailbox."""
        folder = os.path.join(self._new, "to")
        for receiver in os.listdir(os.path.join(self._new, "by-receiver")):
            if is_id(receiver):
                with contextlib.suppress(FileExistsError):
                    os.symlink(f"../by-receiver/{receiver}", f"{folder}/{self._translation.mark_of(receiver)}")

    # --- links -------------------------------------------------------------------------------------------

    def write_sender_links(self) -> None:
        """Make the new link of each message that was sent, deleted or not. The old ones stay. Raises OSError."""
        for sender, entry, receiver in self._links("by-sender"):
            old = entry.name.removesuffix(SUFFIX)
            new_id = self._translation.new_id(sender, old)
            if (new_ms := message_time_ms(new_id)) > message_time_ms(old):
                self.new_times_ms[sender] = max(new_ms, self.new_times_ms.get(sender, 0))
            self._link(f"by-sender/{sender}", new_id, receiver, entry.stat(follow_symlinks=False).st_mtime_ns)
            self._progress.count("links")

    def write_thread_links(self) -> None:
        """Make the new links of deleted messages in their threads; those of the others are there. Raises OSError."""
        for thread, entry, receiver in self._links("by-thread"):
            old = entry.name.removesuffix(SUFFIX)
            sender = next((sent.sender for sent in self._sent.find(old) if sent.receiver == receiver), None)
            if sender is None:
                continue  # the link of its sender is gone: no session can ask for it
            new_id = self._translation.new_id(sender, old)
            if not os.path.lexists(f"{self._new}/by-receiver/{receiver}/{new_id}{SUFFIX}"):
                new_thread = self._translation.thread(thread, sender, receiver)
                time_ns = entry.stat(follow_symlinks=False).st_mtime_ns
                self._link(f"by-thread/{new_thread}", new_id, receiver, time_ns)

    def _links(self, kind: str) -> Iterator[tuple[str, os.DirEntry[str], str]]:
        """Each link below a folder: the name of the folder that it is in, itself, and the receiver in it."""
        top = os.path.join(self._messages, kind)
        new = os.path.join(self._new, kind)
        for name in sorted(os.listdir(top)):
            directory = os.path.join(top, name)
            if not os.path.isdir(directory):
                move_along(directory, new)
                continue
            with os.scandir(directory) as entries:
                for entry in entries:
                    receiver = None
                    if entry.is_symlink():
                        receiver = receiver_in(os.readlink(entry.path), entry.name)
                    if receiver is None:
                        move_along(entry.path, self._made_folder(f"{kind}/{name}"))
                    else:
                        yield name, entry, receiver

    def _link(self, folder: str, new_id: str, receiver: str, time_ns: int) -> None:
        path = f"{self._made_folder(folder)}/{new_id}{SUFFIX}"
        try:
            os.symlink(f"../../to/{self._translation.mark_of(receiver)}/{new_id}{SUFFIX}", path)
        except FileExistsError:
            return
        os.utime(path, ns=(time_ns, time_ns), follow_symlinks=False)

    def _made_folder(self, below: str) -> str:
        directory = f"{self._new}/{below}"
        if directory not in self._made:
            with contextlib.suppress(FileExistsError):
                os.mkdir(directory, 0o700)
            self._made.add(directory)
        return directory


def _content(path: str) -> tuple[bytes, int]:
    """A file's bytes, and when it was changed."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = [os.read(fd, _READ_BYTES)]
        while len(parts[-1]) == _READ_BYTES:
            parts.append(os.read(fd, _READ_BYTES))
        return b"".join(parts), os.fstat(fd).st_mtime_ns
    finally:
        os.close(fd)
