"""Setup run: carries a plan out, step by step, and tries the result.

Rule: a step that fails stops no other one. Each step says what became of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from maestro_runtime import paths, places
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from maestro_cli.context import CommandContext
    from maestro_clients.processes.broker_process import Endpoints

    from .setup_plan import AgentPlan, SetupPlan

StepState = Literal["done", "unchanged", "warning", "failed"]


class SetupStep(NamedTuple):
    """What became of one step."""

    name: str
    state: StepState
    what: str
    # The next step; empty where none is needed.
    repair: str = ""


def carry_out(plan: SetupPlan, context: CommandContext) -> Iterator[SetupStep]:
    """Write what is planned, start the broker and send a message; yields each step when it has ended."""
    for agent in plan.agents:
        yield from _try(agent.agent.name, lambda agent=agent: _agent(agent, plan.data))  # type: ignore[misc]
    yield from _try("command", lambda: _command(plan))
    if plan.completion:
        yield from _try("completion", lambda: _completion(plan))
    elif plan.completion_advice:
        what = "zsh needs a line in ~/.zshrc for it, which is yours to write"
        yield SetupStep("completion", "unchanged", what, plan.completion_advice)
    yield from _try("broker", lambda: _broker(context))


def _try(name: str, step: Callable[[], Iterator[SetupStep]]) -> Iterator[SetupStep]:
    try:
        yield from step()
    except MaestroError as error:
        yield SetupStep(name, "failed", error.message, error.hint)
    except OSError as error:
        refused = places.refusal("DATA_DIR_UNUSABLE", "a path can't be used", error, "Then run the command again.")
        yield SetupStep(name, "failed", refused.message, refused.hint)


def _agent(one: AgentPlan, data: str) -> Iterator[SetupStep]:
    name = one.agent.name
    if one.error is not None:
        raise one.error
    planned = one.installation
    assert planned is not None  # noqa: S101 - it has no error
    is_new = planned.is_needed
    planned.apply(data)
    if not is_new:
        yield SetupStep(name, "unchanged", "is set up already.")
    else:
        wakes = ", and wakes it from idle" if planned.wakes else ""
        needs = f" {one.agent.wakes_if}" if planned.wakes and one.agent.wakes_if else ""
        yield SetupStep(name, "done", f"mail comes into its context{wakes}{needs}.")
    if planned.too_old:
        what = f"{name} {planned.too_old} is installed, and mail can wake only a newer one from idle"
        yield SetupStep(name, "warning", what, f"Update it, then: maestro setup {name} --wake")
    for sentence in one.turned_off:
        yield SetupStep(name, "warning", f"{sentence}, so no hook runs", "Remove that setting.")


def _command(plan: SetupPlan) -> Iterator[SetupStep]:
    link = plan.link
    link.make(plan.data)
    if not link.name:
        what = "this installation has no `maestro` beside its Python, or another program has its name"
        yield SetupStep("command", "warning", what, "Install it with pipx or uv, or make a link on your PATH.")
        return
    if link.other:
        what = f"{places.shown(link.other)} is another program called `maestro`, and stays"
        yield SetupStep("command", "warning", what, f"Type `{link.name}` in place of `maestro`.")
    if link.path:
        yield SetupStep("command", "done", f"`{link.name}` is linked in ~/.local/bin.")
    if link.advice:
        what = "~/.local/bin is not on your PATH, so no shell finds the command yet"
        yield SetupStep("command", "warning", what, link.advice)


def _completion(plan: SetupPlan) -> Iterator[SetupStep]:
    for file in plan.completion:
        file.write(plan.data)
    yield SetupStep("completion", "done", "new shells complete commands, sessions and messages.")


def _broker(context: CommandContext) -> Iterator[SetupStep]:
    if context.is_remote:
        what = f"{paths.BROKER_VARIABLE} names one on another machine; no message was sent to try it"
        yield SetupStep("broker", "unchanged", what)
        return
    from maestro_clients.processes.broker_process import ensure

    from . import round_trip

    broker: Endpoints | None = context.running()
    state: StepState = "done" if broker is None else "unchanged"
    if broker is None:
        broker = ensure(context.data, context.environ, autostart=True)
    took_ms = round_trip.run(broker)
    yield SetupStep("broker", state, f"runs (pid {broker.pid}); a message to itself took {took_ms:.0f} ms.")
