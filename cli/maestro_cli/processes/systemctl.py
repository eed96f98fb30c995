"""Systemctl: calls `systemctl --user`.

Rule: the user's systemd instance may be missing (in a container, or in a login session without one). The result
distinguishes this from a refusal.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import NamedTuple

_TIMEOUT_S = 60


class SystemctlResult(NamedTuple):
    """The outcome of one call."""

    # Whether the user's systemd instance answered.
    reached: bool
    # Whether systemctl succeeded.
    done: bool
    # Its output and error text.
    text: str


def systemctl(*words: str) -> SystemctlResult:
    """Run `systemctl --user WORDS`, for at most 60 s."""
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
