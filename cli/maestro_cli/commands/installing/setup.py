"""`maestro setup`: everything that mail between the agents of this machine needs, at once.

Rule: it shows what it will write and asks once. Where nothing is missing, nothing is written.
"""

from __future__ import annotations

from maestro_cli import exit_codes
from maestro_cli.context import CommandContext
from maestro_cli.output import streams
from maestro_schemas.errors import MaestroError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Any

    from maestro_cli.doctor.findings import DoctorFinding
    from maestro_cli.options import Option
    from maestro_cli.setup.setup_plan import SetupPlan
    from maestro_cli.setup.setup_run import SetupStep

USAGE = "maestro setup [AGENT...] [OPTIONS]"
DETAILS = """\
It finds Claude Code, Codex, Gemini CLI, Qwen Code and OpenCode by their command
or by their settings folder, and installs the hooks by which they get their
mail. Then it makes a link to the command, starts the broker, sends itself a
message, and shows what `maestro doctor` finds wrong. It edits no file of your
shell. `maestro uninstall` takes all of it out again.

Exit code 0 when all of it was done, 1 when a part failed; the others are done.

Examples:
  maestro setup
  maestro setup --dry-run
  maestro setup --yes
  maestro setup claude-code codex --mcp"""


def run(
    *names: Annotated[str, Option(name="AGENT", help="Only these agents. Default: all that are here.")],
    yes: Annotated[bool, Option(help="Don't ask.")] = False,
    dry_run: Annotated[bool, Option(name="--dry-run", help="Only show what would be written.")] = False,
    mcp: Annotated[
        bool, Option(name="--mcp", help="Also the MCP server `maestro mcp`, with tools to write and answer.")
    ] = False,
    wake: Annotated[
        bool | None,
        Option(
            name="--wake",
            negative="--no-wake",
            help="Whether mail may start a turn of an idle agent. Default: what is installed, else yes.",
        ),
    ] = None,
    as_json: Annotated[
        bool, Option(name="--json", help='Print {"state", "changed", "files", "steps", "findings"} as JSON.')
    ] = False,
) -> int:
    """Set everything up."""
    from maestro_cli.setup import confirmation, setup_plan, setup_report, setup_run

    context = CommandContext.here(linked=False)
    plan = setup_plan.make(context.data, context.environ, names, wake=wake, mcp=mcp)
    if not as_json:
        setup_report.show_plan(plan, context.environ)
    if dry_run:
        if as_json:
            streams.say_json(_document(plan, [], dry_run=True))
        return exit_codes.FAILED if any(one.error for one in plan.agents) else exit_codes.DONE
    if plan.is_needed and not yes:
        if as_json:
            raise MaestroError("INVALID", "--json asks nothing, and this would change files", "Add --yes.")
        if not confirmation.ask("Do it?", "setup", default=True):
            streams.tell("Nothing was changed.")
            return exit_codes.FAILED
    steps: list[SetupStep] = []
    for step in setup_run.carry_out(plan, context):
        steps.append(step)
        if not as_json:
            setup_report.show_step(step)
    if not as_json:
        streams.note("Checking it...")
    findings = _findings(steps)
    if as_json:
        streams.say_json({**_document(plan, steps), "findings": [one._asdict() for one in findings]})
    else:
        for finding in findings:
            setup_report.show_finding(finding)
        if all(step.state in ("done", "unchanged") for step in steps) and not findings:
            streams.say("All checks are ok.")
        if plan.agents:
            setup_report.show_next(plan)
    has_failed = any(step.state == "failed" for step in steps) or any(one.state == "failed" for one in findings)
    return exit_codes.FAILED if has_failed else exit_codes.DONE


def _findings(steps: list[SetupStep]) -> list[DoctorFinding]:
    """What the doctor does not call ok, without what a step has said."""
    from maestro_cli.doctor import checks

    said = {step.name for step in steps if step.state in ("warning", "failed")}
    words = "\n".join(step.what for step in steps)
    return [
        one
        for one in checks.run()
        if one.state != "ok"
        and one.name not in said
        and one.what not in words
        and not (one.repair and one.repair in words)
    ]


def _document(plan: SetupPlan, steps: list[SetupStep], *, dry_run: bool = False) -> dict[str, Any]:
    failed = [step.name for step in steps if step.state == "failed"]
    failed += [one.agent.name for one in plan.agents if dry_run and one.error is not None]
    return {
        "state": "failed" if failed else "ok",
        "changed": plan.is_needed,
        "dryRun": dry_run,
        "agents": [{"agent": one.agent.name, "foundBy": one.sign} for one in plan.agents],
        "files": [{"path": path, "about": about} for path, about in plan.files],
        "steps": [step._asdict() for step in steps],
    }
