"""`maestro config path`: where the config file is looked for."""

from __future__ import annotations

from cyclopts import App

from maestro_cli import output
from maestro_cli.desk import Desk

path = App(
    name="path",
    help_epilogue="""It need not be there. MAESTRO_CONFIG names another one.

Examples:
  maestro config path
  $EDITOR "$(maestro config path)\"""",
)


@path.default
def run() -> int:
    """Print the path."""
    from maestro_schemas.paths import config_file

    output.say(config_file(Desk.here().environ))
    return 0
