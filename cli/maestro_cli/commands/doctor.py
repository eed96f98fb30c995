"""`maestro doctor`: what is not as it must be, each with the repair; with --fix, made.

Rule: the exit code is 1 when something failed; a warning alone is 0.
"""

from __future__ import annotations

from maestro_cli import exit_codes
from maestro_cli.output import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.doctor.findings import DoctorFinding, RepairOutcome
    from maestro_cli.options import Option

DETAILS = """\
Without --fix it changes nothing and shows no mail; the hooks of your agents are
tried with a broker of its own. --fix makes private what others may read, writes
hooks and links that are missing or have moved, removes what a killed broker has
left, has a damaged search index made again, and sends what waits in the outbox.
It deletes no mail and asks nothing; what it leaves to you is said after it.
Exit code 0 when every check passed or gave a warning, 1 when one failed.

Examples:
  maestro doctor
  maestro doctor --all
  maestro doctor --fix --dry-run
  maestro doctor --json"""


def run(
    *,
    every: Annotated[bool, Option(name="--all", help="Also show the checks that are ok.")] = False,
    fix: Annotated[bool, Option(name="--fix", help="Repair what is safe, then check.")] = False,
    dry_run: Annotated[bool, Option(name="--dry-run", help="With --fix: only show what would be repaired.")] = False,
    as_json: Annotated[
        bool,
        Option(name="--json", help='Print {"state", "findings": [{"name", "state", "what", "repair"}], "repairs"?}.'),
    ] = False,
) -> int:
    """Check the installation."""
    from maestro_cli.doctor import checks
    from maestro_cli.doctor.findings import worst
    from maestro_schemas.errors import MaestroError

    if dry_run and not fix:
        raise MaestroError("INVALID", "--dry-run is for --fix", "Add --fix, or leave --dry-run off.")
    made = _repaired(dry_run=dry_run, as_json=as_json) if fix else None
    found = []
    for finding in () if dry_run else checks.run():
        found.append(finding)
        if not as_json and (every or finding.state != "ok"):
            _say(finding)
    state = worst(found)
    if as_json:
        repairs = {} if made is None else {"repairs": [one._asdict() for one in made]}
        streams.say_json({"state": state, "findings": [one._asdict() for one in found], **repairs})
    elif not every and not dry_run:
        count = sum(finding.state == "ok" for finding in found)
        others = "" if count == len(found) else "the other "
        streams.tell(f"{others}{count} checks are ok (--all shows them)")
    has_failed = state == "failed" or any(one.state == "failed" for one in made or ())
    return exit_codes.FAILED if has_failed else exit_codes.DONE


def _repaired(*, dry_run: bool, as_json: bool) -> list[RepairOutcome]:
    from maestro_cli.doctor import repairs

    made = []
    for outcome in repairs.run(dry_run=dry_run):
        made.append(outcome)
        if not as_json:
            _say(outcome)
    if not made and not as_json:
        streams.tell("Nothing is there that can be repaired safely.")
    return made


def _say(line: DoctorFinding | RepairOutcome) -> None:
    from maestro_cli.setup import setup_report

    setup_report.show_line(line.state, line.name, line.what, line.repair)
