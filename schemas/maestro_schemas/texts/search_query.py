"""Search query: the syntax of a search, and what a query means.

Rule: this is the only parser of it. What looks like an operator and is none is refused, and never searched as text: a
mistyped `form:ann` would find nothing, without a reason. Everything else is text. `OPERATORS` is the table for help,
completion and the page.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import SEARCH_QUERY_CHARS_MAX, SEARCH_TERMS_MAX, parse_duration_ms
from maestro_schemas.names import AUDIENCE_SIGIL

from . import near_words

if TYPE_CHECKING:
    from datetime import datetime


class Operator(NamedTuple):
    """One operator."""

    name: str
    # What stands behind its colon, for help.
    value: str
    # What it finds: one line.
    help: str
    # The only values that it may have; empty: any.
    words: tuple[str, ...] = ()


OPERATORS: Final = (
    Operator("from", "SESSION", "messages that this session sent (an id, a name, me, operator or maestro)"),
    Operator("to", "SESSION", "messages that this session got, or that were sent to this address (@workers)"),
    Operator("with", "SESSION", "messages that this session sent or got"),
    Operator("project", "NAME", "messages with a sender or receiver of this project"),
    Operator("group", "NAME", "messages that were sent to this group"),
    Operator("task", "ID", "messages of this task"),
    Operator("thread", "ID", "the messages of this thread"),
    Operator("type", "WORD", "messages of this type", ("request", "response", "notification", "command")),
    Operator("priority", "WORD", "messages of this priority", ("low", "medium", "high")),
    Operator(
        "status",
        "WORD",
        "messages that have this status at a receiver",
        ("pending", "delivered", "read", "expired", "failed"),
    ),
    Operator(
        "is",
        "WORD",
        "unread: not delivered yet; unanswered: a request without an answer; fanout: sent to several",
        ("unread", "unanswered", "fanout"),
    ),
    Operator(
        "has",
        "WORD",
        "attachment: with a file; ack: its sender asks the receiver to acknowledge it",
        ("attachment", "ack"),
    ),
    Operator("file", "PATTERN", "messages with a file of this name, such as cart.patch or *.patch"),
    Operator("after", "TIME", "messages since a day (2026-11-30), a moment (2026-11-30T14:02) or an age (2h, 3d)"),
    Operator("before", "TIME", "messages before a day, a moment or an age"),
)
_BY_NAME: Final = {operator.name: operator for operator in OPERATORS}

_OPERATOR_AT = re.compile(r"([A-Za-z][A-Za-z-]*):(?![:/])")
_BOOLEAN_WORDS = ("AND", "OR", "NOT")
_DAYS = {"today": 0, "yesterday": 1}
# An error repeats at most this much of a query.
_SHOWN_CHARS = 60
_DAY_MS = 86_400_000
# Of the years that a calendar has, in ms.
_MOST_MS = 253_402_300_799_999


class Term(NamedTuple):
    """A word or phrase that the text must have, or must not have."""

    text: str
    # It was in quotes.
    is_phrase: bool = False
    # Words that begin with it are meant too (`cart*`).
    is_prefix: bool = False
    is_excluded: bool = False


class Condition(NamedTuple):
    """An operator with its value."""

    operator: str
    value: str
    is_excluded: bool = False
    # The time that `after` and `before` mean, ms.
    at_ms: int = 0


class SearchQuery(NamedTuple):
    """A whole query. All parts of it must be true of a message; without parts, it finds every message."""

    terms: tuple[Term, ...] = ()
    conditions: tuple[Condition, ...] = ()


def parse(query: str, *, now_ms: int, utc_offset_minutes: int = 0) -> SearchQuery:
    """What a query means. Days and moments without an offset are those of a clock that is `utc_offset_minutes` ahead
    of UTC. Raises MaestroError INVALID_QUERY."""
    if len(query) > SEARCH_QUERY_CHARS_MAX:
        raise MaestroError(
            "INVALID_QUERY",
            f"the query has {len(query):,} characters, and the limit is {SEARCH_QUERY_CHARS_MAX:,}",
            "Search for fewer words.",
            limit=SEARCH_QUERY_CHARS_MAX,
            actual=len(query),
        )
    terms: list[Term] = []
    conditions: list[Condition] = []
    at = 0
    while (at := _next_part(query, at)) < len(query):
        start = at
        is_excluded = query[at] == "-" and at + 1 < len(query) and not query[at + 1].isspace()
        at += is_excluded
        named = _OPERATOR_AT.match(query, at)
        if named is not None:
            operator = _operator(named[1], query, start)
            value, _, at = _value(query, named.end())
            conditions.append(
                _condition(
                    operator,
                    value,
                    is_excluded=is_excluded,
                    now_ms=now_ms,
                    utc_offset_minutes=utc_offset_minutes,
                    at=start,
                )
            )
            continue
        word, is_phrase, at = _value(query, at)
        if word in _BOOLEAN_WORDS and not is_phrase:
            raise _no_boolean(word, start)
        is_prefix = not is_phrase and len(word) > 1 and word.endswith("*")
        word = word.rstrip("*") if is_prefix else word
        if word.strip():
            terms.append(Term(word, is_phrase, is_prefix, is_excluded))
    count = len(terms) + len(conditions)
    if count > SEARCH_TERMS_MAX:
        raise MaestroError(
            "INVALID_QUERY",
            f"the query has {count} parts, and the limit is {SEARCH_TERMS_MAX}",
            "Search for fewer words; a phrase in quotes is one part.",
            limit=SEARCH_TERMS_MAX,
            actual=count,
        )
    return SearchQuery(tuple(terms), tuple(conditions))


def nearest(word: str) -> str | None:
    """The operator that a mistyped one probably means; None if none is near."""
    found = near_words.nearest(word, _BY_NAME)
    return found[0] if found else None


def quoted(value: str) -> str:
    """A value as a query writes it behind an operator."""
    return f'"{value}"' if not value or any(char.isspace() for char in value) else value


def _next_part(query: str, at: int) -> int:
    while at < len(query) and query[at].isspace():
        at += 1
    return at


def _value(query: str, at: int) -> tuple[str, bool, int]:
    """A word or a phrase, whether it was in quotes, and where it ends. A quote without an end goes to the end: a
    person who types has not written it yet."""
    if query.startswith('"', at):
        end = query.find('"', at + 1)
        end = len(query) if end < 0 else end
        return query[at + 1 : end], True, min(end + 1, len(query))
    end = at
    while end < len(query) and not query[end].isspace():
        end += 1
    return query[at:end], False, end


def _operator(name: str, query: str, at: int) -> Operator:
    found = _BY_NAME.get(name.lower())
    if found is not None:
        return found
    near = nearest(name)
    guess = f" Did you mean `{near}:`?" if near is not None else ""
    text = _value(query, at + (query[at] == "-"))[0][:_SHOWN_CHARS]
    raise MaestroError(
        "INVALID_QUERY",
        f"`{name[:_SHOWN_CHARS]}:` is no operator.{guess}",
        f'Operators: {", ".join(_BY_NAME)}. To find the text itself, put it in quotes: "{text}"',
        details={"operator": name, "at": at, **({"nearest": near} if near is not None else {})},
    )


def _condition(
    operator: Operator, value: str, *, is_excluded: bool, now_ms: int, utc_offset_minutes: int, at: int
) -> Condition:
    if not value:
        raise MaestroError(
            "INVALID_QUERY",
            f"`{operator.name}:` has no value",
            f"Write it without a blank: `{operator.name}:{operator.words[0] if operator.words else operator.value}`. "
            f"It finds {operator.help}.",
            details={"operator": operator.name, "at": at},
        )
    if operator.words:
        word = value.lower()
        if word not in operator.words:
            raise MaestroError(
                "INVALID_QUERY",
                f"`{operator.name}:{value[:_SHOWN_CHARS]}` finds nothing: it is one of {', '.join(operator.words)}",
                f"Write one of these, such as `{operator.name}:{_near_word(word, operator.words)}`.",
                details={"operator": operator.name, "at": at, "words": list(operator.words)},
            )
        return Condition(operator.name, word, is_excluded)
    if operator.name in ("after", "before"):
        return Condition(operator.name, value, is_excluded, _moment(operator, value, now_ms, utc_offset_minutes, at))
    if operator.name == "group":
        value = value.removeprefix(AUDIENCE_SIGIL)
    return Condition(operator.name, value, is_excluded)


def _near_word(word: str, words: tuple[str, ...]) -> str:
    return (near_words.nearest(word, words) or words)[0]


def _moment(operator: Operator, value: str, now_ms: int, utc_offset_minutes: int, at: int) -> int:
    """The time that a value means: an age, or a day or moment of the caller's clock."""
    from datetime import UTC, datetime, timedelta, timezone

    if value.lower() in _DAYS:
        local_ms = now_ms + utc_offset_minutes * 60_000
        return local_ms - local_ms % _DAY_MS - utc_offset_minutes * 60_000 - _DAYS[value.lower()] * _DAY_MS
    try:
        return max(0, now_ms - _age_ms(value.lower()))
    except MaestroError:
        pass
    try:
        moment: datetime = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone(timedelta(minutes=utc_offset_minutes)))
        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        return min(max(0, (moment - epoch) // timedelta(milliseconds=1)), _MOST_MS)
    except (ValueError, OverflowError):
        raise MaestroError(
            "INVALID_QUERY",
            f"`{operator.name}:{value[:_SHOWN_CHARS]}` is no time",
            f"Write a day, a moment or an age: `{operator.name}:2026-11-30`, `{operator.name}:2026-11-30T14:02`, "
            f"`{operator.name}:today`, `{operator.name}:3d`.",
            details={"operator": operator.name, "at": at},
        ) from None


def _age_ms(value: str) -> int:
    weeks = value.removesuffix("w")
    if weeks != value and weeks.isascii() and weeks.isdigit() and len(weeks) <= _WEEKS_DIGITS_MAX:
        return int(weeks) * 7 * _DAY_MS
    return parse_duration_ms(value)


_WEEKS_DIGITS_MAX: Final = 6


def _no_boolean(word: str, at: int) -> MaestroError:
    step = {
        "AND": "All words must be in a message anyway: leave it out.",
        "OR": "Make two searches.",
        "NOT": "Write `-word` for what must not be in a message.",
    }[word]
    return MaestroError(
        "INVALID_QUERY",
        f"`{word}` is not part of the syntax",
        f'{step} To find the word itself, write it small or in quotes: "{word}".',
        details={"at": at},
    )
