"""`maestro session rename`: give a session another name.

Rule: only names change; the id, the mail and the conversations stay.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext
from maestro_cli.output import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import Option

USAGE = "maestro session rename NAME [OPTIONS]"
DETAILS = """\
A session may be renamed by itself, by its parent, and by the operator (a
shell without a session). A name that another active session has is refused.

Examples:
  maestro session rename reviewer
  maestro session rename reviewer --id sess_1770536761607_k3v9x2m1a"""


def run(
    name: Annotated[str, Option(name="NAME", help="The new name.")],
    /,
    *,
    session_id: Annotated[
        str | None, Option(name="--id", metavar="ID", help="Id or present name. Default: this shell's own.")
    ] = None,
    replace: Annotated[bool, Option(help="End the active session that has the new name.")] = False,
    as_json: Annotated[bool, Option(name="--json", help="Print the session as JSON.")] = False,
) -> int:
    """Rename a session."""
    context = CommandContext.here()
    chosen = session_id or context.session()
    with context.client() as client:
        session = client.rename_session(name, chosen, replace=replace)
    if as_json:
        streams.say_json(session)
    else:
        from maestro_cli.output.render import plain

        streams.say(f"Renamed {session['id']}: {plain(session.get('name', '-'))}.")
    return 0
