"""Keys: the terminal that an agent is in, as what wakes it needs to know it, where its user has allowed keys.

Rule: the agent's own process says where it is: tmux and zellij set variables for what they run. Nothing is noted
unless the user asks for it (`maestro session nudge`). A later start of the agent renews what was noted.
"""

from __future__ import annotations

import os
import shutil
from typing import Final, NamedTuple

from maestro_runtime import wake_facts
from maestro_runtime.process_identity import pid_start
from maestro_runtime.wake_facts import WakeFacts
from maestro_schemas.errors import MaestroError
from maestro_schemas.texts.waking import TMUX, ZELLIJ


class _Terminal(NamedTuple):
    program: str
    # The variables that name its server, and the pane.
    server: str
    pane: str


TERMINALS: Final = {
    TMUX: _Terminal("tmux", "TMUX", "TMUX_PANE"),
    ZELLIJ: _Terminal("zellij", "ZELLIJ_SESSION_NAME", "ZELLIJ_PANE_ID"),
}


def facts(by: str, pid: int) -> WakeFacts:
    """How keys reach the agent with this pid. Raises MaestroError CONFLICT where it is in no such terminal."""
    terminal = TERMINALS[by]
    program = shutil.which(terminal.program) or ""
    if not os.path.isabs(program):
        raise MaestroError("CONFLICT", f"no folder of PATH has {terminal.program}", f"Install {terminal.program}.")
    variables = _variables(pid)
    # tmux puts its process and its session behind the path of its socket.
    server = variables.get(terminal.server, "")
    if by == TMUX:
        server = server.rpartition(",")[0].rpartition(",")[0]
    pane = variables.get(terminal.pane, "")
    if not server or not pane:
        raise MaestroError(
            "CONFLICT",
            f"its agent, process {pid}, runs in no pane of {terminal.program}",
            f"Start the agent in {terminal.program}, or on this machine as this user, then run this again.",
        )
    return WakeFacts(by, pid, pid_start(pid), program=program, socket=server, pane=pane)


def renew(data: str, session: str, pid: int) -> str | None:
    """Note the new process of an agent whose user has allowed keys. Returns what wakes it, empty where it is in no
    such terminal now; None where keys are not allowed."""
    known = wake_facts.read(data, session)
    if known is None or known.by not in TERMINALS:
        return None
    try:
        wake_facts.write(data, session, facts(known.by, pid))
    except (MaestroError, OSError, ValueError):
        # It runs elsewhere now. The user's choice stays, and its next start may be in a pane again.
        return ""
    return known.by


def _variables(pid: int) -> dict[str, str]:
    """The environment that a process was started with; empty where this user may not read it."""
    try:
        with open(f"/proc/{pid}/environ", encoding="utf-8", errors="surrogateescape") as file:
            return dict(one.partition("=")[::2] for one in file.read().split("\0"))
    except OSError:
        return {}
