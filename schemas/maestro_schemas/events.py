"""Events: what happened, as notices, timeline lines and replays carry it.

Rule: one record of the journal is one event of one shape, without any message text; a notice on the PUB socket,
a line of `timeline/*.jsonl` and an item of an `events` reply are that same shape. `expand` gives the seed's
event names for those who speak them (WebSocket, SSE).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from msgspec import Struct, field

from .errors import MaestroError
from .vocabularies import MessageType, Priority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

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
    "head",
]

# `head` is no record, and so never a line of the timeline.
RECORDED: tuple[str, ...] = tuple(name for name in get_args(EventName) if name != "head")
# What a person may call them.
_ALSO = {"sent": ("message.accepted",), "created": ("message.accepted",)}

# What follows `<session>|` in a notice's topic is the event's name.
TOPIC_SEPARATOR = "|"


class Event(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """One event. `lsn`: the journal's number, the cursor of a replay. `at`: ms. `seq`: the mailbox's number.

    `head` is not a record: the broker publishes it on subscription, with the mailbox's last `seq`.
    """

    lsn: int
    at: int
    event: EventName
    id: str | None = None
    sender: str | None = field(default=None, name="from")
    receiver: str | None = field(default=None, name="to")
    seq: int | None = None
    priority: Priority | None = None
    type: MessageType | None = None
    task_id: str | None = None
    thread_id: str | None = None
    via: str | None = None
    by: str | None = None
    code: str | None = None
    session: str | None = None
    project_id: str | None = None
    status: str | None = None

    def parties(self) -> tuple[str, ...]:
        """The sessions that this event concerns, each once: who may read it, and whom a notice goes to."""
        named = (self.receiver, self.sender, self.session)
        return tuple(dict.fromkeys(name for name in named if name is not None))


def named(words: Iterable[str]) -> frozenset[str]:
    """The names that are meant: whole ones (`message.read`, `message:read`), last words (`expired`), or `message` and
    `session` for all of a kind. Raises MaestroError INVALID with the list of names."""
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


def may_see(
    event: Event, session: str | None, role: str, project: str, project_of: Callable[[str], str | None]
) -> bool:
    """Whether an event is for `session`, None being the operator: its own; its project's for an orchestrator; all.

    `role`, `project`: that session's. `project_of`: the project of a session by id, None where there is none.
    """
    if session is None:
        return True
    parties = event.parties()
    if session in parties:
        return True
    return role == "orchestrator" and any(project_of(party) == project for party in parties)


_SEED_NAMES: dict[str, tuple[tuple[str, str], ...]] = {
    # event -> (seed's event name, whose session it is about)
    "message.accepted": (
        ("message:created", "receiver"),
        ("session:message_sent", "sender"),
        ("session:message_received", "receiver"),
    ),
    "message.delivered": (("message:delivered", "receiver"), ("session:message_delivered", "sender")),
    "message.read": (("message:read", "receiver"),),
    "message.deleted": (("message:deleted", "receiver"),),
    "message.expired": (("message:expired", "receiver"),),
    "message.failed": (("message:failed", "receiver"),),
    "session.started": (("session:started", "session"),),
    "session.ended": (("session:ended", "session"),),
}


def expand(event: Event) -> list[tuple[str, str]]:
    """The seed's names for one event, each with the session that it is about; empty for what the seed lacks."""
    named = []
    for name, party in _SEED_NAMES.get(event.event, ()):
        session = getattr(event, party)
        if session is not None:
            named.append((name, session))
    return named
