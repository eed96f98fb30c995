"""Notices: what watchers receive after a commit, so that they know that there is something to fetch.

Rule: a notice has no text, and one is sent to each party that has a subscriber. It is a hint: it may be dropped, and
then the gap in `seq` shows it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from maestro_broker.core.model import records
from maestro_schemas.events import TOPIC_SEPARATOR, Event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maestro_broker.core.model.state import Change, State

    from .listener import Listener
    from .publisher import Publisher

_encode = msgspec.msgpack.Encoder().encode


def publish(listeners: Sequence[Listener], changes: list[Change]) -> None:
    """Send the notices of a committed batch, at each listener that has a subscriber for them."""
    publishers = [listener.notices for listener in listeners if listener.notices.topics]
    for change in changes:
        _publish(publishers, records.events(change.lsn, change.record))


def publish_event(listeners: Sequence[Listener], event: Event) -> None:
    """Send the notices of an event that is no record."""
    _publish([listener.notices for listener in listeners if listener.notices.topics], [event])


def _publish(publishers: Sequence[Publisher], events: list[Event]) -> None:
    for event in events:
        body = b""
        for party in event.notified():
            for publisher in publishers:
                if publisher.wants(party):
                    body = body or _encode(event)
                    publisher.publish(f"{party}{TOPIC_SEPARATOR}{event.event}", body)


def head(state: State, topic: str, lsn: int, now_ms: int) -> tuple[str, bytes] | None:
    """Topic and body of the notice from which a new subscriber sees what it has missed in its mailbox.

    None for a subscriber to everything, or to one kind of event: it has no mailbox to catch up with.
    """
    session, separator, rest = topic.partition(TOPIC_SEPARATOR)
    if not separator or rest:
        return None
    mailbox = state.mailboxes.get(session)
    seq = mailbox.head_seq if mailbox is not None else 0
    event = Event(lsn=lsn, at=now_ms, event="head", session=session, seq=seq)
    return f"{session}{TOPIC_SEPARATOR}head", _encode(event)
