"""`maestro config path`: where the config file is looked for."""

from __future__ import annotations

from maestro_cli.context import CommandContext
from maestro_cli.output import streams

DETAILS = """\
It need not be there. MAESTRO_CONFIG names another one.

Examples:
  maestro config path
  $EDITOR "$(maestro config path)\""""


def run() -> int:
    """Print the path."""
    from maestro_runtime.paths import config_file

    streams.say(config_file(CommandContext.here().environ))
    return 0
