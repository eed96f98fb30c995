"""Rebuild: the search index is made again, and how far that is.

Rule: the broker's process makes it; this command only asks, and waits. An interrupt ends the wait, and nothing else.
"""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from maestro_clients.one_shot_client import AnyClient
    from maestro_schemas.documents import IndexStateDoc

_LOOK_EVERY_S = 0.2


def run(client: AnyClient) -> IndexStateDoc:
    """Have the index made again, and wait until it is whole; its state then. Raises MaestroError."""
    state = client.rebuild_index()["index"]
    with _bar() as show:
        while "rebuilding" in state or state["upTo"] < state["head"]:
            show(state.get("rebuilding", 1.0))
            time.sleep(_LOOK_EVERY_S)
            # A search reads on before it answers, so that its word on the index is the newest.
            state = client.search("", limit=1)["index"]
        show(1.0)
    return state


@contextmanager
def _bar() -> Iterator[Callable[[float], None]]:
    """A progress bar on a terminal; nothing elsewhere."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda _part: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("index"), BarColumn(bar_width=20), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda part: bar.update(task, completed=part)
