"""Our MCP server in the text of an agent's settings: added and removed, and every other character stays."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_cli.hooks.mcp import mcp_entries
from maestro_cli.hooks.mcp.mcp_places import McpPlace
from maestro_schemas.errors import MaestroError

ENTRY: dict[str, Any] = {"command": "/opt/m/bin/maestro-messaging", "args": ["mcp", "--data", '/x "y" \\ é']}
JSON = McpPlace("settings.json", ("mcpServers",), comments=True)
TOML = McpPlace("config.toml", ("mcp_servers",), is_toml=True)
OTHER = '{"command": "maestro", "args": ["mcp"]}'

JSON_TEXTS = [
    '{"a": 1}',
    '{\n  "a": 1\n}\n',
    '{\r\n\t"a": {\r\n\t\t"b": []\r\n\t}\r\n}\r\n',
    '{\n    // a comment\n    "mcpServers": {\n        "other": {"command": "x"} // more\n    },\n    "z": 0\n}',
    '{"mcpServers": {"other": {}}, "b": "mcpServers"}',
    '\ufeff{"a": [1, 2]}\n\n',
]
TOML_TEXTS = [
    'model = "x"\n',
    "# only a comment\n",
    'a = 1\n\n[mcp_servers.other]\ncommand = "x"\n\n# about features\n[features]\nb = true\n',
    'a = """\n[mcp_servers.maestro]\n"""\r\nb = 2\r\n',
    "[[list]]\nx = 1\n\n[[list]]\nx = 2\n",
]


@pytest.mark.parametrize(
    ("place", "text"), [*((JSON, text) for text in JSON_TEXTS), *((TOML, text) for text in TOML_TEXTS)]
)
def test_every_other_character_stays(place: McpPlace, text: str) -> None:
    after = mcp_entries.added(text, place, ENTRY)
    assert mcp_entries.found(after, place) == ENTRY
    assert mcp_entries.added(after, place, ENTRY) == after
    assert mcp_entries.removed(after, place) == text
    # It is one insertion.
    same = next(n for n in range(len(after)) if text[: n + 1] != after[: n + 1])
    assert after.endswith(text[same:])


@pytest.mark.parametrize("place", [JSON, TOML])
def test_where_there_was_nothing(place: McpPlace) -> None:
    after = mcp_entries.added("", place, ENTRY)
    assert mcp_entries.found(after, place) == ENTRY
    assert after.endswith("\n")
    assert mcp_entries.removed(after, place).strip() in ("", "{}")


@pytest.mark.parametrize("place", [JSON, TOML])
def test_another_version_of_ours_is_replaced(place: McpPlace) -> None:
    old = {"command": "/usr/bin/python3", "args": ["-P", "-m", "maestro_cli", "mcp"]}
    text = mcp_entries.added("", place, old)
    assert mcp_entries.found(mcp_entries.added(text, place, ENTRY), place) == ENTRY
    assert "maestro_cli" not in mcp_entries.added(text, place, ENTRY)


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (JSON, f'{{"mcpServers": {{"maestro": {OTHER}}}}}'),
        (JSON, '{"mcpServers": {"maestro": "x"}}'),
        (TOML, '[mcp_servers.maestro]\ncommand = "maestro"\nargs = ["mcp"]\n'),
        (TOML, 'mcp_servers = { maestro = { url = "http://localhost:1" } }\n'),
    ],
)
def test_another_server_of_that_name_is_left_alone(place: McpPlace, text: str) -> None:
    """Another product's command is called `maestro mcp` too."""
    with pytest.raises(MaestroError) as refused:
        mcp_entries.added(text, place, ENTRY)
    assert refused.value.code == "CONFLICT"
    assert mcp_entries.removed(text, place) == text


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (JSON, "{"),
        (JSON, "[]"),
        (JSON, '{"mcpServers": []}'),
        (TOML, "a = "),
        (TOML, 'mcp_servers = { other = { command = "x" } }\n'),
        (TOML, "mcp_servers = 1\n"),
    ],
)
def test_what_can_not_be_changed_is_refused(place: McpPlace, text: str) -> None:
    with pytest.raises(MaestroError) as refused:
        mcp_entries.added(text, place, ENTRY)
    assert refused.value.code == "INVALID"


def test_what_the_agent_has_added_below_ours_goes_too() -> None:
    """Codex keeps approvals there, and refuses a server without a command."""
    text = mcp_entries.added("a = 1\n", TOML, ENTRY)
    text += '\n[mcp_servers.maestro.tools.send]\napproval_mode = "approve"\n\n# the next one\n[features]\nb = true\n'
    after = mcp_entries.removed(text, TOML)
    assert tomllib.loads(after) == {"a": 1, "features": {"b": True}}
    assert "# the next one\n[features]" in after


def test_ours_in_one_line_is_left_to_the_user() -> None:
    line = f'mcp_servers.maestro = {{ command = "{ENTRY["command"]}", args = ["mcp"] }}\n'
    with pytest.raises(MaestroError) as refused:
        mcp_entries.removed(line, TOML)
    assert "by hand" in refused.value.message


@pytest.mark.parametrize(
    ("entry", "is_own"),
    [
        (ENTRY, True),
        ({"type": "local", "command": ["/a/maestro-messaging", "mcp"]}, True),
        ({"command": "/a/python", "args": ["-P", "-m", "maestro_cli", "mcp"]}, True),
        ({"command": "maestro", "args": ["mcp"]}, False),
        ({"command": "/a/maestro-messaging", "args": ["inbox"]}, False),
        ({"command": "/a/maestro-messaging", "args": [1]}, False),
        ({"url": "http://x"}, False),
        ({"command": []}, False),
        (None, False),
        ("maestro-messaging mcp", False),
    ],
)
def test_what_is_ours(entry: object, is_own: bool) -> None:
    assert mcp_entries.is_own(entry) is is_own


words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)


@given(st.lists(words, max_size=4))
def test_any_word_is_kept(given_words: list[str]) -> None:
    entry = {"command": "/a/maestro-messaging", "args": ["mcp", *given_words]}
    for place, read in ((TOML, tomllib.loads), (JSON, json.loads)):
        text = mcp_entries.added("", place, entry)
        assert read(text)[place.keys[0]]["maestro"] == entry
