"""Codex checks: whether the Codex of this user can be woken from idle.

Rule: nothing is queued. The program is only asked for the help of its command.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from maestro_runtime import wake_facts
from maestro_runtime.process_identity import is_alive
from maestro_schemas.texts.waking import CODEX

from .findings import DoctorFinding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maestro_cli.context import CommandContext

_NAME = "codex's queue"
_RUN_S = 10.0


def queue(context: CommandContext) -> Iterator[DoctorFinding]:
    """Each program of Codex that runs on a screen, or is on the PATH."""
    noted = {session: wake_facts.read(context.data, session) for session in wake_facts.sessions(context.data)}
    woken = {session: facts for session, facts in noted.items() if facts is not None and facts.by == CODEX}
    running = {session: facts for session, facts in woken.items() if is_alive(facts.pid, facts.pid_start)}
    programs = dict.fromkeys(facts.program for facts in running.values() if facts.program is not None)
    if not programs and (found := shutil.which("codex", path=context.environ.get("PATH"))) is not None:
        programs = {os.path.abspath(found): None}
    for program in programs:
        if not _has_queue(program, context):
            what = f"{program} has no `queue --thread`, so mail can't wake it from idle"
            yield DoctorFinding(_NAME, "warning", what, "Update Codex, and start it again.")
        elif running:
            yield DoctorFinding(
                _NAME, "ok", f"{program} can be woken from idle, once it has had a turn on its screen"
            )


def _has_queue(program: str, context: CommandContext) -> bool:
    # Without the variables of a session, which an agent's shell has.
    environ = {name: value for name, value in context.environ.items() if not name.startswith("MAESTRO_")}
    try:
        done = subprocess.run(
            [program, "queue", "--help"],
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_RUN_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0 and b"--thread" in done.stdout
