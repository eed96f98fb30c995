"""Hook session: which of our sessions an agent speaks for, and its beginning and end.

Rule: a session that the agent's shell names is taken as it is; else the hook starts one for the agent's own session
id, and only such a one is ended with it. `/clear`, a resume and a compaction go on with the same session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maestro_clients.protocol.callers import SESSION_VARIABLE, TOKEN_VARIABLE, Caller
from maestro_schemas.errors import MaestroError

from . import session_links
from .session_links import SessionLink
from .shell_script import quoted

if TYPE_CHECKING:
    from maestro_cli.context import CommandContext
    from maestro_clients.client import Client
    from maestro_schemas.documents import SessionDoc

    from .agents import Agent
    from .payload import HookInput

_ENV_FILE = "CLAUDE_ENV_FILE"
_FRESH = "startup"
# The agent goes on: as another session of its own, or as this one later in the same process.
_NO_END = frozenset({"clear", "resume"})
_ENDED = frozenset({"completed", "failed", "stopped"})
_UNKNOWN = frozenset({"SESSION_NOT_FOUND", "UNKNOWN_SESSION"})


def current(context: CommandContext, agent: Agent, given: HookInput) -> SessionLink | None:
    """The session that a prompt, a tool call or a turn's end belongs to; None where there is none."""
    link = session_links.read(context.data, agent.name, given.session)
    if link is not None:
        # The file of a session from the shell holds no token: that stays in the environment.
        same = link.session == context.caller.session
        return link._replace(token=context.caller.token) if same and link.token is None else link
    return None if context.caller.session is None else SessionLink(context.caller.session, context.caller.token)


def begin(
    client: Client, context: CommandContext, agent: Agent, given: HookInput, pid: int
) -> tuple[SessionLink, SessionDoc]:
    """The session for an agent that starts or goes on, known to the broker as alive. `client`: the operator's.

    Raises MaestroError: INVALID where the agent says no usable session id and the shell names none, and what the
    broker refuses; OSError where the link can't be kept.
    """
    link = _found(context, agent, given, pid)
    if given.session:
        kept = link if link.made else link._replace(token=None)
        session_links.write(context.data, agent.name, given.session, kept)
    session = _alive(client, context, agent, given, link)
    if link.made and link.token is not None:
        _export(context, link)
    return link, session


def end(client: Client, context: CommandContext, agent: Agent, given: HookInput) -> None:
    """End the session if a hook started it and the agent is really gone. Raises MaestroError."""
    link = session_links.read(context.data, agent.name, given.session)
    if link is None or not link.made or given.reason in _NO_END:
        return
    client.end_session(link.session, caller=Caller(link.session, link.token))


def ends(context: CommandContext, agent: Agent, given: HookInput) -> bool:
    """Whether `end` has anything to do, which decides whether a broker is needed."""
    link = session_links.read(context.data, agent.name, given.session)
    return link is not None and link.made and given.reason not in _NO_END


def _found(context: CommandContext, agent: Agent, given: HookInput, pid: int) -> SessionLink:
    """The link for this start: the shell's session, the one of before, or a new one."""
    from maestro_clients.protocol.new_ids import new_session_id, new_token

    known = session_links.read(context.data, agent.name, given.session)
    if known is None and given.source != _FRESH:
        known = session_links.of_process(context.data, agent.name, pid)
    shell = context.caller.session
    if shell is not None and not _is_anothers(context, shell, given, known):
        # A session of ours that came back to us through the environment is still ours to end.
        made = known is not None and known.made and known.session == shell
        return SessionLink(shell, context.caller.token, made=made, pid=pid)
    if known is not None and (known.made or shell is None):
        return known._replace(pid=pid)
    if not given.session:
        raise MaestroError("INVALID", "the agent named no session id that could be kept")
    # A token is of use only where the agent's shell can be given it.
    token = new_token() if agent.shell_has_session and context.environ.get(_ENV_FILE) else None
    return SessionLink(new_session_id(), token, made=True, pid=pid)


def _is_anothers(context: CommandContext, shell: str, given: HookInput, known: SessionLink | None) -> bool:
    """Whether the shell's session was started by a hook for another agent: then this agent runs below that one, and
    would take its mail away."""
    if known is not None and known.session == shell:
        return False
    maker = session_links.maker_of(context.data, shell)
    return maker is not None and maker != given.session


def _alive(client: Client, context: CommandContext, agent: Agent, given: HookInput, link: SessionLink) -> SessionDoc:
    who = Caller(link.session, link.token)
    facts: dict[str, Any] = {"agent": agent.name, "cwd": given.directory or None, "pid": link.pid or None}
    if not link.made:
        return client.touch_session(caller=who, agentSessionId=given.session or None, **facts)
    try:
        before: SessionDoc | None = client.session(link.session)
    except MaestroError as error:
        if error.code not in _UNKNOWN:
            raise
        before = None
    if before is not None and before["status"] not in _ENDED:
        return client.touch_session(caller=who, agentSessionId=given.session or None, **facts)
    return _started(client, context, agent, given, link, before)


def _started(
    client: Client,
    context: CommandContext,
    agent: Agent,
    given: HookInput,
    link: SessionLink,
    before: SessionDoc | None,
) -> SessionDoc:
    """Start it, or again as it was before."""
    if before is None:
        # Below the agent whose shell this is, if any; else nobody's child.
        parent = Caller.from_environ(context.environ)
        speaker, role, name, project, above = parent, "worker", None, None, parent.session
    else:
        speaker, role, name = Caller(), before["role"], before.get("name")
        project, above = before["projectId"], before.get("parentSessionId")
    return client.start_session(
        link.session,
        token=link.token,
        name=name,
        role=role,
        project_id=project,
        parent_session_id=above,
        agent=agent.name,
        agent_session_id=given.session,
        pid=link.pid or None,
        cwd=given.directory or None,
        caller=speaker,
    )


def _export(context: CommandContext, link: SessionLink) -> None:
    """Let the shell that the agent's tools run in speak for the session. Raises OSError."""
    path = context.environ.get(_ENV_FILE)
    if not path:
        return
    lines = [
        # Ids and tokens of ours are letters that mean nothing to a shell.
        f"export {SESSION_VARIABLE}={link.session}",
        f"export {TOKEN_VARIABLE}={link.token}",
        # The script knows the post office of its installation; the agent's own environment may not.
        f"export MAESTRO_DATA_DIR={quoted(context.data)}",
    ]
    with open(path, "a", encoding="utf-8", errors="surrogateescape") as file:
        file.write("".join(f"{line}\n" for line in lines))
