"""Near words: a guess is made only where a slip of the fingers explains it."""

from __future__ import annotations

import pytest

from maestro_schemas.texts.near_words import guess, nearest

WORDS = ["search", "service", "session", "send", "inbox", "status", "lead", "lead-2", "retention_ms", "ben", "from"]


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("serach", "search"),
        ("SEARCH", "search"),
        ("sesion", "session"),
        ("inbx", "inbox"),
        ("sned", "send"),
        ("form", "from"),
        ("bne", "ben"),
        ("bin", "ben"),
        ("retention_m", "retention_ms"),
        ("retnetion_msx", "retention_ms"),
        ("retention-ms", "retention_ms"),
        ("--stauts", "status"),
        ("stat", "status"),
        ("leed", "lead"),
    ],
)
def test_a_slip_is_understood(word: str, meant: str) -> None:
    assert nearest(word, WORDS) == [meant]


@pytest.mark.parametrize(
    ("word", "known"),
    [
        # Finding N-A17: `search` is no slip of `service`.
        ("search", ["service"]),
        ("bob", ["ann", "lead"]),
        ("mail", ["main-2", "all"]),
        ("x", ["y", "xy"]),
        ("", ["a", "ab"]),
        ("se", ["session", "search"]),
        ("project", ["reject"]),
        ("reviews", ["previous"]),
        ("y" * 65, ["y" * 65]),
        ("\0\0\0", ["ann"]),
    ],
)
def test_a_far_fetched_guess_is_not_made(word: str, known: list[str]) -> None:
    assert nearest(word, known) == []
    assert guess(word, known) == ""


def test_several_are_named_with_the_nearest_first() -> None:
    assert nearest("lead1", ["lead-2", "lead1x", "lead"], 3) == ["lead1x", "lead"]
    assert nearest("lead", ["lead-10", "leaf", "lead-2"], 2) == ["leaf", "lead-10"]
    assert guess("leed", ["lead", "reed"], most=2, form="`{}:`") == "Did you mean `lead:` or `reed:`? "


def test_a_distance_that_cannot_be_reached_is_not_counted_out() -> None:
    assert nearest("abcdefghijkl", ["zyxwvutsrqpo"]) == []
