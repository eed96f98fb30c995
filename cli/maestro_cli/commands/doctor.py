"""`maestro doctor`: each finding on a line, with the repair.

Rule: the exit code is 1 when something failed; a warning alone is 0.
"""

from __future__ import annotations

from maestro_cli import exit_codes
from maestro_cli.output import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import Option

DETAILS = """\
It changes nothing and shows no mail; the hooks of your agents are tried with a
broker of its own. Exit code 0 when every check passed or gave a warning, 1 when
one failed.

Examples:
  maestro doctor
  maestro doctor --json"""


def run(
    *,
    as_json: Annotated[
        bool, Option(name="--json", help='Print {"state", "findings": [{"name", "state", "what", "repair"}]}.')
    ] = False,
) -> int:
    """Check the installation."""
    from maestro_cli.doctor import checks
    from maestro_cli.doctor.findings import worst
    from maestro_cli.output.render import plain

    found = []
    for finding in checks.run():
        found.append(finding)
        if not as_json:
            line = f"{finding.state:<7}  {finding.name}: {plain(finding.what)}"
            streams.say(f"{line}\n         next: {plain(finding.repair)}" if finding.repair else line)
    state = worst(found)
    if as_json:
        streams.say_json({"state": state, "findings": [finding._asdict() for finding in found]})
    return exit_codes.FAILED if state == "failed" else exit_codes.DONE
