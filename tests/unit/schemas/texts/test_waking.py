"""Words about waking: what to do so that an agent can be woken, and which agents have a way of their own."""

from __future__ import annotations

import pytest

from maestro_schemas.texts import waking


@pytest.mark.parametrize(
    ("agent", "says"),
    [("codex", "it; `maestro hooks install codex` sets"), ("qwen-code", "it with `--input-file FILE`")],
)
def test_what_an_agent_that_is_not_woken_needs(agent: str, says: str) -> None:
    assert says in waking.not_installed(agent)
    assert f"maestro hooks install {agent}" in waking.not_installed(agent)


def test_keys_are_no_way_of_an_agent() -> None:
    assert set(waking.HOOKED) == {"claude-code", "codex", "qwen-code", "opencode"}
