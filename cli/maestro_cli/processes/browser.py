"""Browser: opens an address with the program that the system has for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

# An opener hands the address over and ends; one that stays is the browser itself.
_WAIT_S = 3.0
_DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")


def open_page(address: str) -> bool:
    """Open a URL, or the path of a file; whether a program took it. Without a screen none is tried: a browser for
    terminals would take this one."""
    opener = _opener()
    if opener is None:
        return False
    try:
        child = subprocess.Popen(
            [opener, address],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        return False
    try:
        return child.wait(_WAIT_S) == 0
    except subprocess.TimeoutExpired:
        return True


def _opener() -> str | None:
    if sys.platform == "darwin":
        return shutil.which("open")
    if not any(os.environ.get(name) for name in _DISPLAYS):
        return None
    return shutil.which("xdg-open")
