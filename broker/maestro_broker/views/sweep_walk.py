"""Sweep walk: one round over the files, which removes those that are older than the retention.

Rule: a file is removed only if its own time and its content's agree that it is old; a clock that was wrong for a
while removes nothing. What only the core may decide (pending mail, sessions) is reported in the findings. Runs in the
spool writer's thread, between two files that it writes, so it never removes what is just being written.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from maestro_broker.attachments.blob_store import FILES_SUFFIX, UNNAMED_MS
from maestro_broker.core import retention
from maestro_broker.core.sending.attached import is_digest
from maestro_broker.outbox.queued_blobs import BLOBS_FOLDER, named_digests
from maestro_runtime import outbox_dir, paths
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import is_id
from maestro_schemas.outbox_entry import FAILED_SUFFIX
from maestro_schemas.texts.waking import WAKE_FILE

from .spool import SUFFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from maestro_schemas.messages import Message

    from .retention_view import RetentionView
    from .spool import Spool
    from .timeline import Timeline

# A file's time that is further ahead of the clock than this says nothing about its age.
_AHEAD_MS = 60_000


class Round(NamedTuple):
    """The task of one round."""

    number: int  # from 1 in each life of a broker
    dry_run: bool  # count only
    older_than_ms: int | None  # in place of the retention, for final mail


class Findings(NamedTuple):
    """What rounds leave for the main loop, which takes from the left of each deque."""

    overdue: deque[tuple[str, str]]  # (mailbox, id) of pending mail past its retention
    idle: deque[str]  # ended sessions without files
    gone: deque[tuple[str, str]]  # (mailbox, id) of removed mail
    groups: deque[str]  # groups without an active member


class SweepWalk:
    """One round. Its counters are written by its own thread only."""

    def __init__(
        self,
        data: str,
        *,
        spool: Spool,
        timelines: tuple[Timeline, ...],
        retention_view: RetentionView,
        now_ms: Callable[[], int],
        count: Callable[[str, int], None],
        findings: Findings,
        task: Round,
    ) -> None:
        messages = os.path.join(data, "messages")
        self._receivers = os.path.join(messages, "by-receiver")
        self._senders = os.path.join(messages, "by-sender")
        self._threads = os.path.join(messages, "by-thread")
        self._groups = os.path.join(messages, "by-group")
        self._outbox = paths.outbox_dir(data)
        self._spool = spool
        self._timelines = timelines
        self._retention = retention_view
        self._now_ms = now_ms
        self._count = count
        self._findings = findings
        self._task = task
        self.looked_at = 0  # files
        self.removed = 0  # files
        self.mail_bytes = 0  # what the messages' files take on the disk

    def steps(self) -> Iterator[None]:
        """The whole round, one file a step. Links come after the mail that they lead to, folders after both."""
        for session in _names(self._receivers):
            if is_id(session):
                yield from self._mailbox(session)
        for folder in (self._senders, self._threads, self._groups):
            for name in _names(folder):
                yield from self._links(os.path.join(folder, name))
        for session in _names(self._outbox):
            if is_id(session):
                yield from self._refused_sends(session)
        for found in self._retention.sessions():
            yield
            self._check_session(found.id)
        for name in self._retention.groups_without_members(self._now_ms()):
            yield
            if self._task.dry_run:
                self._count("groups", 1)
            else:
                self._findings.groups.append(name)
        yield from self._timeline_files()
        yield from self._attached_files()

    def _removes(self, path: str) -> bool:
        """Remove a file, unless this is a dry run; whether it was removed."""
        if self._task.dry_run:
            return False
        os.unlink(path)
        self.removed += 1
        return True

    def _keeps_ms(self, session: str) -> int:
        asked_ms = self._task.older_than_ms
        return self._retention.of_session(session).keeps_ms if asked_ms is None else asked_ms

    # --- mail ----------------------------------------------------------------------------------------------

    def _mailbox(self, session: str) -> Iterator[None]:
        directory = os.path.join(self._receivers, session)
        is_empty = True
        for entry in _entries(directory):
            self.looked_at += 1
            yield
            is_empty = self._is_message_gone(entry, session) and is_empty
        if is_empty and not self._retention.has_session(session):
            self._remove_folder(directory)

    def _is_message_gone(self, entry: os.DirEntry[str], session: str) -> bool:
        if entry.name == WAKE_FILE and not self._retention.has_session(session):
            return self._removes(entry.path)
        if entry.name.endswith(FILES_SUFFIX):
            return self._are_files_gone(entry, session)
        if entry.name.startswith(".") or not entry.name.endswith(SUFFIX):
            return False
        status = _lstat(entry.path)
        if status is None:
            return True
        self.mail_bytes += status.st_blocks * 512
        message = self._old_message(entry.path, status, session)
        if message is None:
            return False
        if message.status == "pending":
            if self._task.dry_run:
                self._count("expired", 1)
            else:
                self._findings.overdue.append((session, message.id))
            return False
        self._count("messages", 1)
        self._count("bytes", status.st_size)
        if not self._removes(entry.path):
            return False
        if message.attachments:
            self._spool.blobs.unlink(self._spool.blobs.folder(session, message.id))
        self._findings.gone.append((session, message.id))
        return True

    def _are_files_gone(self, entry: os.DirEntry[str], session: str) -> bool:
        """Remove the files of a message that is gone, as a kill between the two leaves them. Those of one that is
        there go with it."""
        message_id = entry.name.removesuffix(FILES_SUFFIX)
        if os.path.lexists(entry.path.removesuffix(FILES_SUFFIX) + SUFFIX):
            return True
        status = _lstat(entry.path)
        if status is None:
            return True
        if _is_young(status, self._now_ms(), UNNAMED_MS) or self._retention.is_unfiled(session, message_id):
            return False
        self._count("folders", 1)
        if not self._task.dry_run:
            self.removed += self._spool.blobs.unlink(entry.path)
        return not os.path.lexists(entry.path)

    def _old_message(self, path: str, status: os.stat_result, session: str) -> Message | None:
        """The message of a file, if its retention is over: to expire if it is pending, else to remove."""
        now_ms, asked_ms = self._now_ms(), self._task.older_than_ms
        own = self._retention.of_session(session)
        # An age that a person asked for concerns final mail; pending mail is always kept for its whole retention.
        final_ms, read_ms = (own.keeps_ms, own.read_ms) if asked_ms is None else (asked_ms, asked_ms)
        if _is_young(status, now_ms, min(own.keeps_ms, final_ms, read_ms)):
            return None
        message = self._spool.peek(path)
        if message is None:
            return None  # unreadable: the next read of the mailbox quarantines it
        if message.status == "expired" and asked_ms is None:
            # The file's time is that of its last change before. When it expired, only the kernel has noted.
            expired_ms = status.st_ctime_ns // 1_000_000
            if now_ms - own.expired_stays_ms < expired_ms <= now_ms + _AHEAD_MS:
                return None
        kept_ms = {"pending": own.keeps_ms, "read": read_ms}.get(message.status, final_ms)
        is_young = retention.changed_ms(message) + kept_ms > now_ms
        return None if is_young or self._retention.is_unfiled(message.receiver, message.id) else message

    # --- links ---------------------------------------------------------------------------------------------

    def _links(self, directory: str) -> Iterator[None]:
        is_empty = True
        for entry in _entries(directory):
            self.looked_at += 1
            yield
            is_empty = self._is_link_gone(entry) and is_empty
        if is_empty:
            self._remove_folder(directory)

    def _is_link_gone(self, entry: os.DirEntry[str]) -> bool:
        """Remove a link or a list that is older than the longest retention of its receivers, if no delivery is there;
        and a thread's link to a list that is gone."""
        status = _lstat(entry.path)
        if status is None:
            return True
        sent = self._spool.sent_by(entry.path)
        if sent is None and not (entry.is_symlink() and not os.path.exists(entry.path)):
            return False  # a foreign file
        if sent is not None and sent.failed is not None:
            return self._is_failed_gone(entry, status, sent.failed)
        receivers = sent.receivers if sent is not None else ()
        kept_ms = max(map(self._keeps_ms, receivers), default=0)
        if _is_young(status, self._now_ms(), kept_ms) or any(self._stays(each, entry.name) for each in receivers):
            return False
        self._count("tombstones", 1)
        return self._removes(entry.path)

    def _is_failed_gone(self, entry: os.DirEntry[str], status: os.stat_result, message: Message) -> bool:
        """Remove a message that was refused for good, after the retention of its sender."""
        now_ms, kept_ms = self._now_ms(), self._keeps_ms(message.sender)
        is_young = _is_young(status, now_ms, kept_ms) or message.created_at + kept_ms > now_ms
        if is_young or self._retention.is_unfiled(message.receiver, message.id):
            return False
        self._count("messages", 1)
        self._count("bytes", status.st_size)
        return self._removes(entry.path)

    def _stays(self, receiver: str, name: str) -> bool:
        """Whether a delivery exists; in a dry run, whether it would exist after the round."""
        target = os.path.join(self._receivers, receiver, name)
        status = _lstat(target) if receiver else None
        if status is None or not self._task.dry_run:
            return status is not None
        message = self._old_message(target, status, receiver)
        return message is None or message.status == "pending"

    # --- outbox, sessions, timelines -------------------------------------------------------------------------

    def _refused_sends(self, session: str) -> Iterator[None]:
        """Outbox entries that the broker refused. The drain removes the folder; entries that wait are its own."""
        for entry in _entries(os.path.join(self._outbox, session)):
            self.looked_at += 1
            yield
            status = _lstat(entry.path) if entry.name.endswith(FAILED_SUFFIX) else None
            if status is None or not self._is_refusal_old(entry.path, status, session):
                continue
            self._count("messages", 1)
            self._count("bytes", status.st_size)
            with contextlib.suppress(FileNotFoundError):  # its sender has sent it again meanwhile
                self._removes(entry.path)

    def _is_refusal_old(self, path: str, status: os.stat_result, session: str) -> bool:
        now_ms, kept_ms = self._now_ms(), self._keeps_ms(session)
        if _is_young(status, now_ms, kept_ms):
            return False
        try:
            entry = outbox_dir.read(path)
        except MaestroError:
            return False  # nothing says how old it is
        return entry is not None and entry.queued_at + kept_ms <= now_ms

    def _attached_files(self) -> Iterator[None]:
        """Files that no message names, uploads that ended early, and what an outbox holds for no entry."""
        blobs, now_ms = self._spool.blobs, self._now_ms()
        for sha256 in blobs.digests():
            self.looked_at += 1
            yield
            self._count_file(blobs.collect(sha256, now_ms, dry_run=self._task.dry_run))
        for entry in _entries(blobs.parts_dir):
            self.looked_at += 1
            yield
            status = _lstat(entry.path)
            if status is not None and not _is_young(status, now_ms, UNNAMED_MS):
                self._count_file(status.st_size if self._task.dry_run else blobs.drop_part(entry.path))
        named: set[str] | None = None
        for entry in _entries(os.path.join(self._outbox, BLOBS_FOLDER)):
            status = _lstat(entry.path) if is_digest(entry.name) else None
            if status is None or _is_young(status, now_ms, UNNAMED_MS):
                continue
            yield
            if named is None:
                named = named_digests(outbox_dir.OutboxDir(self._outbox))
            if entry.name not in named:
                self._count_file(status.st_size)
                self._removes(entry.path)

    def _count_file(self, size: int | None) -> None:
        if size is not None:
            self.removed += not self._task.dry_run
            self._count("attachments", 1)
            self._count("bytes", size)

    def _check_session(self, session: str) -> None:
        if not self._retention.ended_long_ago(session, self._now_ms()) or not self._has_no_files(session):
            return
        if self._task.dry_run:
            self._count("sessions", 1)
        else:
            self._findings.idle.append(session)

    def _has_no_files(self, session: str) -> bool:
        """Whether the session's mailbox has no mail, and it has no links to mail that it sent."""
        folders = (self._receivers, self._senders)
        entries = (entry for folder in folders for entry in _entries(os.path.join(folder, session)))
        return all(entry.name == WAKE_FILE for entry in entries)

    def _timeline_files(self) -> Iterator[None]:
        asked_ms = self._task.older_than_ms
        kept_ms = self._retention.longest_ms() if asked_ms is None else asked_ms
        before_ms = self._now_ms() - kept_ms
        for path in (path for timeline in self._timelines for path in timeline.files_before(before_ms)):
            self.looked_at += 1
            yield
            status = _lstat(path)
            if status is not None:
                self._count("timeline_files", 1)
                self._count("bytes", status.st_size)
                self._removes(path)

    def _remove_folder(self, directory: str) -> None:
        if self._task.dry_run:
            return
        with contextlib.suppress(OSError):  # a file was added meanwhile, or it is no folder
            self._spool.remove_folder(directory)
            self._count("folders", 1)


def _is_young(status: os.stat_result, now_ms: int, kept_ms: int) -> bool:
    """Whether a file's time says that it is not old yet. A time in the future says nothing."""
    changed_ms = status.st_mtime_ns // 1_000_000
    return now_ms - kept_ms < changed_ms <= now_ms + _AHEAD_MS


def _names(directory: str) -> list[str]:
    return sorted(os.listdir(directory))


def _entries(directory: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as found:
            yield from found
    except (FileNotFoundError, NotADirectoryError):
        return


def _lstat(path: str) -> os.stat_result | None:
    """The status of the file or link itself; None if it was removed meanwhile."""
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None
