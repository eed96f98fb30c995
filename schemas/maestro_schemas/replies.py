"""Replies: the body of each successful answer.

Rule: one Struct per command, as in `requests`. `documents` has the same shapes as TypedDicts, generated from here.
The comment above a field is its description in the JSON Schemas.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType, field

from .events import Event
from .messages import Audience, Failure, Message
from .sessions import Presence, PresenceState, Session, WakeState
from .vocabularies import MessageStatus, Role

ReceiptState = Literal[
    "pending", "offered", "delivered", "read", "answered", "expired", "deleted", "refused", "failed"
]
Reach = Literal["watching", "tool", "wake", "prompt", "inbox", "gone", "ended"]


class ErrorBody(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """An error, as the wire, `--json` and HTTP carry it. `MaestroError.body` writes it as a plain map."""

    # A stable code. A newer broker may have further ones.
    code: str
    # What happened, and why.
    message: str
    # The next step.
    hint: str | None = None
    # The next step of a caller that has only HTTP, where it is another one.
    http_hint: str | None = None
    # Seconds until the same request may succeed.
    retry_after: float | None = None
    # The limit that was exceeded.
    limit: int | None = None
    # The value that exceeded it.
    actual: int | None = None
    # More for programs, such as the `ids` of an ambiguous name.
    details: dict[str, Any] | None = None


class HelloReply(Struct, frozen=True, rename="camel", kw_only=True):
    """The broker's protocol versions, identity and limits."""

    protocol_min: int
    protocol_max: int
    # The version of the broker.
    version: str
    # Changes at every start of a broker.
    epoch: str
    pid: int
    # The LSN of the last durable record.
    head_lsn: int
    data_dir: str
    # The limits that are numbers, by name.
    limits: dict[str, int]


class Person(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """What is shown of a session besides its id."""

    role: str
    name: str | None = None


class RecipientResult(Struct, gc=False, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """The outcome of one message for one of its receivers."""

    # The session id of the receiver.
    to: str
    # 201: accepted now. 200: accepted before. Otherwise the error's status.
    status: int
    name: str | None = None
    original_to: str | None = None
    seq: int | None = None
    # The delivery's status now, or `deleted`.
    state: str | None = None
    reach: Reach | None = None
    presence: Presence | None = None
    error: dict[str, Any] | UnsetType = UNSET


class SendResult(Struct, gc=False, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """The outcome of one message."""

    # The message's id: the sender's key, `_` and the sender's mark. For a refused message, the key as it was given.
    id: str
    # 201: accepted now. 200: accepted before, by the same send. Otherwise the error's status.
    status: int
    # The session id of the receiver, and its name.
    to: str | None = None
    to_name: str | None = None
    # The receiver that the sender named, where the broker redirected the message to another.
    original_to: str | None = None
    seq: int | None = None
    # When the broker accepted it, ms.
    created_at: int | None = None
    # When it expires unless it is delivered before, ms.
    expires_at: int | None = None
    # How many characters the broker took out of the text, since a reader can't see them or they steer a terminal.
    chars_removed: int = 0
    thread_id: str | None = None
    # The message's status now, or `deleted`.
    state: str | None = None
    # When its receiver will see it: at once (watching), after its agent's next tool call (tool), once the agent is
    # woken from idle (wake), at its next prompt (prompt), when it looks (inbox), or if it comes back (gone, ended).
    reach: Reach | None = None
    # When the broker last had a request of the receiver, ms.
    seen_at: int | None = None
    # What is known of the receiver.
    presence: Presence | None = None
    # For a list of addresses: those addresses and the number of receivers; how many accepted and refused; and each.
    audience: Audience | None = None
    accepted: int | None = None
    refused: int | None = None
    recipients: tuple[RecipientResult, ...] = ()
    # With `whole` in the request, unless the message is deleted.
    message: Message | UnsetType = UNSET
    error: dict[str, Any] | UnsetType = UNSET


class SendReply(Struct, frozen=True):
    """The outcome of a `send`."""

    # In the order of the request's messages.
    results: list[SendResult]


class InboxReply(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """One page of a mailbox."""

    messages: list[Message]
    # The number of messages in this reply.
    count: int
    # More messages match than this reply holds.
    has_more: bool = field(name="hasMore")
    # The cursor for the next call: every `seq` up to it is in this reply, did not match, or is deleted.
    up_to: int
    # The `seq` of the mailbox's newest message.
    head_seq: int
    # The number of pending messages in the mailbox.
    pending: int
    # The number of pending messages that were not offered yet.
    unoffered: int = 0
    # The number of matching messages that were left out because another reader leases them.
    leased: int = 0
    # The first of those leases ends after this time.
    lease_ends_in_ms: int | None = None
    # The mailbox's session has ended.
    ended: bool = False
    # With `people` in the request: the sessions that the messages name and the broker still knows, by id.
    people: dict[str, Person] | UnsetType = UNSET
    # With `people` in the request: the most characters that one page printed to an agent has (print_chars_max).
    print_chars_max: int | UnsetType = UNSET


class ItemResult(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """The outcome of one id in `confirm` and `delete`."""

    id: str
    # 200: done now, or before. Otherwise the error's status.
    status: int
    # The message's status afterwards, or `deleted`.
    state: MessageStatus | str | None = None
    # When the message got that status, ms.
    at: int | None = None
    # With `whole` in the request: the message as it is afterwards.
    message: Message | UnsetType = UNSET
    error: dict[str, Any] | UnsetType = UNSET


class ItemsReply(Struct, frozen=True):
    """The outcome of a `confirm` or `delete`."""

    # In the order of the request's ids.
    results: list[ItemResult]


class MessageReply(Struct, frozen=True):
    """One message."""

    message: Message
    # With `people` in the request: its sender and its receiver, by id.
    people: dict[str, Person] | UnsetType = UNSET


class ReceiptCounts(Struct, gc=False, frozen=True, rename="camel", kw_only=True):
    """How many receivers a message reached, and how far. A later step does not end an earlier one: a message that was
    read was delivered, too."""

    accepted: int
    offered: int
    delivered: int
    read: int
    # Receivers that have answered, each once.
    answered: int
    expired: int
    # Of a deleted message it is not known whether it was delivered before.
    deleted: int
    refused: int


class RecipientReceipt(Struct, gc=False, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """What became of one message at one of its receivers."""

    # The session id of the receiver. Of a failed message, the address as its sender wrote it.
    to: str
    # The last step that is known.
    state: ReceiptState
    # When that was, ms.
    at: int | None = None
    # What showed the message or its id, such as `cli`.
    via: str | None = None
    # The receiver that the sender named, where the broker redirected the message to another.
    original_to: str | None = None
    # The message's number in the receiver's mailbox.
    seq: int | None = None
    offered_at: int | None = None
    offered_via: str | None = None
    delivered_at: int | None = None
    delivered_via: str | None = None
    # What had woken the receiver's agent for the turn that showed it.
    woken_by: str | None = None
    read_at: int | None = None
    # When the receiver's first answer was accepted, ms.
    answered_at: int | None = None
    # That answer's id.
    answer_id: str | None = None
    # Why it was refused: an error code.
    code: str | None = None
    # What is known of the receiver.
    presence: Presence | None = None


class ReceiptReply(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """The receipt of one message, as far as the caller may see it."""

    id: str
    # The sender's session id, or `maestro`.
    sender: str = field(name="from")
    # Of the lines in `recipients`.
    counts: ReceiptCounts
    # In the order of the acceptance, those that refused last.
    recipients: list[RecipientReceipt]
    # Only if the sender gave a list of addresses.
    audience: Audience | None = None
    # When the broker accepted it, ms; absent where every receiver has deleted it.
    created_at: int | None = None
    # When it expires unless it is delivered before, ms.
    expires_at: int | None = None
    # Why it was refused for good, after it waited in an outbox.
    failure: Failure | None = None
    # With `people` in the request: its sender and its receivers, by id.
    people: dict[str, Person] | UnsetType = UNSET


class ThreadReply(Struct, frozen=True, rename="camel"):
    """One thread."""

    # The id of the thread's first message, which may be deleted.
    thread_id: str
    # The oldest first.
    messages: list[Message]
    # The thread has more messages than this reply holds.
    has_more: bool
    # With `people` in the request: the sessions that the messages name, by id.
    people: dict[str, Person] | UnsetType = UNSET


class DeadReply(Struct, frozen=True, rename="camel"):
    """Expired messages."""

    # The one that expired last comes first. A page may be short or empty although there are more.
    messages: list[Message]
    has_more: bool
    # The LSN to continue from, while `has_more`.
    before: int


class SaidMessage(Struct, gc=False, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """A message as it was said, once, however many deliveries it has."""

    # The record that accepted it: its place in the order of all messages.
    lsn: int
    # Of several deliveries the caller's own, else the first that the caller may see.
    message: Message
    # The sessions whose mailboxes took it, if the caller may see more than one of its deliveries.
    receivers: tuple[str, ...] = ()
    # With `counts` in the request, for a message with `receivers`: how many of them have each status, or `deleted`;
    # and `refused`, the number of sessions that did not take it.
    counts: dict[str, int] | UnsetType = UNSET


class MessagesReply(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """One page of what was said."""

    # The oldest first. A page may be short or empty although there are more. Deleted messages are left out.
    messages: list[SaidMessage]
    # The sessions that the messages name and the broker still knows, by id.
    people: dict[str, Person]
    # There are more messages, in the direction of the request.
    has_more: bool
    # `before` of the page with older messages.
    before: int
    # `after` of the page with newer messages.
    up_to: int
    # The newest LSN.
    head: int
    # The session, or the group with its `@`, that `with` of the request means.
    peer: str | None = field(default=None, name="with")
    # The session whose mail it is; absent for all mail.
    session: str | None = None


class SessionReply(Struct, frozen=True):
    """One session."""

    session: Session


class SessionsReply(Struct, frozen=True, omit_defaults=True):
    """One page of the sessions."""

    # The newest last.
    sessions: list[Session]
    # `after` of the next page; absent on the last one.
    next: str | None = None


class MemberShown(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """One member of a group."""

    # A session id.
    session: str
    name: str | None = None
    role: str | None = None
    # When it joined, ms.
    joined_at: int
    # False: it has ended, and gets nothing that is sent to the group until it is started again.
    active: bool


class GroupShown(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """One group, as clients see it."""

    name: str
    # The sessions of this project may join.
    project_id: str
    # The session that made it, or `operator`; after that session was forgotten, `operator`.
    creator: str
    # That session's name.
    creator_name: str | None = None
    # When it was made, ms.
    created_at: int
    # When it was made, or a request last changed its members, ms.
    changed_at: int
    # The number of members.
    size: int
    # How many of them are active.
    active: int
    # In the order of their joining. A list of groups has them only with `members` in the request.
    members: tuple[MemberShown, ...] | UnsetType = UNSET


class GroupReply(Struct, frozen=True, omit_defaults=True):
    """One group, and what `group.set` changed."""

    group: GroupShown
    # It was made now.
    created: bool = False
    # The ids of the sessions that joined now, and of those that left.
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


class GroupDeletedReply(Struct, frozen=True):
    """A group was deleted."""

    name: str
    # How many members it had.
    size: int


class GroupsReply(Struct, frozen=True, omit_defaults=True):
    """One page of the groups."""

    # By name.
    groups: list[GroupShown]
    # `after` of the next page; absent on the last one.
    next: str | None = None


class SessionPresence(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """What is known of one session now."""

    session: str
    name: str | None = None
    role: Role
    project_id: str
    # The kind of agent that runs in it, such as `claude-code`.
    agent: str | None = None
    state: PresenceState
    # When the sign was given, ms.
    since: int | None = None
    # What gave it: `hook`, `process`, `subscription`, `broker`.
    by: str | None = None
    # What it waits for.
    detail: str | None = None
    # The number of pending messages in its mailbox; absent where the caller may not know it.
    unread: int | None = None
    # When the oldest of them was accepted, ms.
    oldest_at: int | None = None
    # Its mailbox takes no more until some of them were delivered.
    full: bool = False
    wake: WakeState | None = None


class PresenceReply(Struct, frozen=True, omit_defaults=True):
    """What is known of one page of the sessions."""

    # The newest last.
    presence: list[SessionPresence]
    # `after` of the next page; absent on the last one.
    next: str | None = None


class EventsReply(Struct, frozen=True, rename="camel"):
    """One page of the timeline."""

    # The oldest first.
    events: list[Event]
    # The cursor for the next call.
    up_to: int
    # The newest LSN of the timeline.
    head: int
    has_more: bool


class StatsReply(Struct, frozen=True):
    """What `maestro status` prints."""

    # PROTOCOL.md lists the keys.
    stats: dict[str, Any]


class DrainReply(Struct, frozen=True):
    """The outcome of an `outbox.drain`, in entries."""

    sent: int
    # Refused for now (rate limit, full mailbox), and kept.
    waiting: int
    # Refused for good.
    failed: int


class Swept(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """What one round of the sweep removed, or would remove."""

    messages: int = 0
    # Links to deleted messages.
    tombstones: int = 0
    # Empty mailboxes, links' folders and threads.
    folders: int = 0
    sessions: int = 0
    # Groups without an active member.
    groups: int = 0
    timeline_files: int = 0
    attachments: int = 0
    # Pending messages past their retention: they expire now, and are kept for another retention.
    expired: int = 0
    # What the removed files held.
    bytes: int = 0


class PruneReply(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """The state of one round of the sweep."""

    # Its number, to ask for it again.
    round: int
    done: bool
    dry_run: bool
    # When it started, ms.
    started_at: int
    # From its start until now, or until its end.
    took_ms: int
    # The number of files read until now.
    looked_at: int
    swept: Swept
    # Why the round was broken off.
    failure: str | None = None


class ShutdownReply(Struct, frozen=True):
    """The broker is about to stop."""

    # The caller may wait for the end of this process.
    pid: int
