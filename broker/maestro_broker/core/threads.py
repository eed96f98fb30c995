"""Threads: the messages that answer one another.

Rule: a thread has the id of its first message. Links (`by-thread/<id>/`), which the spool writer makes, lead to its
answers; memory knows the answers that are not filed yet. Each id says who sent the message, and so where it is. Each
caller gets those messages of it that it may see.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET

from maestro_schemas.limits import ATTACHMENT_BYTES_MAX
from maestro_schemas.names import ending_of, message_time_ms
from maestro_schemas.replies import ThreadReply

from . import authorization, retention, visibility
from .model.reads import Read
from .people import people

if TYPE_CHECKING:
    from maestro_schemas.messages import Message
    from maestro_schemas.requests import GetThread

    from .context import RequestContext
    from .model.reads import Reads
    from .model.state import State

# An upper bound of a message's bytes in a reply beside its text: metadata.data has at most 4 KiB, the rest a few
# hundred bytes.
_ENVELOPE_BYTES = 4_608


def get(state: State, request: GetThread, context: RequestContext) -> Reads[ThreadReply]:
    """Return the thread of a message. Raises MaestroError MESSAGE_NOT_FOUND, also if the caller may not see it."""
    asking = authorization.authenticate(state, request.who, context.now_ms)
    if asking is None and request.as_receiver and not request.who.operator:
        asking = yield from authorization.speaker_for(state, request.id, request.who, context.now_ms)
    message = yield from authorization.find_message(state, asking, request.id, any_delivery=True)
    if message is None:
        error = yield from authorization.no_message(state, asking, request.id)
        raise error
    thread_id = message.meta.thread_id or message.id
    filed: dict[str, tuple[str, ...]] = yield Read("thread", "", thread_id)
    answers = filed | state.unfiled_answers(thread_id)
    # A reply holds only a part of a long thread: the oldest answers, by the time in their ids.
    by_time = sorted(answers, key=lambda message_id: (message_time_ms(message_id), message_id))
    oldest = by_time[: state.limits.reply_messages_max]
    found: dict[str, Message] = {}
    for message_id in (thread_id, *oldest):
        # The id says who sent it; the sender's file says to whom.
        owner = state.sessions.owner_of(ending_of(message_id) or "")
        sent = None if owner is None else (yield from authorization.find_sent(state, owner, message_id))
        there = visibility.seen(state, asking, sent.there if sent is not None else ())
        own = (each for each in there if asking is not None and each.receiver == asking.session.id)
        if there:
            found[message_id] = next(own, there[0])
    # A `seq` counts within one mailbox; between mailboxes the time decides.
    ordered = sorted(found.values(), key=lambda each: (each.created_at, each.seq, each.id))
    shown: list[Message] = []
    total_bytes = 0
    for each in ordered:
        total_bytes += len(each.text.encode()) + _ENVELOPE_BYTES + ATTACHMENT_BYTES_MAX * len(each.attachments)
        if len(shown) == state.limits.reply_messages_max or (shown and total_bytes > state.limits.reply_bytes_max):
            break
        shown.append(each)
    return ThreadReply(
        thread_id,
        [retention.shown(each, context.now_ms) for each in shown],
        has_more=len(oldest) < len(answers) or len(shown) < len(found),
        people=people(state, shown) if request.people else UNSET,
    )
