"""Fast path: what its commands may import.

Rule: a command is a process of its own, as an agent starts it. Its imports are the modules that it has at its end and
a bare interpreter has not.
"""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

import pytest

from support.cli_shell import Ran

if TYPE_CHECKING:
    from support.cli_shell import Shell

BOTH = pytest.mark.parametrize("way", ["1", "0"], ids=["quick", "usual"])
# All that a command imports to look for mail, or to send; and no more.
_ALLOWED = frozenset(
    {
        "__future__",
        "_socket",
        "errno",
        "gc",
        "maestro_cli.commands.inbox",
        "maestro_cli.commands.send",
        "maestro_cli.context",
        "maestro_cli.fast_path",
        "maestro_cli.fast_table",
        "maestro_cli.main",
        "maestro_clients.texts.presence_words",
        "maestro_cli.output.marks",
        "maestro_cli.output.streams",
        "maestro_cli.sending.send_flow",
        "maestro_clients.channel.core",
        "maestro_clients.channel.one_shot",
        "maestro_clients.protocol.new_ids",
        "maestro_clients.protocol.speaker",
        "maestro_runtime.ownership",
        "maestro_runtime.paths",
        "maestro_runtime.places",
        "maestro_schemas.errors",
        "maestro_schemas.names",
        "maestro_wire.minimal_msgpack",
        "maestro_wire.zmtp",
    }
)
# To show mail.
_ALLOWED_WITH_MAIL = _ALLOWED | {
    "_json",
    "maestro_cli.exit_codes",
    "maestro_cli.inbox.listing",
    "maestro_cli.inbox.page",
    "maestro_clients.texts.ages",
    "maestro_clients.texts.display_names",
    "maestro_clients.texts.fence",
    "maestro_clients.texts.json_text",
    "maestro_clients.texts.short_ids",
    "maestro_cli.output.render",
    "maestro_clients.one_shot_client",
    "maestro_clients.protocol.command_methods",
    "maestro_clients.protocol.commands",
    "maestro_clients.protocol.group_commands",
    "maestro_clients.protocol.reply_fields",
    "maestro_schemas.texts.visible_text",
}


def _with_packages(modules: frozenset[str]) -> frozenset[str]:
    """`modules` and the packages that they are in, whose `__init__` is a docstring."""
    parts = [module.split(".") for module in modules]
    return modules | {".".join(names[:count]) for names in parts for count in range(1, len(names))}


ALLOWED = _with_packages(_ALLOWED)
ALLOWED_WITH_MAIL = _with_packages(_ALLOWED_WITH_MAIL)


def run_and_loaded(shell: Shell, *arguments: str, on_terminal: bool = False) -> tuple[Ran, frozenset[str]]:
    """A command, and what it had imported at its end. `on_terminal`: its standard output is a pseudo-terminal, and
    what it prints there is not kept."""
    with tempfile.NamedTemporaryFile("r", dir=shell.root) as report, contextlib.ExitStack() as descriptors:
        end = f"import atexit; atexit.register(lambda: print(*sys.modules, file=open({report.name!r}, 'w')))"
        script = f"import sys; {end}; from maestro_cli.main import main; sys.exit(main())"
        out = subprocess.PIPE
        if on_terminal:
            # Large enough for all that an everyday command prints.
            master, out = pty.openpty()
            descriptors.callback(os.close, master)
            descriptors.callback(os.close, out)
        ran = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            env={**shell.environ, "TERM": "xterm"},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
        modules = frozenset(report.read().split())
    return Ran(ran.returncode, (ran.stdout or b"").decode(), ran.stderr.decode()), modules - _bare(shell.environ)


def loaded(shell: Shell, *arguments: str, on_terminal: bool = False) -> frozenset[str]:
    """What a command that ends with 0 has imported."""
    ran, modules = run_and_loaded(shell, *arguments, on_terminal=on_terminal)
    assert ran.code == 0, ran
    return modules


def _bare(environ: dict[str, str]) -> frozenset[str]:
    script = "import sys, atexit; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=True)
    return frozenset(ran.stdout.split())


def closed_pipe() -> int:
    """The writing end of a pipe without a reader."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing
