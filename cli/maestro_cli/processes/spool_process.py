"""Spool child: a process of the broker's package that reads a data directory for a command.

Rule: the command line imports nothing of the broker, whose files only the broker's own code knows; so that code is
run as a process, and what it tells comes as JSON lines. A person at a terminal sees how far it is, on standard error.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from maestro_cli.context import CommandContext

_FILED_S_MAX = 10.0
_LOOK_EVERY_S = 0.05


def command(module: str, context: CommandContext, *arguments: str) -> list[str]:
    """The words that run it."""
    return [sys.executable, "-m", f"maestro_broker.{module}", "--data-dir", context.data, *arguments]


def await_filed(context: CommandContext) -> bool:
    """Until a broker that is at work here has filed what it has accepted, for a while; False when there is none."""
    if context.running() is None:
        return False
    with context.client() as client:
        give_up = time.monotonic() + _FILED_S_MAX
        while client.stats()["filingBacklog"] and time.monotonic() < give_up:
            time.sleep(_LOOK_EVERY_S)
    return True


def told(words: Sequence[str]) -> Iterator[dict[str, Any]]:
    """What a child says, line by line. Raises MaestroError INTERNAL where it ends before it is done."""
    from maestro_schemas.errors import MaestroError

    done = False
    with subprocess.Popen(words, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as child:
        for line in child.stdout or ():
            what = json.loads(line)
            done = done or "done" in what
            yield what
    if not done:
        raise MaestroError("INTERNAL", f"it ended early, with {child.returncode}", "What it said is above.")


@contextmanager
def progress(title: str) -> Iterator[Callable[[str, int], None]]:
    """A bar on a terminal, told what is being looked at and how much was; nothing anywhere else."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda _what, _count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn(title), BarColumn(bar_width=20), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, count: bar.update(task, description=f"{what} {count:,}")
