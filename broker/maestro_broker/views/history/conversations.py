"""Conversations: what was said, as pages of messages with their texts.

Rule: one entry a message, however many deliveries it has: the caller's own delivery, else the first that it may see
(`visibility`; of a group `group_rights`). The timeline says which messages there are and in which order; the texts
come from the mailboxes in memory and from the files. Deleted messages, and those removed after their retention, are
left out. A page ends only between two records, so its cursors are LSNs. Reading changes nothing, and the work of one
call is bounded.
"""

from __future__ import annotations

import os
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec import UNSET

from maestro_broker.core import authorization, retention, validation, visibility
from maestro_broker.core.groups import group_rights
from maestro_broker.core.model import records
from maestro_broker.core.model.records import Accepted, Failed
from maestro_broker.core.people import people, people_of
from maestro_broker.core.sending import audiences
from maestro_broker.views.spool import SUFFIX, will_be_read
from maestro_schemas.errors import OPERATOR_MAY, MaestroError
from maestro_schemas.events import Event
from maestro_schemas.limits import ATTACHMENT_BYTES_MAX, check_number
from maestro_schemas.names import AUDIENCE_SIGIL, SYSTEM_SENDER, id_begins, plain_name
from maestro_schemas.replies import MessagesReply, SaidMessage
from maestro_schemas.texts.visible_text import one_line

from . import event_order
from .event_messages import message_of

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from maestro_broker.core.model.session_registry import SessionState
    from maestro_broker.core.model.state import Change, State
    from maestro_broker.views.spool import Spool
    from maestro_broker.views.timeline import Timeline
    from maestro_schemas.groups import Group
    from maestro_schemas.messages import Message
    from maestro_schemas.requests import Messages

# Blocks of 64 KiB, some 300 lines each, that one call looks at; and the lines of them that it decodes. Each takes
# some 5 ms, and the next call continues.
_BLOCKS_MAX = 24
_EVENTS_MAX = 3_000
# Files that one call reads. A message to several sessions has one for each, with `counts`.
_FILES_MAX = 256
# Fewer files are not worth reading ahead.
_AHEAD_FROM = 8
# Upper bounds of what an entry and one receiver take in a reply beside the text, and of metadata.data.
_ENVELOPE_BYTES = 768
_RECEIVER_BYTES = 256
_DATA_BYTES = 4_096

_lsn_of = attrgetter("lsn")
_decode = msgspec.json.Decoder(Event).decode
_ACCEPTED, _FAILED = "message.accepted", "message.failed"
# What the lines of messages contain, and those of a record with several events.
_MARKS = (_ACCEPTED.encode(), _FAILED.encode())
_SEVERAL = b'"of":'


class _View(NamedTuple):
    """Which messages are wanted."""

    # The caller; None for the operator.
    asking: SessionState | None
    # The session whose mail it is; None for all mail.
    owner: SessionState | None
    # The session that the messages are exchanged with.
    peer: str | None = None
    # Whether the owner may write to it, so that it may know who else got a message to several.
    may_write: bool = True
    # The group that they were sent to.
    group: Group | None = None
    box: str | None = None
    # The project that a party is of.
    project: str | None = None

    @property
    def subject(self) -> str | None:
        """The session whose `in` and `out` are meant."""
        return self.owner.session.id if self.owner is not None else self.peer


class _Said(NamedTuple):
    """A message that is wanted."""

    lsn: int
    # Its deliveries, or that it failed: the first that is there is shown.
    deliveries: tuple[Event, ...]
    # Those that the caller may see.
    seen: tuple[Event, ...]
    # How many sessions refused it.
    refused: int = 0


class _Place(NamedTuple):
    """Where a search has ended."""

    # The LSN of the last record that it has looked at, or the next one where there is none left.
    at: int
    has_more: bool


def page(
    state: State,
    spool: Spool,
    timeline: Timeline,
    unfiled: deque[Change],
    request: Messages,
    *,
    head: int,
    now_ms: int,
) -> MessagesReply:
    """One page. Raises MaestroError as `authorization.authenticate`, and INVALID, SESSION_NOT_FOUND, AMBIGUOUS_NAME,
    GROUP_NOT_FOUND, FORBIDDEN, CURSOR_AHEAD, CURSOR_EXPIRED."""
    view = _view(state, request, now_ms)
    _check(request, head)
    most = state.limits.reply_messages_max
    limit = most if request.limit is None else min(request.limit, most)
    search = _Search(state, spool, view, request, limit)
    if request.after is None:
        place = _newest_first(search, timeline, unfiled, head + 1 if request.before is None else request.before)
        said, cut = _read(search, request, now_ms)
        before = place.at if cut is None else cut
        up_to = head if request.before is None else request.before - 1
        said.reverse()
    else:
        place = _oldest_first(search, timeline, unfiled, request.after)
        said, cut = _read(search, request, now_ms)
        before = request.after + 1
        up_to = place.at if cut is None else cut
    mentioned = {receiver for each in said for receiver in each.receivers}
    return MessagesReply(
        messages=said,
        people=people(state, (each.message for each in said)) | people_of(state, mentioned),
        has_more=place.has_more or cut is not None,
        before=before,
        up_to=up_to,
        head=head,
        peer=view.peer if view.group is None else AUDIENCE_SIGIL + view.group.name,
        session=view.owner.session.id if view.owner is not None else None,
    )


# --- what is wanted ----------------------------------------------------------------------------------------------


def _check(request: Messages, head: int) -> None:
    for name, number, low in (
        ("limit", request.limit, 1),
        ("before", request.before, 1),
        ("after", request.after, 0),
    ):
        check_number(name, number, low)
    if request.before is not None and request.after is not None:
        raise MaestroError(
            "INVALID", "before and after exclude each other", "Leave one off: `after` goes forward, `before` back."
        )
    if request.since is not None and request.until is not None and request.since >= request.until:
        raise MaestroError(
            "INVALID",
            f"since ({request.since}) is not before until ({request.until})",
            "Give the earlier time as `since`.",
        )
    newest = max(request.after or 0, (request.before or 0) - 1)
    if newest > head:
        raise MaestroError(
            "CURSOR_AHEAD",
            f"LSN {newest} does not exist yet: the newest is {head}",
            "Start over without a cursor: another data directory has other numbers.",
            limit=head,
            actual=newest,
        )


def _view(state: State, request: Messages, now_ms: int) -> _View:
    asking = authorization.authenticate(state, request.who, now_ms)
    owner = asking
    if request.box is not None and request.who.operator:
        owner = state.sessions.operator
    if request.session is not None:
        owner = state.sessions.resolve(request.session, authorization.session_of(asking), "SESSION_NOT_FOUND")
        if asking is not None and owner is not asking and asking.session.role != "orchestrator":
            raise MaestroError(
                "FORBIDDEN",
                f"{asking.session.id} may not see what {owner.session.id} was sent",
                "A session sees what it sent and got, an orchestrator also what was sent within its project. "
                + OPERATOR_MAY,
            )
    if request.box is not None and owner is None and request.peer is None:
        raise MaestroError(
            "INVALID", "box is about the mail of one session, and none was named", "Name it in `session` or `with`."
        )
    view = _View(
        asking, owner, box=request.box, project=None if request.project_id is None else plain_name(request.project_id)
    )
    address = request.peer
    if address is None or address == SYSTEM_SENDER:
        return view._replace(peer=address)
    if address.startswith(AUDIENCE_SIGIL):
        return view._replace(group=_group(state, address))
    peer = state.sessions.resolve(address, owner.session if owner is not None else None, "SESSION_NOT_FOUND")
    may_write = owner is None or validation.may_write(owner.session, peer.session)
    return view._replace(peer=peer.session.id, may_write=may_write)


def _group(state: State, address: str) -> Group:
    group = state.groups.get(address[len(AUDIENCE_SIGIL) :])
    if audiences.is_word(address):
        raise MaestroError(
            "INVALID",
            f"{one_line(address)[:80]} is no group, and has no log: who it means changes from message to message",
            "Leave it out for all that you may see, or name a session, or a group with its @.",
        )
    if group is None:
        raise audiences.no_group(address, state.groups)
    return group


class _Search:
    """Decides for each record whether its message is wanted, and when the page is full."""

    def __init__(self, state: State, spool: Spool, view: _View, request: Messages, limit: int) -> None:
        self.state = state
        self.spool = spool
        self._view = view
        self._counts = request.counts
        self._begins = request.id_prefix or ""
        self._limit = limit
        self._files = 0
        self.since_ms = 0 if request.since is None else request.since
        if view.group is not None:
            self._unfiled = frozenset(state.unfiled_of_group(view.group.name))
            # What was sent to an earlier group of that name is not the group's.
            self.since_ms = max(self.since_ms, view.group.created_at)
        self.until_ms = request.until
        self.found: list[_Said] = []
        # What a line of a wanted delivery contains.
        owner = view.owner
        sees_only_own = owner is not None and (owner.session.role != "orchestrator" or view.peer is not None)
        # A member sees what the others sent to the group.
        sees_only_own = sees_only_own and view.group is None
        named = (owner.session.id if owner is not None and sees_only_own else None, view.peer)
        self._ids = tuple(name for name in named if name is not None)
        self._named = tuple(name.encode() for name in self._ids)

    def may_want(self, lines: list[bytes]) -> list[bytes]:
        """Those lines that may be about wanted messages, and a few others."""
        accepted, failed = _MARKS
        if begins := self._begins.encode():
            lines = [line for line in lines if begins in line]
        if not self._named:
            return [line for line in lines if accepted in line or failed in line]
        one, other = self._named[0], self._named[-1]
        return [
            line
            for line in lines
            if failed in line or (accepted in line and ((one in line and other in line) or _SEVERAL in line))
        ]

    def may_want_record(self, record: Accepted | Failed) -> bool:
        """The same for a record in memory."""
        if not id_begins(record.message.id, self._begins):
            return False
        if isinstance(record, Failed):
            return True
        parties = (record.message.sender, *record.receivers)
        return all(name in parties for name in self._ids)

    def take(self, events: Sequence[Event]) -> bool:
        """Add a record's message, if it is wanted. False if it is, and has no place on this page any more."""
        said = self._wanted(events)
        if said is None:
            return True
        files = len(said.seen) if self._counts else 1
        if len(self.found) == self._limit or (self.found and self._files + files > _FILES_MAX):
            return False
        self._files += files
        self.found.append(said)
        return True

    def _wanted(self, events: Sequence[Event]) -> _Said | None:
        view, first = self._view, events[0]
        if not id_begins(first.id or "", self._begins):
            return None
        deliveries = [event for event in events if event.event == _ACCEPTED]
        if not deliveries:
            return self._failed(first) if first.event == _FAILED else None
        receivers = [event.receiver for event in deliveries]
        subject = view.subject
        if view.box is not None and not (subject == first.sender if view.box == "out" else subject in receivers):
            return None
        if view.peer is not None and not self._is_between(first.sender, receivers):
            return None
        if not self._is_of_project((first.sender, *receivers)):
            return None
        seen = [event for event in deliveries if self._sees(event)]
        if view.group is not None and not self._is_to_group(view.group, first.id or ""):
            return None
        # Its own delivery first, then the peer's. `fits` decides what a member of a group may see of the others'.
        shown = sorted(
            deliveries if view.group is not None else seen,
            key=lambda event: (event.receiver != subject, event.receiver != view.peer, event not in seen),
        )
        if not shown:
            return None
        refused = first.of - len(deliveries)
        if refused and not self._sees(_refusal(first)):
            refused = 0
        return _Said(first.lsn, tuple(shown), tuple(seen), refused)

    def _is_to_group(self, group: Group, message_id: str) -> bool:
        return message_id in self._unfiled or self.spool.groups.has(group.name, message_id)

    def _failed(self, event: Event) -> _Said | None:
        """A message that was refused for good concerns its sender alone. To whom it was, its file says (`fits`)."""
        is_out = self._view.box is None or (self._view.box == "out" and event.sender == self._view.subject)
        is_out = is_out and self._is_of_project((event.sender,))
        return _Said(event.lsn, (event,), (event,)) if is_out and self._sees(event) else None

    def _is_between(self, sender: str | None, receivers: Sequence[str | None]) -> bool:
        """Whether the peer and the owner are parties. Who else got a message to several is for its sender to know:
        that both got it, a session learns of those that it may write to."""
        peer = self._view.peer
        owner = self._view.owner.session.id if self._view.owner is not None else peer
        if owner == peer:
            return sender == peer or peer in receivers
        if sender in (owner, peer):
            return (peer if sender == owner else owner) in receivers
        return self._view.may_write and owner in receivers and peer in receivers

    def _is_of_project(self, parties: Iterable[str | None]) -> bool:
        project = self._view.project
        if project is None:
            return True
        known = (self.state.sessions.get(party) for party in parties if party is not None)
        return any(each is not None and each.session.project_id == project for each in known)

    def _sees(self, event: Event) -> bool:
        view = self._view
        if not visibility.sees_event(self.state, view.asking, event):
            return False
        return view.owner is view.asking or visibility.sees_event(self.state, view.owner, event)

    def fits(self, message: Message) -> bool:
        """What only the message itself says: to which group it went; and of a failed one, to whom."""
        view, state = self._view, self.state
        if view.group is not None:
            callers = {view.asking, view.owner} if view.owner is not None else {view.asking}
            return view.group.name in message.groups and all(
                group_rights.sees(state, caller, view.group, message) for caller in callers
            )
        addresses = message.audience.to if message.audience is not None else (message.receiver,)
        if message.status != "failed" or view.peer is None or view.peer == message.sender:
            return True
        found = state.sessions.get(view.peer)
        return found is not None and not {view.peer, found.session.name}.isdisjoint(addresses)


def _refusal(first: Event) -> Event:
    return Event(lsn=first.lsn, at=first.at, event="message.refused", id=first.id, sender=first.sender)


# --- where it is -------------------------------------------------------------------------------------------------


def _newest_first(search: _Search, timeline: Timeline, unfiled: deque[Change], before: int) -> _Place:
    lowest = before
    for looked, change in enumerate(event_order.below(unfiled, before)):
        if looked == _EVENTS_MAX:
            return _Place(lowest, has_more=True)
        record = change.record
        if isinstance(record, Accepted | Failed):
            at_ms = record.message.created_at
            if at_ms < search.since_ms:
                return _Place(lowest, has_more=False)
            is_early = search.until_ms is None or at_ms < search.until_ms
            if is_early and search.may_want_record(record) and not search.take(records.events(change.lsn, record)):
                return _Place(lowest, has_more=True)
        lowest = change.lsn
    blocks = decoded = 0
    for event, events in _grouped(timeline.lines_back(lowest, search.until_ms), search.may_want):
        if event.at < search.since_ms:
            return _Place(lowest, has_more=False)
        if not events:
            blocks += 1
            lowest = min(lowest, event.lsn + 1)
        if blocks == _BLOCKS_MAX or decoded >= _EVENTS_MAX:
            return _Place(lowest, has_more=True)
        if events:
            decoded += len(events)
            if not search.take(events):
                return _Place(lowest, has_more=True)
            lowest = event.lsn
    return _Place(lowest, has_more=False)


def _grouped(
    blocks: Iterable[list[bytes]], may_want: Callable[[list[bytes]], list[bytes]]
) -> Iterator[tuple[Event, list[Event]]]:
    """Each record with wanted lines, the newest first: one of its events, and those of its lines in their order. In
    between, after each block of lines, its last event, with none."""
    group: list[Event] = []
    for lines in blocks:
        for event in map(_decode, may_want(lines)):
            if group and event.lsn != group[0].lsn:
                yield group[0], group[::-1]
                group = []
            group.append(event)
        event = _decode(lines[-1])
        if group and event.lsn != group[0].lsn:
            yield group[0], group[::-1]
            group = []
        yield event, []
    if group:
        yield group[0], group[::-1]


def _oldest_first(search: _Search, timeline: Timeline, unfiled: deque[Change], after: int) -> _Place:
    named = after
    if search.since_ms:
        # What is older is passed over by files and bisection.
        after = max(after, timeline.last_before(search.since_ms))
    event_order.check_cursor(timeline, after, named)
    at, looked = after, 0
    for lsn, group in groupby(event_order.forward(timeline, unfiled, after, _EVENTS_MAX + 1), _lsn_of):
        if looked >= _EVENTS_MAX:
            return _Place(at, has_more=True)
        events = list(group)
        looked += len(events)
        if search.until_ms is not None and events[0].at >= search.until_ms:
            return _Place(at, has_more=False)
        if events[0].at >= search.since_ms and not search.take(events):
            return _Place(at, has_more=True)
        at = lsn
    return _Place(at, has_more=False)


# --- what it says ------------------------------------------------------------------------------------------------


def _read(search: _Search, request: Messages, now_ms: int) -> tuple[list[SaidMessage], int | None]:
    """The messages with their texts; and if the reply has no space for all, the LSN of the last one in it."""
    state, spool = search.state, search.spool
    _read_ahead(search, every=request.counts)
    said: list[SaidMessage] = []
    last, size = 0, 0
    for each in search.found:
        deliveries = (message_of(state, spool, event) for event in each.deliveries)
        message = next((found for found in deliveries if found is not None), None)
        if message is None or not search.fits(message):
            continue
        receivers = tuple(event.receiver or "" for event in each.seen) if len(each.seen) > 1 else ()
        size += _size_bytes(message, len(receivers))
        if said and size > state.limits.reply_bytes_max:
            return said, last
        counts = _counts(search, each, now_ms) if receivers and request.counts else UNSET
        shown = retention.shown(message, now_ms)
        said.append(SaidMessage(lsn=each.lsn, message=shown, receivers=receivers, counts=counts))
        last = each.lsn
    return said, None


def _read_ahead(search: _Search, *, every: bool) -> None:
    """Let the kernel read the files ahead, so that the loop does not wait for each of them alone."""
    wanted = [event for each in search.found for event in (each.seen if every else each.deliveries[:1])]
    if len(wanted) < _AHEAD_FROM:
        return
    for event in wanted:
        mailbox = search.state.mailboxes.get(event.receiver or "")
        if event.receiver is not None and event.id is not None and not (mailbox and mailbox.remembers(event.id)):
            will_be_read(os.path.join(search.spool.mailbox_dir(event.receiver), event.id + SUFFIX))


def _counts(search: _Search, said: _Said, now_ms: int) -> dict[str, int]:
    found = (message_of(search.state, search.spool, event) for event in said.seen)
    states = ["deleted" if each is None else retention.shown(each, now_ms).status for each in found]
    counts: dict[str, int] = {state: states.count(state) for state in dict.fromkeys(states)}
    return counts | ({"refused": said.refused} if said.refused else {})


def _size_bytes(message: Message, receivers: int) -> int:
    """An upper bound of the message's bytes in a reply, with its receivers' names."""
    width = 1 if message.text.isascii() else 4
    data = _DATA_BYTES if message.meta.data is not None else 0
    beside = data + ATTACHMENT_BYTES_MAX * len(message.attachments) + receivers * _RECEIVER_BYTES
    return len(message.text) * width + _ENVELOPE_BYTES + beside
