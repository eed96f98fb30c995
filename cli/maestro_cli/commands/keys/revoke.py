"""`maestro keys revoke`: revoke a key.

Rule: it changes only the key's file, so it works without a broker. A running broker reads the file before the next
request, and closes connections that only listen within a second.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext, now_ms
from maestro_cli.output import streams
from maestro_schemas.errors import MaestroError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import Option

DETAILS = """\
Examples:
  maestro keys revoke laptop"""


def run(
    name: Annotated[str, Option(help="The key's name, as `maestro keys list` shows it.")],
    /,
    *,
    as_json: Annotated[bool, Option(name="--json", help='Print {"name", "revokedAt"} as JSON.')] = False,
) -> int:
    """Revoke a key."""
    from maestro_runtime import key_files, ownership
    from maestro_schemas.names import is_id

    context = CommandContext.here()
    ownership.check_data_dir(context.data)
    context.check_local("revoke a key of")
    key = key_files.read(context.data, name) if is_id(name) else None
    if key is None:
        raise MaestroError("KEY_NOT_FOUND", f"there is no key {name!r:.80}", "`maestro keys list` shows them.")
    if key.revoked_at is None:
        key = key._replace(revoked_at=now_ms())
        key_files.write(context.data, key)
    if as_json:
        streams.say_json({"name": name, "revokedAt": key.revoked_at})
    else:
        streams.tell(f"Revoked the key {name}: it opens no new connection, and its open ones are closed.")
    return 0
