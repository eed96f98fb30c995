"""Receipts: what became of one message at each of its receivers.

Rule: each line is derived from what is on disk now: the sender's file says who got the message and who refused, the
receiver's copy how far it came, and the thread who answered. A caller gets the lines that concern it; a refusal is
for the sender to know, and for those who see what the sender sends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec import UNSET
from msgspec.structs import replace

from maestro_schemas.names import canonical_id, ending_of, is_id, message_time_ms
from maestro_schemas.replies import ReceiptCounts, ReceiptReply, RecipientReceipt

from . import authorization, presence, retention, visibility
from .model.reads import Read
from .people import people_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from maestro_schemas.messages import Message
    from maestro_schemas.replies import Person, ReceiptState
    from maestro_schemas.requests import GetReceipt
    from maestro_schemas.sessions import Presence

    from .context import RequestContext
    from .model.reads import Reads
    from .model.session_registry import SessionState
    from .model.state import SentMessage, State

# How many messages of one receiver are read at most, to find its answer in the thread.
_CANDIDATES_MAX = 8


class _Answer(NamedTuple):
    """The first answer of a receiver."""

    id: str
    # When it was accepted, ms; None where it was deleted and its id has no time.
    at_ms: int | None


def get(state: State, request: GetReceipt, context: RequestContext) -> Reads[ReceiptReply]:
    """Return the receipt of a message. Raises MaestroError MESSAGE_NOT_FOUND, also if the caller may see no line."""
    asking = authorization.authenticate(state, request.who, context.now_ms)
    speaker = state.sessions.operator if asking is None else asking
    message_id, sender, sent = yield from _find(state, speaker, request.id)
    if sent is None:
        lines, copies = yield from _of_a_mailbox(state, speaker, request, context)
    elif sent.file.failed is not None:
        lines, copies = _failed(state, asking, sent.file.failed), [sent.file.failed]
    else:
        visible = [
            (to, original_to)
            for to, original_to in sent.file.deliveries
            if request.session in (None, to) and visibility.sees_parties(state, asking, (sender, to))
        ]
        copies = list(sent.there)
        answers = yield from _answers(state, asking, message_id, sent, {to for to, _ in visible})
        there = {copy.receiver: retention.shown(copy, context.now_ms) for copy in copies}
        lines = [
            _line(to, original_to, there.get(to), answers.get(to), _presence(state, context, to))
            for to, original_to in visible
        ]
        lines += [
            RecipientReceipt(to=to, state="refused", code=code, presence=_presence(state, context, to))
            for to, code in sent.file.refused
            if request.session in (None, to) and _sees_refusal(state, asking, sender, to)
        ]
    if not lines:
        error = yield from authorization.no_message(state, asking, request.id)
        raise error
    first = copies[0] if copies else None
    return ReceiptReply(
        id=message_id,
        sender=sender if first is None else first.sender,
        counts=_counts(lines),
        recipients=lines,
        audience=None if first is None else first.audience,
        created_at=None if first is None else first.created_at,
        expires_at=None if first is None else first.expires_at,
        failure=None if first is None else first.failure,
        people=_people(state, sender if first is None else first.sender, lines) if request.people else UNSET,
    )


def _find(state: State, speaker: SessionState, wanted: str) -> Reads[tuple[str, str, SentMessage | None]]:
    """The message that the caller means: its whole id, its sender, and what became of it. The caller's own comes
    first, as everywhere."""
    if not is_id(wanted):
        return wanted, "", None
    own_id = canonical_id(wanted, speaker.mark)
    sent = yield from authorization.find_sent(state, speaker.session.id, own_id)
    if sent is not None:
        return own_id, speaker.session.id, sent
    sent = yield from authorization.find_any(state, wanted)
    return wanted, state.sessions.owner_of(ending_of(wanted) or "") or "", sent


def _of_a_mailbox(
    state: State, speaker: SessionState, request: GetReceipt, context: RequestContext
) -> Reads[tuple[list[RecipientReceipt], list[Message]]]:
    """The line of a message whose sender has no file any more: only the mailbox that it is in knows it."""
    owner = speaker.session.id
    if request.session is not None and request.session != owner:
        if speaker is not state.sessions.operator:
            return [], []
        owner = request.session
    mailbox = state.mailboxes.get(owner)
    if mailbox is None or not is_id(request.id):
        return [], []
    if not mailbox.knows(request.id):
        yield Read("file", mailbox.session, request.id)
    entry = mailbox.get(request.id)
    if entry is None:
        return [], []
    message = retention.shown(entry.message, context.now_ms)
    known = _presence(state, context, message.receiver)
    return [_line(message.receiver, message.original_to, message, None, known)], [message]


def _failed(state: State, asking: SessionState | None, message: Message) -> list[RecipientReceipt]:
    """A line for each address of a message that was refused for good."""
    if not visibility.sees_message(state, asking, message) or message.failure is None:
        return []
    addresses = (message.receiver,) if message.audience is None else message.audience.to
    return [
        RecipientReceipt(to=to, state="failed", at=message.created_at, code=message.failure.code) for to in addresses
    ]


def _sees_refusal(state: State, asking: SessionState | None, sender: str, refusing: str) -> bool:
    """The session that refused does not learn it; an orchestrator does not learn of sessions of other projects."""
    return visibility.sees_parties(state, asking, (sender,)) and visibility.sees_parties(
        state, asking, (sender, refusing)
    )


def _line(
    to: str, original_to: str | None, copy: Message | None, answer: _Answer | None, known: Presence | None
) -> RecipientReceipt:
    step: ReceiptState
    if copy is None:
        step, at = "deleted", None
    elif copy.status == "pending":
        step = "pending" if copy.offered_at is None else "offered"
        at = copy.created_at if copy.offered_at is None else copy.offered_at
    elif copy.status == "expired":
        step, at = "expired", copy.expires_at
    else:
        step, at = copy.status, copy.delivered_at if copy.status == "delivered" else copy.read_at
    if answer is not None:
        step, at = "answered", answer.at_ms
    line = RecipientReceipt(
        to=to,
        state=step,
        at=at,
        original_to=original_to,
        answered_at=None if answer is None else answer.at_ms,
        answer_id=None if answer is None else answer.id,
        presence=known,
    )
    if copy is None:
        return line
    return replace(
        line,
        via=copy.offered_via if step == "offered" else copy.delivered_via,
        seq=copy.seq,
        offered_at=copy.offered_at,
        offered_via=copy.offered_via,
        delivered_at=copy.delivered_at,
        delivered_via=copy.delivered_via,
        woken_by=copy.woken_by,
        read_at=copy.read_at,
    )


def _answers(
    state: State, asking: SessionState | None, message_id: str, sent: SentMessage, receivers: set[str]
) -> Reads[dict[str, _Answer]]:
    """The first answer of each receiver: its first message that answers this one, else its first in the thread."""
    first = sent.there[0] if sent.there else None
    thread_id = message_id if first is None else first.meta.thread_id or message_id
    filed: dict[str, tuple[str, ...]] = yield Read("thread", "", thread_id)
    in_thread = filed | state.unfiled_answers(thread_id)
    sent_ms = message_time_ms(message_id)

    def later_first(answer_id: str) -> tuple[bool, int, str]:
        at_ms = message_time_ms(answer_id)
        return at_ms < sent_ms, at_ms, answer_id

    candidates: dict[str, list[str]] = {}
    for answer_id in sorted(in_thread, key=later_first):
        owner = state.sessions.owner_of(ending_of(answer_id) or "")
        if owner in receivers and answer_id != message_id:
            candidates.setdefault(owner, []).append(answer_id)
    found = {}
    for receiver, ids in candidates.items():
        answer = yield from _first_answer(state, asking, receiver, ids[:_CANDIDATES_MAX], message_id, first)
        if answer is not None:
            found[receiver] = answer
    return found


def _first_answer(
    state: State,
    asking: SessionState | None,
    receiver: str,
    ids: Sequence[str],
    answered: str,
    message: Message | None,
) -> Reads[_Answer | None]:
    in_thread = deleted = None
    for answer_id in ids:
        sent = yield from authorization.find_sent(state, receiver, answer_id)
        if sent is None or sent.file.failed is not None:
            continue
        if not sent.there:
            # What it answered is not known any more; that it was in the thread is.
            concerned = (visibility.sees_parties(state, asking, (receiver, to)) for to in sent.file.receivers)
            if deleted is None and any(concerned):
                deleted = _Answer(answer_id, at_ms if (at_ms := message_time_ms(answer_id)) >= 0 else None)
            continue
        for copy in visibility.seen(state, asking, sent.there)[:1]:
            if copy.meta.in_reply_to == answered:
                return _Answer(answer_id, copy.created_at)
            if in_thread is None and (message is None or copy.created_at >= message.created_at):
                in_thread = _Answer(answer_id, copy.created_at)
    return in_thread or deleted


def _presence(state: State, context: RequestContext, session: str) -> Presence | None:
    found = state.sessions.get(session)
    return None if found is None else presence.of(context, found)


def _counts(lines: Sequence[RecipientReceipt]) -> ReceiptCounts:
    taken = [line for line in lines if line.state not in ("refused", "failed")]
    return ReceiptCounts(
        accepted=len(taken),
        offered=sum(line.offered_at is not None for line in taken),
        delivered=sum(line.delivered_at is not None for line in taken),
        read=sum(line.read_at is not None for line in taken),
        answered=sum(line.answer_id is not None for line in taken),
        expired=sum(line.state == "expired" for line in taken),
        deleted=sum(line.state == "deleted" for line in taken),
        refused=sum(line.state in ("refused", "failed") for line in lines),
    )


def _people(state: State, sender: str, lines: Iterable[RecipientReceipt]) -> dict[str, Person]:
    named = [sender, *(each for line in lines for each in (line.to, line.original_to) if each is not None)]
    return people_of(state, named)
