"""Requests: the body of each command, validated while it is decoded.

Rule: each command has one Struct (`commands` is the list), unknown fields are errors, and every body has `as`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from .limits import ON_ENDED
from .messages import NO_METADATA, MessageStatus, MessageType, Metadata
from .sessions import ActiveStatus, EndStatus, NeedsInput, Role, SessionNote, SessionStatus

ConfirmKind = Literal["offered", "delivered", "read"]
# A Literal would refuse the whole request for one message's wrong word, without a list of the right ones.
OnEnded = Annotated[str, Meta(extra_json_schema={"enum": list(ON_ENDED)})]


class Identity(Struct, gc=False, frozen=True, forbid_unknown_fields=True):
    """Who asks. Without a session, a peer of the broker's own uid is the operator."""

    session: str | None = None
    token: str | None = None


class Request(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """What every body has."""

    who: Identity = field(default=Identity(), name="as")

    @property
    def items(self) -> int:
        """How many journal records the request may make."""
        return 1


class Hello(Request, frozen=True):
    """`hello`: protocol range of the client, and what it calls itself."""

    protocol_min: int = 1
    protocol_max: int = 1
    client: str = ""


class Outgoing(Struct, gc=False, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """One message to send. `to`: a session's id, a unique name, or `parent`. `ttl_ms`: its life from acceptance.
    `on_ended`: what becomes of it where its receiver has ended; by default as the broker's setting says."""

    id: str
    to: str
    text: str = field(name="message")
    metadata: Metadata = NO_METADATA
    ttl_ms: int | None = None
    on_ended: OnEnded | None = None


class Send(Request, frozen=True):
    """`send`: 1 to 256 messages, judged one by one, not atomic. `whole`: each result also has the message."""

    messages: list[Outgoing]
    whole: bool = False

    @property
    def items(self) -> int:
        """One for each message."""
        return len(self.messages)


class Inbox(Request, frozen=True):
    """`inbox`: mail of `session` (default: the caller's).

    Without `since`: high priority first, then by seq. With `since` (a seq): those after it, strictly by seq.
    `offered` False: only what no reader was shown yet, True: only what was. `lease_ms`: hides what is returned
    from other leasing readers for so long; `reader` names the reader, to whom its own leases are no obstacle.
    """

    session: str | None = None
    since: int | None = None
    limit: int | None = None
    status: list[MessageStatus] = field(default_factory=lambda: ["pending"])
    type: MessageType | None = None
    offered: bool | None = None
    lease_ms: int | None = None
    reader: str | None = None
    # For a caller that shows the page to a person: the reply also has `people` and `print_chars_max`.
    people: bool = False


class Confirm(Request, frozen=True):
    """`confirm`: ids of `session`'s mailbox (default: the caller's) were offered, delivered or read, `via` what."""

    ids: list[str]
    kind: ConfirmKind
    session: str | None = None
    via: str | None = None
    # Each result also has the message as it is afterwards.
    whole: bool = False
    # The caller speaks for the receiver of the one id, whose token `as` has; `as.session` is absent.
    as_receiver: bool = False

    @property
    def items(self) -> int:
        """One for each id."""
        return len(self.ids)


class GetMessage(Request, frozen=True):
    """`message`: one message by its id. `session`: the mailbox that it is in, where the operator knows it."""

    id: str
    session: str | None = None
    # The reply also has `people`.
    people: bool = False
    # As in `confirm`.
    as_receiver: bool = False


class GetThread(Request, frozen=True):
    """`thread`: the messages of the thread that the message `id` is in."""

    id: str
    people: bool = False
    as_receiver: bool = False


class Dead(Request, frozen=True):
    """`dead`: what `session` (default: the caller; the operator's: anybody) sent and was not delivered in time.

    `before`: only what expired before the record of this LSN.
    """

    session: str | None = None
    before: int | None = None
    limit: int | None = None


class Delete(Request, frozen=True):
    """`delete`: messages of the caller's mailbox (or of `session`'s, by the operator) go."""

    ids: list[str]
    session: str | None = None
    as_receiver: bool = False

    @property
    def items(self) -> int:
        """One for each id."""
        return len(self.ids)


class SessionStart(Request, frozen=True):
    """`session.start`. The client makes the id and the token, so that a retry is the same request."""

    id: str
    token: str | None = None
    name: str | None = None
    role: Role = "worker"
    project_id: str | None = None
    parent_session_id: str | None = None
    task_ids: list[str] = []
    status: ActiveStatus = "idle"
    metadata: dict[str, Any] = {}
    agent: str | None = None
    agent_session_id: str | None = None
    pid: int | None = None
    cwd: str | None = None


class SessionEnd(Request, frozen=True):
    """`session.end`: by itself, its parent or the operator."""

    id: str | None = None
    status: EndStatus = "completed"


class SessionGet(Request, frozen=True):
    """`session.get`: by id, or by a name that is unique among the active; default: the caller's own."""

    id: str | None = None


class SessionList(Request, frozen=True):
    """`session.list`, filtered."""

    project_id: str | None = None
    parent_session_id: str | None = None
    status: list[SessionStatus] | None = None
    active: bool | None = None


class SessionTouch(Request, frozen=True):
    """`session.touch`: it is alive; and what changed. Absent fields stay as they are."""

    id: str | None = None
    status: ActiveStatus | None = None
    needs_input: NeedsInput | None = None
    task_ids: list[str] | None = None
    note: SessionNote | None = None
    agent: str | None = None
    agent_session_id: str | None = None
    pid: int | None = None
    cwd: str | None = None


class Events(Request, frozen=True):
    """`events`: what came after the LSN `after`, oldest first; the other fields narrow it, all of them together.

    `after` -1 asks for the newest `limit` lines. `session`: one party. `message`: one message's id. `since`, `until`:
    ms, the first included, the last not. `events`: names such as `message.read`, or their last word.
    """

    after: int = 0
    limit: int | None = None
    session: str | None = None
    since: int | None = None
    until: int | None = None
    events: list[str] | None = None
    message: str | None = None


class Stats(Request, frozen=True):
    """`stats`: for `maestro status`."""


class OutboxDrain(Request, frozen=True):
    """`outbox.drain`: look into the outbox now."""


class Prune(Request, frozen=True):
    """`prune`: remove now what the sweep would, the operator's. Without `round` one begins; with it, how far it is.

    `dry_run`: only count. `older_than_ms`: instead of every retention, but for what is pending.
    """

    round: int | None = None
    dry_run: bool = False
    older_than_ms: int | None = None


class Shutdown(Request, frozen=True):
    """`shutdown`: commit, answer, file, stop. The operator's or any session's of the same uid."""
