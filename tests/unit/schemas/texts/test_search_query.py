"""The syntax of a search: what each part means, and what is refused rather than searched as text."""

from __future__ import annotations

import pytest

from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import SEARCH_QUERY_CHARS_MAX, SEARCH_TERMS_MAX
from maestro_schemas.texts import search_query
from maestro_schemas.texts.search_query import OPERATORS, Condition, SearchQuery, Term

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
# 2026-11-30T13:00 UTC
NOW_MS = 1_796_043_600_000
MIDNIGHT_MS = NOW_MS - 13 * HOUR_MS


def parsed(query: str, utc_offset_minutes: int = 0) -> SearchQuery:
    return search_query.parse(query, now_ms=NOW_MS, utc_offset_minutes=utc_offset_minutes)


def refused(query: str) -> MaestroError:
    with pytest.raises(MaestroError) as caught:
        parsed(query)
    assert caught.value.code == "INVALID_QUERY"
    assert caught.value.hint.endswith((".", '"'))
    return caught.value


@pytest.mark.parametrize(
    ("query", "terms"),
    [
        ("", ()),
        ("  \t\n ", ()),
        ("cart", (Term("cart"),)),
        ("red  cart", (Term("red"), Term("cart"))),
        (
            '"red cart" -"old one"',
            (Term("red cart", is_phrase=True), Term("old one", is_phrase=True, is_excluded=True)),
        ),
        ('"no end', (Term("no end", is_phrase=True),)),
        ('""', ()),
        ("-old", (Term("old", is_excluded=True),)),
        ("- x", (Term("-"), Term("x"))),
        ("-", (Term("-"),)),
        ("cart*", (Term("cart", is_prefix=True),)),
        ('"cart*"', (Term("cart*", is_phrase=True),)),
        ("*", (Term("*"),)),
        ("**", ()),
        # What FTS5 would take for its own syntax.
        ('a"b', (Term('a"b'),)),
        ("(x NEAR/2", (Term("(x"), Term("NEAR/2"))),
        ("{text}", (Term("{text}"),)),
        # A colon that is no operator's.
        ("https://a.b/c", (Term("https://a.b/c"),)),
        ("std::vector", (Term("std::vector"),)),
        ("12:30", (Term("12:30"),)),
        ('"form:ann"', (Term("form:ann", is_phrase=True),)),
        ("größe 購物車 ✅", (Term("größe"), Term("購物車"), Term("✅"))),
        ('"OR" and', (Term("OR", is_phrase=True), Term("and"))),
    ],
)
def test_words(query: str, terms: tuple[Term, ...]) -> None:
    assert parsed(query) == SearchQuery(terms)


@pytest.mark.parametrize(
    ("query", "condition"),
    [
        ("from:ann", Condition("from", "ann")),
        ("FROM:ann", Condition("from", "ann")),
        ("-to:@workers", Condition("to", "@workers", is_excluded=True)),
        ('with:"ann b"', Condition("with", "ann b")),
        ("project:shop", Condition("project", "shop")),
        ("group:@reviews", Condition("group", "reviews")),
        ("group:reviews", Condition("group", "reviews")),
        ("task:a:b", Condition("task", "a:b")),
        ("thread:msg_1", Condition("thread", "msg_1")),
        ("type:Request", Condition("type", "request")),
        ("priority:high", Condition("priority", "high")),
        ("status:failed", Condition("status", "failed")),
        ("is:unanswered", Condition("is", "unanswered")),
        ("has:ack", Condition("has", "ack")),
        ("file:*.patch", Condition("file", "*.patch")),
    ],
)
def test_operators(query: str, condition: Condition) -> None:
    assert parsed(f"{query} word") == SearchQuery((Term("word"),), (condition,))


@pytest.mark.parametrize(
    ("value", "offset", "at_ms"),
    [
        ("2h", 0, NOW_MS - 2 * HOUR_MS),
        ("1d12h", 0, NOW_MS - 36 * HOUR_MS),
        ("2w", 60, NOW_MS - 14 * DAY_MS),
        ("90000d", 0, 0),
        ("2026-11-30", 0, MIDNIGHT_MS),
        ("2026-11-30", 60, MIDNIGHT_MS - HOUR_MS),
        ("2026-11-30T14:02", -300, MIDNIGHT_MS + 19 * HOUR_MS + 120_000),
        ("2026-11-30T14:02+00:00", 60, MIDNIGHT_MS + 14 * HOUR_MS + 120_000),
        ("today", 0, MIDNIGHT_MS),
        ("Today", 12 * 60, MIDNIGHT_MS + 12 * HOUR_MS),
        ("yesterday", 0, MIDNIGHT_MS - DAY_MS),
        ("1960-01-01", 0, 0),
    ],
)
def test_times(value: str, offset: int, at_ms: int) -> None:
    (condition,) = parsed(f"after:{value}", offset).conditions
    assert condition.at_ms == at_ms


@pytest.mark.parametrize("value", ["soon", "2026-13-01", "3", "2026-11-30T", "9999999w", "-3d", "٣d"])
def test_what_is_no_time(value: str) -> None:
    error = refused(f"before:{value}")
    assert f"`before:{value}` is no time" in error.message


@pytest.mark.parametrize(
    ("query", "near"),
    [
        ("form:bob", "from"),
        ("grup:x", "group"),
        ("stat:x", "status"),
        ("-fil:x", "file"),
        ("untill:x", None),
        ("C:x", None),
    ],
)
def test_an_unknown_operator_is_refused_with_the_nearest(query: str, near: str | None) -> None:
    error = refused(f"word {query}")
    assert error.details is not None
    assert error.details.get("nearest") == near
    assert error.details["at"] == len("word ")
    assert (f"Did you mean `{near}:`?" in error.message) is (near is not None)
    assert query.removeprefix("-") in error.hint, "it says how to find the text itself"


def test_the_words_of_the_refusal() -> None:
    assert refused("form:bob").message == "`form:` is no operator. Did you mean `from:`?"


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.name)
def test_an_operator_needs_a_value(operator: search_query.Operator) -> None:
    for query in (f"{operator.name}:", f"{operator.name}: bob", f'{operator.name}:""'):
        assert f"`{operator.name}:` has no value" in refused(query).message


@pytest.mark.parametrize("operator", [each for each in OPERATORS if each.words], ids=lambda operator: operator.name)
def test_only_its_words_are_values(operator: search_query.Operator) -> None:
    for word in operator.words:
        assert parsed(f"{operator.name}:{word}").conditions == (Condition(operator.name, word),)
        assert f"`{operator.name}:{word}`" in refused(f"{operator.name}:{word}x").hint
    error = refused(f"{operator.name}:zzz")
    assert error.details is not None
    assert error.details["words"] == list(operator.words)


@pytest.mark.parametrize("word", ["AND", "OR", "NOT"])
def test_boolean_words_are_refused_rather_than_searched(word: str) -> None:
    assert refused(f"a {word} b").details == {"at": 2}


def test_the_limits_say_both_numbers() -> None:
    long = refused("x" * (SEARCH_QUERY_CHARS_MAX + 1))
    assert (long.limit, long.actual) == (SEARCH_QUERY_CHARS_MAX, SEARCH_QUERY_CHARS_MAX + 1)
    many = refused("x " * (SEARCH_TERMS_MAX + 1))
    assert (many.limit, many.actual) == (SEARCH_TERMS_MAX, SEARCH_TERMS_MAX + 1)
    assert len(parsed("x " * SEARCH_TERMS_MAX).terms) == SEARCH_TERMS_MAX


def test_each_operator_has_one_line_of_help() -> None:
    for operator in OPERATORS:
        assert operator.help
        assert "\n" not in operator.help


@pytest.mark.parametrize("value", ["ann", "ann b", "", "a\tb"])
def test_a_quoted_value_reads_back(value: str) -> None:
    if value:
        assert parsed(f"from:{search_query.quoted(value)}").conditions == (Condition("from", value),)
    assert (search_query.quoted(value) == value) is (value == "ann")
