"""`maestro service status`: whether a service is installed, and its state.

Rule: it changes nothing and starts no broker.
"""

from __future__ import annotations

import os
import sys

from maestro_cli.context import CommandContext
from maestro_cli.output import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Any

    from maestro_cli.options import Option

DETAILS = """\
Examples:
  maestro service status
  maestro service status --json"""


def run(
    *,
    as_json: Annotated[bool, Option(name="--json", help='Print {"installed", "units", "broker"} as JSON.')] = False,
) -> int:
    """Show the service's state."""
    from maestro_cli.processes import systemd_units
    from maestro_cli.processes.systemctl import systemctl
    from maestro_clients.processes.broker_process import find

    context = CommandContext.here()
    is_mac = sys.platform == "darwin"
    units = (
        systemd_units.launchd(context.data, context.environ)
        if is_mac
        else systemd_units.systemd(context.data, context.environ, http=True)
    )
    state_of: dict[str, Any] = {"installed": all(map(os.path.exists, units.files)), "units": {}}
    for path in units.files:
        unit = os.path.basename(path)
        answer = None if is_mac or not os.path.exists(path) else systemctl("is-active", unit)
        state = "not installed" if not os.path.exists(path) else "installed"
        if answer is not None:
            state = (
                answer.text or "unknown" if answer.reached else f"installed; systemd can't be reached ({answer.text})"
            )
        state_of["units"][unit] = state
    found = find(context.data)
    state_of["broker"] = None if found is None or not found.pid else found.pid
    if as_json:
        streams.say_json(state_of)
        return 0
    for unit, state in state_of["units"].items():
        streams.say(f"{unit}: {state}")
    if not state_of["installed"]:
        streams.say("Install it: maestro service install --now")
    if state_of["broker"] is None:
        streams.say("no broker runs" + ("; the first client starts it" if found is not None else ""))
    else:
        streams.say(f"broker: pid {state_of['broker']}")
    return 0
