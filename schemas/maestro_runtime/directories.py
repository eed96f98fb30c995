"""Directories: where other programs look for a user's files, from platformdirs.

Rule: for code that is not on the fast path. Importing platformdirs costs 16 ms, so `paths` resolves by hand our own
directories; a test holds both to the same answer. platformdirs reads this process's environment, so these functions
take none.
"""

from __future__ import annotations

import os

from platformdirs.unix import Unix

from . import paths


def xdg_data_dir() -> str:
    """XDG_DATA_HOME or its default, on every platform: where shells look for completion scripts."""
    _check_home()
    return Unix().user_data_dir


def xdg_config_dir() -> str:
    """XDG_CONFIG_HOME or its default, on every platform: where fish and systemd look for a user's files."""
    _check_home()
    return Unix().user_config_dir


def _check_home() -> None:
    """Raises MaestroError DATA_DIR_UNUSABLE: without a home directory, platformdirs answers with a path that begins
    with `~`."""
    paths.home(os.environ)
