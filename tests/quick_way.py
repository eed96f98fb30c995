"""Quick way: the commands that answer without the parser, and what each may import.

Rule: a command is a process of its own, as an agent starts it; what it has imported is what it had at its end, over
what a bare interpreter has.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

import pytest

from cli_shell import Ran

if TYPE_CHECKING:
    from cli_shell import Shell

BOTH = pytest.mark.parametrize("way", ["1", "0"], ids=["quick", "usual"])
# All that a bare interpreter has not, and no more.
ALLOWED = frozenset(
    {
        "__future__",
        "_socket",
        "maestro_cli",
        "maestro_cli.exit_codes",
        "maestro_cli.main",
        "maestro_cli.output",
        "maestro_cli.quick",
        "maestro_cli.sent_text",
        "maestro_clients",
        "maestro_clients.fresh",
        "maestro_clients.packing",
        "maestro_clients.swift",
        "maestro_schemas.zmtp",
        "maestro_schemas",
        "maestro_schemas.errors",
        "maestro_schemas.names",
        "maestro_schemas.paths",
    }
)
# To show mail.
ALLOWED_WITH_MAIL = ALLOWED | {
    "_json",
    "maestro_cli.correspondents",
    "maestro_cli.inbox_once",
    "maestro_cli.inbox_page",
    "maestro_cli.json_text",
    "maestro_cli.render",
    "maestro_clients.commands",
    "maestro_clients.swift_client",
}


def run_and_loaded(shell: Shell, *arguments: str) -> tuple[Ran, frozenset[str]]:
    """A command, and what it had imported at its end."""
    with tempfile.NamedTemporaryFile("r", dir=shell.root) as report:
        end = f"import atexit; atexit.register(lambda: print(*sys.modules, file=open({report.name!r}, 'w')))"
        script = f"import sys; {end}; from maestro_cli.main import main; sys.exit(main())"
        ran = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            env=shell.environ,
            capture_output=True,
            timeout=60,
            check=False,
        )
        modules = frozenset(report.read().split())
    return Ran(ran.returncode, ran.stdout.decode(), ran.stderr.decode()), modules - _bare(shell.environ)


def loaded(shell: Shell, *arguments: str) -> frozenset[str]:
    """What a command that ends with 0 has imported."""
    ran, modules = run_and_loaded(shell, *arguments)
    assert ran.code == 0, ran
    return modules


def _bare(environ: dict[str, str]) -> frozenset[str]:
    script = "import sys, atexit; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=True)
    return frozenset(ran.stdout.split())


def closed_pipe() -> int:
    """The writing end of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing
