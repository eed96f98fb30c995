"""Directories: where the platform keeps a user's files, from platformdirs.

Rule: for code that is not on the fast path. Importing platformdirs costs 16 ms, so `paths` resolves by hand the
directories that every command needs; a test holds both to the same answer. platformdirs reads this process's
environment, so these functions take none.
"""

from __future__ import annotations

import os

import platformdirs
from platformdirs.unix import Unix

from . import paths

APP = "maestro"


def config_file() -> str:
    """The file of settings: MAESTRO_CONFIG, else `config.toml` in the user's config directory."""
    if os.environ.get(paths.CONFIG_VARIABLE):
        return paths.config_file(os.environ)
    return os.path.join(platformdirs.user_config_dir(APP), "config.toml")


def xdg_data_dir() -> str:
    """XDG_DATA_HOME or its default, on every platform: where shells look for completion scripts."""
    return Unix().user_data_dir


def xdg_config_dir() -> str:
    """XDG_CONFIG_HOME or its default, on every platform: where fish and systemd look for a user's files."""
    return Unix().user_config_dir
