"""`maestro session end`: it no longer sends or receives.

Rule: what waits in its mailbox stays there until the retention.
"""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import App, Parameter

from maestro_cli.context import CommandContext
from maestro_cli.output import streams

end = App(
    name="end",
    usage="maestro session end [ID] [OPTIONS]",
    help_epilogue="""\
A session may be ended by itself, by its parent, and by a person (a shell
without a session).

Examples:
  maestro session end
  maestro session end sess_1770536761607_k3v9x2m1a --status failed""",
)


@end.default
def run(
    session_id: Annotated[str | None, Parameter(name="ID", help="Which. Default: this shell's own.")] = None,
    /,
    *,
    status: Annotated[
        Literal["completed", "failed", "stopped"], Parameter(help="How it ended. Default: completed.")
    ] = "completed",
    as_json: Annotated[bool, Parameter(name="--json", help="Print the session as JSON.")] = False,
) -> int:
    """End a session."""
    context = CommandContext.here()
    chosen = session_id or context.session()
    with context.client() as client:
        session = client.end_session(chosen, status=status)
    if as_json:
        streams.say_json(session)
    else:
        streams.say(f"Ended {session['id']}: {session['status']}.")
    return 0
