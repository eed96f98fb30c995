"""Archive queries: the fields of the calls about the mail of before, and of the answers that the wire does not have.

Rule: as in `bodies`; the broker judges a query, and what the caller may see.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Struct, field

from maestro_gateway.api.bodies import described
from maestro_schemas.limits import (
    EXPORT_MESSAGES,
    EXPORT_MESSAGES_MAX,
    SEARCH_HITS,
    SEARCH_HITS_MAX,
    SEARCH_QUERY_CHARS_MAX,
)

# The largest number that a request to the broker holds.
_LARGEST = (1 << 64) - 1
# Clocks are at most 14 hours ahead of UTC, and 12 behind.
_OFFSET = described(
    "Minutes by which the caller's clock is ahead of UTC, for its days.", 60, minimum=-1_440, maximum=1_440
)
_SESSION = "Only the mail of this session, by id or unique name. Default: all that the caller may see."
_PROJECT = "Only messages with a party of this project."
_BEFORE = "The `before` of the page before."


class ArchiveQuery(Struct, frozen=True, rename="camel", kw_only=True):
    """Whose mail."""

    session: Annotated[str | None, described(_SESSION)] = None
    project: Annotated[str | None, described(_PROJECT)] = None


class SearchQueryGiven(ArchiveQuery, frozen=True, rename="camel", kw_only=True):
    """A search."""

    q: Annotated[
        str,
        described(
            "Words, phrases in quotes, -exclusions, and operators such as from:ann; GET /api/search/operators lists "
            f"them. Empty: all messages. At most {SEARCH_QUERY_CHARS_MAX:,} characters.",
            "from:ann cart",
        ),
    ] = ""
    before: Annotated[int | None, described(_BEFORE, minimum=1, maximum=_LARGEST)] = None
    limit: Annotated[
        int | None,
        described(
            f"Hits in one answer. Default: {SEARCH_HITS}; at most {SEARCH_HITS_MAX}.", minimum=1, maximum=_LARGEST
        ),
    ] = None
    utc_offset_minutes: Annotated[int, _OFFSET] = 0


class ThreadsQuery(ArchiveQuery, frozen=True, rename="camel", kw_only=True):
    """A page of threads."""

    before: Annotated[int | None, described(_BEFORE, minimum=1, maximum=_LARGEST)] = None
    limit: Annotated[int | None, described("Threads in one answer.", minimum=1, maximum=_LARGEST)] = None


class StatsQuery(ArchiveQuery, frozen=True, rename="camel", kw_only=True):
    """A time, and whose mail."""

    since: Annotated[
        int | None, described("Messages from this time on, ms. Default: a day before `until`.", minimum=0)
    ] = None
    until: Annotated[int | None, described("Messages before this time, ms. Default: now.", minimum=0)] = None
    bucket: Annotated[
        Literal["hour", "day"] | None,
        described("The length of an entry of `series`. Default: an hour up to three days, else a day."),
    ] = None
    utc_offset_minutes: Annotated[int, _OFFSET] = 0


class ExportQueryGiven(Struct, frozen=True, rename="camel", kw_only=True):
    """What to export: a thread, a conversation, a session's mail, what a search finds, or all; and how."""

    kind: Annotated[
        Literal["md", "jsonl", "html"],
        described("md: Markdown. jsonl: the messages with their receipts. html: one page without scripts."),
    ] = field(default="md", name="format")
    thread: Annotated[str | None, described("The thread of this message. Not beside another choice.")] = None
    session: Annotated[str | None, described(_SESSION)] = None
    peer: Annotated[
        str | None, described("The other party: a session, or @ and the name of a group. Not beside q.")
    ] = field(default=None, name="with")
    q: Annotated[str | None, described("What a search finds, as in GET /api/search.")] = None
    since: Annotated[int | None, described("Only from this time on, ms.", minimum=0)] = None
    until: Annotated[int | None, described("Only before this time, ms.", minimum=0)] = None
    limit: Annotated[
        int | None,
        described(
            f"The newest messages, at most {EXPORT_MESSAGES_MAX:,}. Default: {EXPORT_MESSAGES:,}. The document says "
            "whether there are more.",
            minimum=1,
            maximum=EXPORT_MESSAGES_MAX,
        ),
    ] = None
    text: Annotated[bool, described("false: leave the texts and the data out.")] = True


class SearchOperator(Struct, frozen=True, kw_only=True):
    """One operator of a search."""

    name: str
    # What stands behind its colon.
    value: str
    help: str
    # The only values that it may have; empty: any.
    words: list[str]


class SearchOperators(Struct, frozen=True, kw_only=True):
    """The operators of a search."""

    operators: list[SearchOperator]
