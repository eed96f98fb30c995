"""`maestro mail inbox`: the mail that this shell's session has not acknowledged yet."""

from __future__ import annotations

from maestro_cli.commands import inbox

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated, Any

    from maestro_cli.options import MailType, Option

DETAILS = """\
A compatible name of `maestro inbox --unread`: new mail, and mail that was shown
before and not acknowledged with `maestro message read ID`.

Examples:
  maestro mail inbox
  maestro mail inbox --type directive"""


def run(
    *,
    kind: Annotated[MailType | None, Option(name="--type", help="Only mail of this type.")] = None,
    as_json: Annotated[bool, Option(name="--json", help='Print {"messages": [...], "count", "hasMore"}.')] = False,
) -> int:
    """Show the mail."""
    from maestro_clients.protocol.documented_words import TYPES

    wanted: Any = None if kind is None else TYPES[kind]
    return inbox.run(unread=True, kind=wanted, as_json=as_json)
