"""Systemctl: asking systemd, where it can be asked.

Rule: the user's manager may not be there (a container, a session without one); that is told apart from its refusal.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import NamedTuple

_TIMEOUT_S = 60


class SystemctlResult(NamedTuple):
    """`reached`: the manager was there. `done`: it did what it was told. `text`: what it said."""

    reached: bool
    done: bool
    text: str


def systemctl(*words: str) -> SystemctlResult:
    """`systemctl --user WORDS`."""
    found = shutil.which("systemctl")
    if found is None:
        return SystemctlResult(reached=False, done=False, text="systemctl is not installed")
    try:
        ran = subprocess.run(
            [found, "--user", *words], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return SystemctlResult(reached=False, done=False, text=str(error))
    text = (ran.stdout + ran.stderr).strip()
    unreachable = "connect to bus" in text or "not been booted with systemd" in text
    return SystemctlResult(reached=not unreachable, done=ran.returncode == 0, text=text)
