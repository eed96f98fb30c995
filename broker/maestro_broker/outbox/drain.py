"""Outbox drain: turns the entries that clients queued while no broker answered into messages.

Rule: entries are sent in the order they were queued, session by session. After "not now" (429, 503) the entry and
all later ones of its session wait. A refusal for good makes a message of status `failed`. An entry is removed only
after its message is durable. An entry that is no message of its session, such as one without the token, is kept with
the reason, as `*.failed`.
"""

from __future__ import annotations

import contextlib
import logging
import os
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from maestro_broker.files import disk
from maestro_runtime import outbox_dir
from maestro_runtime.outbox_dir import OutboxDir, QueuedEntry
from maestro_schemas.errors import FatalError, MaestroError
from maestro_schemas.names import OPERATOR
from maestro_schemas.replies import DrainReply
from maestro_schemas.requests import Identity, Outgoing, Send

from . import queued_blobs

if TYPE_CHECKING:
    from collections.abc import Callable

    from maestro_broker.core.context import RequestContext
    from maestro_schemas.messages import Attachment
    from maestro_schemas.outbox_entry import OutboxEntry
    from maestro_schemas.replies import SendReply

_log = logging.getLogger(__name__)

_RETRY_AFTER_S = 1.0
# Entries of one round.
_ROUND_MAX = 256


class AppliedEntry(NamedTuple):
    """An entry that was sent, or refused for good with `error`."""

    queued: QueuedEntry
    error: MaestroError | None
    # Whether the core has the message, accepted or failed, so that the entry is not needed any more.
    is_message: bool


class OutboxDrainer:
    """The drain of one outbox."""

    def __init__(
        self,
        outbox: OutboxDir,
        *,
        send: Callable[[Send, RequestContext], SendReply],
        notify_sender: Callable[[QueuedEntry, MaestroError, RequestContext], bool],
        report: Callable[[str], None],
        take_in: Callable[[str, Attachment], bool],
    ) -> None:
        """`send(request, context)` applies one send. `take_in(path, attachment)` takes a queued file into the post
        office; false if that takes a while, and the entry must wait. `notify_sender(queued, error, context)` puts
        into the sender's inbox that an entry is no message of the sender's; false if there is no room for it now.
        `report(text)` gets a sentence for each file that is no entry."""
        self._outbox = outbox
        self._send = send
        self._notify_sender = notify_sender
        self._report = report
        self._take_in = take_in
        # No entry of a session is sent before this time.
        self._held_until_ms: dict[str, int] = {}
        # Sent or refused since the last `take_applied`, and the paths of all that are not settled yet: the files
        # change after the commit.
        self._applied: list[AppliedEntry] = []
        self._unsettled: set[str] = set()
        os.makedirs(outbox.path, mode=0o700, exist_ok=True)
        # What clients left that were killed before they added an entry.
        outbox.collect_blobs()

    # --- entries to messages -----------------------------------------------------------------------------

    def drain(self, context: RequestContext) -> int:
        """Apply the entries that are due; the caller commits, then calls `settle`. Returns the number of entries that
        were sent or refused for good."""
        held: set[str] = set()
        applied_before = len(self._applied)
        for queued in self.due(context.now_ms):
            session = queued.entry.session
            if session in held or queued.path in self._unsettled:
                continue
            outcome = self._try(queued, context)
            if outcome is None:
                held.add(session)
                continue
            error, is_message = outcome
            if is_message or (
                error is not None and not error.retryable and self._notify_sender(queued, error, context)
            ):
                self._applied.append(AppliedEntry(queued, error, is_message))
                self._unsettled.add(queued.path)
            else:
                held.add(session)
                wait_s = (error.retry_after_s if error is not None else None) or _RETRY_AFTER_S
                self.hold(session, context.now_ms + int(wait_s * 1000))
        return len(self._applied) - applied_before

    def drain_now(self, context: RequestContext) -> DrainReply:
        """As `drain`, on a client's request: sessions that are held back are tried too."""
        self.release_holds()
        waiting, failed = self._outbox.counts()
        already = len(self._applied)
        tried = self.drain(context)
        refused = sum(applied.error is not None for applied in self._applied[already:])
        waiting -= len(self._unsettled)
        return DrainReply(sent=tried - refused, waiting=max(0, waiting), failed=failed + refused)

    def take_applied(self) -> list[AppliedEntry]:
        """The entries that were applied since the last call."""
        applied = self._applied
        if applied:
            self._applied = []
        return applied

    def settle(self, applied: list[AppliedEntry]) -> None:
        """Their records are durable: remove the entries that are messages now, and keep the others with the
        reason."""
        for queued, error, is_message in applied:
            self._unsettled.discard(queued.path)
            if error is not None:
                _log.warning("outbox: %s was refused: %s (%s)", queued.entry.outgoing["id"], error, error.code)
            if error is None or is_message:
                self._outbox.remove(queued.path)
                queued_blobs.remove_unnamed(self._outbox, queued.entry.outgoing)
                continue
            try:
                self._outbox.keep_as_failed(queued, error)
            except OSError as full:
                if full.errno not in disk.FULL:
                    raise
                continue  # the entry stays as it is, and is refused again once the disk has room

    def _try(self, queued: QueuedEntry, context: RequestContext) -> tuple[MaestroError | None, bool] | None:
        """The error, and whether the core has the message now, accepted or failed. None while its files are taken
        in."""
        entry = queued.entry
        try:
            outgoing = msgspec.convert(entry.outgoing, Outgoing)
            if not self._has_files(outgoing):
                return None
            who = Identity(operator=True) if entry.session == OPERATOR else Identity(entry.session, entry.token)
            request = Send(messages=[outgoing], who=who, queued=True)
            [result] = self._send(request, context).results
        except msgspec.ValidationError as error:
            why = f"the queued message is not valid: {error}"
            return MaestroError("INVALID", why, "Send it again, corrected."), False
        except FatalError:
            raise  # the broker ends; the entry waits for the next one
        except MaestroError as error:
            return error, False
        if result.error is msgspec.UNSET:
            return None, True
        return MaestroError.from_body(result.error), result.state == "failed"

    def take_files_in(self, now_ms: int) -> None:
        """Begin to take in the files of all entries that wait."""
        self.release_holds()
        for queued in self.due(now_ms):
            if queued_blobs.digests_of(queued.entry.outgoing):
                with contextlib.suppress(msgspec.ValidationError):  # `drain` says what is wrong with it
                    self._has_files(msgspec.convert(queued.entry.outgoing, Outgoing))

    def _has_files(self, outgoing: Outgoing) -> bool:
        """Whether the files of a message are taken in, as far as they are there."""
        taken = [
            self._take_in(queued_blobs.path_of(self._outbox, each.sha256), each) for each in outgoing.attachments
        ]
        return all(taken)

    # --- what is due -------------------------------------------------------------------------------------

    def due(self, now_ms: int) -> list[QueuedEntry]:
        """The entries that may be sent now, at most one round of them."""
        found: list[QueuedEntry] = []
        for session in self._outbox.sessions():
            if self._held_until_ms.get(session, 0) > now_ms:
                continue
            paths = self._outbox.waiting_paths(session)
            for path in paths[: _ROUND_MAX - len(found)]:
                entry = self._read(path)
                if entry is not None:
                    found.append(QueuedEntry(path, entry))
            if not paths:
                self._outbox.remove_if_empty(session)
        return found

    def hold(self, session: str, until_ms: int) -> None:
        """Send no entry of this session before then."""
        self._held_until_ms[session] = until_ms

    def release_holds(self) -> None:
        """Every session may be tried again at once."""
        self._held_until_ms.clear()

    def counts(self) -> tuple[int, int]:
        """The number of entries that wait, and of refused ones."""
        return self._outbox.counts()

    def _read(self, path: str) -> OutboxEntry | None:
        try:
            return outbox_dir.read(path)
        except (MaestroError, OSError) as error:
            why = error if isinstance(error, MaestroError) else f"can't be read: {error}"
            if target := self._outbox.quarantine(path):
                self._report(f"an outbox entry {why}; it is now {target}")
            return None
