"""Notices: what watchers are told, and that there is something to fetch.

Rule: after the commit, without any text, one for each party that somebody listens for. A notice is a hint: it may be
dropped, and then the gap in `seq` shows it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from maestro_broker.core.model import records
from maestro_schemas.events import TOPIC_SEPARATOR, Event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maestro_broker.core.model.state import Change, State

    from .curve_listener import CurveListener
    from .local_listener import LocalListener

_encode = msgspec.msgpack.Encoder().encode


def publish(posts: Sequence[LocalListener | CurveListener], changes: list[Change]) -> None:
    """Tell of a committed batch, each at the posts where somebody listens."""
    for change in changes:
        event = records.event(change.lsn, change.record)
        body = b""
        for party in event.parties():
            for post in posts:
                if post.wants(party):
                    body = body or _encode(event)
                    post.publish(f"{party}{TOPIC_SEPARATOR}{event.event}", body)


def head(state: State, topic: str, lsn: int, now_ms: int) -> tuple[str, bytes] | None:
    """Topic and body of the notice that tells a new subscriber where its mailbox stands."""
    session, separator, rest = topic.partition(TOPIC_SEPARATOR)
    if not separator or rest:
        return None  # an observer of everything, or of one kind of event: it has no mailbox to catch up with
    mailbox = state.mailboxes.get(session)
    seq = mailbox.head_seq if mailbox is not None else 0
    event = Event(lsn=lsn, at=now_ms, event="head", session=session, seq=seq)
    return f"{session}{TOPIC_SEPARATOR}head", _encode(event)
