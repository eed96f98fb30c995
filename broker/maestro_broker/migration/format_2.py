"""Format 2: from ids that each sender chose alone to ids that end with the sender's mark.

Rule: the new files are written beside the old ones, below `messages/format-2`, so that the place of a file says which
ids it has. An old file goes only after a sync of its new form; the links of the senders, which say who sent what, go
last. When all is written, whole folders change places.
"""

from __future__ import annotations

import os
import zlib
from typing import TYPE_CHECKING

import msgspec

from maestro_broker.core.model import checkpoint
from maestro_broker.files import disk
from maestro_broker.views import dead_letters
from maestro_broker.views.spool_writer import HEADS_FILE
from maestro_runtime import atomic_file, outbox_dir, paths
from maestro_runtime.outbox_dir import OutboxDir
from maestro_schemas import outbox_entry
from maestro_schemas.errors import MaestroError

from . import event_files
from .journal_tail import JournalTail
from .mail_files import MailFiles
from .marks import assign_marks
from .old_files import OldFiles, remove_tree
from .sent_ids import SentIds
from .translation import Translation

if TYPE_CHECKING:
    from .progress import Progress

# Written when everything else below the new folder is.
_COMPLETE = "complete"
_REPLACED = "replaced"
_MAIL_FOLDERS = ("by-receiver", "by-sender", "by-thread", "journal")
_EVENT_FOLDERS = ("timeline", dead_letters.FOLDER)
# The last one to get its place: where it is, nothing is left to do but to remove what was replaced.
_LAST = "to"


def run(data: str, progress: Progress) -> None:
    """Bring the data directory from format 1 to 2, or do what an interrupted run has left. Raises OSError."""
    messages = os.path.join(data, "messages")
    new = os.path.join(messages, "format-2")
    if not os.path.lexists(os.path.join(messages, _LAST)):
        if not os.path.exists(os.path.join(new, _COMPLETE)):
            _write_all(data, messages, new, progress)
            disk.sync_file_system(messages)
            atomic_file.replace(os.path.join(new, _COMPLETE), b"", durable=True)
        _change_places(data, messages, new)
        disk.sync_file_system(messages)
    if os.path.isdir(new):
        remove_tree(new, lambda: progress.count("old files removed"))
        disk.sync_file_system(messages)


def _write_all(data: str, messages: str, new: str, progress: Progress) -> None:
    for folder in (*(os.path.join(messages, name) for name in _MAIL_FOLDERS), new):
        os.makedirs(folder, mode=0o700, exist_ok=True)
    # First the tail: it names sessions and messages that no file may have yet.
    journal = os.path.join(new, "journal")
    tail = None if os.path.isdir(journal) else JournalTail(data)
    if tail is not None:
        tail.file_names()
    sent = SentIds(os.path.join(messages, "by-sender"))
    progress.expect("messages", sent.count)
    translation = Translation(assign_marks(data), sent)
    if tail is not None:
        tail.write(journal, translation)
        del tail
    old_files = OldFiles(messages)
    mail = MailFiles(messages, new, translation=translation, sent=sent, old_files=old_files, progress=progress)
    mail.write_mailboxes()
    mail.write_ways()
    mail.write_sender_links()
    mail.write_thread_links()
    _raise_sent_times(os.path.join(data, HEADS_FILE), mail.new_times_ms)
    for folder in _EVENT_FOLDERS:
        event_files.write_days(
            os.path.join(data, folder), os.path.join(new, folder), translation, old_files, progress
        )
    _translate_outbox(OutboxDir(paths.outbox_dir(data)), translation)


def _raise_sent_times(path: str, times_ms: dict[str, int]) -> None:
    """Have the checkpoint know the times in new ids: a broker looks for no id that is newer than all that a session
    has sent. With a mark, `msg_5` has a time; without one it had none."""
    if not times_ms:
        return
    try:
        with open(path, "rb") as file:
            raw = file.read()
        checkpoint.decode(raw)
    except (FileNotFoundError, MaestroError):
        return  # the start counts again, and knows no times
    heads = msgspec.msgpack.decode(raw[checkpoint.CRC_BYTES :])
    for sender, time_ms in times_ms.items():
        head = heads["mailboxes"].get(sender, {})
        if head.get("sent_ms") is not None:
            head["sent_ms"] = max(head["sent_ms"], time_ms)
    body = msgspec.msgpack.encode(heads)
    content = zlib.crc32(body).to_bytes(checkpoint.CRC_BYTES, "big") + body
    atomic_file.replace(path, content, durable=True)


def _translate_outbox(outbox: OutboxDir, translation: Translation) -> None:
    """In place, since clients add entries at any time; an id that is new already names no message of before."""
    for path, _ in outbox.entries():
        try:
            entry = outbox_dir.read(path)
        except MaestroError:
            continue  # of another user: only the drain may judge it
        if entry is not None and translation.queued(entry.session, entry.outgoing):
            time_ns = os.stat(path).st_mtime_ns
            aside = os.path.join(outbox.path, f".{os.path.basename(path)}.new")
            atomic_file.replace(path, outbox_entry.encode(entry), durable=True, aside=aside)
            os.utime(path, ns=(time_ns, time_ns))


def _change_places(data: str, messages: str, new: str) -> None:
    """Put each new folder into the place of the old one. A start makes some of the old ones again, empty."""
    places = [os.path.join(messages, name) for name in _MAIL_FOLDERS]
    places += [os.path.join(data, name) for name in _EVENT_FOLDERS]
    os.makedirs(os.path.join(new, _REPLACED), mode=0o700, exist_ok=True)
    for place in (*places, os.path.join(messages, _LAST)):
        name = os.path.basename(place)
        written, replaced = os.path.join(new, name), os.path.join(new, _REPLACED, name)
        if os.path.isdir(written):
            if os.path.isdir(place) and not os.path.lexists(replaced):
                os.rename(place, replaced)
            os.rename(written, place)
