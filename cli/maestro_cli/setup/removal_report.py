"""Removal report: the words of `maestro uninstall`.

Rule: it only writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maestro_cli.output import streams

from .setup_report import show_files, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .removal_plan import RemovalPlan
    from .removal_run import RemovalStep


def show_plan(plan: RemovalPlan, environ: Mapping[str, str]) -> None:
    """Say what will be removed."""
    if not plan.items:
        streams.tell("Nothing of maestro is left to remove.")
        return
    streams.say("It takes out:")
    show_files([(item.path, item.about) for item in plan.items], environ)


def show_step(step: RemovalStep) -> None:
    """Say what became of a step, where that is not what the plan has said."""
    if step.error is not None:
        streams.complain(step.error, as_json=False)
    elif not step.path:
        streams.tell(f"Stopped: {step.about}.")


def show_end(plan: RemovalPlan, last: str, environ: Mapping[str, str], *, dry_run: bool) -> None:
    """Say what is left, and the last step."""
    for error in plan.errors:
        streams.complain(error, as_json=False)
    if plan.items and not dry_run:
        streams.tell("Removed. Agents that run now stop calling it when you restart them.")
    for one in plan.left:
        streams.tell(f"Left: {shown(one.path, environ)} ({one.why})")
    streams.tell(f"Last, the program itself: {last}")
