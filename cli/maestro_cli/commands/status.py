"""`maestro status`: whether the broker is well, on one screen; with --all everything that it says of itself.

Rule: it changes nothing and starts no broker.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext
from maestro_cli.output import streams
from maestro_cli.output.render import plain
from maestro_schemas.errors import MaestroError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Any

    from maestro_cli.options import Option
    from maestro_clients.one_shot_client import AnyClient

DETAILS = """\
With no broker running it says so, exit code 6.

Examples:
  maestro status
  maestro status --all
  maestro status --json"""


def run(
    *,
    every: Annotated[bool, Option(name="--all", help="Everything, with every limit and its source.")] = False,
    as_json: Annotated[bool, Option(name="--json", help="Print everything as JSON.")] = False,
) -> int:
    """Show the broker's state."""
    from maestro_clients.processes import gateway_process

    context = CommandContext.here()
    client = context.open_client()
    if client is None:
        raise _not_served(context)
    with client:
        stats = client.stats()
        names = {} if every or as_json else _names(client, stats)
    gateway = gateway_process.find(context.data)
    stats["http"] = (
        {"running": False} if gateway is None else {"running": True, "pid": gateway.pid, "url": gateway.url}
    )
    if as_json:
        streams.say_json(stats)
        return 0
    from maestro_cli.output import status_summary, status_text
    from maestro_cli.output.tables import terminal_width

    width = terminal_width(context.environ)
    lines = status_text.lines(stats, width) if every else status_summary.lines(stats, names, width)
    streams.say("\n".join(lines))
    return 0


def _names(client: AnyClient, stats: dict[str, Any]) -> dict[str, str]:
    """The names of the sessions whose mailboxes are the fullest."""
    found = {}
    for session_id in stats.get("mailboxes", {}).get("fullest", {}):
        try:
            name = client.session(session_id).get("name")
        except MaestroError as error:
            if error.kind != "client":
                raise
            continue  # its mail outlives it
        if name:
            found[session_id] = name
    return found


def _not_served(context: CommandContext) -> MaestroError:
    """Why no broker answers: none runs, or one runs that can't be reached."""
    from maestro_runtime import paths
    from maestro_runtime.traces import end_note, lock_file, update_file

    holder = lock_file.holder(context.data)
    if holder is not None and (says := update_file.read(context.data)) is not None:
        return MaestroError(
            "BROKER_UNREACHABLE",
            f"a broker (pid {holder.pid}) brings the files in {context.data} up to date ({plain(says)}), and serves "
            "when it has done that",
            "`maestro up` waits for it and shows how far it is; nothing is lost meanwhile.",
            details={"pid": holder.pid},
        )
    if holder is not None:
        return MaestroError(
            "BROKER_UNREACHABLE",
            f"a broker (pid {holder.pid}) runs for {context.data}, and nothing listens at its socket: it is "
            + ("stopping" if holder.is_stopping else "starting, or its sockets were removed"),
            f"Try again in a moment; {context.data}/logs/broker.log says what it does. `maestro down` ends it by its "
            "pid.",
            details={"pid": holder.pid},
        )
    ended = end_note.read(paths.runtime_dir(context.data, context.environ))
    why = f"; the last one had to end: {plain(ended)}" if ended is not None else ""
    return MaestroError("BROKER_UNREACHABLE", f"no broker runs for {context.data}{why}", "Start one: maestro up")
