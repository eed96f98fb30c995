"""What the command line's parser found wrong, in our words."""

from __future__ import annotations

import pytest
from cyclopts import CycloptsError

from maestro_cli.command_table import build
from maestro_cli.output.usage_errors import explained


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("hooks install codex --wake --no-wake", "--wake and --no-wake exclude each other"),
        ("hooks install codex --no-wake --wake", "--no-wake and --wake exclude each other"),
        ("up --http --no-http", "--http and --no-http exclude each other"),
        ("service install --no-http --http", "--no-http and --http exclude each other"),
        ("up --no-http --no-http", "--no-http was given twice"),
        ("wake bob --timeout 1s --timeout 2s", "--timeout was given twice"),
    ],
)
def test_an_option_and_its_opposite(words: str, message: str) -> None:
    tokens = words.split()
    with pytest.raises(CycloptsError) as caught:
        build(tokens).parse_args(tokens, exit_on_error=False, print_error=False)
    assert explained(caught.value).message == message
