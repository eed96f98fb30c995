"""Notices: what watchers are told, and that there is something to fetch.

Rule: after the commit, without any text, one for each party that somebody listens for. A notice is a hint: it may be
dropped, and then the gap in `seq` shows it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from maestro_schemas.events import TOPIC_SEPARATOR, Event

from . import records

if TYPE_CHECKING:
    from .state import Change, State
    from .transport import Transport

_encode = msgspec.msgpack.Encoder().encode


def publish(transport: Transport, changes: list[Change]) -> None:
    """Tell of a committed batch."""
    for change in changes:
        event = records.event(change.lsn, change.record)
        body = b""
        for party in event.parties():
            if transport.wants(party):
                body = body or _encode(event)
                transport.publish(f"{party}{TOPIC_SEPARATOR}{event.event}", body)


def publish_head(transport: Transport, state: State, topic: str, lsn: int, now_ms: int) -> None:
    """A new watcher learns where its mailbox stands."""
    session, separator, rest = topic.partition(TOPIC_SEPARATOR)
    if not separator or rest:
        return  # an observer of everything, or of one kind of event: it has no mailbox to catch up with
    mailbox = state.mailboxes.get(session)
    seq = mailbox.head_seq if mailbox is not None else 0
    head = Event(lsn=lsn, at=now_ms, event="head", session=session, seq=seq)
    transport.publish(f"{session}{TOPIC_SEPARATOR}head", _encode(head))
