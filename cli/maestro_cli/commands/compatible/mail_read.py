"""`maestro session mail`: `read` shows the unread mail and acknowledges it."""

from __future__ import annotations

from maestro_cli.commands import inbox

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Literal

    from maestro_cli.options import Option

USAGE = "maestro session mail read [OPTIONS]"
DETAILS = """\
A compatible name: the same as `maestro inbox --unread --mark-read`.

Examples:
  maestro session mail read"""


def run(
    action: Annotated[Literal["read"], Option(name="ACTION", help="What to do with it: read.")],
    /,
    *,
    as_json: Annotated[bool, Option(name="--json", help='Print {"messages": [...], "count", "hasMore"}.')] = False,
) -> int:
    """Read the session's mail."""
    assert action == "read"  # noqa: S101 - the parser has looked
    return inbox.run(unread=True, mark_read=True, as_json=as_json)
