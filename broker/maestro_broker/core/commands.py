"""Core: what each command does to the post office.

Rule: no I/O, no clock, no randomness: `apply(state, request, now_ms)` decides, changes the state in memory and
leaves records in it; the daemon makes them durable before anybody is told. What a command must know from disk it
says beforehand (`touches`), and the daemon supplies it. Everything here can be replayed from a seed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maestro_schemas.errors import MaestroError
from maestro_schemas.names import is_id, message_time_ms
from maestro_schemas.requests import (
    Confirm,
    Delete,
    GetMessage,
    GetThread,
    Inbox,
    Request,
    Send,
    SessionEnd,
    SessionGet,
    SessionList,
    SessionStart,
    SessionTouch,
)

from . import acceptance, authorization, reception, recipients, session_commands, threads
from .model.state import Read, State

if TYPE_CHECKING:
    from collections.abc import Callable

    from .model.mailbox import Mailbox

_PENDING: frozenset[str] = frozenset({"pending"})

_COMMANDS: dict[type[Request], Callable[[State, Any, int], Any]] = {
    Send: acceptance.send,
    Inbox: reception.inbox,
    Confirm: reception.confirm,
    Delete: reception.delete,
    GetMessage: reception.get_message,
    GetThread: threads.get,
    SessionStart: session_commands.start,
    SessionEnd: session_commands.end,
    SessionGet: session_commands.get,
    SessionList: session_commands.list_sessions,
    SessionTouch: session_commands.touch,
}


def apply(state: State, request: Request, now_ms: int) -> Any:
    """Do one command; returns the body of its reply. Raises MaestroError, and has then changed nothing."""
    try:
        return _COMMANDS[type(request)](state, request, now_ms)
    except MaestroError as error:
        # Of a send each refusal, its items' own in `sending`; of the rest what somebody was not allowed.
        if error.status in (401, 403) or isinstance(request, Send):
            # Whoever starts a session claims to be it.
            claimed = request.id if isinstance(request, SessionStart) else None
            state.refuse(error.code, request.who.session or claimed, None, None, now_ms)
        raise
    finally:
        state.forget_links()


def touches(state: State, request: Request) -> list[Read]:
    """What `apply(request)` needs read first. Names only ids that are well formed, so they are safe as paths."""
    match request:
        case Send():
            return _send_touches(state, request)
        case Inbox():
            mailbox = _mailbox_of(state, request)
            if mailbox is None:
                return []
            if set(request.status) <= _PENDING:
                return [] if mailbox.loaded else [Read("pending", mailbox.session, "")]
            return [] if mailbox.complete else [Read("mailbox", mailbox.session, "")]
        case Confirm() | Delete():
            wanted = [i for i in request.ids[: state.limits.batch_messages_max] if is_id(i)]
            if request.session is None and request.who.session is None:
                return [Read("anywhere", "", i) for i in wanted]
            mailbox = _mailbox_of(state, request)
            if mailbox is None:
                return []
            return [Read("file", mailbox.session, i) for i in wanted if not mailbox.knows(i)]
        case GetMessage():
            if request.who.session is None and request.session in state.mailboxes and is_id(request.id):
                known = state.mailboxes[request.session].knows(request.id)
                return [] if known else [Read("file", request.session, request.id)]
            return _message_touches(state, request.who.session, request.id)
        case GetThread():
            return [*_message_touches(state, request.who.session, request.id), *threads.touches(state, request)]
    return []


def _mailbox_of(state: State, request: Inbox | Confirm | Delete) -> Mailbox | None:
    """The mailbox that the request is about, as far as it can be told before anybody is authenticated."""
    name = request.session or request.who.session
    if name is None:
        return None
    asking = state.sessions.get(request.who.session) if request.who.session is not None else None
    try:
        owner = state.sessions.resolve(name, authorization.session_of(asking), "SESSION_NOT_FOUND")
    except MaestroError:
        return None  # `apply` says it, with the hint
    return state.mailboxes.get(owner.session.id)


def _send_touches(state: State, request: Send) -> list[Read]:
    sender = request.who.session
    found = state.sessions.get(sender) if sender else None
    if found is None or sender is None:
        return []
    needs = []
    for outgoing in request.messages:
        message_id = outgoing.id
        if not is_id(message_id):
            continue
        id_ms = message_time_ms(message_id)
        if state.may_be_filed(sender, message_id, id_ms):
            needs.append(Read("link", sender, message_id))
        try:
            receiver, _ = recipients.resolve_recipient(state, found.session, outgoing)
        except MaestroError:
            continue  # `apply` says it
        mailbox = state.mailboxes.get(receiver.session.id)
        if mailbox is not None and mailbox.may_hold(message_id, id_ms):
            needs.append(Read("file", mailbox.session, message_id))
        reply_to = outgoing.metadata.in_reply_to
        if reply_to is not None:
            unknown = _message_touches(state, sender, reply_to)
            needs += unknown
            if unknown:  # it may be deleted, and its thread go on
                needs.append(Read("thread", "", reply_to))
    return needs


def _message_touches(state: State, session: str | None, message_id: str) -> list[Read]:
    if not is_id(message_id):
        return []
    if session is None:
        return [Read("anywhere", "", message_id)]
    if session not in state.mailboxes:
        return []
    needs = []
    if not state.mailboxes[session].knows(message_id):
        needs.append(Read("file", session, message_id))
    if not state.is_unfiled(session, message_id):
        needs.append(Read("link", session, message_id))
    return needs
