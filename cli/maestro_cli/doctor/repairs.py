"""Repairs: what `maestro doctor --fix` repairs, in the order in which it does.

Rule: a repair loses nothing that a person wrote: no mail, no setting, no file that others made. It is planned when
those before it are made, so a second run finds nothing to do. What is not safe is left to the findings, which name
the step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maestro_cli.context import CommandContext
from maestro_runtime import places
from maestro_schemas.errors import MaestroError

from . import broker_repairs, installation_repairs, place_repairs
from .findings import RepairOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .findings import Repair


def run(*, dry_run: bool) -> Iterator[RepairOutcome]:
    """Make every repair that is safe; yields each when it is made. `dry_run`: only plan them. Raises MaestroError
    without a place for the data."""

    context = CommandContext.here()
    plans: tuple[Callable[[CommandContext], Iterator[Repair]], ...] = (
        place_repairs.modes,
        place_repairs.misplaced,
        place_repairs.stale,
        installation_repairs.command,
        installation_repairs.hooks,
        broker_repairs.index,
        broker_repairs.outbox,
    )
    for plan in plans:
        try:
            for repair in plan(context):
                yield RepairOutcome(repair.name, "planned", repair.what) if dry_run else _made(repair)
        except (MaestroError, OSError) as error:
            # Of this kind nothing can be planned; the findings say why.
            yield _failed(plan.__name__, "nothing was repaired", error)


def _made(repair: Repair) -> RepairOutcome:
    try:
        repair.make()
    except (MaestroError, OSError) as error:
        return _failed(repair.name, repair.what, error)
    return RepairOutcome(repair.name, "fixed", repair.what)


def _failed(name: str, what: str, error: MaestroError | OSError) -> RepairOutcome:
    if isinstance(error, OSError):
        error = places.refusal("DATA_DIR_UNUSABLE", what, error, "")
    return RepairOutcome(name, "failed", f"{what}: {error.message}", error.hint)
