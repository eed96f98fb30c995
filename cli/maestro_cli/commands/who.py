"""`maestro who`: what each session does now: who waits for a person, works, idles, or is gone.

Rule: exit code 0 whatever they do; a state is never said without its sign. The JSON is one array, with `--watch` one
object for each change.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext, now_ms
from maestro_cli.output import streams
from maestro_schemas.errors import START_A_SESSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import Option

DETAILS = """\
What each does now, those that wait for a person first; `maestro session list`
says what each is and where it works.

STATE: waiting (for a person), working, idle, watching (its inbox), gone (its
process has ended), no sign (as of a shell without an agent; `unknown` in JSON).
SINCE is the age of the sign, BY what gave it: hook, process, subscription,
broker. NEW is the mail that it was not shown, OLDEST the age of the oldest of
it. A turn without a sign for 15 minutes is `silent`; it is not called ended.
Behind `idle` stands what matters of its wakes: woken, unanswered, held or off
(`maestro wake`).

Examples:
  maestro who
  maestro who --project shop --watch
  maestro who --watch --json | jq -r 'select(.state == "waiting") | .session'"""


def run(
    *,
    project: Annotated[str | None, Option(metavar="PROJECT", help="Only sessions of this project.")] = None,
    watch: Annotated[bool, Option(name=["--watch", "-w"], help="Then show each change, until Ctrl-C.")] = False,
    as_json: Annotated[
        bool, Option(name="--json", help="Print a JSON array; with --watch, one object a change.")
    ] = False,
) -> int:
    """Show who is here."""
    from maestro_cli.presence import who_table

    context = CommandContext.here()
    if watch:
        from maestro_cli.presence import who_watch

        context.full_client().close()  # starts a missing broker
        who_watch.watch(context, project, as_json=as_json)
        return 0
    with context.client() as client:
        found = who_table.ordered(client.presence(project_id=project))
    if as_json:
        streams.say_json(found)
        return 0
    from maestro_cli.output.tables import terminal_width

    width = terminal_width(context.environ)
    lines = [*who_table.table(found, context.own_session, now_ms(), width), *who_table.waits(found, width)]
    (streams.say if found else streams.tell)("\n".join(lines) if found else f"No sessions. {START_A_SESSION}")
    return 0
