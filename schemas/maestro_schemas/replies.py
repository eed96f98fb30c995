"""Replies: the body of each successful answer.

Rule: each command has one Struct (`commands` is the list); what a client sees as the TypedDicts of `documents` is
encoded from here.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType, field

from .events import Event
from .messages import Message, MessageStatus
from .sessions import Session

Reach = Literal["watching", "tool", "prompt", "inbox", "ended"]


class HelloReply(Struct, frozen=True, rename="camel", kw_only=True):
    """`epoch` changes with every start of a broker; `head_lsn` is the last durable record; `limits`: those that are
    numbers."""

    protocol_min: int
    protocol_max: int
    version: str
    epoch: str
    pid: int
    head_lsn: int
    data_dir: str
    limits: dict[str, int]


class Person(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """What is shown of a session beside its id, in `people` by id. Sessions that are forgotten are left out."""

    role: str
    name: str | None = None


class SendResult(Struct, gc=False, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """One message's outcome: `status` 201 accepted now, 200 accepted before (the same send again), else `error`.

    `state` is the message's status, or `deleted`. `reach`, of a message accepted now: when its receiver will see it:
    `watching` (it hears at once), `tool` or `prompt` (an agent at work, or idle: its hook shows it after the next
    tool call, or at the next prompt), `inbox` (when it looks), `ended` (it has ended: if it comes back). `seen_at`:
    the receiver's last sign of life, ms. `original_to`: who was meant, where it went to another.
    """

    id: str
    status: int
    to: str | None = None
    original_to: str | None = None
    seq: int | None = None
    created_at: int | None = None
    expires_at: int | None = None
    thread_id: str | None = None
    state: str | None = None
    reach: Reach | None = None
    seen_at: int | None = None
    # Where the request asked for it (`whole`), unless the message is deleted.
    message: Message | UnsetType = UNSET
    error: dict[str, Any] | UnsetType = UNSET


class SendReply(Struct, frozen=True):
    """In the order of the request's messages."""

    results: list[SendResult]


class InboxReply(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """`up_to`: every seq up to it is in this reply, was asked past, or is gone. `leased`: left out because
    another reader holds them, the first until `lease_ends_in_ms` from now. `pending`: all the mailbox holds;
    `unoffered`: how many of those were shown to nobody yet. `ended`: its session has ended, so that no more comes."""

    messages: list[Message]
    count: int
    has_more: bool = field(name="hasMore")
    up_to: int
    head_seq: int
    pending: int
    unoffered: int = 0
    leased: int = 0
    lease_ends_in_ms: int | None = None
    ended: bool = False
    # Where the request asked for `people`: the senders and, where it differs, whom a message was sent to; by id.
    people: dict[str, Person] | UnsetType = UNSET
    # As above: the most characters that one page of an agent's inbox prints (`limits.print_chars_max`).
    print_chars_max: int | UnsetType = UNSET


class ItemResult(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """One id's outcome in `confirm` and `delete`: 200 done (or done before), else `error`.

    `state`: the message's status afterwards, or `deleted`. `at`: when, ms.
    """

    id: str
    status: int
    state: MessageStatus | str | None = None
    at: int | None = None
    # Where the request asked for it (`whole`).
    message: Message | UnsetType = UNSET
    error: dict[str, Any] | UnsetType = UNSET


class ItemsReply(Struct, frozen=True):
    """In the order of the request's ids."""

    results: list[ItemResult]


class MessageReply(Struct, frozen=True):
    """One message; with the people in it where they were asked for."""

    message: Message
    people: dict[str, Person] | UnsetType = UNSET


class ThreadReply(Struct, frozen=True, rename="camel"):
    """A thread, the oldest first; `thread_id` is the id of its first message, which may be deleted by now."""

    thread_id: str
    messages: list[Message]
    has_more: bool
    people: dict[str, Person] | UnsetType = UNSET


class DeadReply(Struct, frozen=True, rename="camel"):
    """Expired messages, the one that expired last first. `before`: the LSN to go on from, where `has_more`; a page
    may hold fewer than were asked for, even none, and there be more."""

    messages: list[Message]
    has_more: bool
    before: int


class SessionReply(Struct, frozen=True):
    """One session."""

    session: Session


class SessionsReply(Struct, frozen=True):
    """Sessions, the newest last."""

    sessions: list[Session]


class EventsReply(Struct, frozen=True, rename="camel"):
    """`events`: as in `events.Event`. `up_to`: the cursor for the next call. `head`: the newest LSN there is."""

    events: list[Event]
    up_to: int
    head: int
    has_more: bool


class StatsReply(Struct, frozen=True):
    """What `maestro status` prints; its keys are listed in PROTOCOL.md."""

    stats: dict[str, Any]


class DrainReply(Struct, frozen=True):
    """`outbox.drain`: how many entries were sent, wait (rate limit, full mailbox), failed for good."""

    sent: int
    waiting: int
    failed: int


class Swept(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """How many files, folders and sessions of a kind went, or would go; `bytes`: what they held.

    `tombstones`: links to mail that is gone. `expired`: pending mail past its retention, which stays for another.
    """

    messages: int = 0
    tombstones: int = 0
    folders: int = 0
    sessions: int = 0
    timeline_files: int = 0
    expired: int = 0
    bytes: int = 0


class PruneReply(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """One round of the sweep. `round`: its number, to ask again. `looked_at`: files so far. `failure`: why it broke
    off. `took_ms`: from its begin until now, or its end."""

    round: int
    done: bool
    dry_run: bool
    started_at: int
    took_ms: int
    looked_at: int
    swept: Swept
    failure: str | None = None


class ShutdownReply(Struct, frozen=True):
    """The broker's pid, whose end the caller may wait for."""

    pid: int
