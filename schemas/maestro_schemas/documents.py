"""Documents: what comes off the wire, as clients see it.

Rule: generated from the Structs by `just schemas`; never edited. Clients decode with plain msgpack, and these
TypedDicts are the shapes of what they get.
"""

# No `from __future__ import annotations`: TypedDict would not see which fields are NotRequired.
from typing import Any, NotRequired, TypedDict


class MetadataDoc(TypedDict):
    """`messages.Metadata`."""

    # The sender's own name for the task that the message belongs to.
    taskId: NotRequired[str]
    type: NotRequired[str]
    # Absent means medium.
    priority: NotRequired[str]
    # The sender asks the receiver to acknowledge the message (`maestro message read`).
    requiresAck: NotRequired[bool]
    # The sender asks the receiver for an answer.
    requiresResponse: NotRequired[bool]
    # The id of the message that this one answers.
    inReplyTo: NotRequired[str]
    # The id of the thread's first message. The broker sets it from `inReplyTo`.
    threadId: NotRequired[str]
    # Any JSON value of the sender's (limit data_bytes_max).
    data: NotRequired[Any]


class FailureDoc(TypedDict):
    """`messages.Failure`."""

    # An error code.
    code: str
    message: str


class AudienceDoc(TypedDict):
    """`messages.Audience`."""

    # The addresses as the sender gave them.
    to: list[str]
    # The number of receivers, with those that refused.
    size: int


class AttachmentDoc(TypedDict):
    """`messages.Attachment`."""

    # The last component of the sender's path.
    name: str
    # Bytes.
    size: int
    # A media type, by the name: a hint.
    type: str
    # The digest of the content in hex.
    sha256: str


# `messages.Message`. In the functional form, because `from` is a keyword.
MessageDoc = TypedDict(
    "MessageDoc",
    {
        # The sender's key, `_` and the sender's mark: it names one message in the whole post office.
        "id": str,
        # The sender's session id, or `maestro` for messages of the broker itself.
        "from": str,
        # The receiver's session id.
        "to": str,
        "message": str,
        "status": str,
        # The message's number in its mailbox: 1, 2, 3 and so on, without gaps.
        "seq": int,
        # When the broker accepted it, ms.
        "createdAt": int,
        # When its id was first shown to the receiver, ms.
        "offeredAt": NotRequired[int],
        # What showed its id, such as `hook:claude-code:Stop`.
        "offeredVia": NotRequired[str],
        # When its whole text was written to the receiver, ms.
        "deliveredAt": NotRequired[int],
        # What wrote its text, such as `cli`.
        "deliveredVia": NotRequired[str],
        # What had woken the receiver's agent for the turn that showed it, such as `claude-code:FileChanged`.
        "wokenBy": NotRequired[str],
        # When the receiver acknowledged it, ms.
        "readAt": NotRequired[int],
        # When it expires unless it is delivered before, ms.
        "expiresAt": NotRequired[int],
        "failure": NotRequired[FailureDoc],
        # The receiver that the sender named, where the broker redirected the message to another.
        "originalTo": NotRequired[str],
        # How many characters the broker took out of the text, since a reader can't see them or they steer a terminal.
        "charsRemoved": NotRequired[int],
        # Only if the sender gave a list of addresses.
        "audience": NotRequired[AudienceDoc],
        "attachments": NotRequired[list[AttachmentDoc]],
        "metadata": NotRequired[MetadataDoc],
    },
)


class NeedsInputDoc(TypedDict):
    """`sessions.NeedsInput`."""

    active: bool
    # What it waits for.
    message: NotRequired[str]
    # Since when, ms.
    since: NotRequired[int]


class SessionNoteDoc(TypedDict):
    """`sessions.SessionNote`."""

    type: str
    message: str
    # When, ms.
    timestamp: int
    # The client's own id of the entry. A second entry with the id of a kept one is a repeat, and is not added.
    id: NotRequired[str]
    # Any JSON object (limit NOTE_METADATA_BYTES_MAX).
    metadata: NotRequired[dict[str, Any]]


class WakeStateDoc(TypedDict):
    """`sessions.WakeState`."""

    # `ready`: mail wakes it. `woken`: it was, and no hook has taken the mail yet. `unanswered`: it was woken again,
    # without an answer, and is not woken until its next sign. `held`: a cap or the brake holds wakes back. `off`: its
    # setting, or its installation, wants none.
    state: str
    # What wakes it: a name in `waking`.
    by: NotRequired[str]
    # When it was woken last, ms.
    at: NotRequired[int]
    # Why it is held, or what went wrong at the last wake.
    reason: NotRequired[str]


class PresenceDoc(TypedDict):
    """`sessions.Presence`."""

    state: str
    # When the sign was given, ms.
    since: NotRequired[int]
    # What gave it: `hook`, `process`, `subscription`, `broker`.
    by: NotRequired[str]
    # What it waits for.
    detail: NotRequired[str]
    # Of an agent that can be woken from idle, and of one that could but must not be; absent for all others.
    wake: NotRequired[WakeStateDoc]


class SessionDoc(TypedDict):
    """`sessions.Session`."""

    id: str
    role: str
    projectId: str
    status: str
    # When it was started, ms; at a restart, when it was started again.
    startedAt: int
    # When the broker last had a request of this session, ms.
    lastActivity: int
    name: NotRequired[str]
    # The session that started this one.
    parentSessionId: NotRequired[str]
    taskIds: NotRequired[list[str]]
    # When it ended, ms.
    completedAt: NotRequired[int]
    needsInput: NotRequired[NeedsInputDoc]
    # Any JSON object (limit session_metadata_bytes_max).
    metadata: NotRequired[dict[str, Any]]
    timeline: NotRequired[list[SessionNoteDoc]]
    # The kind of agent that runs in it, such as `claude-code`.
    agent: NotRequired[str]
    # The id that the agent gives the conversation.
    agentSessionId: NotRequired[str]
    # The process that the session belongs to: its agent, or the leader of the terminal's session.
    pid: NotRequired[int]
    # Tells that process from a later one with the same pid: on Linux, the boot id and the start time in ticks.
    pidStart: NotRequired[str]
    # The agent's working directory.
    cwd: NotRequired[str]
    # Whether the broker may wake its agent from idle.
    wake: NotRequired[str]
    # What can wake it: a name in `waking`, as the agent's hook reported it at its start. None: nothing can.
    wakeBy: NotRequired[str]
    # A request that speaks for this session needs its token.
    hasToken: NotRequired[bool]
    # A client is subscribed to its notices now. In replies only; never stored.
    watching: NotRequired[bool]
    # What is known of it now. In replies only; never stored.
    presence: NotRequired[PresenceDoc]


class SessionsDoc(TypedDict):
    """`replies.SessionsReply`."""

    # The newest last.
    sessions: list[SessionDoc]
    # `after` of the next page; absent on the last one.
    next: NotRequired[str]


class SessionPresenceDoc(TypedDict):
    """`replies.SessionPresence`."""

    session: str
    name: NotRequired[str]
    role: str
    projectId: str
    # The kind of agent that runs in it, such as `claude-code`.
    agent: NotRequired[str]
    state: str
    # When the sign was given, ms.
    since: NotRequired[int]
    # What gave it: `hook`, `process`, `subscription`, `broker`.
    by: NotRequired[str]
    # What it waits for.
    detail: NotRequired[str]
    # The number of pending messages in its mailbox; absent where the caller may not know it.
    unread: NotRequired[int]
    # When the oldest of them was accepted, ms.
    oldestAt: NotRequired[int]
    # Its mailbox takes no more until some of them were delivered.
    full: NotRequired[bool]
    wake: NotRequired[WakeStateDoc]


class PresencesDoc(TypedDict):
    """`replies.PresenceReply`."""

    # The newest last.
    presence: list[SessionPresenceDoc]
    # `after` of the next page; absent on the last one.
    next: NotRequired[str]


# `events.Event`. In the functional form, because `from` is a keyword.
EventDoc = TypedDict(
    "EventDoc",
    {
        # The number of the journal's record, and the cursor of a replay. Of an event that is no record: the newest
        # one.
        "lsn": int,
        # The number of this event among those of its record, from 0. (lsn, index) is the event's identity.
        "index": NotRequired[int],
        # How many events the record has.
        "of": NotRequired[int],
        # When, ms.
        "at": int,
        "event": str,
        # The message's id.
        "id": NotRequired[str],
        # The message's sender.
        "from": NotRequired[str],
        # The message's receiver.
        "to": NotRequired[str],
        # The message's number in its mailbox.
        "seq": NotRequired[int],
        "priority": NotRequired[str],
        "type": NotRequired[str],
        "taskId": NotRequired[str],
        "threadId": NotRequired[str],
        # What offered or delivered the message, such as `cli`.
        "via": NotRequired[str],
        # What woke the receiver's agent before it confirmed, such as `claude-code:FileChanged`.
        "wokenBy": NotRequired[str],
        # The session that made the change, or `operator`; of `session.presence`, what gave the sign.
        "by": NotRequired[str],
        # This reading also delivered the message, which was pending.
        "delivers": NotRequired[bool],
        # The error code of a refused or failed message.
        "code": NotRequired[str],
        # The name of the group of a `group.*` event; its members afterwards (of a deleted one, before), and who of
        # them joined and who left.
        "group": NotRequired[str],
        "members": NotRequired[list[str]],
        "joined": NotRequired[list[str]],
        "left": NotRequired[list[str]],
        # The session of a `session.*` event.
        "session": NotRequired[str],
        # The project of that session or group.
        "projectId": NotRequired[str],
        # That session's status; of `session.presence`, its state.
        "status": NotRequired[str],
        # Its status before, unless it is new.
        "was": NotRequired[str],
        # The line that the session has added to its own timeline.
        "note": NotRequired[SessionNoteDoc],
        # What it waits for, from this change on.
        "needsInput": NotRequired[NeedsInputDoc],
        # Of `session.presence`: when the sign was given, ms.
        "since": NotRequired[int],
        # Of `session.presence`: what the session waits for.
        "detail": NotRequired[str],
    },
)


class OutgoingDoc(TypedDict):
    """`requests.Outgoing`."""

    # Made by the client: the sender's key, to which the broker adds the sender's mark. The same key with the same
    # content is the same send.
    id: str
    # A session id, a name that is unique among the active sessions, `parent` or `operator`; an audience (@all,
    # @workers, @orchestrators, @project, @project:NAME, @children, @GROUP); or a list of addresses.
    to: list[str] | str
    message: str
    metadata: NotRequired[MetadataDoc]
    # The message expires this long after its acceptance, unless it was delivered before.
    ttlMs: NotRequired[int]
    # The message expires at this time, ms, unless it was delivered before. Not beside `ttlMs`.
    expiresAt: NotRequired[int]
    # What to do when the receiver has ended; by default, what the setting on_ended says.
    onEnded: NotRequired[str]
    # The sender has seen how many sessions an audience comes to.
    confirm: NotRequired[bool]
    attachments: NotRequired[list[AttachmentDoc]]


class ErrorDoc(TypedDict):
    """`replies.ErrorBody`."""

    # A stable code. A newer broker may have further ones.
    code: str
    # What happened, and why.
    message: str
    # The next step.
    hint: NotRequired[str]
    # The next step of a caller that has only HTTP, where it is another one.
    httpHint: NotRequired[str]
    # Seconds until the same request may succeed.
    retryAfter: NotRequired[float]
    # The limit that was exceeded.
    limit: NotRequired[int]
    # The value that exceeded it.
    actual: NotRequired[int]
    # More for programs, such as the `ids` of an ambiguous name.
    details: NotRequired[dict[str, Any]]


class OutboxEntryDoc(TypedDict):
    """`requests.OutboxFile`."""

    version: int
    # When the client put it into the outbox, ms.
    queuedAt: int
    # The sender.
    session: str
    message: OutgoingDoc
    # The sender's token, where it has one.
    token: NotRequired[str]
    # Why the broker refused it for good.
    failure: NotRequired[ErrorDoc]


class PersonDoc(TypedDict):
    """`replies.Person`."""

    role: str
    name: NotRequired[str]


class RecipientResultDoc(TypedDict):
    """`replies.RecipientResult`."""

    # The session id of the receiver.
    to: str
    # 201: accepted now. 200: accepted before. Otherwise the error's status.
    status: int
    name: NotRequired[str]
    originalTo: NotRequired[str]
    seq: NotRequired[int]
    # The delivery's status now, or `deleted`.
    state: NotRequired[str]
    reach: NotRequired[str]
    presence: NotRequired[PresenceDoc]
    error: NotRequired[ErrorDoc]


class SendResultDoc(TypedDict):
    """`replies.SendResult`."""

    # The message's id: the sender's key, `_` and the sender's mark. For a refused message, the key as it was given.
    id: str
    # 201: accepted now. 200: accepted before, by the same send. Otherwise the error's status.
    status: int
    # The session id of the receiver, and its name.
    to: NotRequired[str]
    toName: NotRequired[str]
    # The receiver that the sender named, where the broker redirected the message to another.
    originalTo: NotRequired[str]
    seq: NotRequired[int]
    # When the broker accepted it, ms.
    createdAt: NotRequired[int]
    # When it expires unless it is delivered before, ms.
    expiresAt: NotRequired[int]
    # How many characters the broker took out of the text, since a reader can't see them or they steer a terminal.
    charsRemoved: NotRequired[int]
    threadId: NotRequired[str]
    # The message's status now, or `deleted`.
    state: NotRequired[str]
    # When its receiver will see it: at once (watching), after its agent's next tool call (tool), once the agent is
    # woken from idle (wake), at its next prompt (prompt), when it looks (inbox), or if it comes back (gone, ended).
    reach: NotRequired[str]
    # When the broker last had a request of the receiver, ms.
    seenAt: NotRequired[int]
    # What is known of the receiver.
    presence: NotRequired[PresenceDoc]
    # For a list of addresses: those addresses and the number of receivers; how many accepted and refused; and each.
    audience: NotRequired[AudienceDoc]
    accepted: NotRequired[int]
    refused: NotRequired[int]
    recipients: NotRequired[list[RecipientResultDoc]]
    # With `whole` in the request, unless the message is deleted.
    message: NotRequired[MessageDoc]
    error: NotRequired[ErrorDoc]


class PreviewDoc(TypedDict):
    """`previews.PreviewReply`."""

    # One entry for each receiver; 201 for one that would take it, else the status of its refusal.
    recipients: list[RecipientResultDoc]
    accepted: int
    refused: int
    # The sender must confirm the number of receivers (`CONFIRM_FANOUT`).
    confirm: NotRequired[bool]
    # Only if the addresses are a list or an audience.
    audience: NotRequired[AudienceDoc]


class InboxDoc(TypedDict):
    """`replies.InboxReply`."""

    messages: list[MessageDoc]
    # The number of messages in this reply.
    count: int
    # More messages match than this reply holds.
    hasMore: bool
    # The cursor for the next call: every `seq` up to it is in this reply, did not match, or is deleted.
    upTo: int
    # The `seq` of the mailbox's newest message.
    headSeq: int
    # The number of pending messages in the mailbox.
    pending: int
    # The number of pending messages that were not offered yet.
    unoffered: NotRequired[int]
    # The number of matching messages that were left out because another reader leases them.
    leased: NotRequired[int]
    # The first of those leases ends after this time.
    leaseEndsInMs: NotRequired[int]
    # The mailbox's session has ended.
    ended: NotRequired[bool]
    # With `people` in the request: the sessions that the messages name and the broker still knows, by id.
    people: NotRequired[dict[str, PersonDoc]]
    # With `people` in the request: the most characters that one page printed to an agent has (print_chars_max).
    printCharsMax: NotRequired[int]


class MessageReplyDoc(TypedDict):
    """`replies.MessageReply`."""

    message: MessageDoc
    # With `people` in the request: its sender and its receiver, by id.
    people: NotRequired[dict[str, PersonDoc]]


class ReceiptCountsDoc(TypedDict):
    """`replies.ReceiptCounts`."""

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


class RecipientReceiptDoc(TypedDict):
    """`replies.RecipientReceipt`."""

    # The session id of the receiver. Of a failed message, the address as its sender wrote it.
    to: str
    # The last step that is known.
    state: str
    # When that was, ms.
    at: NotRequired[int]
    # What showed the message or its id, such as `cli`.
    via: NotRequired[str]
    # The receiver that the sender named, where the broker redirected the message to another.
    originalTo: NotRequired[str]
    # The message's number in the receiver's mailbox.
    seq: NotRequired[int]
    offeredAt: NotRequired[int]
    offeredVia: NotRequired[str]
    deliveredAt: NotRequired[int]
    deliveredVia: NotRequired[str]
    # What had woken the receiver's agent for the turn that showed it.
    wokenBy: NotRequired[str]
    readAt: NotRequired[int]
    # When the receiver's first answer was accepted, ms.
    answeredAt: NotRequired[int]
    # That answer's id.
    answerId: NotRequired[str]
    # Why it was refused: an error code.
    code: NotRequired[str]
    # What is known of the receiver.
    presence: NotRequired[PresenceDoc]


# `replies.ReceiptReply`. In the functional form, because `from` is a keyword.
ReceiptDoc = TypedDict(
    "ReceiptDoc",
    {
        "id": str,
        # The sender's session id, or `maestro`.
        "from": str,
        # Of the lines in `recipients`.
        "counts": ReceiptCountsDoc,
        # In the order of the acceptance, those that refused last.
        "recipients": list[RecipientReceiptDoc],
        # Only if the sender gave a list of addresses.
        "audience": NotRequired[AudienceDoc],
        # When the broker accepted it, ms; absent where every receiver has deleted it.
        "createdAt": NotRequired[int],
        # When it expires unless it is delivered before, ms.
        "expiresAt": NotRequired[int],
        # Why it was refused for good, after it waited in an outbox.
        "failure": NotRequired[FailureDoc],
        # With `people` in the request: its sender and its receivers, by id.
        "people": NotRequired[dict[str, PersonDoc]],
    },
)


class ThreadDoc(TypedDict):
    """`replies.ThreadReply`."""

    # The id of the thread's first message, which may be deleted.
    threadId: str
    # The oldest first.
    messages: list[MessageDoc]
    # The thread has more messages than this reply holds.
    hasMore: bool
    # With `people` in the request: the sessions that the messages name, by id.
    people: NotRequired[dict[str, PersonDoc]]


class DeadDoc(TypedDict):
    """`replies.DeadReply`."""

    # The one that expired last comes first. A page may be short or empty although there are more.
    messages: list[MessageDoc]
    hasMore: bool
    # The LSN to continue from, while `hasMore`.
    before: int


class SaidMessageDoc(TypedDict):
    """`replies.SaidMessage`."""

    # The record that accepted it: its place in the order of all messages.
    lsn: int
    # Of several deliveries the caller's own, else the first that the caller may see.
    message: MessageDoc
    # The sessions whose mailboxes took it, if the caller may see more than one of its deliveries.
    receivers: NotRequired[list[str]]
    # With `counts` in the request, for a message with `receivers`: how many of them have each status, or `deleted`;
    # and `refused`, the number of sessions that did not take it.
    counts: NotRequired[dict[str, int]]


# `replies.MessagesReply`. In the functional form, because `with` is a keyword.
MessagesDoc = TypedDict(
    "MessagesDoc",
    {
        # The oldest first. A page may be short or empty although there are more. Deleted messages are left out.
        "messages": list[SaidMessageDoc],
        # The sessions that the messages name and the broker still knows, by id.
        "people": dict[str, PersonDoc],
        # There are more messages, in the direction of the request.
        "hasMore": bool,
        # `before` of the page with older messages.
        "before": int,
        # `after` of the page with newer messages.
        "upTo": int,
        # The newest LSN.
        "head": int,
        # The session, or the group with its `@`, that `with` of the request means.
        "with": NotRequired[str],
        # The session whose mail it is; absent for all mail.
        "session": NotRequired[str],
    },
)


class IndexStateDoc(TypedDict):
    """`archive.IndexState`."""

    # The LSN up to which it has read.
    upTo: int
    # The newest LSN when the request came.
    head: int
    # While the index is being built again: the part that is done, 0 to 1.
    rebuilding: NotRequired[float]


class SearchHitDoc(TypedDict):
    """`archive.SearchHit`."""

    # The LSN of its acceptance.
    lsn: int
    # As its first receiver that the caller may see got it.
    message: MessageDoc
    # All its receivers, for a message to several.
    receivers: NotRequired[list[str]]
    # The part of the text around the first hit, in one line.
    snippet: str
    # Where the found words stand in `snippet`: pairs of beginning and end, in characters (Unicode code points).
    marks: NotRequired[list[list[int]]]


class SearchDoc(TypedDict):
    """`archive.SearchReply`."""

    hits: list[SearchHitDoc]
    # How many there are altogether; counting stops at 10,000.
    total: int
    # For each session in `hits`.
    people: dict[str, PersonDoc]
    hasMore: bool
    # The cursor of the next page.
    before: int
    index: IndexStateDoc


class ThreadSummaryDoc(TypedDict):
    """`archive.ThreadSummary`."""

    threadId: str
    # The LSN of its newest message.
    lsn: int
    # Its first message; absent if that is deleted.
    root: NotRequired[MessageDoc]
    # Its newest message.
    newest: MessageDoc
    # How many messages it has.
    messages: int
    # Who wrote in it, in the order of the first message of each.
    senders: list[str]


class ThreadsDoc(TypedDict):
    """`archive.ThreadsReply`."""

    threads: list[ThreadSummaryDoc]
    people: dict[str, PersonDoc]
    hasMore: bool
    before: int
    index: IndexStateDoc


class VolumeDoc(TypedDict):
    """`archive.Volume`."""

    # Messages.
    sent: int
    # Copies of them: one for each receiver that took the message.
    deliveries: int
    # Messages with several receivers.
    fanOuts: int


class OutcomeDoc(TypedDict):
    """`archive.Outcome`."""

    delivered: int
    read: int
    answered: int
    # Not delivered yet.
    pending: int
    expired: int
    # Deleted before they were delivered.
    deletedUnread: int
    # Not accepted: refused for one receiver, or altogether.
    refused: int
    # Delivered, of those that are not pending any more: 0 to 1. Absent if there are none.
    deliverySuccessRate: NotRequired[float]


class TimesDoc(TypedDict):
    """`archive.Times`."""

    count: int
    p50Ms: NotRequired[int]
    p90Ms: NotRequired[int]
    maxMs: NotRequired[int]
    meanMs: NotRequired[int]


class AnswerTimesDoc(TypedDict):
    """`archive.AnswerTimes`."""

    offered: TimesDoc
    delivered: TimesDoc
    read: TimesDoc
    # The first message that answers it.
    answered: TimesDoc


class SeriesDoc(TypedDict):
    """`archive.Series`."""

    # Its beginning, ms.
    at: int
    sent: int
    deliveries: int


# `archive.Route`. In the functional form, because `from` is a keyword.
RouteDoc = TypedDict(
    "RouteDoc",
    {
        "from": str,
        # A session, or an address such as `@workers`.
        "to": str,
        "messages": int,
        "deliveries": int,
    },
)


class PairDoc(TypedDict):
    """`archive.Pair`."""

    first: str
    second: str
    # Deliveries from the first to the second, and back.
    forth: int
    back: int
    # The mean time until one answered the other; absent without an answer.
    meanAnswerMs: NotRequired[int]


# `archive.NamedCount`. In the functional form, because `from` is a keyword.
NamedCountDoc = TypedDict(
    "NamedCountDoc",
    {
        # Such as `hook:claude-code:Stop`, or an error's code.
        "name": str,
        "count": int,
        # Of a refusal: whose messages, and to whom.
        "from": NotRequired[str],
        "to": NotRequired[str],
    },
)


class SessionFiguresDoc(TypedDict):
    """`archive.SessionFigures`."""

    session: str
    sent: int
    received: int
    read: int
    # How many requests to it have an answer, of how many.
    answered: int
    requests: int


# `archive.Unanswered`. In the functional form, because `from` is a keyword.
UnansweredDoc = TypedDict(
    "UnansweredDoc",
    {
        "id": str,
        "from": str,
        "to": str,
        "at": int,
        # The beginning of its text, in one line.
        "text": str,
    },
)


class AnalyticsDoc(TypedDict):
    """`archive.AnalyticsReply`."""

    since: int
    until: int
    volume: VolumeDoc
    outcome: OutcomeDoc
    times: AnswerTimesDoc
    # Requests that were delivered to a session, and how many of them a message answers.
    requests: int
    requestsAnswered: int
    # Oldest first.
    unanswered: list[UnansweredDoc]
    series: list[SeriesDoc]
    # The length of an entry of `series`, ms.
    bucketMs: int
    routes: list[RouteDoc]
    pairs: list[PairDoc]
    via: list[NamedCountDoc]
    refusals: list[NamedCountDoc]
    sessions: list[SessionFiguresDoc]
    people: dict[str, PersonDoc]
    index: IndexStateDoc


class IndexReplyDoc(TypedDict):
    """`archive.IndexReply`."""

    index: IndexStateDoc


class ItemResultDoc(TypedDict):
    """`replies.ItemResult`."""

    id: str
    # 200: done now, or before. Otherwise the error's status.
    status: int
    # The message's status afterwards, or `deleted`.
    state: NotRequired[str]
    # When the message got that status, ms.
    at: NotRequired[int]
    # With `whole` in the request: the message as it is afterwards.
    message: NotRequired[MessageDoc]
    error: NotRequired[ErrorDoc]


class BlobDoc(TypedDict):
    """`attachments.BlobReply`."""

    sha256: str
    # How many bytes from its beginning are there: the offset of the next part.
    held: int
    # All of it is on disk, and its digest was checked.
    whole: bool


class BlobPartDoc(TypedDict):
    """`attachments.BlobPartReply`."""

    sha256: str
    # The blob's whole size, bytes.
    size: int
    offset: int
    data: bytes


class MemberDoc(TypedDict):
    """`replies.MemberShown`."""

    # A session id.
    session: str
    name: NotRequired[str]
    role: NotRequired[str]
    # When it joined, ms.
    joinedAt: int
    # False: it has ended, and gets nothing that is sent to the group until it is started again.
    active: bool


class GroupDoc(TypedDict):
    """`replies.GroupShown`."""

    name: str
    # The sessions of this project may join.
    projectId: str
    # The session that made it, or `operator`; after that session was forgotten, `operator`.
    creator: str
    # That session's name.
    creatorName: NotRequired[str]
    # When it was made, ms.
    createdAt: int
    # When it was made, or a request last changed its members, ms.
    changedAt: int
    # The number of members.
    size: int
    # How many of them are active.
    active: int
    # In the order of their joining. A list of groups has them only with `members` in the request.
    members: NotRequired[list[MemberDoc]]


class GroupReplyDoc(TypedDict):
    """`replies.GroupReply`."""

    group: GroupDoc
    # It was made now.
    created: NotRequired[bool]
    # The ids of the sessions that joined now, and of those that left.
    added: NotRequired[list[str]]
    removed: NotRequired[list[str]]


class GroupDeletedDoc(TypedDict):
    """`replies.GroupDeletedReply`."""

    name: str
    # How many members it had.
    size: int


class GroupsDoc(TypedDict):
    """`replies.GroupsReply`."""

    # By name.
    groups: list[GroupDoc]
    # `after` of the next page; absent on the last one.
    next: NotRequired[str]


class EventsDoc(TypedDict):
    """`replies.EventsReply`."""

    # The oldest first.
    events: list[EventDoc]
    # The cursor for the next call.
    upTo: int
    # The newest LSN of the timeline.
    head: int
    hasMore: bool


class HelloDoc(TypedDict):
    """`replies.HelloReply`."""

    protocolMin: int
    protocolMax: int
    # The version of the broker.
    version: str
    # Changes at every start of a broker.
    epoch: str
    pid: int
    # The LSN of the last durable record.
    headLsn: int
    dataDir: str
    # The limits that are numbers, by name.
    limits: dict[str, int]


class SweptDoc(TypedDict):
    """`replies.Swept`."""

    messages: NotRequired[int]
    # Links to deleted messages.
    tombstones: NotRequired[int]
    # Empty mailboxes, links' folders and threads.
    folders: NotRequired[int]
    sessions: NotRequired[int]
    # Groups without an active member.
    groups: NotRequired[int]
    timelineFiles: NotRequired[int]
    attachments: NotRequired[int]
    # Pending messages past their retention: they expire now, and are kept for another retention.
    expired: NotRequired[int]
    # What the removed files held.
    bytes: NotRequired[int]


class PruneDoc(TypedDict):
    """`replies.PruneReply`."""

    # Its number, to ask for it again.
    round: int
    done: bool
    dryRun: bool
    # When it started, ms.
    startedAt: int
    # From its start until now, or until its end.
    tookMs: int
    # The number of files read until now.
    lookedAt: int
    swept: SweptDoc
    # Why the round was broken off.
    failure: NotRequired[str]
