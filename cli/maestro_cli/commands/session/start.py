"""`maestro session start`: start an address that can send and receive.

Rule: the id and the token are made here, so that the request can be repeated after a lost reply. The token is shown
once, and only the caller keeps it. In a person's own shell, an id that no process uses any more is started again
without its token; an agent's shell needs the token.
"""

from __future__ import annotations

from maestro_cli.context import CommandContext
from maestro_cli.output import streams
from maestro_runtime import places
from maestro_schemas.errors import MaestroError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Annotated, Any

    from maestro_cli.options import Option
    from maestro_clients.one_shot_client import AnyClient
    from maestro_schemas.documents import SessionDoc
    from maestro_schemas.vocabularies import Role, WakeSetting

DETAILS = """\
Without --parent, the session of this shell (MAESTRO_SESSION_ID) becomes the
parent, and its project is inherited. A worker may start only workers of its
own project. Without --name and --id it is called as the project's directory,
with a number where that is taken. An id or a name that an active session has is
refused; --replace ends that session and takes its place, --takeover continues
it here.

Examples:
  eval "$(maestro session start --name alice --role orchestrator --export)"
  eval "$(maestro session start --name alice --replace --export)"
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
    role: Annotated[Role | None, Option(help="What it may do. Default: worker, or what it was before.")] = None,
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
    wake: Annotated[
        WakeSetting | None,
        Option(help="Whether mail wakes its agent from idle, or `off`. Default: idle, or what it was before."),
    ] = None,
    replace: Annotated[
        bool, Option(help="End the active session that has this name or id, and take its place.")
    ] = False,
    takeover: Annotated[
        bool, Option(help="Continue the active session with this id, with a new token; for the operator.")
    ] = False,
    export: Annotated[bool, Option(help="Print only shell lines, for eval.")] = False,
    as_json: Annotated[bool, Option(name="--json", help="Print the session as JSON, with its token.")] = False,
) -> int:
    """Start a session."""
    if export and as_json:
        raise MaestroError("INVALID", "--export and --json exclude each other", "Leave one of them off.")
    if takeover and (replace or session_id is None):
        raise MaestroError(
            "INVALID", "--takeover needs --id, and is used without --replace", "Name the session: --id ID --takeover."
        )
    words = _words(
        session_id=session_id, name=name, role=role, project=project, parent=parent, agent=agent, wake=wake, task=task
    )
    try:
        session, token = _start(
            session_id,
            words,
            name=name,
            role=role,
            project_id=project,
            parent_session_id=parent,
            task_ids=task or (),
            agent=agent,
            wake=wake,
            replace=replace,
            takeover=takeover,
        )
    except MaestroError as error:
        if export:
            # `eval` of nothing succeeds, and the shell would go on as if the session were there.
            streams.say("false")
        raise _with_commands(error, words, export=export) from None
    if as_json:
        text = streams.json_line({**session, "token": token})
    else:
        text = "\n".join(_exports(session["id"], token)) if export else _started(session, token)
    is_lost = f"{session['id']} is started, and its token is lost. To end it: maestro session end {session['id']}."
    streams.say(text, done=is_lost)
    return 0


def _start(session_id: str | None, words: list[str], *, takeover: bool, **fields: Any) -> tuple[SessionDoc, str]:
    """The session and its token. Raises the MaestroError that the broker answers with, or FORBIDDEN."""
    from maestro_clients.protocol.new_ids import new_session_id, new_token

    context = CommandContext.here()
    own = session_id is not None and session_id == context.own_session
    chosen = new_session_id() if session_id is None else session_id
    # Started again from its own shell, it keeps the token that this shell has.
    token = context.own_token if own and context.own_token else new_token()
    sign = context.agent_sign()
    if sign is not None and not context.own_session and (takeover or (fields["replace"] and session_id is not None)):
        raise _agents_shell(sign, chosen, words)
    pid, pid_start = _process(context, sign)
    with context.client() as client:
        usable = _is_usable(context, client, own=own)
        caller = None if usable else context.as_operator().caller

        directory = places.current_directory()
        base = None if session_id is not None or fields["name"] is not None else _name_base(context, directory)

        def attempt(*, takeover: bool, name_base: str | None = base) -> SessionDoc:
            return client.start_session(
                chosen,
                name_base=name_base,
                token=token,
                pid=pid,
                pid_start=pid_start,
                # Only information: a session starts without it, too.
                cwd=places.label(directory),
                takeover=takeover,
                caller=caller,
                **fields,
            )

        ended = _holder(client, fields["name"], chosen) if fields["replace"] else None
        try:
            session = attempt(takeover=takeover)
        except MaestroError as error:
            if base is not None and _is_of_older_broker(error):
                return attempt(takeover=takeover, name_base=None), token
            if context.own_session or not _is_over(error, chosen):
                raise
            if sign is not None:
                raise _agents_shell(sign, chosen, words) from None
            session = _again(attempt, error)
            streams.note(f"maestro: {chosen} was started before; it has a new token now, and the old one is void")
    if ended is not None:
        streams.note(f"maestro: {ended} has ended; its unread mail stays in its mailbox")
    return session, token


def _name_base(context: CommandContext, directory: str | None) -> str | None:
    """A session that gets neither an id nor a name is called as its project."""
    from maestro_clients.processes import project_names

    return project_names.name_base(directory, context.environ)


def _is_of_older_broker(error: MaestroError) -> bool:
    from maestro_clients.protocol.older_brokers import is_explained

    return is_explained(error)


def _again(attempt: Callable[..., SessionDoc], error: MaestroError) -> SessionDoc:
    """Start it with another token. Raises `error` where this caller is not the operator."""
    try:
        return attempt(takeover=True)
    except MaestroError as refusal:
        raise (error if refusal.code == "FORBIDDEN" else refusal) from None


def _is_over(error: MaestroError, session_id: str) -> bool:
    """Whether the session was refused for its token alone, and no process uses it any more."""
    details = error.details or {}
    is_gone = error.code == "NAME_TAKEN" and details.get("id") == session_id and details.get("process") == "gone"
    return is_gone or error.code == "TOKEN_MISMATCH"


def _process(context: CommandContext, sign: str | None) -> tuple[int | None, str | None]:
    """The process that the session belongs to: the leader of the terminal's session. None for an agent's shell, which
    may end with the command, and for a broker of another machine."""
    if sign is not None or context.is_remote:
        return None, None
    from maestro_runtime import process_identity

    leader = process_identity.terminal_leader()
    return (None, None) if leader is None else (leader, process_identity.pid_start(leader))


def _holder(client: AnyClient, name: str | None, session_id: str) -> str | None:
    """The active session that has the name and will end."""
    from maestro_clients.protocol.callers import Caller

    if name is None:
        return None
    try:
        found = client.session(name, caller=Caller())
    except MaestroError:
        return None
    return found["id"] if "completedAt" not in found and found["id"] != session_id else None


def _is_usable(context: CommandContext, client: AnyClient, *, own: bool) -> bool:
    """Whether this shell's session, if it has one, can start the session: it is active, or starts itself again."""
    if not context.own_session:
        return True
    try:
        session = client.session()
        why, usable = f"it is {session['status']}", own or "completedAt" not in session
    except MaestroError as error:
        if error.code not in _STALE:
            raise
        why, usable = error.message, False
    if not usable and not own:
        streams.note(
            f"maestro: {context.own_session} (MAESTRO_SESSION_ID) can't be the parent: {why}; starting without one"
        )
    return usable


# --- words -----------------------------------------------------------------------------------------------------


def _words(*, session_id: str | None, task: list[str] | None, **options: str | None) -> list[str]:
    """The command's words, without what it prints."""
    given = {"id": session_id, **options}
    words = ["maestro", "session", "start"]
    for option, value in given.items():
        words += [] if value is None else [f"--{option}", value]
    for value in task or ():
        words += ["--task", value]
    return words


def _with_commands(error: MaestroError, words: list[str], *, export: bool) -> MaestroError:
    """The error; where a name is taken, with the whole commands that help."""
    details = error.details or {}
    if error.code != "NAME_TAKEN" or "--replace" not in error.hint or not isinstance(details.get("id"), str):
        return error
    replaced = _shown([*words, "--replace"], export=export)
    continued = _shown(["maestro", "session", "start", "--id", details["id"], "--takeover"], export=export)
    if CommandContext.here().own_session:
        hint = "Choose another. The operator, in a shell without a session, can end it or continue it:"
    else:
        hint = "End it and take its place, or continue it in this shell:"
    return MaestroError(error.code, error.message, f"{hint}\n    {replaced}\n    {continued}", details=error.details)


def _agents_shell(sign: str, session_id: str, words: list[str]) -> MaestroError:
    import shlex

    command = shlex.join(words)
    return MaestroError(
        "TOKEN_REQUIRED",
        f"this is an agent's shell ({sign} is set), and session {session_id} needs its token",
        f"MAESTRO_SESSION_ID={shlex.quote(session_id)} MAESTRO_SESSION_TOKEN=TOKEN {command}; or the "
        f"operator runs `{command}` in a shell without a session.",
    )


def _shown(words: list[str], *, export: bool) -> str:
    import shlex

    return f'eval "$({shlex.join([*words, "--export"])})"' if export else shlex.join(words)


def _exports(session_id: str, token: str) -> list[str]:
    import shlex

    return [
        f"export MAESTRO_SESSION_ID={shlex.quote(session_id)}",
        f"export MAESTRO_SESSION_TOKEN={shlex.quote(token)}",
    ]


def _started(session: SessionDoc, token: str) -> str:
    from maestro_clients.texts.fence import named

    called = f" named {named(session['name'])}" if "name" in session else ""
    under = f", parent {session['parentSessionId']}" if "parentSessionId" in session else ""
    return "\n".join(
        [
            f"Started {session['id']}: {session['role']}{called}, project {named(session['projectId'])}{under}.",
            "To act as it, paste these two lines into its shell (the token is shown only now):",
            *(f"  {line}" for line in _exports(session["id"], token)),
        ]
    )
