"""`maestro config path`: the path of the config file."""

from __future__ import annotations

import os

from maestro_cli.output import streams
from maestro_runtime import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import Option

DETAILS = """\
The file need not exist. MAESTRO_CONFIG names another one.

Examples:
  maestro config path
  $EDITOR "$(maestro config path)\""""


def run(*, as_json: Annotated[bool, Option(name="--json", help='Print {"path", "exists"} as JSON.')] = False) -> int:
    """Print the path."""
    path = paths.config_file(os.environ)
    streams.say(streams.json_line({"path": path, "exists": os.path.exists(path)}) if as_json else path)
    return 0
