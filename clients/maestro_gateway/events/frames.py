"""Frames: one event as those who look on get it.

Rule: `{"type": "event", "event", "data", "timestamp", "lsn"}`, a frame for each documented name, so that one event
may be several frames of one `lsn`. Each is encoded once, however many get it; there are two forms of it at most, with
the message for those who may read it, and without. A message is as it was when it was fetched, which may be a step
further than the event.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from maestro_schemas.errors import MaestroError
from maestro_schemas.events import Event, expand

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from maestro_gateway.broker_link import BrokerLink
    from maestro_schemas.documents import EventDoc, MessageDoc

    from .visibility import Directory

# A run of more is asked for as one page.
_ONE_BY_ONE_MAX = 8
_AT_ONCE = 64
# Of a deleted message there is nothing to fetch.
_WITH_MESSAGE = frozenset(
    {"message.accepted", "message.delivered", "message.read", "message.expired", "message.failed"}
)
_NOT_FACTS = frozenset({"lsn", "at", "event", "session"})

_encode = msgspec.json.Encoder().encode


class Frame(NamedTuple):
    """`name`: the documented event. `text`, `encoded`: the same JSON, for WebSocket and for server-sent events."""

    name: str
    text: str
    encoded: bytes


class EventView:
    """An event, and its frames once somebody wants them. `about`: whom each name is about. `message`: the message,
    where it was fetched and is there; `is_fetched`: whether it was."""

    def __init__(self, doc: EventDoc, event: Event) -> None:
        self.event = event
        self.names = expand(event)
        self.about = [session for _, session in self.names]
        self.is_fetched = event.event not in _WITH_MESSAGE or event.receiver is None or event.seq is None
        self.message: MessageDoc | None = None
        self._doc = doc
        self._frames: dict[bool, tuple[Frame, ...]] = {}

    def chosen(self, choice: frozenset[str] | None) -> Sequence[int]:
        """Which of the names are for someone who chose these sessions (None: all): those about one of them; where
        none is and one has a part in the event (the sender of what was read), all."""
        every = range(len(self.names))
        if choice is None:
            return every
        about = [number for number in every if self.about[number] in choice]
        return about or (every if not choice.isdisjoint(self.event.parties()) else ())

    def frames(self, directory: Directory, *, whole: bool) -> tuple[Frame, ...]:
        """A frame for each name. `whole`: with the message."""
        whole = whole and self.message is not None
        found = self._frames.get(whole)
        if found is None:
            data = self._data(directory, whole=whole)
            found = self._frames[whole] = tuple(self._frame(name, about, data) for name, about in self.names)
        return found

    def _data(self, directory: Directory, *, whole: bool) -> dict[str, Any]:
        event = self.event
        facts = {name: value for name, value in self._doc.items() if name not in _NOT_FACTS}
        if event.session is None:
            return {**facts, **self.message} if whole and self.message is not None else facts
        session = directory.get(event.session)
        return {
            "id": event.session,
            "name": session.get("name") if session is not None else None,
            "role": session["role"] if session is not None else None,
            **facts,
        }

    def _frame(self, name: str, about: str, data: dict[str, Any]) -> Frame:
        event = self.event
        encoded = _encode(
            {
                "type": "event",
                "event": name,
                "data": {"sessionId": about, **data},
                "timestamp": event.at,
                "lsn": event.lsn,
            }
        )
        return Frame(name, encoded.decode(), encoded)


def event_views(docs: Iterable[EventDoc]) -> list[EventView]:
    """The events; one of a kind that only a newer broker knows has no documented name, and is passed over."""
    found = []
    for doc in docs:
        try:
            found.append(EventView(doc, msgspec.convert(doc, Event)))
        except msgspec.ValidationError:
            continue
    return found


async def fetch_messages(broker: BrokerLink, wanted: Iterable[EventView]) -> None:
    """The messages of these events, neighbours of one mailbox in one request. Raises MaestroError where the broker
    is away."""
    by_mailbox: dict[str, list[EventView]] = {}
    for one in sorted(wanted, key=_seq):
        by_mailbox.setdefault(one.event.receiver or "", []).append(one)
    runs = []
    for mailbox, several in by_mailbox.items():
        run: list[EventView] = []
        for one in several:
            if run and _seq(one) > _seq(run[-1]) + 1:
                runs.append(_fetch_run(broker, mailbox, run))
                run = []
            run.append(one)
        runs.append(_fetch_run(broker, mailbox, run))
    await asyncio.gather(*runs)


async def _fetch_run(broker: BrokerLink, mailbox: str, run: list[EventView]) -> None:
    found = await _pending(broker, mailbox, run) if len(run) > _ONE_BY_ONE_MAX else {}
    missing = [one for one in run if one.event.id not in found]
    for start in range(0, len(missing), _AT_ONCE):
        several = missing[start : start + _AT_ONCE]
        messages = await asyncio.gather(*(_one(broker, mailbox, one.event.id or "") for one in several))
        found.update((message["id"], message) for message in messages if message is not None)
    for one in run:
        message = found.get(one.event.id or "")
        # What expired since it came must not be read as if it had just come.
        is_late = message is not None and message["status"] == "expired" and one.event.event == "message.accepted"
        one.message = None if is_late else message
        one.is_fetched = True


async def _pending(broker: BrokerLink, mailbox: str, run: list[EventView]) -> dict[str, MessageDoc]:
    """Those of a run that are pending, which the broker has in memory; to ask for all would make it read the whole
    mailbox again for each event."""
    since, last = _seq(run[0]) - 1, _seq(run[-1])
    found: dict[str, MessageDoc] = {}
    while since < last:
        try:
            page = await broker.client.inbox(session=mailbox, since=since, limit=last - since)
        except MaestroError as error:
            if error.code == "SESSION_NOT_FOUND":
                break
            raise
        found.update((message["id"], message) for message in page["messages"])
        if page["upTo"] <= since or not page["hasMore"]:
            break
        since = page["upTo"]
    return found


async def _one(broker: BrokerLink, mailbox: str, message_id: str) -> MessageDoc | None:
    """None where it was deleted since."""
    try:
        return await broker.client.message(message_id, session=mailbox)
    except MaestroError as error:
        if error.code in ("MESSAGE_NOT_FOUND", "SESSION_NOT_FOUND"):
            return None
        raise


def _seq(one: EventView) -> int:
    return one.event.seq or 0
