"""`maestro index status`: whether the search index is there, and how far it has read.

Rule: it starts neither a broker nor the index's process, and makes no index.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext
from maestro_cli.output import streams
from maestro_schemas.errors import MaestroError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Any

    from maestro_cli.options import Option

DETAILS = """\
The first search makes the index, and each search reads on to the newest mail.
It is derived from the mail: `maestro index rebuild` makes it again.

Examples:
  maestro index status
  maestro index status --json"""


def run(
    *,
    as_json: Annotated[
        bool, Option(name="--json", help='Print {"bytes", "running", "upTo", "head", "messages", ...} as JSON.')
    ] = False,
) -> int:
    """Show the state of the index."""
    context = CommandContext.here().as_operator()
    client = context.open_client()
    if client is None:
        raise MaestroError(
            "BROKER_UNREACHABLE",
            f"no broker runs for {context.data}, and it keeps the index",
            "Start one: maestro up",
        )
    with client:
        stats = client.stats()
    state: dict[str, Any] = {**stats["index"], "head": stats["headLsn"]}
    if as_json:
        streams.say_json(state)
        return 0
    from maestro_cli.output import screen

    streams.say(screen.fit("\n".join(lines(state))))
    return 0


def lines(state: dict[str, Any]) -> list[str]:
    """The state in words."""
    from maestro_clients.texts.byte_counts import size

    if not state["bytes"]:
        return ["There is no index yet; the first search makes it."]
    found = []
    if "messages" in state:
        behind = state["head"] - state["upTo"]
        newest = "the newest record" if behind == 1 else f"the newest {behind:,} records"
        where = "all mail" if behind <= 0 else f"all but {newest}, which the next search reads"
        found.append(f"The index has {where}: {state['messages']:,} messages, {size(state['bytes'])}.")
    else:
        found.append(f"The index is there, {size(state['bytes'])}; its process runs again with the next search.")
    if "rebuilding" in state:
        found.append(f"It is being made again: {state['rebuilding']:.0%} are done.")
    if state.get("fullText") is False:
        found.append("It is without full text, since SQLite has no FTS5 here: searches for words take longer.")
    return found
