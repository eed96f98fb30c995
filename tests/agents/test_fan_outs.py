"""One message to several sessions reaches the models of the real Claude Code and the real Codex, once each."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from agents.clients import at_work
from agents.desk import await_mail, shown_in
from agents.turns import Say
from maestro_schemas.names import own_part

if TYPE_CHECKING:
    from agents.clients import Agent
    from agents.stand_in import Model
    from agents.turns import Request, Turn
    from support.cli_shell import Shell

_KINDS = ("claude-code", "codex")
# Until both agents are in the middle of a turn.
_START_S_MAX = 60.0


@pytest.mark.mechanism
def test_one_message_stops_claude_code_and_codex(person: Shell) -> None:
    """Both are at work. An orchestrator tells all workers at once, and each model hears of it in its next request."""
    boss = person.session("boss", role="orchestrator")
    own = {kind: person.session(kind) for kind in _KINDS}
    person.session("idle")
    sent: list[str] = []

    def tell_all() -> None:
        asking = {"type": "command", "requiresAck": True}
        result = boss.send_to_all(["@workers"], "Stop, main is red.", confirm=True, metadata=asking)
        assert (result["accepted"], result["audience"]["size"]) == (3, 3)
        sent.append(result["id"])

    both_at_work = threading.Barrier(len(_KINDS), tell_all)

    def model_of(kind: str) -> Model:
        def model(request: Request) -> Turn:
            if len(agents[kind].model.calls) > 1:
                return Say("I have stopped.")
            both_at_work.wait(_START_S_MAX)
            await_mail(own[kind])
            return agents[kind].shell("echo at work")

        return model

    agents: dict[str, Agent] = {}
    with (
        at_work(
            "claude-code", model_of("claude-code"), os.path.join(person.root, "a"), own["claude-code"].environ
        ) as one,
        at_work("codex", model_of("codex"), os.path.join(person.root, "b"), own["codex"].environ) as two,
    ):
        agents.update({"claude-code": one, "codex": two})
        for agent in agents.values():
            agent.install_hooks()
        with one.start("Build it.") as first, two.start("Test it.") as second:
            first.finish()
            second.finish()
        for agent in agents.values():
            assert shown_in(agent.model.calls, "| Stop, main is red.") == [0, 1]
            line = f"{own_part(sent[0])[:6]} from boss (orchestrator, {boss.session_id}), "
            assert shown_in(agent.model.calls, line) == [0, 1]
            asked = ", command (to @workers, 3 sessions; asks for action and acknowledgement)"
            assert shown_in(agent.model.calls, asked) == [0, 1]
            assert shown_in(agent.model.calls, "An answer to mail for several sessions goes to its sender alone") == [
                0,
                1,
            ]
    with person.client() as operator:
        for kind in _KINDS:
            message = operator.message(sent[0], session=own[kind].session_id)
            assert (message["status"], message["deliveredVia"]) == ("delivered", f"hook:{kind}:PostToolUse")
