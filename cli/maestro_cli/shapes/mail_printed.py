"""Mail printed: the objects that commands print with `--json` about messages and sessions, where they are none of the
wire's documents.

Rule: a field is only ever added. No command imports this module: the tests compare what is printed with it, and
`shape_writer` makes the JSON Schema and the guide's tables of it.
"""

# No `from __future__ import annotations`: TypedDict would not see which fields are NotRequired.
from typing import Any, NotRequired, TypedDict

from maestro_schemas.documents import (
    AttachmentDoc,
    AudienceDoc,
    ErrorDoc,
    FailureDoc,
    GroupDoc,
    IndexStateDoc,
    ItemResultDoc,
    MessageDoc,
    MetadataDoc,
    PersonDoc,
    ReceiptDoc,
    RecipientResultDoc,
    SearchHitDoc,
    SessionDoc,
)

# --- messages ----------------------------------------------------------------------------------------------


class SentShown(TypedDict):
    """The outcome of a send. A send to several has `audience`, `accepted`, `refused` and `recipients`; one that waits
    has `receipt`, `reply`, or `replies` and `missing`. After a timeout, `error` is beside what was sent."""

    id: str
    # `accepted`, or `queued` in the outbox.
    status: str
    # Whom it went to: a session's id. In the outbox, as it was given.
    to: NotRequired[str | list[str]]
    # The receiver's name.
    toName: NotRequired[str]
    # Its number in the receiver's mailbox.
    seq: NotRequired[int]
    # When it was accepted, ms.
    createdAt: NotRequired[int]
    threadId: NotRequired[str]
    # When it expires unless it is delivered before, ms.
    expiresAt: NotRequired[int]
    # The message's status now.
    state: NotRequired[str]
    # When the receiver is expected to see it: `now`, `turn`, `prompt`, `inbox`, ...
    reach: NotRequired[str]
    # When the receiver was last seen, ms.
    seenAt: NotRequired[int]
    # The id of this message was sent before, and was not sent again.
    duplicate: NotRequired[bool]
    # The receiver that had ended, in whose place `to` got it.
    originalTo: NotRequired[str]
    # Hidden characters that were taken out of the text.
    charsRemoved: NotRequired[int]
    # Of `message retry`: the dead message.
    retryOf: NotRequired[str]
    presence: NotRequired[dict[str, Any]]
    audience: NotRequired[AudienceDoc]
    accepted: NotRequired[int]
    refused: NotRequired[int]
    recipients: NotRequired[list[RecipientResultDoc]]
    receipt: NotRequired[ReceiptDoc]
    reply: NotRequired[MessageDoc]
    replies: NotRequired[list[MessageDoc]]
    # The receivers that have not answered.
    missing: NotRequired[list[Any]]
    # With --wait, of the message.
    deliveredAt: NotRequired[int]
    deliveredVia: NotRequired[str]
    readAt: NotRequired[int]
    offeredAt: NotRequired[int]
    offeredVia: NotRequired[str]
    wokenBy: NotRequired[str]
    # Where a queued message is.
    path: NotRequired[str]
    # Why no broker can be started for it.
    reason: NotRequired[ErrorDoc]
    error: NotRequired[ErrorDoc]


class PreviewedSend(TypedDict):
    """What `send --dry-run` would do."""

    # `preview`.
    status: str
    recipients: list[RecipientResultDoc]
    accepted: int
    refused: int
    audience: NotRequired[AudienceDoc]
    # The send needs --yes.
    confirm: NotRequired[bool]


class Mail(TypedDict):
    """Messages of an inbox, those of high priority first."""

    messages: list[MessageDoc]
    # How many they are.
    count: int
    # More are waiting.
    hasMore: bool


class WaitingSender(TypedDict):
    """A sender of mail that waits."""

    session: str
    name: NotRequired[str]
    count: int


# `from` is a keyword.
WaitingMail = TypedDict(
    "WaitingMail",
    {
        # How many messages wait.
        "count": int,
        # How many of them have high priority.
        "high": int,
        "from": list[WaitingSender],
        "ids": list[str],
        "hasMore": bool,
    },
)


class Conversation(TypedDict):
    """The messages of a thread, the oldest first."""

    threadId: str
    messages: list[MessageDoc]
    count: int
    hasMore: bool


class StepShown(TypedDict):
    """A step of a delivery."""

    # `accepted`, `offered`, `delivered`, `read`, `expired`, `failed`.
    step: str
    # When, ms.
    at: int
    # What took it, such as `cli` or `hook:claude-code:Stop`.
    via: NotRequired[str]


class ReceiptShown(ReceiptDoc):
    """A receipt; of a message to one receiver also its `steps`."""

    to: NotRequired[str]
    status: NotRequired[str]
    steps: NotRequired[list[StepShown]]
    # When it expires, ms.
    expiresAt: NotRequired[int]  # noqa: N815 - ruff does not see the TypedDict through the functional form
    wokenBy: NotRequired[str]  # noqa: N815


class DeadLetter(TypedDict):
    """A message that expired, or was refused from the outbox; the other fields of a message are there too."""

    id: str
    # `expired` or `failed`.
    status: str
    message: str
    to: str | list[str]
    # When it expired or was refused, ms; of one in the outbox, when it was queued.
    diedAt: int
    failure: FailureDoc
    # Of a message to several: those for which it expired.
    receivers: NotRequired[list[str]]
    # The message that repeats it.
    retriedAs: NotRequired[str]
    # The file in the outbox.
    path: NotRequired[str]


class DeadLetters(TypedDict):
    """Messages that expired, or were refused from the outbox."""

    letters: list[DeadLetter]
    count: int
    hasMore: bool


class ItemResults(TypedDict):
    """What became of each message; with an `error` beside it, the first of those in `results`."""

    results: list[ItemResultDoc]
    error: NotRequired[ErrorDoc]


class LoggedMessage(MessageDoc):
    """A message as the log has it."""

    # The number of its record: what `log` orders by.
    lsn: int
    # The sessions that got it; for those who may know it.
    receivers: NotRequired[list[str]]
    # Status -> how many of them.
    counts: NotRequired[dict[str, int]]


class ReadMail(TypedDict):
    """The messages that were printed, and acknowledged where they were the reader's own; `error`: of the first that
    was not found."""

    messages: list[MessageDoc]
    count: int
    error: NotRequired[ErrorDoc]


class LoggedMail(TypedDict):
    """All mail of a mailbox, the oldest first."""

    messages: list[LoggedMessage]
    count: int
    hasMore: bool


class QueuedMessage(TypedDict):
    """A message that waits for a broker, or was refused; the fields of a message are there too."""

    id: str
    to: str | list[str]
    message: str
    metadata: NotRequired[MetadataDoc]
    ttlMs: NotRequired[int]
    onEnded: NotRequired[str]
    # When it was queued, ms.
    queuedAt: int
    # The file that holds it.
    path: str
    attachments: NotRequired[list[AttachmentDoc]]
    failure: NotRequired[FailureDoc]


class Outbox(TypedDict):
    """The outbox."""

    waiting: list[QueuedMessage]
    failed: list[QueuedMessage]
    # With --replay: how many were sent, wait and failed.
    replayed: NotRequired[dict[str, int]]


class MessageFiles(TypedDict):
    """The files of a message."""

    id: str
    attachments: list[AttachmentDoc]


class SavedFile(TypedDict):
    """A file that was saved."""

    name: str
    size: int
    sha256: str
    # Where it is now.
    path: str


class SavedFiles(TypedDict):
    """The saved files of a message."""

    id: str
    saved: list[SavedFile]


class SearchFound(TypedDict):
    """What a search found, the newest first."""

    hits: list[SearchHitDoc]
    total: int
    hasMore: bool
    # --before of the next page.
    before: int
    index: IndexStateDoc
    # Session -> who it is.
    people: dict[str, PersonDoc]
    tookMs: int


class WrittenExport(TypedDict):
    """What an export has written."""

    path: str
    messages: int
    bytes: int


class ExportedLine(TypedDict):
    """A line of an export: the first is its header, the last its end, each other one a message."""

    # `export`, `message` or `end`.
    kind: str
    # Of the header: of the format.
    version: NotRequired[int]
    product: NotRequired[str]
    query: NotRequired[dict[str, Any]]
    # Who asked.
    askedBy: NotRequired[str]
    at: NotRequired[int]
    # Session -> who it is.
    people: NotRequired[dict[str, PersonDoc]]
    # Of a message.
    lsn: NotRequired[int]
    message: NotRequired[MessageDoc]
    receipt: NotRequired[ReceiptDoc]
    # The sessions that got it; for those who may know it.
    receivers: NotRequired[list[str]]
    # Status -> how many of them.
    counts: NotRequired[dict[str, int]]
    # Words around what was found.
    snippet: NotRequired[str]
    marks: NotRequired[list[Any]]
    # Of the end: how many messages there are, and whether more were left out.
    messages: NotRequired[int]
    hasMore: NotRequired[bool]


class SpoolLine(TypedDict):
    """A line of `spool export`; the other fields depend on its kind, which `maestro spool export --help` lists."""

    kind: str


class WrittenSpool(TypedDict):
    """What `spool export` has written."""

    path: str
    bytes: int


# --- sessions ----------------------------------------------------------------------------------------------


class StartedSession(SessionDoc):
    """A session that this command has started, with its token: what MAESTRO_SESSION_TOKEN needs."""

    token: str


class ListedSession(SessionDoc):
    """A session in the list."""

    # The number of pending messages in its mailbox; absent where the caller may not know it.
    unread: NotRequired[int]


class SessionEvent(TypedDict):
    """A change of a watched session."""

    # `session:updated` or `timeline`.
    event: str
    sessionId: str
    data: dict[str, Any]
    # ms.
    timestamp: int


class WakeShown(TypedDict):
    """What is known of a session's wakes."""

    session: str
    name: NotRequired[str]
    agent: NotRequired[str]
    # `idle` (mail wakes it) or `off`.
    setting: str
    # `ready`, `woken`, `unanswered`, `held`, `off`, `none`.
    state: str
    # What wakes it.
    by: NotRequired[str]
    # When it was last woken, ms.
    at: NotRequired[int]
    answered: NotRequired[bool]
    # Why it is not woken.
    reason: NotRequired[str]


class WakeTried(TypedDict):
    """What became of `wake --test`."""

    session: str
    message: str
    seconds: float
    via: str
    wokenBy: str


class GroupChange(TypedDict):
    """A change of a group."""

    group: GroupDoc
    created: bool
    added: list[str]
    removed: list[str]
