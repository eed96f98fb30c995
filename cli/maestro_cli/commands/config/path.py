"""`maestro config path`: the path of the config file."""

from __future__ import annotations

import os

from maestro_cli.output import streams
from maestro_runtime import paths

DETAILS = """\
The file need not exist. MAESTRO_CONFIG names another one.

Examples:
  maestro config path
  $EDITOR "$(maestro config path)\""""


def run() -> int:
    """Print the path."""
    streams.say(paths.config_file(os.environ))
    return 0
