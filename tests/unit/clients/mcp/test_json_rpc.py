"""What an MCP client sends: whatever it is, the answer is one that the protocol knows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maestro_clients.mcp import json_rpc

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
METHODS = ["initialize", "ping", "tools/list", "tools/call", "notifications/cancelled"]
requests = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.just("2.0") | plain,
        "id": st.integers() | st.text(max_size=4) | plain,
        "method": st.sampled_from(["initialize", "ping", "tools/list", "tools/call", "notifications/cancelled"])
        | plain,
        "params": st.fixed_dictionaries({}, optional={"name": plain | st.just("send"), "requestId": plain}) | plain,
        "result": plain,
    },
)


def _is_answer(incoming: json_rpc.Incoming) -> bool:
    answer = incoming.answer
    if answer is None:
        return True
    line = json_rpc.encoded(answer)
    assert b"\n" not in line
    # Strict JSON, with one of the two.
    found = json.loads(line, parse_constant=pytest.fail)
    return found["jsonrpc"] == "2.0" and ("result" in found) is not ("error" in found)


@given(st.binary(max_size=64))
def test_bytes_are_answered(raw: bytes) -> None:
    assert _is_answer(json_rpc.read(raw))


@given(requests | plain)
def test_values_are_answered(value: Any) -> None:
    assert _is_answer(json_rpc.understood(value))
    assert _is_answer(json_rpc.read(json.dumps(value).encode()))


def test_a_call_of_a_tool() -> None:
    call = json_rpc.understood(
        {"jsonrpc": "2.0", "id": "a", "method": "tools/call", "params": {"name": "send", "arguments": {"to": 1}}}
    ).call
    assert call is not None
    assert (call.request_id, call.tool, call.arguments) == ("a", "send", {"to": 1})


def test_a_call_that_is_given_up() -> None:
    for request_id in (3, "a", 0):
        notice = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": request_id}}
        assert json_rpc.understood(notice).cancels == request_id
    assert json_rpc.understood({"jsonrpc": "2.0", "method": "notifications/cancelled"}).cancels is None


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("claude-code", "claude-code"),
        ("codex-mcp-client", "codex-mcp-client"),
        ("a b\n|c", "abc"),
        ("\u00e9", "unknown"),
        (None, "unknown"),
        ("", "unknown"),
        ("x" * 100, "x" * 40),
    ],
)
def test_a_clients_name_is_a_token(value: object, name: str) -> None:
    assert json_rpc.client_name(value) == name


def test_the_client_introduces_itself() -> None:
    asked = {"protocolVersion": "2024-11-05", "clientInfo": {"name": "codex", "version": "1"}}
    incoming = json_rpc.understood({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": asked})
    assert incoming.client == "codex"
    assert incoming.answer is not None
    assert incoming.answer["result"]["protocolVersion"] == "2024-11-05"
    without = json_rpc.understood({"jsonrpc": "2.0", "id": 1, "method": "initialize"})
    assert without.client == "unknown"
