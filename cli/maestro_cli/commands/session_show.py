"""`maestro session show`: one session.

Rule: by id, or by a name that one active session has.
"""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from maestro_cli import output
from maestro_cli.desk import Desk, now_ms

show = App(
    name="show",
    usage="maestro session show [ID] [OPTIONS]",
    help_epilogue="""Examples:
  maestro session show
  maestro session show bob --json""",
)


@show.default
def run(
    session_id: Annotated[str | None, Parameter(name="ID", help="Id or name. Default: this shell's own.")] = None,
    /,
    *,
    as_json: Annotated[bool, Parameter(name="--json", help="Print the session as JSON.")] = False,
) -> int:
    """Show a session."""
    desk = Desk.here()
    chosen = session_id or desk.session()
    with desk.client() as client:
        session = client.session(chosen)
    if as_json:
        output.say_json(session)
    else:
        from maestro_cli.render import session_lines

        output.say("\n".join(session_lines(session, now_ms())))
    return 0
