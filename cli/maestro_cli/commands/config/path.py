"""`maestro config path`: the path of the config file."""

from __future__ import annotations

from maestro_cli.context import CommandContext
from maestro_cli.output import streams

DETAILS = """\
The file need not exist. MAESTRO_CONFIG names another one.

Examples:
  maestro config path
  $EDITOR "$(maestro config path)\""""


def run() -> int:
    """Print the path."""
    from maestro_runtime.paths import config_file

    streams.say(config_file(CommandContext.here().environ))
    return 0
