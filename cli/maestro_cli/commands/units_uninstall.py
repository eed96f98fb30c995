"""`maestro service uninstall`: take the units away again.

Rule: stopped first, where systemd can be reached; mail and settings stay.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

from cyclopts import App, Parameter

from maestro_cli import output
from maestro_cli.desk import Desk

uninstall = App(
    name="uninstall",
    help_epilogue="""\
Examples:
  maestro service uninstall""",
)


@uninstall.default
def run(*, force: Annotated[bool, Parameter(help="Also units that something else made.")] = False) -> int:
    """Remove the service; mail and settings stay."""
    from maestro_cli import systemd_units
    from maestro_cli.systemctl import systemctl
    from maestro_cli.systemd_units import MARK
    from maestro_schemas.errors import MaestroError

    desk = Desk.here()
    is_mac = sys.platform == "darwin"
    units = (
        systemd_units.launchd(desk.data, desk.environ)
        if is_mac
        else systemd_units.systemd(desk.data, desk.environ, http=True)
    )
    there = [path for path in units.files if os.path.exists(path)]
    if not there:
        output.say("No service is installed.")
        return 0
    for path in there:
        with open(path, encoding="utf-8", errors="replace") as file:
            if MARK not in file.read() and not force:
                raise MaestroError(
                    "INVALID", f"{path} was made by something else", "--force removes it all the same."
                )
    if not is_mac:
        systemctl("disable", "--now", f"{units.name}.socket", f"{units.name}.service")
    for path in there:
        os.unlink(path)
        output.say(f"Removed {path}.")
    if not is_mac:
        systemctl("daemon-reload")
    return 0
