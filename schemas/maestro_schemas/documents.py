"""Documents: what comes off the wire, as clients see it.

Rule: the same shapes as the Structs of `messages`, `sessions`, `events` and `replies`, as TypedDicts, for
clients that decode with plain msgpack; a test holds each field of both to the same name and optionality.
"""

# No `from __future__ import annotations`: TypedDict would not see which fields are NotRequired.
from typing import Any, Literal, NotRequired, TypedDict


class MetadataDoc(TypedDict, total=False):
    """`messages.Metadata`."""

    taskId: str
    type: str
    priority: str
    requiresAck: bool
    inReplyTo: str
    threadId: str
    data: Any


class FailureDoc(TypedDict):
    """`messages.Failure`."""

    code: str
    message: str


# The functional form, because `from` is a keyword.
MessageDoc = TypedDict(
    "MessageDoc",
    {
        "id": str,
        "from": str,
        "to": str,
        "message": str,
        "status": str,
        "seq": int,
        "createdAt": int,
        "offeredAt": NotRequired[int],
        "offeredVia": NotRequired[str],
        "deliveredAt": NotRequired[int],
        "deliveredVia": NotRequired[str],
        "readAt": NotRequired[int],
        "expiresAt": NotRequired[int],
        "failure": NotRequired[FailureDoc],
        "originalTo": NotRequired[str],
        "metadata": NotRequired[MetadataDoc],
    },
)


class NeedsInputDoc(TypedDict):
    """`sessions.NeedsInput`."""

    active: bool
    message: NotRequired[str]
    since: NotRequired[int]


class SessionNoteDoc(TypedDict):
    """`sessions.SessionNote`."""

    type: str
    message: str
    timestamp: int


class SessionDoc(TypedDict):
    """`sessions.Session`."""

    id: str
    role: str
    projectId: str
    status: str
    startedAt: int
    lastActivity: int
    name: NotRequired[str]
    parentSessionId: NotRequired[str]
    taskIds: NotRequired[list[str]]
    completedAt: NotRequired[int]
    needsInput: NotRequired[NeedsInputDoc]
    metadata: NotRequired[dict[str, Any]]
    timeline: NotRequired[list[SessionNoteDoc]]
    agent: NotRequired[str]
    agentSessionId: NotRequired[str]
    pid: NotRequired[int]
    cwd: NotRequired[str]
    hasToken: NotRequired[bool]
    watching: NotRequired[bool]


EventDoc = TypedDict(
    "EventDoc",
    {
        "lsn": int,
        "at": int,
        "event": str,
        "id": NotRequired[str],
        "from": NotRequired[str],
        "to": NotRequired[str],
        "seq": NotRequired[int],
        "priority": NotRequired[str],
        "type": NotRequired[str],
        "taskId": NotRequired[str],
        "threadId": NotRequired[str],
        "via": NotRequired[str],
        "by": NotRequired[str],
        "code": NotRequired[str],
        "session": NotRequired[str],
        "projectId": NotRequired[str],
        "status": NotRequired[str],
    },
)


class OutgoingDoc(TypedDict):
    """`requests.Outgoing`: one message as a client sends it."""

    id: str
    to: str
    message: str
    metadata: NotRequired[MetadataDoc]
    ttlMs: NotRequired[int]
    onEnded: NotRequired[str]


class ErrorDoc(TypedDict):
    """An error as the wire, `--json` and HTTP carry it (`MaestroError.body`). `retryAfter`: seconds."""

    code: str
    message: str
    hint: NotRequired[str]
    retryAfter: NotRequired[float]
    limit: NotRequired[int]
    actual: NotRequired[int]
    details: NotRequired[dict[str, Any]]


class OutboxEntryDoc(TypedDict):
    """A file of the outbox, as `outbox_entry.encode` writes it. `failure`: why, once refused for good."""

    version: Literal[1]
    queuedAt: int
    session: str
    message: OutgoingDoc
    token: NotRequired[str]
    failure: NotRequired[ErrorDoc]


class PersonDoc(TypedDict):
    """`replies.Person`."""

    role: str
    name: NotRequired[str]


class SendResultDoc(TypedDict):
    """`replies.SendResult`."""

    id: str
    status: int
    to: NotRequired[str]
    originalTo: NotRequired[str]
    seq: NotRequired[int]
    createdAt: NotRequired[int]
    expiresAt: NotRequired[int]
    threadId: NotRequired[str]
    state: NotRequired[str]
    reach: NotRequired[Literal["watching", "tool", "prompt", "inbox", "ended"]]
    seenAt: NotRequired[int]
    message: NotRequired[MessageDoc]
    error: NotRequired[ErrorDoc]


class InboxDoc(TypedDict):
    """`replies.InboxReply`."""

    messages: list[MessageDoc]
    count: int
    hasMore: bool
    upTo: int
    headSeq: int
    pending: int
    unoffered: NotRequired[int]
    leased: NotRequired[int]
    leaseEndsInMs: NotRequired[int]
    ended: NotRequired[bool]
    people: NotRequired[dict[str, PersonDoc]]
    printCharsMax: NotRequired[int]


class MessageReplyDoc(TypedDict):
    """`replies.MessageReply`."""

    message: MessageDoc
    people: NotRequired[dict[str, PersonDoc]]


class ThreadDoc(TypedDict):
    """`replies.ThreadReply`."""

    threadId: str
    messages: list[MessageDoc]
    hasMore: bool
    people: NotRequired[dict[str, PersonDoc]]


class DeadDoc(TypedDict):
    """`replies.DeadReply`."""

    messages: list[MessageDoc]
    hasMore: bool
    before: int


class ItemResultDoc(TypedDict):
    """`replies.ItemResult`."""

    id: str
    status: int
    state: NotRequired[str]
    at: NotRequired[int]
    message: NotRequired[MessageDoc]
    error: NotRequired[ErrorDoc]


class EventsDoc(TypedDict):
    """`replies.EventsReply`."""

    events: list[EventDoc]
    upTo: int
    head: int
    hasMore: bool


class HelloDoc(TypedDict):
    """`replies.HelloReply`."""

    protocolMin: int
    protocolMax: int
    version: str
    epoch: str
    pid: int
    headLsn: int
    dataDir: str
    limits: dict[str, int]


class SweptDoc(TypedDict):
    """`replies.Swept`."""

    messages: NotRequired[int]
    tombstones: NotRequired[int]
    folders: NotRequired[int]
    sessions: NotRequired[int]
    timelineFiles: NotRequired[int]
    expired: NotRequired[int]
    bytes: NotRequired[int]


class PruneDoc(TypedDict):
    """`replies.PruneReply`."""

    round: int
    done: bool
    dryRun: bool
    startedAt: int
    tookMs: int
    lookedAt: int
    swept: SweptDoc
    failure: NotRequired[str]
