"""`maestro index rebuild`: make the search index again from the mail."""

from __future__ import annotations

from maestro_cli.context import CommandContext
from maestro_cli.output import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import Option

DETAILS = """\
For the operator: a shell without a session. Searches are answered meanwhile,
from what is there. An index that is damaged is made again without this.

Examples:
  maestro index rebuild
  maestro index rebuild --json"""


def run(
    *,
    as_json: Annotated[bool, Option(name="--json", help='Print {"upTo", "head", "tookMs"} as JSON.')] = False,
) -> int:
    """Make the index again."""
    import time

    from maestro_cli.archive import rebuild
    from maestro_cli.output.render import duration

    context = CommandContext.here()
    began = time.monotonic()
    with context.client() as client:
        state = rebuild.run(client)
    took_ms = round((time.monotonic() - began) * 1000)
    if as_json:
        streams.say_json({**state, "tookMs": took_ms}, done="The index was made again.")
        return 0
    streams.tell(f"The index was made again in {duration(took_ms)}, up to record {state['upTo']:,}.")
    return 0
