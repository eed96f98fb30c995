"""Own session: this shell's session, changed as Maestro's own client changes it.

Rule: the hooks of Maestro's agents call these commands, and print to the agent what the command prints. So they print
nothing without --json. A session that has ended comes back with the next sign of work, as in Maestro.
"""

from __future__ import annotations

from maestro_cli.output import streams
from maestro_schemas.errors import MaestroError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from maestro_cli.context import CommandContext
    from maestro_clients.one_shot_client import AnyClient
    from maestro_schemas.documents import SessionDoc

_ENDED = frozenset({"completed", "failed", "stopped"})


def working(context: CommandContext, client: AnyClient, **fields: Any) -> SessionDoc:
    """Say that the session works, which starts it if it is not there or has ended. `fields`: what it is if it is
    new."""
    own = context.session()
    operator = context.as_operator().caller
    try:
        session = client.session(own, caller=operator)
    except MaestroError as error:
        if error.code != "SESSION_NOT_FOUND":
            raise
        return client.start_session(own, token=context.own_token, status="working", caller=operator, **fields)
    if session["status"] in _ENDED:
        return client.start_session(own, token=context.own_token, status="working", caller=operator)
    return client.touch_session(own, status="working", needsInput={"active": False})


def report(session: SessionDoc, *, as_json: bool) -> int:
    """Print the session, if it was asked for; returns the exit code."""
    if as_json:
        streams.say_json(session)
    return 0
