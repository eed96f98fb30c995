"""Outbox drain: what clients left while nobody answered.

Rule: the broker alone takes entries, in the order they were queued, session by session. "Not now" (429, 503)
leaves an entry and all after it of that session waiting; a refusal for good renames it to `*.failed` with the
reason. An entry goes only after its message is durable.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from maestro_broker.files import disk
from maestro_schemas import outbox_entry
from maestro_schemas.errors import FatalError, MaestroError
from maestro_schemas.names import is_id
from maestro_schemas.replies import DrainReply
from maestro_schemas.requests import Identity, Outgoing, Send

if TYPE_CHECKING:
    from collections.abc import Callable

    from maestro_broker.core.context import RequestContext
    from maestro_schemas.outbox_entry import OutboxEntry
    from maestro_schemas.replies import SendReply

_log = logging.getLogger(__name__)

_TRY_AGAIN_S = 1.0
_ROUND = 256
# A wire message is at most 16 MiB by any setting; JSON escapes can make it longer.
_ENTRY_BYTES_MAX = 64 << 20


class QueuedEntry(NamedTuple):
    """An entry and its file."""

    path: str
    entry: OutboxEntry


class AppliedEntry(NamedTuple):
    """An entry that was accepted, or refused with `error`."""

    waiting: QueuedEntry
    error: MaestroError | None


class OutboxDrainer:
    """The entries under `<data>/outbox`.

    `send(request, context)` applies one send; `tell(waiting, error, context)` notifies a sender of a final refusal,
    and returns False if it can't now; `report(what)` takes a warning about files that are no entries.
    """

    def __init__(
        self,
        directory: str,
        *,
        send: Callable[[Send, RequestContext], SendReply],
        tell: Callable[[QueuedEntry, MaestroError, RequestContext], bool],
        report: Callable[[str], None],
    ) -> None:
        self._directory = directory
        self._send = send
        self._tell = tell
        self._report = report
        self._held_until_ms: dict[str, int] = {}
        # Applied since the last `take_applied`; and the paths of all entries that are applied and not settled.
        self._applied: list[AppliedEntry] = []
        self._unsettled: set[str] = set()
        os.makedirs(directory, mode=0o700, exist_ok=True)

    # --- entries to messages -----------------------------------------------------------------------------

    def drain(self, context: RequestContext) -> int:
        """Apply the entries that are due; `settle` them after the commit. Returns how many were accepted or finally
        refused."""
        held: set[str] = set()
        applied_before = len(self._applied)
        for waiting in self.due(context.now_ms):
            session = waiting.entry.session
            if session in held or waiting.path in self._unsettled:
                continue
            error = self._try(waiting, context)
            for_now = error is not None and error.retryable
            if for_now or (error is not None and not self._tell(waiting, error, context)):
                held.add(session)
                wait_s = (error.retry_after_s if error is not None else None) or _TRY_AGAIN_S
                self.hold(session, context.now_ms + int(wait_s * 1000))
            else:
                self._applied.append(AppliedEntry(waiting, error))
                self._unsettled.add(waiting.path)
        return len(self._applied) - applied_before

    def drain_now(self, context: RequestContext) -> DrainReply:
        """Drain on request: entries that are held back are tried too."""
        self.release_holds()
        waiting, failed = self.counts()
        already = len(self._applied)
        tried = self.drain(context)
        refused = sum(applied.error is not None for applied in self._applied[already:])
        waiting -= len(self._unsettled)
        return DrainReply(sent=tried - refused, waiting=max(0, waiting), failed=failed + refused)

    @property
    def has_applied(self) -> bool:
        """Whether entries were applied since the last `take_applied`."""
        return bool(self._applied)

    def take_applied(self) -> list[AppliedEntry]:
        """The entries that were applied since the last call; `settle` them when that is durable."""
        applied, self._applied = self._applied, []
        return applied

    def settle(self, applied: list[AppliedEntry]) -> None:
        """These entries' records are durable: remove the files, or keep them with the reason of their refusal."""
        for waiting, error in applied:
            self._unsettled.discard(waiting.path)
            if error is None:
                self.sent(waiting.path)
            else:
                try:
                    self.failed(waiting, error)
                except OSError as full:
                    if full.errno not in disk.FULL:
                        raise
                    continue  # it stays as it is, and is refused again when there is room to say so
                _log.warning("outbox: %s was refused: %s (%s)", waiting.entry.outgoing["id"], error, error.code)

    def _try(self, waiting: QueuedEntry, context: RequestContext) -> MaestroError | None:
        entry = waiting.entry
        try:
            outgoing = msgspec.convert(entry.outgoing, Outgoing)
            request = Send(messages=[outgoing], who=Identity(entry.session, entry.token))
            [result] = self._send(request, context).results
        except msgspec.ValidationError as error:
            return MaestroError("INVALID", f"the queued message is not valid: {error}", "Send it again, corrected.")
        except FatalError:
            raise  # the broker ends; the entry waits for the next one
        except MaestroError as error:
            return error
        return MaestroError.from_body(result.error) if result.error is not msgspec.UNSET else None

    # --- files -------------------------------------------------------------------------------------------

    def due(self, now_ms: int) -> list[QueuedEntry]:
        """Entries that may be tried now, at most a round of them."""
        found: list[QueuedEntry] = []
        for session in self._sessions():
            if self._held_until_ms.get(session, 0) > now_ms:
                continue
            names = self._in_order(session)
            for name in names[: _ROUND - len(found)]:
                path = os.path.join(self._directory, session, name)
                entry = self._read(path, session)
                if entry is not None:
                    found.append(QueuedEntry(path, entry))
            if not names:
                # A client that makes an entry just now finds the folder gone and makes it again.
                with contextlib.suppress(OSError):
                    os.rmdir(os.path.join(self._directory, session))
        return found

    def hold(self, session: str, until_ms: int) -> None:
        """Try this session's entries no earlier."""
        self._held_until_ms[session] = until_ms

    def release_holds(self) -> None:
        """Somebody asked: try all now."""
        self._held_until_ms.clear()

    def sent(self, path: str) -> None:
        """Its message is durable."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)

    def failed(self, waiting: QueuedEntry, error: MaestroError) -> None:
        """Refused for good: kept, with why."""
        entry = waiting.entry._replace(failure=error.body())
        target = waiting.path.removesuffix(outbox_entry.WAITING_SUFFIX) + outbox_entry.FAILED_SUFFIX
        disk.write_durably(target, outbox_entry.encode(entry))
        self.sent(waiting.path)

    def counts(self) -> tuple[int, int]:
        """Entries that wait, and that failed."""
        waiting = failed = 0
        for session in self._sessions():
            waiting += len(self._names(session, outbox_entry.WAITING_SUFFIX))
            failed += len(self._names(session, outbox_entry.FAILED_SUFFIX))
        return waiting, failed

    def _sessions(self) -> list[str]:
        return sorted(name for name in os.listdir(self._directory) if is_id(name))

    def _in_order(self, session: str) -> list[str]:
        """The entries that wait, oldest first, none left out before the last.

        One listing of a folder that grows meanwhile can show an entry and not an older one (seen on ext4 from some
        400 entries on). All that the first one shows was there before the second began, and so was what is older.
        """
        seen = self._names(session, outbox_entry.WAITING_SUFFIX)
        if not seen:
            return []
        return [name for name in self._names(session, outbox_entry.WAITING_SUFFIX) if name <= seen[-1]]

    def _names(self, session: str, suffix: str) -> list[str]:
        try:
            names = os.listdir(os.path.join(self._directory, session))
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(name for name in names if name.endswith(suffix) and not name.startswith("."))

    def _read(self, path: str, session: str) -> OutboxEntry | None:
        try:
            # Not through a link, and only a file of ours: an entry speaks for a session.
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._put_away(path, f"can't be read: {error}")
            return None
        try:
            status = os.fstat(fd)
            ours = stat.S_ISREG(status.st_mode) and status.st_uid in (os.getuid(), 0)
            raw = os.read(fd, _ENTRY_BYTES_MAX) if ours else b""
        finally:
            os.close(fd)
        if not ours:
            self._put_away(path, "is no file of this user")
            return None
        try:
            entry = outbox_entry.decode(raw)
        except MaestroError as error:
            self._put_away(path, str(error))
            return None
        if entry.session != session:
            self._put_away(path, f"is of session {entry.session}")
            return None
        return entry

    def _put_away(self, path: str, why: str) -> None:
        target = path.removesuffix(outbox_entry.WAITING_SUFFIX) + ".unreadable"
        with contextlib.suppress(FileNotFoundError):
            os.rename(path, target)
            self._report(f"an outbox entry {why}; it is now {target}")
