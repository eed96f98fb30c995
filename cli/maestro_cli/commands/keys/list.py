"""`maestro keys list`: the keys, and the sessions that each may speak for.

Rule: read from the files, so it works without a broker; they contain no secret.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext, now_ms
from maestro_cli.output import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import Option

DETAILS = """\
`maestro status --all` shows when each key was last used.

Examples:
  maestro keys list
  maestro keys list --json"""


def run(*, as_json: Annotated[bool, Option(name="--json", help='Print {"keys": [...]} as JSON.')] = False) -> int:
    """List the keys."""
    from maestro_clients.texts.ages import age
    from maestro_runtime import key_files, ownership

    context = CommandContext.here()
    ownership.check_data_dir(context.data)
    context.check_local("list the keys of")
    keys = key_files.read_all(context.data)
    if as_json:
        shown = [
            {
                "name": key.name,
                "publicKey": key.public,
                "speaksFor": key.scope(),
                "createdAt": key.created_at,
                **({"revokedAt": key.revoked_at} if key.revoked_at is not None else {}),
            }
            for key in keys
        ]
        streams.say_json({"keys": shown})
        return 0
    if not keys:
        streams.tell("There are no keys. Make one: maestro keys new NAME")
        return 0
    from maestro_cli.output.styles import styled
    from maestro_cli.output.tables import Column, table, terminal_width

    now = now_ms()
    columns = [Column("NAME"), Column("STATE"), Column("MADE", 2), Column("SPEAKS FOR", 1, least=14, wraps=True)]
    rows = []
    for key in keys:
        revoked = None if key.revoked_at is None else styled(f"revoked {age(key.revoked_at, now)}", "red")
        rows.append((key.name, revoked or "good", age(key.created_at, now), key.scope()))
    streams.say("\n".join(table(columns, rows, terminal_width(context.environ))))
    return 0
