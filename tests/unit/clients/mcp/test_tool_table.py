"""The tools as clients list them: what they cost, and what they refuse."""

from __future__ import annotations

import json

import pytest

from maestro_clients.mcp import json_rpc, tool_table, tools
from maestro_schemas.errors import MaestroError

TOKENS_MAX = 900
# English and JSON have about four bytes a token.
BYTES_A_TOKEN = 4


def test_what_the_schemas_cost() -> None:
    """Several clients put all of this into every request of their model."""
    listed = json.dumps({"tools": tool_table.listed()}, separators=(",", ":"))
    tokens = (len(listed) + len(json_rpc.INSTRUCTIONS)) / BYTES_A_TOKEN
    print(f"{len(listed)} bytes of tools/list and {len(json_rpc.INSTRUCTIONS)} of instructions: {tokens:.0f} tokens")
    assert tokens < TOKENS_MAX


def test_each_tool_has_steps() -> None:
    assert list(tool_table.TOOLS) == ["send", "inbox", "sessions", "receipt", "reply"] == list(tools._TOOLS)


def test_the_schemas_are_such_as_every_client_reads() -> None:
    """No union of types, and nothing nested: Gemini's API refuses some of that."""
    for tool in tool_table.listed():
        schema = tool["inputSchema"]
        assert schema["type"] == "object"
        assert set(schema.get("required", [])) <= set(schema["properties"])
        for value in schema["properties"].values():
            assert value["type"] in ("string", "integer")
            assert value["description"]


@pytest.mark.parametrize(
    ("name", "given", "taken"),
    [
        ("inbox", None, {}),
        ("inbox", {}, {}),
        ("inbox", {"wait_s": 3.0}, {"wait_s": 3.0}),
        ("inbox", {"wait_s": 50}, {"wait_s": 50}),
        ("send", {"to": "bob", "message": "x"}, {"to": "bob", "message": "x"}),
    ],
)
def test_arguments_that_are_taken(name: str, given: object, taken: object) -> None:
    assert tool_table.checked(name, given) == taken


@pytest.mark.parametrize("value", [-1, 51, 1.5, True, "3", None, [], float("inf"), 10**30])
def test_a_wait_that_is_none(value: object) -> None:
    with pytest.raises(MaestroError) as refused:
        tool_table.checked("inbox", {"wait_s": value})
    assert refused.value.code == "INVALID"
    assert refused.value.hint


def test_a_breach_names_both_numbers() -> None:
    with pytest.raises(MaestroError) as refused:
        tool_table.checked("inbox", {"wait_s": 51})
    assert (refused.value.limit, refused.value.actual) == (50, 51)


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("sessions", {"all": True}, "It takes no arguments."),
        ("send", "hello", "are no JSON object"),
        ("reply", {}, "needs `id` and `message`"),
        ("receipt", {"id": "\udfff"}, "half a surrogate pair"),
    ],
)
def test_arguments_that_are_refused(name: str, given: object, said: str) -> None:
    with pytest.raises(MaestroError) as refused:
        tool_table.checked(name, given)
    assert said in f"{refused.value.message} {refused.value.hint}"
