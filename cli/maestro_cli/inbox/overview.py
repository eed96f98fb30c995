"""Overview: what a session got or sent, whatever its status; it marks nothing."""

from __future__ import annotations

from maestro_cli.history.log_lines import flat
from maestro_cli.history.log_view import LogQuery, LogView
from maestro_cli.output import streams

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from maestro_cli.context import CommandContext

DEFAULT_COUNT = 20


def show(
    context: CommandContext, box: str, *, session: str | None, count_max: int | None, quiet: bool, as_json: bool
) -> int:
    """Print the newest messages of `box` (`in`, `out`), the newest last; returns the exit code. `session`: another
    session's mail. Raises MaestroError, and as `streams.say`."""
    view = LogView(context, LogQuery(session=session, box=box, limit=count_max or DEFAULT_COUNT), as_json=as_json)
    with context.client() as client:
        found = view.find(client)
    context.locate([said["message"] for said in found.messages], None)
    if as_json:
        count = len(found.messages)
        streams.say_json({"messages": list(map(flat, found.messages)), "count": count, "hasMore": found.has_more})
        return 0
    for message in found.messages:
        view.show(message)
    if found.has_more:
        streams.note(f"maestro: these are the newest {len(found.messages)}; --limit shows more")
    elif not found.messages and not quiet:
        streams.say("No messages." if box == "in" else "No messages were sent.")
    return 0
