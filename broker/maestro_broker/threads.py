"""Threads: the messages that answer one another.

Rule: a thread goes by the id of its first message and lies in the mailboxes of its parties. Only a party of one
message can answer it, so whoever took part is found by going from mailbox to mailbox. No index: threads are read
rarely, and an index would be paid for at every send.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maestro_schemas.names import SYSTEM_SENDER
from maestro_schemas.replies import ThreadReply

from . import rights
from .state import Need

if TYPE_CHECKING:
    from maestro_schemas.messages import Message
    from maestro_schemas.requests import GetThread

    from .state import State

# Each is a mailbox that is read, at a few milliseconds a hundred messages.
PARTIES_MAX = 16


def touches(state: State, request: GetThread) -> list[Need]:
    """The mailboxes of the parties known so far that are not in memory; asked again after each was supplied."""
    asking = state.sessions.get(request.who.session) if request.who.session is not None else None
    if request.who.session is not None and asking is None:
        return []
    message = rights.find_message(state, asking, request.id)
    if message is None:
        return []
    parties, _ = _parties(state, message)
    return [Need("mailbox", party, "") for party in parties if not state.mailbox(party).complete]


def get(state: State, request: GetThread, now_ms: int) -> ThreadReply:
    """The thread of a message. Raises MaestroError MESSAGE_NOT_FOUND, also for who may not see the message."""
    asking = rights.authenticate(state, request.who, now_ms)
    message = rights.find_message(state, asking, request.id)
    if message is None:
        raise rights.no_message(request.id[:80])
    parties, all_of_them = _parties(state, message)
    thread_id = _thread_id(message)
    found = [each for party in parties for each in state.mailbox(party).in_thread(thread_id)]
    # Numbers count within one mailbox; between two of them time has to do.
    found.sort(key=lambda each: (each.created_at, each.seq, each.id))
    shown: list[Message] = []
    total_bytes = 0
    for each in found:
        total_bytes += len(each.text.encode()) + _ENVELOPE_BYTES
        if len(shown) == state.limits.reply_messages_max or (shown and total_bytes > state.limits.reply_bytes_max):
            break
        shown.append(each)
    for party in parties:
        mailbox = state.mailbox(party)
        mailbox.touched_ms = max(mailbox.touched_ms, now_ms)
    return ThreadReply(thread_id, shown, has_more=len(shown) < len(found) or not all_of_them)


# What a message takes in a reply beside its text: metadata.data has at most 4 KiB, the rest some hundred bytes.
_ENVELOPE_BYTES = 4_608


def _thread_id(message: Message) -> str:
    return message.meta.thread_id or message.id


def _parties(state: State, message: Message) -> tuple[list[str], bool]:
    """Who takes part, as far as the mailboxes in memory tell; and whether these are all of them."""
    thread_id = _thread_id(message)
    parties = dict.fromkeys((message.receiver, message.sender))
    parties.pop(SYSTEM_SENDER, None)
    looked: set[str] = set()
    while unseen := [party for party in parties if party not in looked]:
        for party in unseen:
            if len(looked) == PARTIES_MAX:
                return list(parties)[:PARTIES_MAX], False
            looked.add(party)
            for each in state.mailbox(party).in_thread(thread_id):
                parties.setdefault(each.sender)
                parties.setdefault(each.receiver)
    parties.pop(SYSTEM_SENDER, None)
    return list(parties), True
