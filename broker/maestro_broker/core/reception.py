"""Reception: reading a mailbox, and changing the status of the mail in it.

Rule: reading changes nothing but leases. A status changes only when the reader confirms it, and only forward; a
repeated confirmation is no error.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from msgspec import UNSET
from msgspec.structs import replace

from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import VIA_CHARS_MAX, check_number
from maestro_schemas.names import OPERATOR, is_id
from maestro_schemas.replies import InboxReply, ItemResult, ItemsReply, MessageReply

from . import authorization, retention, validation
from .model.reads import Read
from .model.records import Confirmed, Deleted
from .model.state import advance_status
from .people import people

if TYPE_CHECKING:
    from collections.abc import Callable

    from maestro_schemas.requests import Confirm, Delete, GetMessage, Inbox

    from .context import RequestContext
    from .model.mailbox import Mailbox
    from .model.reads import Reads
    from .model.state import State

_PENDING = frozenset({"pending"})


def inbox(state: State, request: Inbox, context: RequestContext) -> Reads[InboxReply]:
    """Return a page of a mailbox, and lease it if the request asks for that."""
    mailbox = authorization.own_mailbox(state, request.who, request.session, context.now_ms)
    most = state.limits.reply_messages_max
    limit = most if request.limit is None else request.limit
    check_number("limit", limit, 1, most)
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
    statuses = frozenset(request.status)
    if statuses <= _PENDING:
        if not mailbox.loaded:
            yield Read("pending", mailbox.session, "")
    elif not mailbox.complete:
        yield Read("mailbox", mailbox.session, "")
    now_ms = context.now_ms
    reader = request.reader if leasing else None
    find = partial(
        mailbox.page,
        since=request.since,
        statuses=statuses,
        kind=request.type,
        sender=None if request.sender is None else _sender(state, request.sender),
        thread=request.thread,
        offered=request.offered,
        reader=reader,
        now_ms=now_ms,
        bytes_max=state.limits.reply_bytes_max,
    )
    # Quiet mail that is held back stays after `up_to`, so that a later page has it.
    page = find(limit=1, loud=True)._replace(up_to=request.since or 0) if request.hold_quiet else None
    if page is None or page.messages:
        page = find(limit=min(limit, most))
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


def _sender(state: State, name: str) -> str:
    """The id of a sender by its id or its name. One that is forgotten has its mail here still."""
    try:
        return state.sessions.resolve(name, None, "SESSION_NOT_FOUND").session.id
    except MaestroError as error:
        if error.code != "SESSION_NOT_FOUND":
            raise
        return name


def confirm(state: State, request: Confirm, context: RequestContext) -> Reads[ItemsReply]:
    """Record that messages were offered, delivered or read."""
    if request.via is not None:
        validation.check_label("via", request.via, VIA_CHARS_MAX)
    if request.woken_by is not None:
        validation.check_label("wokenBy", request.woken_by, VIA_CHARS_MAX)
    if request.who.operator and request.session not in (None, OPERATOR):
        raise MaestroError(
            "FORBIDDEN",
            f"this is mail of {request.session[:80]!r}, and only its receiver says that it was delivered or read",
            "The operator reads it all the same: `maestro message show ID`.",
            http_hint="The operator reads it all the same: GET /api/messages/ID.",
        )
    places = yield from _places(state, request, context)
    return _each(request, places, partial(_confirm_one, state, request, context.now_ms))


def delete(state: State, request: Delete, context: RequestContext) -> Reads[ItemsReply]:
    """Delete messages by id."""
    by = request.who.session or OPERATOR
    places = yield from _places(state, request, context)
    return _each(request, places, partial(_delete_one, state, by, context.now_ms))


def get_message(state: State, request: GetMessage, context: RequestContext) -> Reads[MessageReply]:
    """Return one message to its sender, its receiver or the operator."""
    asking = authorization.authenticate(state, request.who, context.now_ms)
    if asking is None and request.session is not None:
        named = state.mailboxes.get(request.session)
        if named is not None and is_id(request.id) and not named.knows(request.id):
            yield Read("file", named.session, request.id)
        entry = named.get(request.id) if named is not None else None
        message = entry.message if entry is not None else None
    else:
        if asking is None and request.as_receiver and not request.who.operator:
            asking = yield from authorization.speaker_for(state, request.id, request.who, context.now_ms)
        message = yield from authorization.find_message(state, asking, request.id, request.session)
    if message is None:
        error = yield from authorization.no_message(state, asking, request.id)
        raise error
    shown = retention.shown(message, context.now_ms)
    return MessageReply(shown, people(state, [shown]) if request.people else UNSET)


def _places(state: State, request: Confirm | Delete, context: RequestContext) -> Reads[list[Mailbox | MaestroError]]:
    """For each id the mailbox that has the message in memory, or why there is none.

    A session, and the operator who says so, name mail of their own mailbox, by the whole id. A caller that names no
    session may name no mailbox: the id says where the message is.
    """
    validation.check_many(len(request.ids), "ids", state.limits.batch_messages_max)
    found: list[Mailbox | MaestroError] = []
    if request.session is None and request.who.session is None and not request.who.operator:
        for message_id in request.ids:
            try:
                holder = yield from authorization.find_holder(state, message_id, is_operator=not request.as_receiver)
                if request.as_receiver:
                    authorization.receiver_with_token(state, holder, request.who, context.now_ms)
            except MaestroError as refused:
                found.append(refused)
                continue
            found.append(holder or (yield from authorization.no_message(state, None, message_id)))
        return found
    named = authorization.own_mailbox(state, request.who, request.session, context.now_ms)
    owner = state.sessions.get(named.session)
    for message_id in request.ids:
        if not named.knows(message_id) and is_id(message_id):
            yield Read("file", named.session, message_id)
        if named.remembers(message_id):
            found.append(named)
        else:
            error = yield from authorization.no_message(state, owner, message_id)
            found.append(error)
    return found


def _each(
    request: Confirm | Delete, places: list[Mailbox | MaestroError], step: Callable[[Mailbox, str], ItemResult]
) -> ItemsReply:
    """`step` for each id and its mailbox; a refusal of one id leaves the others."""
    results = []
    for message_id, place in zip(request.ids, places, strict=True):
        try:
            if isinstance(place, MaestroError):
                raise place
            results.append(step(place, message_id))
        except MaestroError as error:
            results.append(ItemResult(id=message_id[:64], status=error.status, error=error.body()))
    return ItemsReply(results)


def _confirm_one(state: State, request: Confirm, now_ms: int, mailbox: Mailbox, message_id: str) -> ItemResult:
    entry = mailbox.get(message_id)
    if entry is None:
        raise authorization.gone(message_id)
    message = entry.message
    if message.status not in ("pending", "delivered", "read"):
        raise MaestroError(
            "STATUS_CONFLICT",
            f"message {message_id} is {message.status} and can't become {request.kind}",
            "Nothing is to be done: its sender was notified.",
        )
    new = advance_status(message, request.kind, request.via, now_ms, request.woken_by)
    if new is not message:
        record = Confirmed(
            message_id, mailbox.session, message.sender, message.seq, request.kind, now_ms, message.status,
            message.offered_at is not None, request.via, request.woken_by,
        )  # fmt: skip
        state.apply(record, new)
    at = {"offered": new.offered_at, "delivered": new.delivered_at, "read": new.read_at}[request.kind]
    result = ItemResult(id=message_id, status=200, state=new.status, at=at)
    return replace(result, message=retention.shown(new, now_ms)) if request.whole else result


def _delete_one(state: State, by: str, now_ms: int, mailbox: Mailbox, message_id: str) -> ItemResult:
    entry = mailbox.get(message_id)
    if entry is None:
        if mailbox.is_gone(message_id):
            return ItemResult(id=message_id, status=200, state="deleted")
        raise authorization.gone(message_id)
    message = entry.message
    offered = message.offered_at is not None
    state.apply(
        Deleted(message_id, mailbox.session, message.sender, message.seq, now_ms, by, message.status, offered),
        None,
    )
    return ItemResult(id=message_id, status=200, state="deleted", at=now_ms)
