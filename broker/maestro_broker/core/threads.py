"""Threads: the messages that answer one another.

Rule: a thread goes by the id of its first message. Its answers are known by links (`by-thread/<id>/`), made when they
are filed, and by memory until then; its first message lies in the mailbox of a party of some answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET

from maestro_schemas.names import is_id, message_time_ms
from maestro_schemas.replies import ThreadReply

from . import authorization, retention
from .model.state import Read
from .people import people

if TYPE_CHECKING:
    from maestro_schemas.messages import Message
    from maestro_schemas.requests import GetThread

    from .model.state import State

# What a message takes in a reply beside its text: metadata.data has at most 4 KiB, the rest some hundred bytes.
_ENVELOPE_BYTES = 4_608


def touches(state: State, request: GetThread) -> list[Read]:
    """What must be read next; asked again after that was supplied, until nothing new comes."""
    asking = state.sessions.get(request.who.session) if request.who.session is not None else None
    if not is_id(request.id) or (request.who.session is not None and asking is None):
        return []
    message = authorization.find_message(state, asking, request.id)
    if message is None:
        return []
    thread_id = _thread_id(message)
    if not state.has_answers(thread_id):
        return [Read("thread", "", thread_id)]
    places = [(receiver, message_id) for message_id, receiver in _oldest(state, thread_id).items()]
    places += [(party, thread_id) for party in _parties(state, message, thread_id)]
    return [
        Read("file", receiver, message_id)
        for receiver, message_id in places
        if not state.mailbox(receiver).knows(message_id)
    ]


def get(state: State, request: GetThread, now_ms: int) -> ThreadReply:
    """The thread of a message. Raises MaestroError MESSAGE_NOT_FOUND, also for who may not see the message."""
    asking = authorization.authenticate(state, request.who, now_ms)
    if asking is None and request.as_receiver and is_id(request.id):
        asking = authorization.receiver_with_token(state, state.holder(request.id), request.who, now_ms)
    message = authorization.find_message(state, asking, request.id) if is_id(request.id) else None
    if message is None:
        raise authorization.no_message(request.id[:80])
    thread_id = _thread_id(message)
    found = _messages(state, thread_id)
    for party in _parties(state, message, thread_id):
        entry = state.mailbox(party).get(thread_id)
        if entry is not None:
            found[thread_id] = entry.message
    # A number counts within one mailbox; between two of them time has to do.
    ordered = sorted(found.values(), key=lambda each: (each.created_at, each.seq, each.id))
    shown: list[Message] = []
    total_bytes = 0
    for each in ordered:
        total_bytes += len(each.text.encode()) + _ENVELOPE_BYTES
        if len(shown) == state.limits.reply_messages_max or (shown and total_bytes > state.limits.reply_bytes_max):
            break
        shown.append(each)
    all_of_them = len(_oldest(state, thread_id)) == len(state.answers(thread_id)) and len(shown) == len(found)
    return ThreadReply(
        thread_id,
        [retention.shown(each, now_ms) for each in shown],
        has_more=not all_of_them,
        people=people(state, shown) if request.people else UNSET,
    )


def _thread_id(message: Message) -> str:
    return message.meta.thread_id or message.id


def _oldest(state: State, thread_id: str) -> dict[str, str]:
    """As many answers as a reply may hold, by the time in their ids: id -> receiver."""
    answers = state.answers(thread_id)
    ordered = sorted(answers, key=lambda message_id: (message_time_ms(message_id), message_id))
    return {message_id: answers[message_id] for message_id in ordered[: state.limits.reply_messages_max]}


def _messages(state: State, thread_id: str) -> dict[str, Message]:
    """The answers that are in memory, by id. (One that is not was deleted.)"""
    entries = {
        message_id: state.mailbox(receiver).get(message_id)
        for message_id, receiver in _oldest(state, thread_id).items()
    }
    return {message_id: entry.message for message_id, entry in entries.items() if entry is not None}


def _parties(state: State, message: Message, thread_id: str) -> list[str]:
    """Who may have the thread's first message: whoever answered it, or was answered."""
    parties = {message.sender: None, message.receiver: None}
    for each in _messages(state, thread_id).values():
        parties |= {each.sender: None, each.receiver: None}
    return [party for party in parties if party in state.mailboxes]
