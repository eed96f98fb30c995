"""Frames: one event in the form that a client wants.

Rule: a frame is `{"type", "event", "data", "timestamp", "lsn", "index"}`, with the documented name as `event`; that
of an event that is no record has no `index`. Each documented name has its frame, so one event may be several frames,
and one record several events of one `lsn`. A frame is encoded once for all clients of its form, in two ways at most:
with the message for those that may read it, and without. The message is as it was when it was fetched, which may be
later than the event.

In the form `named`, `type` is the name too. The `id` in `data` is a session's, or there is none, and the message
stands in `message`: the clients that Maestro ships take `data.id`, else `data.sessionId`, for the session of a frame.
"""

from __future__ import annotations

import asyncio
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from maestro_schemas.errors import MaestroError
from maestro_schemas.events import RECORDED, Event, names_of
from maestro_schemas.sessions import ACTIVE
from maestro_schemas.texts import json_bytes

from .session_shape import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from maestro_gateway.broker_link import BrokerLink
    from maestro_schemas.documents import EventDoc, MessageDoc, SessionDoc

    from .choice import Choice, Form
    from .visibility import Directory, Principal

# A longer run of neighbours is fetched as one page.
_ONE_BY_ONE_MAX = 8
# Requests for single messages that are under way at a time.
_CONCURRENT_MAX = 64
# Of one event, this many choices of sessions keep their answers.
_CHOICES_MAX = 16
# A deleted message can't be fetched.
_WITH_MESSAGE = frozenset(
    {"message.accepted", "message.delivered", "message.read", "message.expired", "message.failed"}
)
_NOT_FACTS = frozenset({"lsn", "index", "of", "at", "event", "session"})
_WHOLE_SESSION = frozenset({"session:created", "session:updated"})
_WITH_STATUS = frozenset({"message:delivered", "message:read", "session:message_delivered"})
# How a prompt is entered into a terminal.
_PROMPT_MODES = frozenset({"send", "paste"})


class Frame(NamedTuple):
    """One documented event, encoded."""

    # The documented name.
    name: str
    # JSON, for WebSocket.
    text: str
    # The same JSON, for server-sent events.
    encoded: bytes


class EventView:
    """An event, and its frames once a client wants them."""

    def __init__(self, doc: EventDoc, event: Event) -> None:
        self.event = event
        # Else it is a notice alone, which no replay repeats.
        self.is_recorded = event.event in RECORDED
        facts = names_of(event)
        self.names = [named for fact in facts for named in fact]
        ends = list(accumulate(map(len, facts)))
        # The numbers of the names of each fact.
        self._facts = [range(end - len(fact), end) for end, fact in zip(ends, facts, strict=True)]
        # The session that each name is about.
        self.about = [session for _, session in self.names]
        # The message was fetched, or there is none to fetch.
        is_in_mailbox = event.receiver is not None and event.seq is not None
        self.is_fetched = event.event not in _WITH_MESSAGE or not (is_in_mailbox or event.event == "message.failed")
        # None also where the message was deleted before it was fetched.
        self.message: MessageDoc | None = None
        self._doc = doc
        self._frames: dict[tuple[Form, bool], tuple[Frame | None, ...]] = {}
        # What many clients ask for alike is found once: names by the sessions that a client chose, and their frames.
        self._all = tuple(range(len(self.names)))
        self._chosen: dict[frozenset[str], tuple[int, ...]] = {}
        self._selected: dict[tuple[tuple[int, ...], Form, bool], tuple[Frame, ...]] = {}

    def chosen(self, choice: Choice | None, directory: Directory) -> tuple[int, ...]:
        """The numbers of the names for a client that chose these sessions (None: all sessions).

        Of each fact these are the names about a chosen session. Where there is none, but a chosen session is a party
        of the event (the sender of a message that was read), these are all names.
        """
        if choice is None:
            return self._all
        if choice.project is not None:  # a session's project may be learnt later
            return self._find(choice, directory)
        found = self._chosen.get(choice.sessions)
        if found is None:
            found = self._find(choice, directory)
            # Where each client chose other sessions nothing is shared, and each view would keep all of their answers.
            if len(self._chosen) < _CHOICES_MAX:
                self._chosen[choice.sessions] = found
        return found

    def _find(self, choice: Choice, directory: Directory) -> tuple[int, ...]:
        event = self.event
        if choice.project is not None and choice.project == event.project_id:
            return self._all
        is_party = any(choice.has(party, directory) for party in event.parties())
        found: list[int] = []
        for fact in self._facts:
            found += [number for number in fact if choice.has(self.about[number], directory)] or (
                fact if is_party else ()
            )
        return tuple(found)

    def selected(
        self, chosen: tuple[int, ...], directory: Directory, form: Form, *, whole: bool
    ) -> tuple[Frame, ...]:
        """The frames of these names that there are."""
        key = (chosen, form, whole and self.message is not None)
        found = self._selected.get(key)
        if found is None:
            frames = self.frames(directory, form, whole=whole)
            found = self._selected[key] = tuple(frame for n in chosen if (frame := frames[n]) is not None)
        return found

    def frames(self, directory: Directory, form: Form, *, whole: bool) -> tuple[Frame | None, ...]:
        """A frame for each name, None where there is none. `whole`: with the message, if there is one."""
        whole = whole and self.message is not None
        found = self._frames.get((form, whole))
        if found is None:
            message = self.message if whole else None
            if form == "flat":
                flat = self._flat(directory, message)
                found = tuple(self._frame("event", name, {"sessionId": about, **flat}) for name, about in self.names)
            else:
                found = tuple(
                    self._frame(name, name, data) if data is not None else None
                    for (name, _), data in zip(self.names, self._named(directory, message), strict=True)
                )
            self._frames[form, whole] = found
        return found

    def _facts_of(self) -> dict[str, Any]:
        return {name: value for name, value in self._doc.items() if name not in _NOT_FACTS}

    def _flat(self, directory: Directory, message: MessageDoc | None) -> dict[str, Any]:
        """The data of the form `flat`: one for all names."""
        event = self.event
        facts = self._facts_of()
        if event.session is None:
            return {**facts, **message} if message is not None else facts
        session = directory.get(event.session)
        return {
            "id": event.session,
            "name": session.get("name") if session is not None else None,
            "role": session["role"] if session is not None else None,
            **facts,
        }

    def _named(self, directory: Directory, message: MessageDoc | None) -> Iterable[dict[str, Any] | None]:
        """The data of the form `named`, for each name."""
        for fact in self._facts:
            for number in fact:
                name, about = self.names[number]
                if name == "session:prompt_send":
                    # Without its text it would be a prompt of nothing.
                    yield _prompt(about, message, directory) if message is not None else None
                elif self.event.session is not None:
                    yield self._of_session(name, directory)
                else:
                    data = {"sessionId": about, **self._facts_of()}
                    if "id" in data:
                        data["messageId"] = data.pop("id")
                    if name in _WITH_STATUS:
                        is_reading = self.event.event == "message.read" and fact is self._facts[-1]
                        data["status"] = "read" if is_reading else "delivered"
                    if message is not None:
                        data["message"] = message
                    yield data

    def _of_session(self, name: str, directory: Directory) -> dict[str, Any]:
        event = self.event
        session = directory.get(event.session or "")
        if name.startswith("notify:"):
            said = event.note if name == "notify:progress" else event.needs_input
            about = {"sessionId": event.session, "name": session.get("name") if session is not None else None}
            return about if said is None or said.message is None else {**about, "message": said.message}
        if name in _WHOLE_SESSION and session is not None:
            return {**shown(session), "sessionId": event.session, **self._of_this_event(session)}
        return {"sessionId": event.session, **self._flat(directory, None)}

    def _of_this_event(self, session: SessionDoc) -> dict[str, Any]:
        """What a Session that was asked for later may no longer say: each line that a session adds is shown once as
        the newest one."""
        changed: dict[str, Any] = {"status": self.event.status}
        if "needsInput" in self._doc:
            changed["needsInput"] = self._doc["needsInput"]
        note, timeline = self._doc.get("note"), session.get("timeline", [])
        if note in timeline:
            changed["timeline"] = timeline[: timeline.index(note) + 1]
        return changed

    def _frame(self, kind: str, name: str, data: dict[str, Any]) -> Frame:
        event = self.event
        frame = _envelope(kind, name, data, event.at, event.lsn)
        encoded = json_bytes.encode({**frame, "index": event.index} if self.is_recorded else frame)
        return Frame(name, encoded.decode(), encoded)


def _envelope(kind: str, name: str, data: dict[str, Any], at: int, lsn: int) -> dict[str, Any]:
    return {"type": kind, "event": name, "data": data, "timestamp": at, "lsn": lsn}


def _prompt(about: str, message: MessageDoc, directory: Directory) -> dict[str, Any]:
    data = message.get("metadata", {}).get("data")
    mode = data.get("mode") if isinstance(data, dict) else None
    return {
        "sessionId": about,
        "messageId": message["id"],
        "content": message["message"],
        "mode": mode if mode in _PROMPT_MODES else "send",
        "senderSessionId": message["from"],
        "senderProjectId": directory.project_of(message["from"]),
        "targetProjectId": directory.project_of(about),
        "timestamp": message["createdAt"],
    }


def event_views(docs: Iterable[EventDoc]) -> list[EventView]:
    """The events. An event of a kind that only a newer broker knows has no documented name, and is skipped."""
    views = []
    for doc in docs:
        try:
            views.append(EventView(doc, msgspec.convert(doc, Event)))
        except msgspec.ValidationError:
            continue
    return views


async def ended_frames(
    directory: Directory, principal: Principal, sessions: Iterable[str], lsn: int, now_ms: int
) -> list[str]:
    """For each of these sessions that has ended: a frame that says so, in the form `named`. It is no event, so it has
    no `index`. Raises MaestroError where the broker is unreachable."""
    looks = [Event(lsn=lsn, at=now_ms, event="session.changed", session=session) for session in sessions]
    frames = []
    for start in range(0, len(looks), _CONCURRENT_MAX):
        some = looks[start : start + _CONCURRENT_MAX]
        await directory.learn(some)
        for look in some:
            session = directory.get(look.session or "")
            if session is None or session["status"] in ACTIVE or not principal.sees(look):
                continue
            data = {**shown(session), "sessionId": session["id"]}
            name = "session:updated"
            frames.append(json_bytes.encode(_envelope(name, name, data, now_ms, lsn)).decode())
    return frames


async def fetch_messages(broker: BrokerLink, wanted: Iterable[EventView]) -> None:
    """Fetch the messages of these events, neighbours of one mailbox in one request. Raises MaestroError where the
    broker is unreachable."""
    by_mailbox: dict[str, list[EventView]] = {}
    for view in sorted(wanted, key=_seq):
        by_mailbox.setdefault(view.event.receiver or "", []).append(view)
    runs = []
    for mailbox, views in by_mailbox.items():
        run: list[EventView] = []
        for view in views:
            if run and _seq(view) > _seq(run[-1]) + 1:
                runs.append(_fetch_run(broker, mailbox, run))
                run = []
            run.append(view)
        runs.append(_fetch_run(broker, mailbox, run))
    await asyncio.gather(*runs)


async def _fetch_run(broker: BrokerLink, mailbox: str, run: list[EventView]) -> None:
    # A failed message is in no mailbox.
    found = await _pending(broker, mailbox, run) if mailbox and len(run) > _ONE_BY_ONE_MAX else {}
    missing = [view for view in run if view.event.id not in found]
    for start in range(0, len(missing), _CONCURRENT_MAX):
        some = missing[start : start + _CONCURRENT_MAX]
        messages = await asyncio.gather(*(_fetch_one(broker, mailbox or None, view.event.id or "") for view in some))
        found.update((message["id"], message) for message in messages if message is not None)
    for view in run:
        message = found.get(view.event.id or "")
        # A message that has expired since must not look as if it had just come.
        is_late = message is not None and message["status"] == "expired" and view.event.event == "message.accepted"
        view.message = None if is_late else message
        view.is_fetched = True


async def _pending(broker: BrokerLink, mailbox: str, run: list[EventView]) -> dict[str, MessageDoc]:
    """The pending messages of a run, which the broker has in memory. A request for messages of every status would
    make it read the whole mailbox for each event."""
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


async def _fetch_one(broker: BrokerLink, mailbox: str | None, message_id: str) -> MessageDoc | None:
    """None where the message was deleted since."""
    try:
        return await broker.client.message(message_id, session=mailbox)
    except MaestroError as error:
        if error.code in ("MESSAGE_NOT_FOUND", "SESSION_NOT_FOUND"):
            return None
        raise


def _seq(view: EventView) -> int:
    return view.event.seq or 0
