"""The list of commands."""

from __future__ import annotations

import pytest

from maestro_cli.help import help_text, root_help
from maestro_cli.help.command_rows import GROUPS, ROOT_COMMANDS


@pytest.mark.parametrize("row", [*ROOT_COMMANDS, *GROUPS], ids=lambda row: row.name)
def test_each_command_takes_one_line(row: object) -> None:
    about = row.about  # type: ignore[attr-defined]
    if not about.startswith("Compatible name"):
        assert 8 <= len(root_help.brief(about)) <= 65
        assert about.startswith(root_help.brief(about)[:-1])


@pytest.mark.parametrize("width", ["40", "80", "200"])
def test_it_fits_the_terminal(width: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(root_help, "terminal_width", lambda _environ: int(width))
    for words in (["--help"], ["help", "environment"], ["help", "exit-codes"]):
        shown = root_help.text(words) or ""
        examples = shown.partition("Examples:")[0]
        assert max(map(len, examples.splitlines())) <= max(int(width), 44)
    assert root_help.text(["help", "send"]) is None


def test_the_first_examples_stand_above_the_options() -> None:
    first, rest = help_text.parted("Some words.\n\nExamples:\n  maestro a\n  maestro b \\\n    more\n  maestro c")
    assert first == "Examples:\n  maestro a\n  maestro b \\\n    more"
    assert rest == "Some words.\n\nMore examples:\n  maestro c"
    assert help_text.parted("Some words.\n\nExamples:\n  maestro a") == ("Examples:\n  maestro a", "Some words.")
    assert help_text.parted("Some words.") == ("", "Some words.")
