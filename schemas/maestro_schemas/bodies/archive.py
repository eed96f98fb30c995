"""Archive: the requests and replies of what the search index answers: `search`, `threads`, `analytics`, and
`index.rebuild`.

Rule: the index follows the committed records. Each reply says how far it has read (`upTo`) and how far the records
went when it was asked (`head`); these are equal unless the index is behind. A caller finds only what it may see
(`events.may_see`). The comment above a field is its description in the JSON Schemas.
"""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, Struct, UnsetType, field

from maestro_schemas.messages import Message
from maestro_schemas.replies import Person
from maestro_schemas.requests import Request

Bucket = Literal["hour", "day"]


class Search(Request, frozen=True):
    """`search`: the messages that a query finds, the newest first."""

    # Words, "phrases", -exclusions and operators such as `from:ann`; PROTOCOL.md has the syntax.
    query: str
    # Whose mail; by default all that the caller may see.
    session: str | None = None
    # Only messages with a party of this project.
    project_id: str | None = None
    # Only messages that were accepted before the record of this LSN: `before` of the page with newer ones.
    before: int | None = None
    # The most hits in the reply.
    limit: int | None = None
    # Minutes by which the caller's clock is ahead of UTC, for the days and moments in the query.
    utc_offset_minutes: int = 0


class Threads(Request, frozen=True):
    """`threads`: the threads with an answer, the one with the newest message first."""

    # Whose threads; by default all that the caller may see.
    session: str | None = None
    project_id: str | None = None
    # Only threads whose newest message was accepted before the record of this LSN.
    before: int | None = None
    # The most threads in the reply.
    limit: int | None = None


class Analytics(Request, frozen=True):
    """`analytics`: figures of what was sent in a time, and of what became of it."""

    # Only messages that were accepted at this time or later, ms; by default one day before `until`.
    since: int | None = None
    # Only messages that were accepted before this time, ms; by default now.
    until: int | None = None
    # Whose mail; by default all that the caller may see.
    session: str | None = None
    project_id: str | None = None
    # The length of one entry of `series`; by default an hour up to three days, else a day.
    bucket: Bucket | None = None
    # Minutes by which the caller's clock is ahead of UTC, for the beginning of a day.
    utc_offset_minutes: int = 0


class IndexRebuild(Request, frozen=True):
    """`index.rebuild`: remove the search index and build it again from the files of the mail."""


class IndexState(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """How far the index has read."""

    # The LSN up to which it has read.
    up_to: int
    # The newest LSN when the request came.
    head: int
    # While the index is being built again: the part that is done, 0 to 1.
    rebuilding: float | None = None


class IndexReply(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """The index is being built again; `stats` says how far that is."""

    index: IndexState


class SearchHit(Struct, gc=False, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """One found message: one entry, however many deliveries it has."""

    # The LSN of its acceptance.
    lsn: int
    # As its first receiver that the caller may see got it.
    message: Message
    # All its receivers, for a message to several.
    receivers: tuple[str, ...] = ()
    # The part of the text around the first hit, in one line.
    snippet: str
    # Where the found words stand in `snippet`: pairs of beginning and end, in characters (Unicode code points).
    marks: tuple[tuple[int, int], ...] = ()


class SearchReply(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """The found messages, the newest first."""

    hits: list[SearchHit]
    # How many there are altogether; counting stops at 10,000.
    total: int
    # For each session in `hits`.
    people: dict[str, Person]
    has_more: bool
    # The cursor of the next page.
    before: int
    index: IndexState


class ThreadSummary(Struct, gc=False, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """One thread."""

    thread_id: str
    # The LSN of its newest message.
    lsn: int
    # Its first message; absent if that is deleted.
    root: Message | UnsetType = UNSET
    # Its newest message.
    newest: Message
    # How many messages it has.
    messages: int
    # Who wrote in it, in the order of the first message of each.
    senders: tuple[str, ...]


class ThreadsReply(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """A page of threads."""

    threads: list[ThreadSummary]
    people: dict[str, Person]
    has_more: bool
    before: int
    index: IndexState


class Volume(Struct, frozen=True, rename="camel", kw_only=True):
    """How much was sent."""

    # Messages.
    sent: int
    # Copies of them: one for each receiver that took the message.
    deliveries: int
    # Messages with several receivers.
    fan_outs: int


class Outcome(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """What became of the deliveries. Each counts those that came at least so far."""

    delivered: int
    read: int
    answered: int
    # Not delivered yet.
    pending: int
    expired: int
    # Deleted before they were delivered.
    deleted_unread: int
    # Not accepted: refused for one receiver, or altogether.
    refused: int
    # Delivered, of those that are not pending any more: 0 to 1. Absent if there are none.
    delivery_success_rate: float | None = None


class Times(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """How long something took after the acceptance, ms. Without times: nothing came so far."""

    count: int
    p50_ms: int | None = None
    p90_ms: int | None = None
    max_ms: int | None = None
    mean_ms: int | None = None


class AnswerTimes(Struct, frozen=True, rename="camel", kw_only=True):
    """How long each step took."""

    offered: Times
    delivered: Times
    read: Times
    # The first message that answers it.
    answered: Times


class Series(Struct, frozen=True, rename="camel", kw_only=True):
    """One bar of the volume."""

    # Its beginning, ms.
    at: int
    sent: int
    deliveries: int


class Route(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """From whom to whom."""

    sender: str = field(name="from")
    # A session, or an address such as `@workers`.
    to: str
    messages: int
    deliveries: int


class Pair(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """Two sessions that wrote to each other: who works with whom."""

    first: str
    second: str
    # Deliveries from the first to the second, and back.
    forth: int
    back: int
    # The mean time until one answered the other; absent without an answer.
    mean_answer_ms: int | None = None


class NamedCount(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """A word with a count: what delivered mail, or why mail was refused."""

    # Such as `hook:claude-code:Stop`, or an error's code.
    name: str
    count: int
    # Of a refusal: whose messages, and to whom.
    sender: str | None = field(default=None, name="from")
    to: str | None = None


class SessionFigures(Struct, frozen=True, rename="camel", kw_only=True):
    """The figures of one session."""

    session: str
    sent: int
    received: int
    read: int
    # How many requests to it have an answer, of how many.
    answered: int
    requests: int


class Unanswered(Struct, frozen=True, rename="camel", kw_only=True):
    """A request without an answer."""

    id: str
    sender: str = field(name="from")
    to: str
    at: int
    # The beginning of its text, in one line.
    text: str


class AnalyticsReply(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """The figures. Every list has its greatest entries first, at most 100."""

    since: int
    until: int
    volume: Volume
    outcome: Outcome
    times: AnswerTimes
    # Requests that were delivered to a session, and how many of them a message answers.
    requests: int
    requests_answered: int
    # Oldest first.
    unanswered: list[Unanswered]
    series: list[Series]
    # The length of an entry of `series`, ms.
    bucket_ms: int
    routes: list[Route]
    pairs: list[Pair]
    via: list[NamedCount]
    refusals: list[NamedCount]
    sessions: list[SessionFigures]
    people: dict[str, Person]
    index: IndexState
