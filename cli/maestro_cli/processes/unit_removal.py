"""Unit removal: finds the units of a data directory's service, and removes them.

Rule: the service is stopped first, where systemd can be reached. A unit of another program is known by its text.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from maestro_runtime import user_files

from . import systemd_units
from .systemctl import systemctl

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def units_of(data: str, environ: Mapping[str, str]) -> list[str]:
    """The paths at which there are units with the names of this data directory's."""
    if sys.platform == "darwin":
        units = systemd_units.launchd(data, environ)
    else:
        units = systemd_units.systemd(data, environ, http=True)
    return [path for path in units.files if os.path.exists(path)]


def is_ours(path: str) -> bool:
    """Whether `maestro service install` has made this unit. Raises MaestroError FILE_UNREADABLE."""
    return systemd_units.MARK in (user_files.read(path, systemd_units.BYTES_MAX) or "")


def remove(paths: Sequence[str]) -> None:
    """Stop the units, and remove them. Raises OSError."""
    is_mac = sys.platform == "darwin"
    if not is_mac:
        systemctl("disable", "--now", *(os.path.basename(path) for path in paths))
    for path in paths:
        os.unlink(path)
    if not is_mac:
        systemctl("daemon-reload")
