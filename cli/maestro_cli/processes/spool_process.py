"""Spool process: runs a module of the broker's package that reads a data directory for a command.

Rule: the command line imports nothing of the broker, and only the broker's code knows its files. So that code runs as
a process of its own and reports as JSON lines.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from maestro_clients.processes import spawn
from maestro_runtime import ownership

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from maestro_cli.context import CommandContext

_WRITTEN_S_MAX = 10.0
_LOOK_EVERY_S = 0.05


def command(module: str, context: CommandContext, *arguments: str) -> list[str]:
    """The command line that runs `maestro_broker.<module>`. Raises MaestroError NOT_PRIVATE."""
    ownership.check_data_dir(context.data)
    return [sys.executable, "-P", "-m", f"maestro_broker.{module}", "--data-dir", context.data, *arguments]


def start(words: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """Start a command line, in no directory of a user. `options`: as those of `subprocess.Popen`."""
    environ = spawn.environment(os.environ)
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, cwd=spawn.DIRECTORY, env=environ, **options)


def wait_until_written(context: CommandContext) -> bool:
    """Wait, for at most 10 s, until the running broker has written all accepted messages to the spool. Returns False
    where no broker runs."""
    if context.running() is None:
        return False
    with context.client() as client:
        give_up = time.monotonic() + _WRITTEN_S_MAX
        while client.stats()["filingBacklog"] and time.monotonic() < give_up:
            time.sleep(_LOOK_EVERY_S)
    return True


def json_lines(words: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Run a command line; yields each line that it prints. Raises MaestroError INTERNAL if it ends too early."""
    from maestro_schemas.errors import MaestroError

    done = False
    with start(words, stdout=subprocess.PIPE) as child:
        for line in child.stdout or ():
            report = json.loads(line)
            done = done or "done" in report
            yield report
    if not done:
        raise MaestroError(
            "INTERNAL", f"the process ended early, with exit code {child.returncode}", "Its own output is above."
        )
