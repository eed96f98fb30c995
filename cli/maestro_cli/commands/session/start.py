"""`maestro session start`: start an address that can send and receive.

Rule: the id and the token are made here, so that the request can be repeated after a lost reply. The token is shown
once, and only the caller keeps it.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext
from maestro_cli.output import streams
from maestro_runtime import places
from maestro_schemas.errors import MaestroError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import Option
    from maestro_clients.one_shot_client import AnyClient
    from maestro_clients.protocol.callers import Caller
    from maestro_schemas.documents import SessionDoc
    from maestro_schemas.vocabularies import Role

DETAILS = """\
Without --parent, the session of this shell (MAESTRO_SESSION_ID) becomes the
parent, and its project is inherited. A worker may start only workers.

Examples:
  eval "$(maestro session start --name alice --role orchestrator --export)"
  maestro session start --name bob --project shop --json
  maestro session start --id sess_ci --task task_456"""

# The caller's own session can't be the parent then; the new session starts without one.
_STALE = frozenset({"UNKNOWN_SESSION", "SESSION_ENDED"})


def run(
    *,
    session_id: Annotated[
        str | None,
        Option(name="--id", metavar="ID", help="Its id; generated if left out. An existing id is started again."),
    ] = None,
    name: Annotated[
        str | None, Option(metavar="NAME", help="A name that others can send to while it is active.")
    ] = None,
    role: Annotated[Role, Option(help="What it may do. Default: worker.")] = "worker",
    project: Annotated[
        str | None,
        Option(metavar="PROJECT", help="Its project; workers reach workers of the same one. Default: the parent's."),
    ] = None,
    parent: Annotated[str | None, Option(metavar="ID", help="The id of the session that it belongs to.")] = None,
    task: Annotated[
        list[str] | None, Option(metavar="ID", help="An id of a task it works on; may be repeated.")
    ] = None,
    agent: Annotated[
        str | None, Option(metavar="AGENT", help="Which agent runs in it, for example claude-code.")
    ] = None,
    export: Annotated[bool, Option(help="Print only shell lines, for eval.")] = False,
    as_json: Annotated[bool, Option(name="--json", help="Print the session as JSON, with its token.")] = False,
) -> int:
    """Start a session."""
    from maestro_clients.protocol.new_ids import new_session_id, new_token

    if export and as_json:
        raise MaestroError("INVALID", "--export and --json exclude each other", "Leave one of them off.")
    context = CommandContext.here()
    own = session_id is not None and session_id == context.own_session
    chosen = new_session_id() if session_id is None else session_id
    # Started again from its own shell, it keeps the token that this shell has.
    token = context.own_token if own and context.own_token else new_token()

    with (context.as_operator() if own else context).client() as client:
        # Default: the client's own caller.
        caller = None if own or _can_be_parent(context, client) else context.as_operator().caller
        session = client.start_session(
            chosen,
            token=token,
            name=name,
            role=role,
            project_id=project,
            parent_session_id=parent,
            task_ids=task or (),
            agent=agent,
            # Only information: a session starts without it, too.
            cwd=places.label(places.current_directory()),
            caller=caller,
        )
        if name is not None:
            _warn_of_namesakes(client, name, caller)
    if as_json:
        text = streams.json_line({**session, "token": token})
    else:
        text = "\n".join(_exports(chosen, token)) if export else _started(session, chosen, token)
    streams.say(text, done=f"{chosen} is started, and its token is lost. To end it: maestro session end {chosen}.")
    return 0


def _warn_of_namesakes(client: AnyClient, name: str, caller: Caller | None) -> None:
    """Sessions with the same name can be reached only by their ids; a send to the name is refused."""
    try:
        client.session(name, caller=caller)
    except MaestroError as error:
        if error.code != "AMBIGUOUS_NAME":
            raise
        streams.note(f"maestro: {error.message}: sends to that name are refused now")
        streams.note("  next: end the others, `maestro session end ID`, or start this one under another name.")


def _can_be_parent(context: CommandContext, client: AnyClient) -> bool:
    """Whether this shell's session, if it has one, is active."""
    if not context.own_session:
        return True
    try:
        session = client.session()
        why, usable = f"it is {session['status']}", "completedAt" not in session
    except MaestroError as error:
        if error.code not in _STALE:
            raise
        why, usable = error.message, False
    if not usable:
        streams.note(
            f"maestro: {context.own_session} (MAESTRO_SESSION_ID) can't be the parent: {why}; starting without one"
        )
    return usable


def _exports(session_id: str, token: str) -> list[str]:
    import shlex

    return [
        f"export MAESTRO_SESSION_ID={shlex.quote(session_id)}",
        f"export MAESTRO_SESSION_TOKEN={shlex.quote(token)}",
    ]


def _started(session: SessionDoc, session_id: str, token: str) -> str:
    from maestro_cli.output.fence import named

    called = f" named {named(session['name'])}" if "name" in session else ""
    under = f", parent {session['parentSessionId']}" if "parentSessionId" in session else ""
    return "\n".join(
        [
            f"Started {session_id}: {session['role']}{called}, project {named(session['projectId'])}{under}.",
            "To act as it, paste these two lines into its shell (the token is shown only now):",
            *(f"  {line}" for line in _exports(session_id, token)),
        ]
    )
