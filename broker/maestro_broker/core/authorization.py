"""Authorisation: which session a request comes from, and which message it means by an id.

Rule: the operator is a peer of the broker's uid that names no session. It reads and changes what it may without more.
To send, which another one sees, it must say that it is the operator. `visibility` has the rule of who sees what.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maestro_schemas.errors import OPERATOR_MAY, START_A_SESSION, MaestroError
from maestro_schemas.names import OPERATOR, canonical_id, ending_of, is_id

from . import validation, visibility
from .model.reads import Read

if TYPE_CHECKING:
    from maestro_schemas.commands import ProtocolCommand
    from maestro_schemas.messages import Message
    from maestro_schemas.requests import Identity
    from maestro_schemas.sessions import Session

    from .model.mailbox import Mailbox
    from .model.reads import Reads
    from .model.session_registry import SessionState
    from .model.state import SentMessage, State

# How many ids of received mail a not-found error lists.
_LISTED_MAX = 5


def authenticate(state: State, who: Identity, now_ms: int) -> SessionState | None:
    """The calling session; None for the operator. Raises UNKNOWN_SESSION, TOKEN_REQUIRED, TOKEN_MISMATCH."""
    if who.session is None:
        return None
    if who.operator or who.session == OPERATOR:
        raise MaestroError(
            "INVALID",
            f"as: {who.session!r} is {'beside `operator`' if who.operator else 'no session that a caller can name'}",
            "The operator says `as: {operator: true}` and nothing else; in a shell: `--as operator`.",
        )
    found = state.sessions.get(who.session)
    if found is None:
        raise MaestroError(
            "UNKNOWN_SESSION",
            f"there is no session {who.session[:80]!r} in this post office",
            f"{START_A_SESSION} If it was started in another data directory, set MAESTRO_DATA_DIR to that one.",
        )
    if found.token_hash is not None:
        validation.check_token(who.session, found.token_hash, who.token)
    found.last_activity_ms = now_ms
    return found


def check_scope(state: State, command: ProtocolCommand, who: Identity, now_ms: int) -> None:
    """Raises NO_SESSION if the command needs a calling session, FORBIDDEN if it is the operator's."""
    if command.scope == "session":
        if who.session is None and not who.operator:
            raise MaestroError(
                "NO_SESSION",
                "a message needs a sender, and no session was named",
                f"{START_A_SESSION} A person who writes from a shell of their own says `--as operator`.",
                http_hint="Name the sender in the header X-Session-ID, or `operator` if you are the person.",
            )
    elif (asking := authenticate(state, who, now_ms)) is not None:
        raise MaestroError(
            "FORBIDDEN",
            f"{asking.session.id} may not do this: it is about the mail of all sessions",
            OPERATOR_MAY,
        )


def receiver_with_token(state: State, mailbox: Mailbox | None, who: Identity, now_ms: int) -> SessionState | None:
    """The owner of `mailbox`, for whom the caller of a documented REST call speaks that gives only a message's id
    (`as_receiver`). Raises TOKEN_REQUIRED, TOKEN_MISMATCH."""
    owner = state.sessions.get(mailbox.session) if mailbox is not None else None
    if owner is not None:
        validation.check_token(owner.session.id, owner.token_hash, who.token)
        owner.last_activity_ms = now_ms
    return owner


def speaker_for(state: State, message_id: str, who: Identity, now_ms: int) -> Reads[SessionState | None]:
    """The session for which the caller of a documented REST call speaks that gives only a message's id
    (`as_receiver`): its receiver, or of a failed message its sender. Raises TOKEN_REQUIRED, TOKEN_MISMATCH,
    AMBIGUOUS_ID."""
    sent = yield from find_any(state, message_id)
    if sent is not None and sent.file.failed is not None:
        return receiver_with_token(state, state.mailboxes.get(sent.file.failed.sender), who, now_ms)
    holder = yield from find_holder(state, message_id, is_operator=False)
    return receiver_with_token(state, holder, who, now_ms)


def sender_of(state: State, who: Identity, now_ms: int) -> SessionState:
    """The sending session, ended or not; the command's scope demands that the caller names one or is the operator.
    Raises as `authenticate`."""
    named = authenticate(state, who, now_ms)
    if named is not None:
        return named
    state.sessions.operator.last_activity_ms = now_ms
    return state.sessions.operator


def active_sender(state: State, who: Identity, now_ms: int) -> SessionState:
    """The sending session. Raises as `authenticate`, and SESSION_ENDED."""
    sessions = state.sessions
    sender = None if who.session is None or who.operator else sessions.get(who.session)
    if sender is None or sender.token_hash is not None or sender is sessions.operator:
        sender = sender_of(state, who, now_ms)
    else:  # without a call, since nearly every send is such a one
        sender.last_activity_ms = now_ms
    if not sender.active:
        raise ended(sender.session)
    return sender


def own_mailbox(state: State, who: Identity, session: str | None, now_ms: int) -> Mailbox:
    """The mailbox that a request is about. Raises as `authenticate`, and NO_SESSION, SESSION_NOT_FOUND, FORBIDDEN."""
    asking = authenticate(state, who, now_ms)
    own = OPERATOR if who.operator else None if asking is None else asking.session.id
    name = own if session is None else session
    if name is None:
        raise MaestroError(
            "NO_SESSION",
            "no session was named whose mail this is about",
            f"Name one, or `operator` for the person's own. {START_A_SESSION}",
        )
    owner = state.sessions.resolve(name, session_of(asking), "SESSION_NOT_FOUND")
    if asking is not None and asking is not owner:
        raise MaestroError(
            "FORBIDDEN",
            f"{asking.session.id} may not read or change the mail of {owner.session.id}",
            f"A mailbox is its owner's. {OPERATOR_MAY}",
        )
    return state.mailbox(owner.session.id)


def named_session(state: State, asking: SessionState | None, name: str | None) -> SessionState:
    """The session that a request names, else the calling one. Raises SESSION_NOT_FOUND or NO_SESSION."""
    if name is not None:
        return state.sessions.resolve(name, session_of(asking), "SESSION_NOT_FOUND")
    if asking is None:
        raise MaestroError("NO_SESSION", "no session was named", "Name one, or set MAESTRO_SESSION_ID.")
    return asking


def recorded_session(state: State, asking: SessionState | None, name: str | None) -> SessionState:
    """As `named_session`, for a change. Raises also FORBIDDEN for the operator's session, which is built in."""
    found = named_session(state, asking, name)
    if found is state.sessions.operator:
        raise MaestroError(
            "FORBIDDEN",
            "the session `operator` is built in: it never ends, and nothing of it can be changed",
            "Name another session: `maestro session list`.",
        )
    return found


def find_sent(state: State, sender: str, message_id: str) -> Reads[SentMessage | None]:
    """What became of a message; `message_id` is canonical, and ends with the mark of `sender`."""
    filed = None
    if not state.is_unfiled(message_id):
        filed = yield Read("sent", sender, message_id)
    return state.sent(message_id, filed)


def find_any(state: State, message_id: str) -> Reads[SentMessage | None]:
    """What became of the message with this canonical id, whose sender the id names."""
    owner = state.sessions.owner_of(ending_of(message_id) or "")
    if owner is None or not is_id(message_id):
        return None
    found = yield from find_sent(state, owner, message_id)
    return found


def find_holder(state: State, message_id: str, *, is_operator: bool) -> Reads[Mailbox | None]:
    """The mailbox of the message with this canonical id, for a caller that names no session: the id says who sent it,
    and the sender's file to whom. Of several, the operator means its own. Raises AMBIGUOUS_ID if several mailboxes
    have it."""
    sent = yield from find_any(state, message_id)
    if sent is None or sent.file.failed is not None:
        return None
    receivers = [message.receiver for message in sent.there] or list(sent.file.receivers)
    if len(receivers) > 1 and is_operator and OPERATOR in receivers:
        return state.mailboxes[OPERATOR]
    if len(receivers) > 1:
        raise _ambiguous(message_id, receivers)
    return state.mailboxes.get(receivers[0])


def find_message(
    state: State,
    asking: SessionState | None,
    message_id: str,
    receiver: str | None = None,
    *,
    any_delivery: bool = False,
) -> Reads[Message | None]:
    """The message that the caller means by an id, if the caller may see it. Its own come first: what a session sent,
    else what it received.

    Of several deliveries, that of `receiver`, else the caller's own, else the first that is there. Raises
    AMBIGUOUS_ID if the operator names none, unless `any_delivery` says that each is as good.
    """
    if not is_id(message_id):
        return None
    if asking is not None:
        own = yield from _find_own(state, asking, message_id, receiver)
        if own is not None or asking.session.role != "orchestrator":
            return own if own is not None and visibility.sees_message(state, asking, own) else None
    sent = yield from find_any(state, message_id)
    if asking is None and ending_of(message_id) is None:
        # The operator, too, may name what it sent by the key.
        sent = yield from find_sent(state, OPERATOR, canonical_id(message_id, state.sessions.operator.mark))
    there = visibility.seen(state, asking, sent.there if sent is not None else ())
    # The operator means its own delivery, or any of what it sent.
    meant = receiver or (OPERATOR if asking is None else None)
    there = [message for message in there if message.receiver == meant] or there
    is_unclear = len(there) > 1 and asking is None and OPERATOR not in (there[0].sender, receiver)
    if is_unclear and not any_delivery:
        raise _ambiguous(message_id, [message.receiver for message in there])
    return there[0] if there else None


def _find_own(state: State, asking: SessionState, message_id: str, receiver: str | None) -> Reads[Message | None]:
    session = asking.session.id
    sent = yield from find_sent(state, session, canonical_id(message_id, asking.mark))
    if sent is not None:
        return sent.shown_to(receiver or session)
    mailbox = state.mailbox(session)
    if not mailbox.knows(message_id):
        yield Read("file", session, message_id)
    own = mailbox.get(message_id)
    return own.message if own is not None else None


def _ambiguous(message_id: str, receivers: list[str]) -> MaestroError:
    return MaestroError(
        "AMBIGUOUS_ID",
        f"message {message_id} was delivered to {len(receivers)} sessions, and none was named",
        "Name the receiver in `session`, one of details.receivers.",
        details={"receivers": receivers},
    )


def session_of(asking: SessionState | None) -> Session | None:
    """The calling session; None for the operator."""
    return asking.session if asking is not None else None


def no_message(state: State, asking: SessionState | None, message_id: str) -> Reads[MaestroError]:
    """The error for a message that does not exist or that the caller may not see; it does not say which.

    It lists mail of the caller's own mailbox whose id begins with the given one, since a bare key does not name it.
    It chooses none, so that no sender can put a message in the place of another's.
    """
    received: list[str] = []
    if asking is not None and is_id(message_id):
        mailbox, prefix = state.mailbox(asking.session.id), f"{message_id}_"
        received = mailbox.beginning_with(prefix, _LISTED_MAX)
        if not mailbox.complete:
            filed: list[str] = yield Read("names", asking.session.id, prefix)
            received = sorted({*received, *filed})[:_LISTED_MAX]
    owners = {message_id: state.sessions.owner_of(ending_of(message_id) or "") for message_id in received}
    details = [{"id": message_id, "from": owner} for message_id, owner in owners.items() if owner is not None]
    found = ", ".join(f"{each['id']} from {each['from']}" for each in details)
    if not details:
        return gone(message_id)
    return MaestroError(
        "MESSAGE_NOT_FOUND",
        f"there is no message {message_id!r} that you may see",
        f"Your mailbox has {found}. Give the whole id.",
        details={"received": details},
    )


def gone(message_id: str) -> MaestroError:
    """The error for a message that does not exist, was deleted, or is not the caller's; it does not say which."""
    return MaestroError(
        "MESSAGE_NOT_FOUND",
        f"there is no message {message_id[:80]!r} that you may see",
        "It may be deleted. `maestro inbox --unread` lists your mail, `maestro timeline` what happened to it.",
    )


def ended(session: Session) -> MaestroError:
    """The error for a command that needs an active session."""
    return MaestroError(
        "SESSION_ENDED",
        f"session {session.id} has ended ({session.status})",
        f"The same id and token reopen it. {START_A_SESSION}",
    )
