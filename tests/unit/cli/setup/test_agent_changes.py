"""Agent changes: what an installation notes, so that a removal gives back the very text that was there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_cli.hooks.agents import AGENTS
from maestro_cli.hooks.mcp import mcp_places
from maestro_cli.setup import agent_changes

if TYPE_CHECKING:
    from pathlib import Path

CLAUDE = AGENTS["claude-code"]
TEXTS = [
    None,
    "",
    "{}",
    "{ }\n",
    '{"mcpServers": {}}',
    '{"mcpServers": {\n  }, "a": 1}',
    '{"a": 1,\r\n "mcpServers": {"x": {"command": "y"}}}',
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("addition", ["", "\n\n"])
def test_a_file_without_a_copy_gets_its_text_back(tmp_path: Path, text: str | None, addition: str) -> None:
    """`addition`: what another program has changed meanwhile, elsewhere in the file."""
    environ = {"HOME": str(tmp_path), "PATH": ""}
    file = tmp_path / ".claude.json"
    if text is not None:
        file.write_bytes(text.encode())
    planned = agent_changes.plan(
        CLAUDE, CLAUDE.user_settings(environ), str(tmp_path / "data"), environ, wake=None, mcp=True
    )
    made = planned.footprints()
    for change in planned.changes:
        change.apply()
    file.write_bytes(file.read_bytes() + addition.encode())
    place = mcp_places.place_of(CLAUDE, environ)
    for change in agent_changes.plan_removal(CLAUDE, [CLAUDE.user_settings(environ)], [place], made):
        change.apply()
    assert not (tmp_path / ".claude" / "settings.json").exists()
    if text is None and not addition:
        assert not file.exists()
    elif text is not None:
        assert file.read_bytes() == (text + addition).encode()


def test_an_older_note_is_no_reason_for_another_text(tmp_path: Path) -> None:
    """The server was taken out, and put into another text; what is noted of the first time does not count."""
    environ = {"HOME": str(tmp_path), "PATH": ""}
    file = tmp_path / ".claude.json"
    place = mcp_places.place_of(CLAUDE, environ)
    made = []
    for text in ('{"mcpServers": {}}', "{}", '{"b": {"mcpServers": {}}}'):
        file.write_text(text)
        planned = agent_changes.plan(
            CLAUDE, CLAUDE.user_settings(environ), str(tmp_path / "data"), environ, wake=False, mcp=True
        )
        made += planned.footprints()
        for change in planned.changes:
            change.apply()
        for change in agent_changes.plan_removal(CLAUDE, [], [place], made):
            change.apply()
        assert file.read_text() == text


@given(st.text("ab{}", max_size=8), st.text("ab{}", max_size=8))
def test_the_difference_of_two_texts_turns_one_into_the_other(before: str, after: str) -> None:
    piece, other = agent_changes._difference(before, after)
    assert any(
        before[:start] + piece == before[: start + len(piece)]
        and before[:start] + other + before[start + len(piece) :] == after
        for start in range(len(before) + 1)
    )
