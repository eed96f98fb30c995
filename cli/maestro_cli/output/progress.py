"""Progress: how far a long work is, on standard error where that is a terminal, and nothing elsewhere.

Rule: nothing is shown of what takes less than a second, and rich is imported only then. The line goes when the work
is done, so that nothing of it stays in the terminal.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from maestro_schemas.texts.visible_text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import Progress

    # What is done now, how much of it is done, and of how much, as far as these are known.
    Show = Callable[..., None]

AFTER_S = 1.0
_BAR_WIDTH = 20


class WorkDone(NamedTuple):
    """How far a work is."""

    what: str = ""
    done: int | None = None
    total: int | None = None

    def words(self) -> str:
        """`mail 12,000`, `files 3 of 12`."""
        if self.done is None:
            return one_line(self.what)
        amount = f"{self.done:,}" if self.total is None else f"{self.done:,} of {self.total:,}"
        return f"{one_line(self.what)} {amount}".lstrip()


@contextmanager
def progress(title: str) -> Iterator[Show]:
    """Show a line while the body runs. It gets a function that takes the fields of `WorkDone`."""
    if sys.stderr is None or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield lambda *_done, **_more: None
        return
    line = _Line(title)
    try:
        yield line.show
    finally:
        line.end()


class _Line:
    """The line, which a timer of its own begins: the work itself may say nothing for a long time."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._lock = threading.Lock()
        self._state = WorkDone()
        self._bar: Progress | None = None
        self._is_done = False
        self._timer = threading.Timer(AFTER_S, self._begin)
        self._timer.daemon = True
        self._timer.start()

    def show(self, what: str = "", done: int | None = None, total: int | None = None) -> None:
        with self._lock:
            self._state = WorkDone(what, done, total)
            self._update()

    def end(self) -> None:
        self._timer.cancel()
        with self._lock:
            self._is_done = True
            if self._bar is not None:
                self._bar.stop()

    def _begin(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (
            TextColumn(self._title, markup=False),
            BarColumn(bar_width=_BAR_WIDTH),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
        )
        with self._lock:
            if self._is_done:
                return
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.add_task("", total=None)
            self._update()
            self._bar.start()

    def _update(self) -> None:
        if self._bar is not None:
            [task] = self._bar.task_ids
            self._bar.update(
                task, description=self._state.words(), completed=self._state.done, total=self._state.total
            )
