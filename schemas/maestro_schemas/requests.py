"""Requests: the body of each command, validated while it is decoded.

Rule: one Struct per command (`commands` is the list), an unknown field is an error, and every body has `as`. The
comment above a field is its description in the JSON Schemas.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from .limits import GROUP_MEMBERS_CEILING, ON_ENDED
from .messages import NO_METADATA, Attachment, Metadata
from .names import AUDIENCE_SIGIL
from .replies import ErrorBody
from .sessions import NeedsInput, SessionNote
from .vocabularies import ActiveStatus, EndStatus, MessageStatus, MessageType, Role, SessionStatus, WakeSetting

ConfirmKind = Literal["offered", "delivered", "read"]
Box = Literal["in", "out"]
# Not a Literal: that would refuse a whole batch for one message's wrong word, without a list of the allowed ones.
OnEnded = Annotated[str, Meta(extra_json_schema={"enum": list(ON_ENDED)})]


class Identity(Struct, gc=False, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The session that makes a request. Without a session, a peer of the broker's own uid is the operator, who may
    read and change what the operator may; to send, and to mean the own mailbox, it says `operator`."""

    session: str | None = None
    # The session's token, where it has one.
    token: str | None = None
    # The caller speaks as the built-in session `operator`. Beside it neither `session` nor `token`.
    operator: bool = False


class Request(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """The field that every request has."""

    # The session that makes the request, with its token.
    who: Identity = field(default=Identity(), name="as")

    def record_bounds(self, _most: int) -> tuple[int, int]:
        """How many journal records the request may make, and how many deliveries these may have beside the first of
        each; `most`: the receivers of one message."""
        return 1, 0


class Hello(Request, frozen=True):
    """`hello`: ask for the protocol versions, the broker's identity and its limits."""

    # The oldest protocol version that the client speaks.
    protocol_min: int = 1
    # The newest protocol version that the client speaks.
    protocol_max: int = 1
    # The client's name, for the log.
    client: str = ""


class Outgoing(Struct, gc=False, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """One message to send."""

    # Made by the client: the sender's key, to which the broker adds the sender's mark. The same key with the same
    # content is the same send.
    id: str
    # A session id, a name that is unique among the active sessions, `parent` or `operator`; an audience (@all,
    # @workers, @orchestrators, @project, @project:NAME, @children, @GROUP); or a list of addresses.
    to: str | list[str]
    text: str = field(name="message")
    metadata: Metadata = NO_METADATA
    # The message expires this long after its acceptance, unless it was delivered before.
    ttl_ms: int | None = None
    # The message expires at this time, ms, unless it was delivered before. Not beside `ttl_ms`.
    expires_at: int | None = None
    # What to do when the receiver has ended; by default, what the setting on_ended says.
    on_ended: OnEnded | None = None
    # The sender has seen how many sessions an audience comes to.
    confirm: bool = False
    attachments: tuple[Attachment, ...] = ()

    def further_receivers(self, most: int) -> int:
        """How many deliveries it may have at the most beside the first; `most`: those of any message."""
        if isinstance(self.to, str):
            return most
        has_audience = any(address.startswith(AUDIENCE_SIGIL) for address in self.to)
        return most if has_audience else min(len(self.to), most)


class OutboxFile(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """A file of the outbox: one send that waits for a broker. `outbox_entry.encode` writes it as a plain map."""

    version: Literal[1]
    # When the client put it into the outbox, ms.
    queued_at: int
    # The sender.
    session: str
    message: Outgoing
    # The sender's token, where it has one.
    token: str | None = None
    # Why the broker refused it for good.
    failure: ErrorBody | None = None


class Send(Request, frozen=True):
    """`send`: up to batch_messages_max messages. Each is accepted or refused by itself; the batch is not atomic."""

    messages: list[Outgoing]
    # Each result also has the accepted message.
    whole: bool = False
    # The messages waited in an outbox. One that is refused for good is kept as `failed`, and its sender is notified.
    queued: bool = False

    def record_bounds(self, most: int) -> tuple[int, int]:
        """A record for each message; a delivery for each address of a list, and `most` for each message to an
        audience."""
        further = 0
        for message in self.messages:
            # Nearly always one receiver, which needs no call.
            if type(message.to) is not str or message.to.startswith(AUDIENCE_SIGIL):
                further += message.further_receivers(most)
        return len(self.messages), further


class Inbox(Request, frozen=True):
    """`inbox`: a page of one mailbox.

    Without `since`, high priority comes first, then by `seq`. With `since`, strictly by `seq`.
    """

    # The mailbox; by default the caller's.
    session: str | None = None
    # Only messages with a greater `seq`.
    since: int | None = None
    # The most messages in the reply.
    limit: int | None = None
    status: list[MessageStatus] = field(default_factory=lambda: ["pending"])
    # Only messages of this type.
    type: MessageType | None = None
    # Only messages of this sender: a session's id or name.
    sender: str | None = field(default=None, name="from")
    # Only messages of this thread: the id of its first message.
    thread: str | None = None
    # False: only messages that were not offered yet. True: only those that were.
    offered: bool | None = None
    # Return nothing while all of it is quiet: mail to several sessions that asks nothing of them.
    hold_quiet: bool = False
    # Hide the returned messages from other leasing readers for this time, or until they are confirmed.
    lease_ms: int | None = None
    # The id of the reader, which may read again what it leased itself.
    reader: str | None = None
    # The reply also has `people` and `print_chars_max`, for a caller that prints the page.
    people: bool = False


class Confirm(Request, frozen=True):
    """`confirm`: record that messages of a mailbox were offered, delivered or read."""

    ids: list[str]
    kind: ConfirmKind
    # The mailbox; by default the caller's.
    session: str | None = None
    # What showed the messages, such as `cli` or `hook:claude-code:Stop`.
    via: str | None = None
    # What woke the agent before, such as `claude-code:FileChanged`.
    woken_by: str | None = None
    # Each result also has the message as it is afterwards.
    whole: bool = False
    # The caller speaks for the receiver of each id, with the token in `as`; `as.session` is absent.
    as_receiver: bool = False

    def record_bounds(self, _most: int) -> tuple[int, int]:
        """A record for each id."""
        return len(self.ids), 0


class GetMessage(Request, frozen=True):
    """`message`: one message by its id."""

    id: str
    # The mailbox that holds it, where the operator knows it. Otherwise the broker searches all mailboxes.
    session: str | None = None
    # The reply also has `people`.
    people: bool = False
    # As in `confirm`.
    as_receiver: bool = False


class GetReceipt(Request, frozen=True):
    """`receipt`: what became of one message at each of its receivers."""

    id: str
    # Only the line of this receiver, by its id.
    session: str | None = None
    # The reply also has `people`.
    people: bool = False


class GetThread(Request, frozen=True):
    """`thread`: the messages of one thread."""

    # Any message of the thread.
    id: str
    # The reply also has `people`.
    people: bool = False
    # As in `confirm`.
    as_receiver: bool = False


class Dead(Request, frozen=True):
    """`dead`: messages that expired before they were delivered."""

    # Their sender; by default the caller. For the operator, the default is every sender.
    session: str | None = None
    # Only messages that expired before the record of this LSN.
    before: int | None = None
    # The most messages in the reply.
    limit: int | None = None


class Messages(Request, frozen=True):
    """`messages`: what was said: a page of messages with their texts, one entry a message. All given filters must
    match. Without `after`, it is the newest page, or the one before `before`."""

    # The other party: a session, or `@` and the name of a group.
    peer: str | None = field(default=None, name="with")
    # Whose mail, as that session would get it; by default the caller's. For the operator, the default is all mail.
    session: str | None = None
    # Only messages that a session of this project sent or got. A session counts for the project that it is in now.
    project_id: str | None = None
    # in: only messages that this session received. out: only those that it sent.
    box: Box | None = None
    # Only messages that were accepted before the record of this LSN: `before` of the page with newer ones.
    before: int | None = None
    # Only messages that were accepted after the record of this LSN, the oldest page first. Not beside `before`.
    after: int | None = None
    # Only messages that were accepted at this time or later, ms.
    since: int | None = None
    # Only messages that were accepted before this time, ms.
    until: int | None = None
    # The most messages in the reply.
    limit: int | None = None
    # Each entry with several deliveries also has `counts`.
    counts: bool = False
    # Only messages whose id begins so, or the random part of it does.
    id_prefix: str | None = None


class Delete(Request, frozen=True):
    """`delete`: delete messages by id."""

    ids: list[str]
    # The mailbox; by default the caller's. Only the operator may name another.
    session: str | None = None
    # As in `confirm`.
    as_receiver: bool = False

    def record_bounds(self, _most: int) -> tuple[int, int]:
        """A record for each id."""
        return len(self.ids), 0


class SessionStart(Request, frozen=True):
    """`session.start`: start a session, or start an ended one again.

    The client makes the id and the token, so that a repeated request is the same start.
    """

    id: str
    # Later requests that speak for the session need this token.
    token: str | None = None
    name: str | None = None
    # A session that has no name gets this one, or the first free of `NAME-2`, `NAME-3` and so on. Without `name`.
    name_base: str | None = None
    # By default what the session was, else `worker`. A role, a project and a parent are changed only by the operator,
    # or by an orchestrator of the project.
    role: Role | None = None
    # By default what it was, else the parent's project, else `default`.
    project_id: str | None = None
    # By default what it was, else the caller's session.
    parent_session_id: str | None = None
    task_ids: list[str] = []
    status: ActiveStatus = "idle"
    # Any JSON object (limit session_metadata_bytes_max).
    metadata: dict[str, Any] = {}
    # The kind of agent that runs in it, such as `claude-code`.
    agent: str | None = None
    # The id that the agent gives the conversation.
    agent_session_id: str | None = None
    # The process that the session belongs to: its agent, or the leader of the terminal's session.
    pid: int | None = None
    # Tells that process from a later one with the same pid.
    pid_start: str | None = None
    # The agent's working directory.
    cwd: str | None = None
    # Whether the broker may wake its agent from idle; by default what it was, else `idle`.
    wake: WakeSetting | None = None
    # What can wake the agent: a name in `waking`. Empty: nothing can. By default what it was.
    wake_by: str | None = None
    # The operator takes the session over, active or ended: it gets the given token in place of its own.
    takeover: bool = False
    # End the active sessions that have this name or id. For the same id, their mail stays this session's.
    replace: bool = False


class SessionEnd(Request, frozen=True):
    """`session.end`: end a session. For the session itself, its parent and the operator."""

    # By default the caller's session.
    id: str | None = None
    status: EndStatus = "completed"


class SessionRename(Request, frozen=True):
    """`session.rename`: give an active session another name. For the session itself, its parent and the operator."""

    name: str
    # By default the caller's session.
    id: str | None = None
    # End the active session that has this name.
    replace: bool = False


class SessionGet(Request, frozen=True):
    """`session.get`: one session."""

    # A session id, or a name that is unique among the active sessions; by default the caller's session.
    id: str | None = None


class SessionList(Request, frozen=True):
    """`session.list`: a page of the sessions that match all given filters, in the order of their start."""

    project_id: str | None = None
    parent_session_id: str | None = None
    status: list[SessionStatus] | None = None
    # True: only active sessions. False: only ended ones.
    active: bool | None = None
    # The most sessions in the reply (limit sessions_reply_max). A page may have fewer, or none, and still `next`.
    limit: int | None = None
    # `next` of the page before.
    after: str | None = None


class PresenceGet(Request, frozen=True):
    """`presence`: what is known of the sessions now. A page of the active ones, in the order of their start."""

    project_id: str | None = None
    # Only this session, by id or by name; it may have ended.
    session: str | None = None
    # The most sessions in the reply (limit sessions_reply_max). A page may have fewer, or none, and still `next`.
    limit: int | None = None
    # `next` of the page before.
    after: str | None = None


class SessionTouch(Request, frozen=True):
    """`session.touch`: report that a session is alive, and set the given fields. Absent fields keep their value."""

    # By default the caller's session.
    id: str | None = None
    status: ActiveStatus | None = None
    needs_input: NeedsInput | None = None
    task_ids: list[str] | None = None
    # An entry to add to the session's timeline.
    note: SessionNote | None = None
    # The kind of agent that runs in it, such as `claude-code`.
    agent: str | None = None
    # The id that the agent gives the conversation.
    agent_session_id: str | None = None
    # The process that the session belongs to.
    pid: int | None = None
    # Tells that process from a later one with the same pid.
    pid_start: str | None = None
    # The agent's working directory.
    cwd: str | None = None
    # Whether the broker may wake its agent from idle. The operator may set this too.
    wake: WakeSetting | None = None
    # What can wake the agent: a name in `waking`. Empty: nothing can.
    wake_by: str | None = None


class GroupSet(Request, frozen=True):
    """`group.set`: make a group, or change its members. What is already so is no change, so it can be repeated."""

    # The group's name, with or without `@`.
    name: str
    # Make the group. If it exists, this must be a repeat: by the same caller, and with the same members in it.
    create: bool = False
    # The project of a group that is made; by default the caller's, or if that is the operator its members', if they
    # are of one, else `default`.
    project_id: str | None = None
    # Addresses of the sessions that become members.
    add: list[str] = []
    # Addresses of the sessions that are members no longer.
    remove: list[str] = []

    def record_bounds(self, _most: int) -> tuple[int, int]:
        """Its record names every member, and the request does not say how many there are."""
        return 1, GROUP_MEMBERS_CEILING


class GroupDelete(Request, frozen=True):
    """`group.delete`: delete a group. The mail that was sent to it stays."""

    name: str

    def record_bounds(self, _most: int) -> tuple[int, int]:
        """Its record names every member."""
        return 1, GROUP_MEMBERS_CEILING


class GroupGet(Request, frozen=True):
    """`group.get`: one group."""

    name: str


class GroupList(Request, frozen=True):
    """`group.list`: a page of the groups, by name."""

    # Only groups of this project.
    project_id: str | None = None
    # Each group has its members.
    members: bool = False
    # The most groups in the reply. A page may have fewer, and still `next`.
    limit: int | None = None
    # `next` of the page before.
    after: str | None = None


class Events(Request, frozen=True):
    """`events`: the timeline after an LSN, oldest first. All given filters must match."""

    # Only events with a greater LSN; -1 asks for the newest `limit` events.
    after: int = 0
    # The most events in the reply.
    limit: int | None = None
    # Only events that concern this session.
    session: str | None = None
    # Only events at this time or later, ms.
    since: int | None = None
    # Only events before this time, ms.
    until: int | None = None
    # Only events of these names, such as `message.read`; the last word is enough.
    events: list[str] | None = None
    # Only events of this message.
    message: str | None = None


class Stats(Request, frozen=True):
    """`stats`: the broker's state, for `maestro status`."""


class OutboxDrain(Request, frozen=True):
    """`outbox.drain`: send the entries of the outbox now."""


class Prune(Request, frozen=True):
    """`prune`: start a round of the sweep, or report on one. For the operator."""

    # The round to report on; absent, a new round starts.
    round: int | None = None
    # Count what would be removed, and remove nothing.
    dry_run: bool = False
    # Use this age instead of every configured retention. Pending messages keep theirs.
    older_than_ms: int | None = None


class Shutdown(Request, frozen=True):
    """`shutdown`: stop the broker in order. For the operator and every session of the same uid."""
