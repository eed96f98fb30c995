"""The help of a command, and which tokens ask for it."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

import pytest

from maestro_cli import command_table, fast_path
from maestro_cli.help import command_help
from maestro_cli.help.command_rows import GROUPS, every_command

PATHS = [path for path, _ in every_command()]


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_it_has_what_the_parser_takes(path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """The parser has the declarations by another way."""
    monkeypatch.setenv("COLUMNS", "100")
    shown = " ".join(command_help.text(path).split())
    app = command_table.build(path)
    for name in path:
        app = app[name]
    for argument in app.assemble_argument_collection():
        negative = argument.parameter.negative
        negatives = [negative] if isinstance(negative, str) else [*(negative or ())]
        said = ", ".join(filter(None, [*(argument.parameter.name or argument.names), *negatives]))
        assert f" {said} " in shown
        about = shown.partition(f" {said} ")[2]
        for words in (_words(argument.hint), ("Required.",) if argument.required else ()):
            assert not words or ", ".join(words) in about


def _words(hint: Any) -> tuple[str, ...]:
    found = [get_args(one) for one in (hint, *get_args(hint)) if get_origin(one) is Literal]
    return found[0] if found else ()


@pytest.mark.parametrize("width", [60, 80, 200])
def test_it_fits_the_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    for path in [*PATHS, *((group.name,) for group in GROUPS)]:
        shown = command_help.text(path)
        usage, *lines = shown.split("\n")
        assert usage.startswith(f"Usage: maestro {' '.join(path)}")
        # The first examples are whole, as one copies them.
        assert max(len(line) for line in lines if not line.startswith(("  maestro ", "  eval "))) <= min(
            width, 100
        ), path


@pytest.mark.parametrize(
    ("typed", "path"),
    [
        ("--help", ()),
        ("--json --help", ()),
        ("help", ()),
        ("help send", ("send",)),
        ("session", ("session",)),
        ("session -h", ("session",)),
        ("--help session list", ("session", "list")),
        ("session list more --help", ("session", "list")),
        ("send bob --help", ("send",)),
        ("send --wrong --help", ("send",)),
        ("session --wrong --help", ("session",)),
        ("hooks run --help", ("hooks", "run")),
        # A command that is none is an error, which the parser words.
        ("sesion --help", None),
        ("session strat --help", None),
        ("help session strat", None),
        ("session --json", None),
        # None of these asks.
        ("send bob", None),
        ("send --message --help", None),
        ("send bob -- --help", None),
        ("session list", None),
    ],
)
def test_which_help_is_asked_for(typed: str, path: tuple[str, ...] | None) -> None:
    tokens = typed.split()
    words = [*tokens[1:], "--help"] if tokens[0] == "help" else fast_path.text_joined(tokens)
    assert command_help.asked_for(tokens, words) == (None if path is None else command_help.text(path))


def test_a_topic_is_asked_for() -> None:
    assert "maestro" not in (command_help.asked_for(["help", "exit-codes"], ["exit-codes", "--help"]) or "maestro")


def test_the_compatible_names_come_after_ours() -> None:
    ours, theirs = command_help.text(("session",)).split("Compatible names:\n")
    assert "Compatible name" not in ours
    assert "Compatible name" in theirs
