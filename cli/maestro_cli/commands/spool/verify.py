"""`maestro spool verify`: check every file.

Rule: it reads everything and changes nothing. Each finding says where the fault is and what to do.
"""

from __future__ import annotations

from maestro_cli import exit_codes
from maestro_cli.context import CommandContext
from maestro_cli.output import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Any

    from maestro_cli.options import Option

DETAILS = """\
It checks each message's file, its name, place, number and mode; the links to
it; the sessions; the checksums of the journal and of the checkpoint, and its
counters against the files; the timeline; the outbox; permissions; and the
quarantine. While a broker runs, checks that need a still data directory are
skipped, and reported so. Exit code 1 when something is wrong.

Examples:
  maestro spool verify
  maestro down && maestro spool verify
  maestro spool verify --json"""

_SHOWN_MAX = 20


def run(
    *,
    as_json: Annotated[
        bool, Option(name="--json", help='Print {"ok", "checks": [...], "findings": [...]} as JSON.')
    ] = False,
) -> int:
    """Check every file."""
    import os

    from maestro_cli.output.progress import progress
    from maestro_cli.processes import spool_process
    from maestro_schemas.errors import MaestroError

    context = CommandContext.here()
    context.check_local("verify")
    if not os.path.isdir(context.data):
        raise MaestroError(
            "DATA_DIR_UNUSABLE", f"there is no {context.data}", "The first command that needs it makes it."
        )
    is_served = spool_process.wait_until_written(context)
    words = spool_process.command("views", context, "verify", *(["--is-served"] if is_served else []))
    checks: list[dict[str, Any]] = []
    findings: list[dict[str, Any]] = []
    unfiled = 0
    with progress("verify") as show:
        name = ""
        for what in spool_process.json_lines(words):
            name = what.get("check", name)
            show(name, what.get("looked", 0))
            if "finding" in what:
                findings.append({"check": what.pop("finding"), **what})
            elif "checked" in what:
                checks.append({"name": what.pop("checked"), **what})
            unfiled = what.get("unfiled", unfiled)
    wrong = sum(check["wrong"] for check in checks)
    if as_json:
        report = {"ok": wrong == 0, "served": is_served, "unfiled": unfiled, "checks": checks, "findings": findings}
        streams.say_json(report)
    else:
        _report(context.data, checks, findings, unfiled)
    return exit_codes.FAILED if wrong else exit_codes.DONE


def _report(data: str, checks: list[dict[str, Any]], findings: list[dict[str, Any]], unfiled: int) -> None:
    for check in checks:
        word = "left out" if check["skipped"] else "ok" if not check["wrong"] else "WRONG"
        note = ", because a broker is running" if check["skipped"] else ""
        streams.say(f"{word:<9} {check['name']}: {check['looked']:,} looked at{note}")
        of_it = [finding for finding in findings if finding["check"] == check["name"]]
        for finding in of_it[:_SHOWN_MAX]:
            streams.tell(f"          {finding['path']}: {finding['why']}\n            next: {finding['todo']}")
        if len(of_it) > _SHOWN_MAX:
            streams.say(f"          and {len(of_it) - _SHOWN_MAX:,} more: maestro spool verify --json")
    if unfiled:
        streams.tell(
            f"The journal has {unfiled:,} records that the next start will file; counters were not compared."
        )
    wrong = sum(check["wrong"] for check in checks)
    streams.say(f"{data}: {wrong:,} wrong." if wrong else f"{data} is as it should be.")
