"""Who sees what: every surface answers by the one rule, for random offices."""

from __future__ import annotations

import os
import tempfile
from collections import deque
from typing import TYPE_CHECKING, Any, cast

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maestro_broker.core import visibility
from maestro_broker.core.model import records
from maestro_broker.server import event_replay
from maestro_broker.views import dead_letters
from maestro_broker.views.spool import Spool
from maestro_broker.views.timeline import Timeline
from maestro_gateway.events.visibility import Directory, Principal
from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import Limits
from maestro_schemas.messages import Message, Metadata
from maestro_schemas.names import mark_of
from maestro_schemas.requests import Dead, Events, GetMessage, GetThread, Identity
from support.offices import Office, refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from maestro_broker.core.model.mailbox import Mailbox
    from maestro_schemas.events import Event

SENDS_MAX = 12
NAMES = ("ann", "bob", "cyd", "dee", "eva")
ROLES = st.sampled_from(["worker", "orchestrator"])
PROJECTS = st.sampled_from(["shop", "office"])
SENDS = st.lists(
    st.tuples(
        st.sampled_from(NAMES), st.sampled_from(NAMES), st.booleans(), st.one_of(st.none(), st.integers(0, 11))
    ),
    min_size=1,
    max_size=SENDS_MAX,
)


def _office(roles: list[str], projects: list[str], sends: list[tuple[str, str, bool, int | None]]) -> Office:
    """An office in which each send was tried; some of the messages have expired, some are answers."""
    office = Office(Limits(rate_limit=0))
    for name, role, project in zip(NAMES, roles, projects, strict=True):
        office.start(name, role=role, project_id=project)
    ids: list[str] = []
    for number, (sender, to, dies, answered) in enumerate(sends):
        meta = Metadata(in_reply_to=ids[answered % len(ids)] if answered is not None and ids else None)
        result = office.send(sender, to, f"m{number}", metadata=meta, ttl_ms=5 if dies else None)
        if result.status == 201:
            ids.append(result.id)
    office.now_ms += 10
    office.expire_due()
    return office


def _may_see(message: Message, reader: str | None, roles: dict[str, str], projects: dict[str, str]) -> bool:
    """The rule as the guide says it, written a second time."""
    if reader is None or reader in (message.sender, message.receiver):
        return True
    within = projects.get(message.sender) == projects.get(message.receiver) == projects[reader]
    return roles[reader] == "orchestrator" and within


class Surfaces:
    """What each surface of an office shows to one reader."""

    def __init__(self, office: Office, root: str, reader: str | None) -> None:
        self.office = office
        self.reader = reader
        self.who = Identity(reader)
        self.asking = office.state.sessions.get(reader) if reader is not None else None
        self._unfiled = deque(office.unfiled)
        self._spool = Spool(root, lambda _: None)
        self._timeline = Timeline(os.path.join(root, "timeline"))

    def message(self, message_id: str) -> set[str]:
        """The ids that `message` shows."""
        try:
            return {self.office.do(GetMessage(id=message_id, who=self.who)).message.id}
        except MaestroError as error:
            assert error.code == "MESSAGE_NOT_FOUND"
            return set()

    def thread(self, message_id: str) -> set[str]:
        """The ids that `thread` shows."""
        try:
            return {each.id for each in self.office.do(GetThread(id=message_id, who=self.who)).messages}
        except MaestroError as error:
            assert error.code == "MESSAGE_NOT_FOUND"
            return set()

    def events(self) -> list[Event]:
        """The lines of `events`, and so of the timeline, about mail between sessions."""
        state = self.office.state
        page = event_replay.events(state, self._timeline, self._unfiled, Events(limit=500), self.asking, state.lsn)
        return _of_sessions(page.events)

    def live(self, principal: Principal) -> set[str]:
        """The ids of the live events that the gateway shows; it shows their texts to the same sessions."""
        made = _of_sessions(records.event(change.lsn, change.record) for change in self._unfiled)
        assert [principal.sees(event) for event in made] == [principal.reads(event) for event in made]
        return {event.id or "" for event in made if principal.sees(event)}

    def dead(self, sender: str) -> set[str] | None:
        """The ids that `dead` shows of what a session sent; None where it is refused."""
        state = self.office.state
        request = Dead(session=sender, who=self.who)
        try:
            page = dead_letters.page(state, self._spool, self._timeline, self._unfiled, request, self.office.now_ms)
        except MaestroError as error:
            assert error.code == "FORBIDDEN"
            return None
        return {each.id for each in page.messages}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    roles=st.lists(ROLES, min_size=5, max_size=5),
    projects=st.lists(PROJECTS, min_size=5, max_size=5),
    sends=SENDS,
)
def test_every_surface_shows_a_message_to_the_same_sessions(
    roles: list[str], projects: list[str], sends: list[tuple[str, str, bool, int | None]]
) -> None:
    office = _office(roles, projects, sends)
    role_of, project_of = dict(zip(NAMES, roles, strict=True)), dict(zip(NAMES, projects, strict=True))
    messages = [message for box in office.state.mailboxes.values() for message in _messages(box)]
    threads: dict[str, set[str]] = {}
    for message in messages:
        threads.setdefault(message.meta.thread_id or message.id, set()).add(message.id)
    with tempfile.TemporaryDirectory() as root:
        for reader in (None, *NAMES):
            surfaces = Surfaces(office, root, reader)
            allowed = {each.id for each in messages if _may_see(each, reader, role_of, project_of)}
            assert {each.id for each in visibility.seen(office.state, surfaces.asking, messages)} == allowed
            for message in messages:
                assert surfaces.message(message.id) == {message.id} & allowed
                thread = threads[message.meta.thread_id or message.id] & allowed
                assert surfaces.thread(message.id) == (thread if message.id in allowed else set())
            assert {event.id for event in surfaces.events()} == allowed
            assert surfaces.live(_principal(reader, role_of, project_of)) == allowed
            for sender in NAMES:
                dead = {each.id for each in messages if each.status == "expired" and each.sender == sender}
                may_ask = reader in (None, sender) or role_of[reader] == "orchestrator"
                assert surfaces.dead(sender) == (dead & allowed if may_ask else None)


def test_an_orchestrator_sees_no_mail_that_leaves_its_project() -> None:
    """Before, one end in its project was enough for the events, and a session that it was no party of was never
    enough for the message itself."""
    office = Office(Limits(rate_limit=0))
    office.start("boss", role="orchestrator", project_id="shop")
    office.start("chief", role="orchestrator", project_id="office")
    for name in ("ann", "ben"):
        office.start(name, project_id="shop")
    office.accept("ann", "ben", "within")
    office.accept("ann", "chief", "leaves")
    assert office.do(GetMessage(id="within", who=Identity("boss"))).message.text == "hello"
    assert refused(office, GetThread(id="leaves", who=Identity("boss"))).code == "MESSAGE_NOT_FOUND"
    assert refused(office, GetThread(id="within", who=Identity("chief"))).code == "MESSAGE_NOT_FOUND"


def test_the_rule_follows_a_session_that_changes_its_project() -> None:
    """The project that counts is the one at the time of the question, on every surface."""
    office = Office(Limits(rate_limit=0))
    office.start("boss", role="orchestrator", project_id="shop")
    office.start("ann", project_id="shop")
    office.start("ben", project_id="shop")
    office.accept("ann", "ben", "m1")
    boss = office.state.sessions.get("boss")
    message = office.do(GetMessage(id="m1")).message
    assert visibility.sees_message(office.state, boss, message)
    office.start("ben", project_id="office")
    assert not visibility.sees_message(office.state, boss, message)
    assert refused(office, GetThread(id="m1", who=Identity("boss"))).code == "MESSAGE_NOT_FOUND"


def _messages(mailbox: Mailbox) -> list[Message]:
    """What a mailbox has in memory but the post office's own notices."""
    names = (f"m{number}_{mark_of(sender)}" for number in range(SENDS_MAX) for sender in NAMES)
    entries = [mailbox.get(name) for name in names]
    return [entry.message for entry in entries if entry is not None]


def _of_sessions(events: Iterable[Event]) -> list[Event]:
    return [event for event in events if event.event == "message.accepted" and event.sender != "maestro"]


def _principal(reader: str | None, roles: dict[str, str], projects: dict[str, str]) -> Principal:
    directory = Directory(cast("Any", None))
    for name in NAMES:
        directory.note(cast("Any", {"id": name, "role": roles[name], "projectId": projects[name]}))
    return Principal(reader, roles.get(reader or "", ""), projects.get(reader or "", ""), directory)
