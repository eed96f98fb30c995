"""Intents: what is guessed for a word that is no command is a command."""

from __future__ import annotations

import pytest

from maestro_cli.addressing.intents import INTENTS
from maestro_cli.help import command_rows

COMMANDS = [" ".join(path) for path, _ in command_rows.every_command()]


@pytest.mark.parametrize("word", sorted(INTENTS))
def test_each_guess_is_a_command(word: str) -> None:
    assert word == word.lower()
    assert word not in [*COMMANDS, *(group.name for group in command_rows.GROUPS)]
    for guess in INTENTS[word]:
        named = guess.split(" --")[0].split(" ")
        assert guess == "--version" or any(" ".join(named[:count]) in COMMANDS for count in (1, 2)), guess
