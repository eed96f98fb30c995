"""Client version: whether the agent that is installed here knows the hook that wakes it.

Rule: a version that can't be found out counts as new enough, because only old ones don't know the hook. An old one
must not see it in its settings: Claude Code 2.1.59 skipped the whole file, and so ran no hook at all.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maestro_cli.hooks.agents import Agent

_VERSION_S = 10.0
_VERSION: Final = re.compile(r"\b(\d+)\.(\d+)\.(\d+)\b")
# The program of each agent that a hook of its own wakes, and the first version that knows that hook.
_FLOORS: Final = {"claude-code": ("claude", (2, 1, 83))}


def too_old(agent: Agent, environ: Mapping[str, str]) -> str:
    """The installed version, if it does not know the hook that wakes the agent; else empty."""
    program, floor = _FLOORS.get(agent.name, ("", (0, 0, 0)))
    found = installed(program, environ) if program else None
    return ".".join(map(str, found)) if found is not None and found < floor else ""


def floor(agent: Agent) -> str:
    """The first version that knows the hook; empty where there is no such hook."""
    _, version = _FLOORS.get(agent.name, ("", ()))
    return ".".join(map(str, version))


def installed(program: str, environ: Mapping[str, str]) -> tuple[int, ...] | None:
    """The version of a program on PATH; None where there is none, or it does not say."""
    path = shutil.which(program, path=environ.get("PATH", ""))
    if path is None:
        return None
    try:
        done = subprocess.run(
            [path, "--version"],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_VERSION_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    said = _VERSION.search(done.stdout)
    return tuple(map(int, said.groups())) if said is not None else None
