"""`maestro session start`: an address that can send and receive.

Rule: id and token are made here, so that a lost answer can be asked for again; the token is shown once and kept
by nobody but the caller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Parameter

from maestro_cli.context import CommandContext
from maestro_cli.output import streams
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from maestro_clients.client import Client
    from maestro_schemas.documents import SessionDoc

start = App(
    name="start",
    help_epilogue="""\
Without --parent, the session of this shell (MAESTRO_SESSION_ID) becomes the
parent, and its project is inherited. A worker may start only workers.

Examples:
  eval "$(maestro session start --name alice --role orchestrator --export)"
  maestro session start --name bob --project shop --json
  maestro session start --id sess_ci --task task_456""",
)

# The caller's own session is of no use as a parent then, which is no reason not to start.
_STALE = frozenset({"UNKNOWN_SESSION", "SESSION_ENDED"})
_ENDED = ("completed", "failed", "stopped")


@start.default
def run(
    *,
    session_id: Annotated[
        str | None,
        Parameter(name="--id", metavar="ID", help="Its id; made up if left out. An id that exists is started again."),
    ] = None,
    name: Annotated[
        str | None, Parameter(metavar="NAME", help="A name that others can send to while it is active.")
    ] = None,
    role: Annotated[Literal["orchestrator", "worker"], Parameter(help="What it may do. Default: worker.")] = "worker",
    project: Annotated[
        str | None,
        Parameter(
            metavar="PROJECT", help="Its project; workers reach workers of the same one. Default: the parent's."
        ),
    ] = None,
    parent: Annotated[str | None, Parameter(metavar="ID", help="The id of the session that it belongs to.")] = None,
    task: Annotated[
        list[str] | None, Parameter(metavar="ID", help="An id of a task it works on; may be repeated.")
    ] = None,
    agent: Annotated[
        str | None, Parameter(metavar="AGENT", help="Which agent runs in it, for example claude-code.")
    ] = None,
    export: Annotated[bool, Parameter(help="Print only shell lines, for eval.")] = False,
    as_json: Annotated[bool, Parameter(name="--json", help="Print the session as JSON, with its token.")] = False,
) -> int:
    """Start a session."""
    import os

    from maestro_clients.protocol.new_ids import new_session_id, new_token

    if export and as_json:
        raise MaestroError("INVALID", "--export and --json exclude each other", "Leave one of them off.")
    context = CommandContext.here()
    own = session_id is not None and session_id == context.caller.session
    chosen = new_session_id() if session_id is None else session_id
    # Started again from its own shell, it keeps the token that this shell has.
    token = context.caller.token if own and context.caller.token else new_token()

    speaker = context.as_operator() if own or not _can_be_parent(context) else context
    with speaker.client() as client:
        session = client.start_session(
            chosen,
            token=token,
            name=name,
            role=role,
            project_id=project,
            parent_session_id=parent,
            task_ids=task or (),
            agent=agent,
            cwd=os.getcwd(),
        )
        if name is not None:
            _warn_of_namesakes(client, name)
    if as_json:
        streams.say_json({**session, "token": token})
    elif export:
        streams.say("\n".join(_exports(chosen, token)))
    else:
        streams.say(_told(session, chosen, token))
    return 0


def _warn_of_namesakes(client: Client, name: str) -> None:
    """Several of one name can be reached by their ids alone, and whoever sends to the name is refused."""
    try:
        client.session(name)
    except MaestroError as error:
        if error.code != "AMBIGUOUS_NAME":
            raise
        streams.note(f"maestro: {error.message}: nobody can send to that name now")
        streams.note("  next: end the others, `maestro session end ID`, or start this one under another name.")


def _can_be_parent(context: CommandContext) -> bool:
    """Whether this shell's session is there; one of another time is no reason not to start a new one."""
    if not context.caller.session:
        return True
    with context.client() as client:
        try:
            why = f"it is {client.session()['status']}"
            usable = not why.endswith(_ENDED)
        except MaestroError as error:
            if error.code not in _STALE:
                raise
            why, usable = error.message, False
    if not usable:
        streams.note(
            f"maestro: {context.caller.session} (MAESTRO_SESSION_ID) can't be the parent: {why}; starting without one"
        )
    return usable


def _exports(session_id: str, token: str) -> list[str]:
    import shlex

    return [
        f"export MAESTRO_SESSION_ID={shlex.quote(session_id)}",
        f"export MAESTRO_SESSION_TOKEN={shlex.quote(token)}",
    ]


def _told(session: SessionDoc, session_id: str, token: str) -> str:
    from maestro_cli.output.render import plain

    named = f" named {plain(session['name'])}" if "name" in session else ""
    under = f", parent {session['parentSessionId']}" if "parentSessionId" in session else ""
    return "\n".join(
        [
            f"Started {session_id}: {session['role']}{named}, project {plain(session['projectId'])}{under}.",
            "To act as it, paste these two lines into its shell (the token is shown only now):",
            *(f"  {line}" for line in _exports(session_id, token)),
        ]
    )
