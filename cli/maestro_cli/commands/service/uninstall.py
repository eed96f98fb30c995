"""`maestro service uninstall`: remove the units.

Rule: the service is stopped first, where systemd can be reached; mail and settings stay.
"""

from __future__ import annotations

import os
import sys

from maestro_cli.context import CommandContext
from maestro_cli.output import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import Option

DETAILS = """\
Examples:
  maestro service uninstall"""


def run(
    *,
    force: Annotated[bool, Option(help="Also units that another program made.")] = False,
    as_json: Annotated[bool, Option(name="--json", help='Print {"removed": [paths]} as JSON.')] = False,
) -> int:
    """Remove the service; mail and settings stay."""
    from maestro_cli.processes import systemd_units
    from maestro_cli.processes.systemctl import systemctl
    from maestro_cli.processes.systemd_units import BYTES_MAX, MARK
    from maestro_runtime import user_files
    from maestro_schemas.errors import MaestroError

    context = CommandContext.here()
    is_mac = sys.platform == "darwin"
    units = (
        systemd_units.launchd(context.data, context.environ)
        if is_mac
        else systemd_units.systemd(context.data, context.environ, http=True)
    )
    there = [path for path in units.files if os.path.exists(path)]
    for path in there:
        if MARK not in (user_files.read(path, BYTES_MAX) or "") and not force:
            raise MaestroError("INVALID", f"{path} was made by another program", "--force removes it anyway.")
    if there and not is_mac:
        systemctl("disable", "--now", f"{units.name}.socket", f"{units.name}.service")
    for path in there:
        os.unlink(path)
    if there and not is_mac:
        systemctl("daemon-reload")
    if as_json:
        streams.say_json({"removed": there})
    else:
        streams.say("\n".join(f"Removed {path}." for path in there) or "No service is installed.")
    return 0
