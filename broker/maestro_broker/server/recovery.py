"""Recovery: from the files to the state that was durable, at the start of a broker.

Rule: it loads the checkpoint, then the sessions, then replays the journal's records above the checkpoint's LSN. The
spool's files may be ahead of the checkpoint, but never of the journal. It can be interrupted anywhere and run again.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, NamedTuple

from maestro_broker.commit.local.journal import Journal, first_segment_lsn
from maestro_broker.core.model import checkpoint, records
from maestro_broker.core.model.records import Accepted, Failed
from maestro_broker.core.model.state import Change, State
from maestro_broker.views.mailbox_scan import scan_mailbox
from maestro_broker.views.spool_writer import HEADS_FILE
from maestro_runtime import places
from maestro_schemas.errors import MaestroError

from . import message_loader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maestro_broker.commit.log import CommitLog
    from maestro_broker.views.spool import Spool
    from maestro_broker.views.timeline import Timeline

    from .options import BrokerOptions

_log = logging.getLogger(__name__)

# Replayed records that are handed to the spool writer at a time.
_PIECE = 256


class Recovered(NamedTuple):
    """The recovered state and log."""

    state: State
    log: CommitLog
    start: checkpoint.Checkpoint
    # The replayed records for the spool writer, in pieces with the bytes of their bodies, so that the write-behind
    # queue shrinks piece by piece.
    unfiled: list[tuple[list[Change], int]]
    # The time of the newest record, below which the clock must not start.
    last_ms: int
    warnings: list[str]


def recover(options: BrokerOptions, spool: Spool, timeline: Timeline) -> Recovered:
    """Recover the state. Raises MaestroError, or OSError from the files."""
    warnings: list[str] = []
    start = _read_checkpoint(options.data, spool, timeline, warnings)
    journal, found = Journal.open(
        os.path.join(options.data, "messages", "journal"),
        segment_bytes=options.limits.segment_bytes,
        reserve_bytes=options.limits.disk_reserve_bytes,
        after_lsn=start.lsn,
        # The timeline has an event only after its record was durable.
        attested_lsn=timeline.last_lsn,
    )
    warnings += found.warnings()
    if found.missing_lsns:
        _doubt_what_was_sent(start, spool)
    state = State(options.limits, start)
    sessions, broken = spool.read_sessions()
    for stored in sessions:
        state.sessions.put(stored)
        state.adopt_mailbox(stored.session.id)
    for sender in spool.senders():
        # The messages of a forgotten sender keep their mark as long as they are known.
        if state.sessions.get(sender) is None and (mark := spool.mark_in_use(sender)) is not None:
            state.sessions.reserve_mark(mark, sender)
    groups, broken_groups = spool.groups.read()
    state.groups = {group.name: group for group in groups}
    last_ms = start.at
    unfiled: list[tuple[list[Change], int]] = []
    piece: list[Change] = []
    piece_bytes = 0
    # Release each record once it is replayed: bytes and messages of a long journal together take twice the memory.
    tail = found.records
    attached: list[Accepted] = []
    tail.reverse()
    while tail:
        lsn, body = tail.pop()
        try:
            record = records.decode(body)
        except MaestroError as error:
            warnings.append(f"record {lsn} of the journal is whole but can't be understood: {error}")
            continue
        for read in state.replay_reads(record):
            message_loader.load(state, spool, read)
        state.replay(lsn, record)
        if isinstance(record, Accepted) and record.message.attachments:
            attached.append(record)
        piece += state.take_changes()
        piece_bytes += len(body)
        if len(piece) >= _PIECE:
            unfiled.append((piece, piece_bytes))
            piece, piece_bytes = [], 0
        last_ms = max(last_ms, record.message.created_at if isinstance(record, Accepted | Failed) else record.at)
    if piece:
        unfiled.append((piece, piece_bytes))
    state.lsn = max(state.lsn, journal.head_lsn)
    _file_attachments(state, spool, attached)
    if found.missing_lsns:
        _take_from_files(state, spool, timeline, found.missing_lsns[0][0], warnings)
    for one in broken:
        # The other files are written again from the journal; perhaps a power cut tore them.
        if state.sessions.get(one.session) is None:
            spool.quarantine(one.path, one.why)
    for damaged in broken_groups:
        if damaged.group not in state.groups:
            spool.quarantine(damaged.path, damaged.why)
    if unfiled:
        count = sum(len(changes) for changes, _ in unfiled)
        _log.info("the journal gave back %d records above LSN %d", count, start.lsn)
    state.take_touched()
    for mailbox in state.mailboxes.values():
        mailbox.marked = spool.markers.has(mailbox.session)
        if mailbox.unoffered and not mailbox.marked:
            mailbox.marked = spool.markers.add(mailbox.session)
        elif mailbox.marked and not mailbox.unoffered:
            spool.markers.remove(mailbox.session)
            mailbox.marked = False
        # Of a wake that is not known any more. The agent is looked at again.
        spool.wake_files.remove(mailbox.session)
    return Recovered(state, journal, start, unfiled, last_ms, warnings)


def _file_attachments(state: State, spool: Spool, attached: list[Accepted]) -> None:
    """Make the files of replayed messages: from the first request on, a path that is shown must exist."""
    for record in attached:
        message_id = record.message.id
        there = [name for name in record.receivers if state.mailbox(name).get(message_id) is not None]
        try:
            spool.file_attachments(record, there)
        except OSError as error:  # such as a full disk: the spool writer makes them, or ends the broker
            _log.warning("the files of message %s wait for the spool writer: %s", message_id, error)


def _take_from_files(state: State, spool: Spool, timeline: Timeline, since_lsn: int, warnings: list[str]) -> None:
    """After a loss in the journal, take in all mail that was filed.

    This is slow, as it reads every mailbox. Otherwise a number could be given twice, and existing mail be hidden.
    """
    for session in spool.mailboxes():
        state.load_mailbox(session, scan_mailbox(spool, session, state.mailbox(session).remembers), 0)
    for receiver, seq, _ in _numbers_given(timeline, since_lsn - 1, warnings):
        mailbox = state.mailbox(receiver)
        mailbox.head_seq = max(mailbox.head_seq, seq)


def _doubt_what_was_sent(start: checkpoint.Checkpoint, spool: Spool) -> None:
    """Have every id looked up on disk: lost records may have been filed, with newer ids than the checkpoint has."""
    for head in start.mailboxes.values():
        head.sent_ms = None
    for sender in spool.senders():
        start.mailboxes.setdefault(sender, checkpoint.MailboxHead())


def _numbers_given(timeline: Timeline, after_lsn: int, warnings: list[str]) -> Iterator[tuple[str, int, int]]:
    """Receiver, seq and time of each message accepted after an LSN, as far as the timeline can be read."""
    try:
        for event in timeline.read(after_lsn):
            if event.event == "message.accepted" and event.receiver is not None and event.seq is not None:
                yield event.receiver, event.seq, event.at
    except MaestroError as error:
        warnings.append(f"{error.message}; what it says after that was not counted")


def _read_checkpoint(data: str, spool: Spool, timeline: Timeline, warnings: list[str]) -> checkpoint.Checkpoint:
    path = os.path.join(data, HEADS_FILE)
    try:
        with open(places.open_file(path, os.O_RDONLY), "rb") as file:
            return checkpoint.decode(file.read())
    except FileNotFoundError:
        first = first_segment_lsn(os.path.join(data, "messages", "journal"))
        if first == 1 or (first is None and not spool.mailboxes()):
            # No checkpoint was made yet, so no segment was deleted: the journal has everything.
            return checkpoint.Checkpoint()
        warnings.append(f"there is no {path}; the mailboxes were counted again from the spool")
        return _count_again(spool, timeline, warnings)
    except MaestroError as error:
        aside = f"{path}.broken"
        os.replace(path, aside)
        warnings.append(f"{error.message}; it is now {aside}, and the mailboxes were counted again from the spool")
        return _count_again(spool, timeline, warnings)


def _count_again(spool: Spool, timeline: Timeline, warnings: list[str]) -> checkpoint.Checkpoint:
    """Compute a checkpoint from the spool, if its file is lost. This is slow. The timeline has the last `seq` of
    deleted mail."""
    counted = checkpoint.Checkpoint(lsn=timeline.last_lsn)
    # Include senders: without an entry, a session would look as if it had never sent a message.
    for session in {*spool.mailboxes(), *spool.senders()}:
        head = counted.mailboxes[session] = checkpoint.MailboxHead()
        for message in scan_mailbox(spool, session):
            head.seq = max(head.seq, message.seq)
            if message.status == "pending":
                head.pending += 1
                head.unoffered += message.offered_at is None
                if message.expires_at is not None:
                    head.next_expiry_ms = min(head.next_expiry_ms or message.expires_at, message.expires_at)
            counted.at = max(counted.at, message.created_at)
    for receiver, seq, at in _numbers_given(timeline, 0, warnings):
        counted.at = max(counted.at, at)
        if receiver in counted.mailboxes:
            head = counted.mailboxes[receiver]
            head.seq = max(head.seq, seq)
    return counted
