"""`maestro service status`: whether a service is installed, and what systemd says of it.

Rule: looks, and wakes nothing.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

from cyclopts import App, Parameter

from maestro_cli import output
from maestro_cli.desk import Desk

status = App(
    name="status",
    help_epilogue="""\
Examples:
  maestro service status
  maestro service status --json""",
)


@status.default
def run(
    *,
    as_json: Annotated[
        bool, Parameter(name="--json", help='Print {"installed", "units", "broker"} as JSON.')
    ] = False,
) -> int:
    """Show the service's state."""
    from maestro_cli import systemd_units
    from maestro_cli.systemctl import systemctl
    from maestro_clients.broker_process import find

    desk = Desk.here()
    is_mac = sys.platform == "darwin"
    units = (
        systemd_units.launchd(desk.data, desk.environ)
        if is_mac
        else systemd_units.systemd(desk.data, desk.environ, http=True)
    )
    told: dict[str, Any] = {"installed": all(map(os.path.exists, units.files)), "units": {}}
    for path in units.files:
        unit = os.path.basename(path)
        answer = None if is_mac or not os.path.exists(path) else systemctl("is-active", unit)
        state = "not installed" if not os.path.exists(path) else "installed"
        if answer is not None:
            state = (
                answer.text or "unknown" if answer.reached else f"installed; systemd can't be reached ({answer.text})"
            )
        told["units"][unit] = state
    found = find(desk.data)
    told["broker"] = None if found is None or not found.pid else found.pid
    if as_json:
        output.say_json(told)
        return 0
    for unit, state in told["units"].items():
        output.say(f"{unit}: {state}")
    if not told["installed"]:
        output.say("Install it: maestro service install --now")
    if told["broker"] is None:
        output.say("no broker runs" + ("; the first client wakes it" if found is not None else ""))
    else:
        output.say(f"broker: pid {told['broker']}")
    return 0
