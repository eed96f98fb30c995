"""Intents: what is guessed for a word that is no command is a command."""

from __future__ import annotations

import pytest

from maestro_cli import command_table
from maestro_cli.addressing import intents

COMMANDS = [" ".join(path) for path, row in command_table.every_command() if row.about[:10] != "Compatible"]
EVERY = [" ".join(path) for path, _ in command_table.every_command()]
NAMES = [*(group.name for group in command_table.GROUPS), *COMMANDS]


@pytest.mark.parametrize("word", sorted(intents.INTENTS))
def test_each_guess_is_a_command(word: str) -> None:
    assert word not in NAMES
    for guess in intents.INTENTS[word]:
        named = guess.split(" --")[0].split(" ")
        assert guess == "--version" or any(" ".join(named[:count]) in EVERY for count in (1, 2)), guess
    error = intents.no_command([*word.split(), "x"], NAMES)
    assert f"`maestro {intents.INTENTS[word][0]}`" in error.hint


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        (["sesion", "list"], "Did you mean `maestro session`? All commands: maestro --help"),
        (["session", "strat"], "Did you mean `maestro session start`? All commands: maestro session --help"),
        (["help", "inboks"], "Did you mean `maestro inbox`? All commands: maestro --help"),
        (["retry", "k3v9"], "Did you mean `maestro message retry`? All commands: maestro --help"),
        (["rename", "x"], "Did you mean `maestro session rename`? All commands: maestro --help"),
        (["--json", "LS", "-la"], "Did you mean `maestro session list` or `maestro inbox --all`? "),
        # No guess is better than a far-fetched one.
        (["session", "foo"], "All commands: maestro session --help"),
        (["xyzzy"], "All commands: maestro --help"),
    ],
)
def test_a_word_that_is_no_command(typed: list[str], hint: str) -> None:
    error = intents.no_command(typed, NAMES)
    assert (error.code, error.hint[: len(hint)]) == ("INVALID", hint)


def test_what_was_typed_is_said_in_one_line() -> None:
    assert intents.no_command(["a b\n"], NAMES).message == r"there is no command 'maestro a b\n'"
