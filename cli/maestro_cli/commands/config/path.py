"""`maestro config path`: the path of the config file."""

from __future__ import annotations

from maestro_cli.output import streams

DETAILS = """\
The file need not exist. MAESTRO_CONFIG names another one.

Examples:
  maestro config path
  $EDITOR "$(maestro config path)\""""


def run() -> int:
    """Print the path."""
    from maestro_runtime import directories

    streams.say(directories.config_file())
    return 0
