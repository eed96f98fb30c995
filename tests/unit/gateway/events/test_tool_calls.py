"""The calls of tools that a client may give up."""

from __future__ import annotations

from maestro_gateway.events.tool_calls import ToolCalls


def test_the_end_of_a_call_leaves_another_of_its_key() -> None:
    calls, key = ToolCalls(), ("ann", None, "", 7)
    waits, looks = calls.begin(key), calls.begin(key)
    calls.end(key, looks)
    calls.give_up(key)
    assert (waits.is_set(), looks.is_set()) == (True, False)
    calls.end(key, waits)
    calls.give_up(key)
    assert not calls.begin(key).is_set()
