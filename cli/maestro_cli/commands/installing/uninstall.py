"""`maestro uninstall`: takes out what `maestro setup` and other commands have put on this machine.

Rule: it shows what it will remove and asks once. Mail is removed with --data alone.
"""

from __future__ import annotations

from maestro_cli import exit_codes
from maestro_cli.context import CommandContext
from maestro_cli.output import streams
from maestro_schemas.errors import MaestroError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Any

    from maestro_cli.options import Option
    from maestro_cli.setup.removal_plan import RemovalPlan
    from maestro_cli.setup.removal_run import RemovalStep

DETAILS = """\
It removes the hooks and the MCP servers of all agents, in your own settings, in
those of this directory's project, and in every other that this post office has
a note of; the service, the links on PATH and the completion; and it stops the
broker and the gateway. A file that no other program has changed is afterwards
what it was before, to the byte. Directories that were made for it go too, where
nothing is in them.

Mail, sessions and your settings of maestro stay. --data removes them as well;
nothing brings them back. The last line says how to remove the program itself.

Exit code 0 when all of it was done, 1 when a part failed; the others are done.

Examples:
  maestro uninstall
  maestro uninstall --dry-run
  maestro uninstall --yes --data"""


def run(
    *,
    yes: Annotated[bool, Option(help="Don't ask.")] = False,
    dry_run: Annotated[bool, Option(name="--dry-run", help="Only show what would be removed.")] = False,
    with_data: Annotated[
        bool, Option(name="--data", help="Also the mail and all else that the post office keeps.")
    ] = False,
    as_json: Annotated[
        bool, Option(name="--json", help='Print {"state", "changed", "removed", "left", "last"} as JSON.')
    ] = False,
) -> int:
    """Take everything out."""
    from maestro_cli.setup import confirmation, package_kind, removal_plan, removal_report, removal_run

    context = _local_context()
    plan = removal_plan.make(context.data, context.environ, with_data=with_data)
    last = package_kind.look().removal
    if not as_json:
        removal_report.show_plan(plan, context.environ)
    if plan.items and not yes and not dry_run:
        if as_json:
            raise MaestroError("INVALID", "--json asks nothing, and this would remove files", "Add --yes.")
        if not confirmation.ask("Remove it?", "uninstall", default=False):
            streams.tell("Nothing was changed.")
            return exit_codes.FAILED
    steps: list[RemovalStep] = []
    for step in removal_run.carry_out(plan, context) if not dry_run else ():
        steps.append(step)
        if not as_json:
            removal_report.show_step(step)
    errors = [*plan.errors, *(step.error for step in steps if step.error is not None)]
    if as_json:
        streams.say_json(_document(plan, errors, last, dry_run=dry_run))
    else:
        removal_report.show_end(plan, last, context.environ, dry_run=dry_run)
    return exit_codes.FAILED if errors else exit_codes.DONE


def _local_context() -> CommandContext:
    """The post office of this machine, also where MAESTRO_BROKER names another."""
    import os

    from maestro_runtime import paths

    environ = {name: value for name, value in os.environ.items() if name != paths.BROKER_VARIABLE}
    return CommandContext(environ, paths.data_dir(environ), None, None)


def _document(plan: RemovalPlan, errors: list[MaestroError], last: str, *, dry_run: bool) -> dict[str, Any]:
    return {
        "state": "failed" if errors else "ok",
        "changed": bool(plan.items),
        "dryRun": dry_run,
        "removed": [{"path": item.path, "about": item.about} for item in plan.items],
        "left": [one._asdict() for one in plan.left],
        "errors": [error.body() for error in errors],
        "last": last,
    }
