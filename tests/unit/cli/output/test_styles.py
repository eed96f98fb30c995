"""Styles: on terminals alone, and never from a text of another."""

from __future__ import annotations

import io
import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_cli.output import marks, streams, styles
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAMES = ("bold", "dim", "red", "green", "yellow", "blue", "cyan")
_OURS = re.compile(r"\x1b\[(?:0|1|2|3[12346])(?:;[12346]+)*m")
_TEXTS = st.text(max_size=30) | st.text(st.sampled_from("\x1b[]0123456789;mJHab\x9b\x07\u202e"), max_size=30)


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@contextmanager
def _terminal() -> Iterator[_Terminal]:
    """A terminal in the place of standard output, and no variable about colours."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "TERM"):
            patch.delenv(name, raising=False)
        found = _Terminal()
        patch.setattr(sys, "stdout", found)
        yield found


@given(st.lists(st.tuples(_TEXTS, st.lists(st.sampled_from(_NAMES), max_size=2)), max_size=6))
def test_no_text_brings_an_escape_sequence(parts: list[tuple[str, list[str]]]) -> None:
    with _terminal() as terminal:
        streams.say("".join(styles.styled(text, *wanted) for text, wanted in parts))
    shown = terminal.getvalue()
    count = sum(1 for text, wanted in parts if text and wanted)
    assert len(_OURS.findall(shown)) == 2 * count
    assert "\x1b" not in _OURS.sub("", shown)
    assert "\x9b" not in shown


def test_even_a_style_as_it_is_written_out_is_taken_out_of_a_text() -> None:
    with _terminal() as terminal:
        streams.say("\x1b[1mmaestro:\x1b[0m \x1b[31mdone")
    assert terminal.getvalue() == "maestro: done\n"


def test_a_style_in_a_style() -> None:
    with _terminal() as terminal:
        streams.say(styles.styled(f"a {styles.styled('b', 'red')} c", "bold"))
        assert styles.styled("", "bold") == ""
        assert styles.styled("plain") == "plain"
    assert terminal.getvalue() == "\x1b[1ma \x1b[31mb\x1b[0m\x1b[1m c\x1b[0m\n"


def test_nothing_is_styled_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.delenv("CLICOLOR_FORCE", raising=False)
    assert styles.styled("text", "bold") == "text"
    monkeypatch.setattr(sys, "stdout", None)
    assert styles.styled("text", "bold") == "text"


def test_an_error_is_red_and_its_next_step_dim(monkeypatch: pytest.MonkeyPatch) -> None:
    error = MaestroError("INVALID", "no \x1b[2Jsuch thing", "Try another.")
    with _terminal():
        monkeypatch.setattr(sys, "stderr", terminal := _Terminal())
        streams.complain(error, as_json=False)
    assert terminal.getvalue() == "\x1b[31mmaestro:\x1b[0m no such thing\n  \x1b[2mnext: Try another.\x1b[0m\n"


def test_standard_error_is_looked_at_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    with _terminal():
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        assert styles.styled("text", "red", error=True) == "text"
        assert styles.styled("text", "red") != "text"


@pytest.mark.parametrize(
    ("environ", "on_terminal", "elsewhere"),
    [
        ({}, True, False),
        ({"TERM": "dumb"}, False, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": "1", "CLICOLOR_FORCE": "1"}, False, False),
        ({"CLICOLOR_FORCE": "1"}, True, True),
        ({"CLICOLOR_FORCE": "1", "TERM": "dumb"}, True, True),
        ({"CLICOLOR_FORCE": "0"}, True, False),
        ({"CLICOLOR_FORCE": ""}, True, False),
        ({"CLICOLOR": "0"}, False, False),
        ({"CLICOLOR": "1"}, True, False),
    ],
)
def test_when_styles_are_wanted(environ: dict[str, str], on_terminal: bool, elsewhere: bool) -> None:
    assert marks.wants_style(_Terminal(), environ) is on_terminal
    assert marks.wants_style(io.StringIO(), environ) is elsewhere
    assert not marks.wants_style(None, environ)


def test_each_style_has_its_number() -> None:
    with _terminal() as terminal:
        streams.say("".join(styles.styled(name[0], name) for name in _NAMES))
    assert _OURS.sub("", terminal.getvalue()) == "bdrgybc\n"
