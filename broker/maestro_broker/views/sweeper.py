"""Sweeper: the walk over the files that removes what is older than the retention.

Rule: it runs in the filer's thread, between two pieces of filing, so that it never races one; a slice of two
milliseconds at a time, since each unlink is work for the file system's own journal, on which sends wait. A file goes
only when its own time and its content's agree that it is old: a clock that was wrong for a while removes nothing.
What only the core may decide (pending mail, sessions) is left in `overdue` and `idle` for the main loop.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from maestro_broker.core import retention
from maestro_runtime import paths
from maestro_schemas import outbox_entry
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import is_id
from maestro_schemas.replies import PruneReply, Swept

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maestro_broker.clock import Clock
    from maestro_broker.core.model.state import State
    from maestro_broker.core.retention import RetentionPolicy
    from maestro_schemas.messages import Message

    from .spool import Spool
    from .timeline import Timeline

_log = logging.getLogger(__name__)

# Work, then rest. A fifth of the time while it only looks, and a tenth beside a main loop that is never idle. Where
# it finds what must go, half of the time: what goes must not go more slowly than what comes. Measured with 500
# messages a second on a busy machine: a tenth of the time removes 250 of them. A send waits for a slice at most.
SLICE_S = 0.002
REST_S = 0.008
_BUSY_REST_S = 0.018
_LONG_SLICE_S = 0.005
_SHORT_REST_S = 0.005
# Rounds: how long until the first, and between two. A day's retention is met to the half hour.
_FIRST_MS = 60_000
_PAUSE_MS = 30 * 60_000
_SHARE = 8
_PAUSE_MIN_MS = 250
# How far a file's time may be ahead of the clock before it says nothing.
_AHEAD_MS = 60_000
# What the main loop has not taken yet, before the walk waits for it.
_WAITING_MAX = 1_024
_SUFFIX = ".json"


class Round(NamedTuple):
    """What one round was told to do. `number` counts from 1 in each life of a broker."""

    number: int
    dry_run: bool
    older_than_ms: int | None


class Sweeper:
    """The present or last round, and what it found for the main loop.

    `overdue`: (mailbox, id) of pending mail past its retention. `idle`: sessions without any file. `gone`: (mailbox,
    id) of removed mail. The main loop takes from all three. `failure`: why the last round broke off.
    """

    def __init__(
        self,
        data: str,
        *,
        spool: Spool,
        timelines: tuple[Timeline, ...],
        state: State,
        policy: RetentionPolicy,
        clock: Clock,
    ) -> None:
        messages = os.path.join(data, "messages")
        self._receivers = os.path.join(messages, "by-receiver")
        self._links = (os.path.join(messages, "by-sender"), os.path.join(messages, "by-thread"))
        self._spool = spool
        self._outbox = paths.outbox_dir(data)
        self._timelines = timelines
        self._state = state
        self._policy = policy
        self._clock = clock
        self._walk: Iterator[None] | None = None
        self._asked: Round | None = None
        self._number = 0
        self._asked_number = -1
        self._next_ms = clock.now_ms() + min(_FIRST_MS, self._pause_ms())
        self._round = Round(0, dry_run=False, older_than_ms=None)
        self._swept: dict[str, int] = {}
        self._looked_at = 0
        # What messages' files take on the disk: seen so far in this round, and in the last whole one.
        self._seen_bytes = 0
        self.mail_bytes: int | None = None
        self._started_ms = self._ended_ms = 0
        self.overdue: deque[tuple[str, str]] = deque()
        self.idle: deque[str] = deque()
        self.gone: deque[tuple[str, str]] = deque()
        self.failure: str | None = None
        # Files removed so far, and whether the last slice found any.
        self._removed = 0
        self._finds = False

    # --- asked by the main loop ----------------------------------------------------------------------------

    def ask(self, *, dry_run: bool, older_than_ms: int | None) -> int | None:
        """Have a round begin now, in place of an ordinary one; its number. None while an asked one goes on."""
        if self._asked is not None or (self._walk is not None and self._is_asked(self._round)):
            return None
        self._number += 1
        self._asked = Round(self._number, dry_run, older_than_ms)
        self._asked_number = self._number
        return self._number

    def report(self, number: int) -> PruneReply | None:
        """How far a round is; None where another has taken its place."""
        asked = self._asked
        if asked is not None and asked.number == number:
            return PruneReply(
                round=number, done=False, dry_run=asked.dry_run, started_at=self._clock.now_ms(), took_ms=0,
                looked_at=0, swept=Swept(),
            )  # fmt: skip
        return self._report() if self._round.number == number else None

    def stats(self) -> dict[str, object]:
        """For `maestro status`: the present or last round, and when the next is due."""
        found: dict[str, object] = {"nextAt": self._next_ms, "running": self._walk is not None}
        if self._round.number:
            report = self._report()
            found |= {"startedAt": report.started_at, "tookMs": report.took_ms, "lookedAt": report.looked_at}
            counts = zip(Swept.__struct_encode_fields__, Swept.__struct_fields__, strict=True)
            found |= {"dryRun": report.dry_run, **{told: self._swept.get(name, 0) for told, name in counts}}
        return found

    def count(self, kind: str, number: int = 1) -> None:
        """So many more went, on the main loop's side."""
        self._swept[kind] = self._swept.get(kind, 0) + number

    # --- in the filer's thread -----------------------------------------------------------------------------

    @property
    def is_due(self) -> bool:
        """Whether there is something to do."""
        return self._walk is not None or self._asked is not None or self._clock.now_ms() >= self._next_ms

    def work(self) -> None:
        """One slice. What fails ends the round, and never the broker."""
        if not self.is_due:
            return
        if self._walk is None or (self._asked is not None and not self._is_asked(self._round)):
            self._begin()
        walk = self._walk
        removed = self._removed
        until_s = time.monotonic() + (_LONG_SLICE_S if self._finds else SLICE_S)
        try:
            while walk is not None and time.monotonic() < until_s:
                if len(self.overdue) + len(self.idle) + len(self.gone) > _WAITING_MAX:
                    return
                if next(walk, self) is self:
                    self._end(None)
                    return
        except OSError as error:
            self._end(f"the sweep of old files broke off: {error}")
        finally:
            self._finds = self._removed > removed

    def rest_s(self, *, is_idle: bool) -> float:
        """How long to leave it alone, beside a main loop that is idle or not."""
        if self._finds:
            return _SHORT_REST_S
        return REST_S if is_idle else _BUSY_REST_S

    def _begin(self) -> None:
        asked, self._asked = self._asked, None
        if asked is None:
            self._number += 1
            asked = Round(self._number, dry_run=False, older_than_ms=None)
        self._round = asked
        self._swept = {}
        self._looked_at = 0
        self._seen_bytes = 0
        self._started_ms = self._ended_ms = self._clock.now_ms()
        self._walk = self._steps()

    def _end(self, failure: str | None) -> None:
        self._walk = None
        self.mail_bytes = self._seen_bytes if failure is None else self.mail_bytes
        self._ended_ms = self._clock.now_ms()
        self._next_ms = self._ended_ms + self._pause_ms()
        if failure is not None and self.failure is None:
            _log.warning("%s", failure)
        self.failure = failure

    def _is_asked(self, one: Round) -> bool:
        return one.number == self._asked_number

    def _report(self) -> PruneReply:
        done = self._walk is None
        return PruneReply(
            round=self._round.number,
            done=done and not self.overdue and not self.idle,
            dry_run=self._round.dry_run,
            started_at=self._started_ms,
            took_ms=(self._ended_ms if done else self._clock.now_ms()) - self._started_ms,
            looked_at=self._looked_at,
            swept=Swept(**self._swept),
            failure=self.failure if done else None,
        )

    def _pause_ms(self) -> int:
        return max(_PAUSE_MIN_MS, min(_PAUSE_MS, self._policy.shortest_ms // _SHARE))

    def _now_ms(self) -> int:
        """The earlier of two clocks: the broker's may have begun with a wall clock that was mended since."""
        return min(self._clock.now_ms(), time.time_ns() // 1_000_000)

    def _keeps_ms(self, session: str) -> int:
        asked_ms = self._round.older_than_ms
        return self._policy.keeps_ms(self._state, session) if asked_ms is None else asked_ms

    # --- the walk ------------------------------------------------------------------------------------------

    def _steps(self) -> Iterator[None]:
        """The whole round, file by file. Links come after the mail that they lead to, folders after both."""
        for session in _names(self._receivers):
            if is_id(session):
                yield from self._mailbox(session)
        for folder in self._links:
            for name in _names(folder):
                yield from self._folder_of_links(os.path.join(folder, name))
        for session in _names(self._outbox):
            if is_id(session):
                yield from self._refused_of(session)
        for found in list(self._state.sessions):
            yield
            session = found.session.id
            if not found.session.active and self._has_no_files(session):
                if not retention.ended_long_ago(self._state, self._policy, found, self._now_ms()):
                    continue
                if self._round.dry_run:
                    self.count("sessions")
                else:
                    self.idle.append(session)
        yield from self._timeline_files()

    def _mailbox(self, session: str) -> Iterator[None]:
        directory = os.path.join(self._receivers, session)
        is_empty = True
        for entry in _entries(directory):
            self._looked_at += 1
            yield
            is_empty = not self._is_message_gone(entry, session) and is_empty
        if is_empty and self._state.sessions.get(session) is None:
            self._remove_folder(directory)

    def _is_message_gone(self, entry: os.DirEntry[str], session: str) -> bool:
        if entry.name.startswith(".") or not entry.name.endswith(_SUFFIX):
            return False
        held = _stat(entry.path)
        if held is None:
            return True
        self._seen_bytes += held.st_blocks * 512
        message = self._old_message(entry.path, held, session)
        if message is None:
            return False
        if message.status == "pending":
            if self._round.dry_run:
                self.count("expired")
            else:
                self.overdue.append((session, message.id))
            return False
        self.count("messages")
        self.count("bytes", held.st_size)
        if not self._round.dry_run:
            os.unlink(entry.path)
            self._removed += 1
            self.gone.append((session, message.id))
        return not self._round.dry_run

    def _old_message(self, path: str, held: os.stat_result, session: str) -> Message | None:
        """The message in a file, where its time is over: to expire if it is pending, else to remove."""
        now_ms = self._now_ms()
        # An asked age is for what is final; nothing pending is pruned sooner than its retention.
        pending_ms, final_ms = self._policy.keeps_ms(self._state, session), self._keeps_ms(session)
        if _is_young(held, now_ms, min(pending_ms, final_ms)):
            return None
        message = self._spool.peek(path)
        if message is None:
            return None  # broken: for whoever reads the mailbox to find and to put away
        kept_ms = pending_ms if message.status == "pending" else final_ms
        is_young = retention.changed_ms(message) + kept_ms > now_ms
        return None if is_young or self._state.is_unfiled(message.sender, message.id) else message

    def _folder_of_links(self, directory: str) -> Iterator[None]:
        is_empty = True
        for entry in _entries(directory):
            self._looked_at += 1
            yield
            is_empty = self._is_link_gone(entry) and is_empty
        if is_empty:
            self._remove_folder(directory)

    def _is_link_gone(self, entry: os.DirEntry[str]) -> bool:
        if not entry.is_symlink():
            return False
        held = _stat(entry.path)
        if held is None:
            return True
        target = os.path.join(os.path.dirname(entry.path), os.readlink(entry.path))
        receiver = os.path.basename(os.path.dirname(target))
        if _is_young(held, self._now_ms(), self._keeps_ms(receiver)) or self._stays(target, receiver):
            return False
        self.count("tombstones")
        if not self._round.dry_run:
            os.unlink(entry.path)
            self._removed += 1
        return not self._round.dry_run

    def _stays(self, target: str, receiver: str) -> bool:
        """Whether a link's message is there, and in a dry run would be there still."""
        held = _stat(target)
        if held is None or not self._round.dry_run:
            return held is not None
        message = self._old_message(target, held, receiver)
        return message is None or message.status == "pending"

    def _refused_of(self, session: str) -> Iterator[None]:
        """What the outbox held and the broker refused; what waits there is not for the sweep. The drain removes the
        folder."""
        for entry in _entries(os.path.join(self._outbox, session)):
            self._looked_at += 1
            yield
            held = _stat(entry.path) if entry.name.endswith(outbox_entry.FAILED_SUFFIX) else None
            if held is None or not self._is_refusal_old(entry.path, held, session):
                continue
            self.count("messages")
            self.count("bytes", held.st_size)
            if not self._round.dry_run:
                with contextlib.suppress(FileNotFoundError):  # its sender has sent it again meanwhile
                    os.unlink(entry.path)

    def _is_refusal_old(self, path: str, held: os.stat_result, session: str) -> bool:
        now_ms, kept_ms = self._now_ms(), self._keeps_ms(session)
        if _is_young(held, now_ms, kept_ms) or not stat.S_ISREG(held.st_mode):
            return False
        try:
            with open(path, "rb") as file:
                return outbox_entry.decode(file.read()).queued_at + kept_ms <= now_ms
        except (FileNotFoundError, MaestroError):
            return False  # gone, or nothing that says how old it is

    def _timeline_files(self) -> Iterator[None]:
        asked_ms = self._round.older_than_ms
        kept_ms = self._policy.longest_ms if asked_ms is None else asked_ms
        before_ms = self._now_ms() - kept_ms
        for path in (path for timeline in self._timelines for path in timeline.files_before(before_ms)):
            self._looked_at += 1
            yield
            held = _stat(path)
            if held is not None:
                self.count("timeline_files")
                self.count("bytes", held.st_size)
                if not self._round.dry_run:
                    os.unlink(path)

    def _has_no_files(self, session: str) -> bool:
        """Nothing in its mailbox, and nothing that it has sent."""
        mailbox = any(True for _ in _entries(os.path.join(self._receivers, session)))
        return not mailbox and not any(True for _ in _entries(os.path.join(self._links[0], session)))

    def _remove_folder(self, directory: str) -> None:
        if self._round.dry_run:
            return
        with contextlib.suppress(OSError):  # something has come into it, or it is no folder
            self._spool.remove_folder(directory)
            self.count("folders")


def _is_young(held: os.stat_result, now_ms: int, kept_ms: int) -> bool:
    """Whether a file's time says that it is not old yet. One of the future says nothing."""
    changed_ms = held.st_mtime_ns // 1_000_000
    return now_ms - kept_ms < changed_ms <= now_ms + _AHEAD_MS


def _names(directory: str) -> list[str]:
    return sorted(os.listdir(directory))


def _entries(directory: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as found:
            yield from found
    except (FileNotFoundError, NotADirectoryError):
        return


def _stat(path: str) -> os.stat_result | None:
    """Of the file or link itself; None where it went meanwhile."""
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None
