"""Events: the changes of messages and sessions, as notices, timeline lines and replays carry them.

Rule: one record of the journal is one event of one shape, without any message text. (A note that a session adds to
its own timeline is no message, and every client may see it.) A notice on the PUB socket, a
line of `timeline/*.jsonl` and an item of an `events` reply have that same shape. `expand` translates an event into
the documented event names of WebSocket and SSE.

`may_see` is the one rule of who sees an event or a message: a party does; an orchestrator also sees what was sent
within its own project, which means that all parties are in it; the operator sees all. Every surface asks it: a
message, a thread, a receipt, dead letters, the timeline and the live events.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from msgspec import Struct, field

from .errors import MaestroError
from .sessions import NeedsInput, SessionNote
from .vocabularies import MessageType, Priority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

EventName = Literal[
    "message.accepted",
    "message.offered",
    "message.delivered",
    "message.read",
    "message.deleted",
    "message.expired",
    "message.failed",
    "message.refused",
    "session.started",
    "session.changed",
    "session.ended",
    "session.forgotten",
    "group.changed",
    "group.deleted",
    "session.presence",
    "head",
]

# These are no records, so they are never lines of the timeline.
_NOT_RECORDED = frozenset({"session.presence", "head"})
RECORDED: tuple[str, ...] = tuple(name for name in get_args(EventName) if name not in _NOT_RECORDED)
# Other names that a person may use in a filter.
_ALSO = {"sent": ("message.accepted",), "created": ("message.accepted",)}

# A notice's topic is `<session>|<event>`.
TOPIC_SEPARATOR = "|"


class Event(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """One event of a message or a session.

    `head` and `session.presence` are no records, and only notices. The broker publishes `head` to a new subscriber,
    with the mailbox's last `seq`, and `session.presence` when what is known of a session has changed.
    """

    # The number of the journal's record, and the cursor of a replay. Of an event that is no record: the newest one.
    lsn: int
    # The number of this event among those of its record, from 0. (lsn, index) is the event's identity.
    index: int = 0
    # How many events the record has.
    of: int = 1
    # When, ms.
    at: int
    event: EventName
    # The message's id.
    id: str | None = None
    # The message's sender.
    sender: str | None = field(default=None, name="from")
    # The message's receiver.
    receiver: str | None = field(default=None, name="to")
    # The message's number in its mailbox.
    seq: int | None = None
    priority: Priority | None = None
    type: MessageType | None = None
    task_id: str | None = None
    thread_id: str | None = None
    # What offered or delivered the message, such as `cli`.
    via: str | None = None
    # What woke the receiver's agent before it confirmed, such as `claude-code:FileChanged`.
    woken_by: str | None = None
    # The session that made the change, or `operator`; of `session.presence`, what gave the sign.
    by: str | None = None
    # This reading also delivered the message, which was pending.
    delivers: bool = False
    # The error code of a refused or failed message.
    code: str | None = None
    # The name of the group of a `group.*` event; its members afterwards (of a deleted one, before), and who of them
    # joined and who left.
    group: str | None = None
    members: tuple[str, ...] = ()
    joined: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    # The session of a `session.*` event.
    session: str | None = None
    # The project of that session or group.
    project_id: str | None = None
    # That session's status; of `session.presence`, its state.
    status: str | None = None
    # Its status before, unless it is new.
    was: str | None = None
    # The line that the session has added to its own timeline.
    note: SessionNote | None = None
    # What it waits for, from this change on.
    needs_input: NeedsInput | None = None
    # Of `session.presence`: when the sign was given, ms.
    since: int | None = None
    # Of `session.presence`: what the session waits for.
    detail: str | None = None

    def parties(self) -> tuple[str, ...]:
        """The sessions that this event concerns, each once. They may read it."""
        named: tuple[str | None, ...] = (self.receiver, self.sender, self.session)
        if self.group is not None:
            named = (*named, *self.members, *self.left, self.by)
        return tuple(dict.fromkeys(name for name in named if name is not None))

    def notified(self) -> tuple[str, ...]:
        """The parties that get a notice. Of one message's deliveries, the sender is notified of the first alone: N
        receivers cost N + 1 notices."""
        if self.index and self.receiver is not None and self.receiver != self.sender:
            return (self.receiver,)
        return self.parties()


def named(words: Iterable[str]) -> frozenset[str]:
    """The event names that filter words select.

    A word is a whole name (`message.read`, `message:read`), a last word (`expired`), or `message`, `session` or
    `group` for all events of that kind. Raises MaestroError INVALID with the list of names.
    """
    found: set[str] = set()
    for word in words:
        wanted = word.strip().lower().replace(":", ".")
        meant = [name for name in RECORDED if wanted in (name, *name.split("."))]
        meant += _ALSO.get(wanted, ())
        if not meant:
            raise MaestroError(
                "INVALID",
                f"there is no event {word[:80]!r}",
                f"Events: {', '.join(RECORDED)}; the last word is enough, as in `expired`.",
            )
        found.update(meant)
    return frozenset(found)


class Reader(NamedTuple):
    """The session that wants to see something."""

    session: str
    role: str
    project: str


def may_see(reader: Reader | None, parties: Iterable[str], project_of: Callable[[str], str | None]) -> bool:
    """Whether `reader` (None: the operator) may see what concerns `parties`. `project_of` returns the project of a
    session by id, or None for an unknown session."""
    if reader is None:
        return True
    concerned = tuple(parties)
    if reader.session in concerned:
        return True
    return (
        reader.role == "orchestrator"
        and bool(concerned)
        and all(project_of(party) == reader.project for party in concerned)
    )


def may_see_event(reader: Reader | None, event: Event, project_of: Callable[[str], str | None]) -> bool:
    """As `may_see`, for an event. An event of a session has the project that the session was in. One of a group is
    its members' to see and of the session that made the change, and of the orchestrators of the group's project."""
    if event.group is not None and reader is not None:
        leads = reader.role == "orchestrator" and reader.project == event.project_id
        return leads or reader.session in event.parties()
    if event.session is None or event.project_id is None:
        return may_see(reader, event.parties(), project_of)
    own: Mapping[str, str] = {event.session: event.project_id}
    return may_see(reader, event.parties(), own.get)


def message_parties(sender: str, receiver: str, status: str) -> tuple[str, ...]:
    """The sessions that a message concerns. A refused one (`failed`) concerns its sender alone: it reached no
    mailbox."""
    return (sender,) if status == "failed" else (sender, receiver)


_DOCUMENTED_NAMES: dict[str, tuple[tuple[str, str], ...]] = {
    # event -> (documented event name, the field with the session that it is about)
    "message.accepted": (
        ("message:created", "receiver"),
        ("session:message_sent", "sender"),
        ("session:message_received", "receiver"),
    ),
    "message.delivered": (("message:delivered", "receiver"), ("session:message_delivered", "sender")),
    "message.read": (("message:read", "receiver"), ("session:message_delivered", "sender")),
    "message.deleted": (("message:deleted", "receiver"),),
    "message.expired": (("message:expired", "receiver"),),
    "message.failed": (("message:failed", "sender"),),
    "session.forgotten": (("session:deleted", "session"),),
    "group.changed": (("group:changed", "by"),),
    "group.deleted": (("group:deleted", "by"),),
    "session.presence": (("session:presence", "session"),),
}
_OF_STATUS = {"completed": "notify:session_completed", "failed": "notify:session_failed"}


def names_of(event: Event) -> list[list[tuple[str, str]]]:
    """The documented names of one event, each with the session that it is about, by fact: a reading of pending mail
    is a delivery, too."""
    facts = ["message.delivered", event.event] if event.delivers else [event.event]
    return [_named(event, fact) for fact in facts]


def expand(event: Event) -> list[tuple[str, str]]:
    """The same in one list; empty for an event without a documented name."""
    return [named for fact in names_of(event) for named in fact]


def _named(event: Event, fact: str) -> list[tuple[str, str]]:
    if fact in ("session.started", "session.changed", "session.ended"):
        return [] if event.session is None else [(name, event.session) for name in _of_session(event)]
    found = []
    for name, party in _DOCUMENTED_NAMES.get(fact, ()):
        if event.index and name == "session:message_sent":
            continue  # one message was sent, with several deliveries
        session = getattr(event, party)
        if session is not None:
            found.append((name, session))
    if fact == "message.accepted" and event.type == "command" and event.receiver is not None:
        found.append(("session:prompt_send", event.receiver))
    return found


def _of_session(event: Event) -> list[str]:
    """What has become of a session. Its end comes after what is to be said of it: a client that waits for the end
    reads no further."""
    names = []
    if event.note is not None and event.note.type == "progress":
        names.append("notify:progress")
    if event.needs_input is not None:
        names.append("notify:needs_input")
    if event.event == "session.started" and event.was is None:
        return [*names, "session:created", "session:started"]
    if event.was is not None and event.was != event.status:
        if event.status in _OF_STATUS:
            names.append(_OF_STATUS[event.status])
        names.append("session:status_changed")
    names.append("session:updated")
    also = {"session.started": ["session:started"], "session.ended": ["session:ended"]}
    return names + also.get(event.event, [])
