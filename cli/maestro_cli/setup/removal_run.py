"""Removal run: carries a removal out, and stops what runs.

Rule: an item that fails stops no other one. The processes end after the hooks are gone, since a hook would start the
broker again, and before the data goes.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from maestro_runtime import places
from maestro_runtime.traces import footprints
from maestro_schemas.errors import MaestroError

from . import data_removal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from maestro_cli.context import CommandContext

    from .removal_plan import RemovalItem, RemovalPlan


class RemovalStep(NamedTuple):
    """What became of one item."""

    path: str
    about: str
    # None: it is done.
    error: MaestroError | None = None


def carry_out(plan: RemovalPlan, context: CommandContext) -> Iterator[RemovalStep]:
    """Remove all items and stop the processes; yields each step when it has ended."""
    inside = [item for item in plan.items if places.is_below(item.path, context.data)]
    is_whole = not plan.errors
    for step in _items(plan, inside, context):
        is_whole = is_whole and step.error is None
        yield step
    yield from _folders(plan, is_whole=is_whole)


def _items(plan: RemovalPlan, inside: list[RemovalItem], context: CommandContext) -> Iterator[RemovalStep]:
    for item in plan.items:
        if item not in inside:
            yield _done(item.path, item.about, item.remove)
    yield from _stop(context)
    for item in inside:
        yield _done(item.path, item.about, item.remove)


def _stop(context: CommandContext) -> Iterator[RemovalStep]:
    from maestro_cli.commands import down

    try:
        gateway = down.stop_gateway(context)
        if gateway is not None:
            yield RemovalStep("", f"the HTTP gateway (pid {gateway}) has stopped")
        pid = down.stop_broker(context)
        if pid is not None:
            yield RemovalStep("", f"the broker (pid {pid}) has stopped")
        data_removal.remove_sockets(context.data, context.environ)
    except MaestroError as error:
        yield RemovalStep("", "the processes", error)


def _folders(plan: RemovalPlan, *, is_whole: bool) -> Iterator[RemovalStep]:
    """The empty directories, and the notes of all that is gone. `is_whole`: nothing has failed; else the notes of
    settings and links stay, so that the next removal finds what is left."""
    noted = [one for found in plan.noted.values() for one in found]
    gone = data_removal.remove_folders(one.path for one in noted if one.kind == "folder")
    for data, found in plan.noted.items():
        if os.path.isdir(data):
            done = [one for one in found if one.path in gone or (is_whole and one.kind != "folder")]
            step = _done(footprints.path_of(data), "", lambda data=data, done=done: footprints.forget(data, done))  # type: ignore[misc]
            if step.error is not None:
                yield step


def _done(path: str, about: str, remove: Callable[[], object]) -> RemovalStep:
    try:
        remove()
    except FileNotFoundError:
        pass  # it has gone meanwhile
    except MaestroError as error:
        return RemovalStep(path, about, error)
    except OSError as error:
        refused = places.refusal("FILE_UNREADABLE", f"{places.shown(path)} can't be removed", error, "")
        return RemovalStep(path, about, refused)
    return RemovalStep(path, about)
