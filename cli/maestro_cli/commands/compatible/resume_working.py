"""`maestro session resume-working`: say that this shell's session works again."""

from __future__ import annotations

from maestro_cli.context import CommandContext

from . import own_session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import Option

DETAILS = """\
A compatible name: Maestro's hooks call it at each prompt. It waits for no
person any more, and a session that had ended is started again. It prints
nothing without --json.

Examples:
  maestro session resume-working"""


def run(
    *,
    as_json: Annotated[bool, Option(name="--json", help="Print the session as JSON.")] = False,
) -> int:
    """Say that the session works again."""
    context = CommandContext.here()
    with context.client() as client:
        session = own_session.working(context, client)
    return own_session.report(session, as_json=as_json)
