"""Receiving: reading a mailbox, and what becomes of the mail in it.

Rule: reading changes nothing but leases; a status changes when the reader says so, goes forward only, and saying
it again is no error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET
from msgspec.structs import replace

from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import VIA_CHARS_MAX
from maestro_schemas.names import OPERATOR, is_id
from maestro_schemas.replies import InboxReply, ItemResult, ItemsReply, MessageReply

from . import authorization, retention, validation
from .model.records import Confirmed, Deleted
from .model.state import State, advance_status
from .people import people

if TYPE_CHECKING:
    from collections.abc import Callable

    from maestro_schemas.requests import Confirm, Delete, GetMessage, Inbox

    from .model.mailbox import Mailbox


def inbox(state: State, request: Inbox, now_ms: int) -> InboxReply:
    """A page of a mailbox; under a lease where one is asked for."""
    mailbox = authorization.own_mailbox(state, request.who, request.session, now_ms)
    most = state.limits.reply_messages_max
    limit = most if request.limit is None else request.limit
    if limit < 1:
        raise MaestroError("INVALID", f"limit can't be {limit}", f"Give a number from 1 to {most:,}.")
    leasing = request.lease_ms is not None
    if leasing and (request.reader is None or not is_id(request.reader)):
        raise MaestroError("INVALID", "a lease needs a reader", "Give `reader`: an id of the reader's own.")
    if request.lease_ms is not None and not 0 < request.lease_ms <= state.limits.lease_ms_max:
        raise MaestroError(
            "INVALID",
            f"leaseMs can't be {request.lease_ms:,}",
            f"Give a number from 1 to {state.limits.lease_ms_max:,}.",
            limit=state.limits.lease_ms_max,
            actual=request.lease_ms,
        )
    reader = request.reader if leasing else None
    page = mailbox.page(
        since=request.since,
        limit=min(limit, most),
        statuses=frozenset(request.status),
        kind=request.type,
        offered=request.offered,
        reader=reader,
        now_ms=now_ms,
        bytes_max=state.limits.reply_bytes_max,
    )
    if reader is not None and request.lease_ms is not None:
        mailbox.lease(page.messages, reader, now_ms + request.lease_ms)
    mailbox.touched_ms = max(mailbox.touched_ms, now_ms)
    owner = state.sessions.get(mailbox.session)
    return InboxReply(
        messages=page.messages,
        count=len(page.messages),
        has_more=page.has_more,
        up_to=page.up_to,
        head_seq=mailbox.head_seq,
        pending=mailbox.pending,
        unoffered=mailbox.unoffered,
        leased=page.leased,
        lease_ends_in_ms=None if page.lease_ends_ms is None else page.lease_ends_ms - now_ms,
        ended=owner is not None and not owner.session.active,
        people=people(state, page.messages) if request.people else UNSET,
        print_chars_max=state.limits.print_chars_max if request.people else UNSET,
    )


def confirm(state: State, request: Confirm, now_ms: int) -> ItemsReply:
    """Ids were offered, delivered or read."""
    if request.via is not None:
        validation.check_label("via", request.via, VIA_CHARS_MAX)
    return _each(state, request, now_ms, lambda mailbox, i: _confirm_one(state, mailbox, i, request, now_ms))


def delete(state: State, request: Delete, now_ms: int) -> ItemsReply:
    """Ids go."""
    by = request.who.session or OPERATOR
    return _each(state, request, now_ms, lambda mailbox, i: _delete_one(state, mailbox, i, by, now_ms))


def get_message(state: State, request: GetMessage, now_ms: int) -> MessageReply:
    """One message, for those whom it concerns."""
    asking = authorization.authenticate(state, request.who, now_ms)
    if asking is None and request.session is not None:
        named = state.mailboxes.get(request.session)
        entry = named.get(request.id) if named is not None else None
        message = entry.message if entry is not None else None
    else:
        if asking is None and request.as_receiver:
            asking = authorization.receiver_with_token(state, state.holder(request.id), request.who, now_ms)
        message = authorization.find_message(state, asking, request.id)
    if message is None:
        raise authorization.no_message(request.id[:80])
    shown = retention.shown(message, now_ms)
    return MessageReply(shown, people(state, [shown]) if request.people else UNSET)


def _each(
    state: State, request: Confirm | Delete, now_ms: int, step: Callable[[Mailbox, str], ItemResult]
) -> ItemsReply:
    """`step` for each id, in the named or own mailbox; the operator may leave out whose it is."""
    by_id_alone = request.session is None and request.who.session is None
    named = None if by_id_alone else authorization.own_mailbox(state, request.who, request.session, now_ms)
    validation.check_many(len(request.ids), "ids", state.limits.batch_messages_max)
    results = []
    for message_id in request.ids:
        try:
            mailbox = named if named is not None else state.holder(message_id)
            if mailbox is None:
                raise authorization.no_message(message_id[:80])
            if by_id_alone and request.as_receiver:
                authorization.receiver_with_token(state, mailbox, request.who, now_ms)
            results.append(step(mailbox, message_id))
        except MaestroError as error:
            results.append(ItemResult(id=message_id[:64], status=error.status, error=error.body()))
    return ItemsReply(results)


def _confirm_one(state: State, mailbox: Mailbox, message_id: str, request: Confirm, now_ms: int) -> ItemResult:
    entry = mailbox.get(message_id)
    if entry is None:
        raise authorization.no_message(message_id[:80])
    message = entry.message
    if message.status not in ("pending", "delivered", "read"):
        raise MaestroError(
            "STATUS_CONFLICT",
            f"message {message_id} is {message.status} and can't become {request.kind}",
            "Nothing is to be done: its sender was told.",
        )
    new = advance_status(message, request.kind, request.via, now_ms)
    if new is not message:
        record = Confirmed(
            message_id, mailbox.session, message.sender, message.seq, request.kind, now_ms, message.status,
            message.offered_at is not None, request.via,
        )  # fmt: skip
        state.absorb(record, new)
    at = {"offered": new.offered_at, "delivered": new.delivered_at, "read": new.read_at}[request.kind]
    result = ItemResult(id=message_id, status=200, state=new.status, at=at)
    return replace(result, message=retention.shown(new, now_ms)) if request.whole else result


def _delete_one(state: State, mailbox: Mailbox, message_id: str, by: str, now_ms: int) -> ItemResult:
    entry = mailbox.get(message_id)
    if entry is None:
        if mailbox.is_gone(message_id):
            return ItemResult(id=message_id, status=200, state="deleted")
        raise authorization.no_message(message_id[:80])
    message = entry.message
    offered = message.offered_at is not None
    state.absorb(
        Deleted(message_id, mailbox.session, message.sender, message.seq, now_ms, by, message.status, offered),
        None,
    )
    return ItemResult(id=message_id, status=200, state="deleted", at=now_ms)
