"""Agent session: which Maestro session an agent speaks for, and how that session begins and ends.

Rule: the session that the agent's shell names is used as it is. Without one, a hook starts a session for the agent's
own session id, with a token that the link keeps. A hook ends only sessions that hooks started, and only if no other
process uses them. `/clear`, a resume and a compaction keep the session.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from maestro_clients.protocol.callers import SESSION_VARIABLE, TOKEN_VARIABLE, Caller
from maestro_runtime import places, wake_facts
from maestro_schemas.errors import MaestroError

from . import state_files
from .session_link import LINK_VARIABLE
from .shell_script import quoted
from .state_files import SessionLink

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maestro_cli.context import CommandContext
    from maestro_clients.one_shot_client import AnyClient
    from maestro_schemas.documents import SessionDoc

    from .agents import Agent
    from .payload import HookInput

_ENV_FILE = "CLAUDE_ENV_FILE"
_NEW = "startup"
# Reasons of SessionEnd after which the agent continues: with another session id of its own, or with this one later.
_CONTINUES = frozenset({"clear", "resume"})
_ENDED = frozenset({"completed", "failed", "stopped"})
_UNKNOWN = frozenset({"SESSION_NOT_FOUND", "UNKNOWN_SESSION"})
_OPERATOR = Caller()


def current(context: CommandContext, agent: Agent, hook_input: HookInput) -> SessionLink | None:
    """The session that a prompt, a tool call or a turn's end belongs to; None where there is none."""
    link = state_files.read_link(context.data, agent.name, hook_input.session)
    if link is not None:
        # The token of a session from the shell is not in the file. It stays in the environment.
        same = link.session == context.caller.session
        return link._replace(token=context.caller.token) if same and link.token is None else link
    return None if context.caller.session is None else SessionLink(context.caller.session, context.caller.token)


def starting(context: CommandContext, agent: Agent, hook_input: HookInput, pid: int) -> SessionLink:
    """The session for an agent that starts or continues: the shell's, the previous one, or a new one.

    Asks no broker. Raises MaestroError INVALID where the shell names no session and the agent names no valid id.
    """
    from maestro_clients.protocol.new_ids import new_session_id, new_token

    process = state_files.AgentProcess.of(pid)
    known = state_files.read_link(context.data, agent.name, hook_input.session)
    if known is None and process is not None and hook_input.source != _NEW:
        known = state_files.link_of_process(context.data, agent.name, process)
    before = known.processes if known is not None else ()
    shell = context.caller.session
    if shell is not None and not _is_of_another_agent(context, shell, hook_input, known):
        # The environment may name a session that a hook started for this agent. A hook still ends that one.
        made = known is not None and known.made and known.session == shell
        link = SessionLink(shell, context.caller.token, made=made, exported=made, processes=before)
        return link.used_by(process)
    if known is not None and (known.made or shell is None):
        return known.used_by(process)
    if not hook_input.session:
        raise MaestroError("INVALID", "the agent named no session id that could be kept")
    return SessionLink(new_session_id(), new_token(), made=True).used_by(process)


def begin(
    client: AnyClient,
    context: CommandContext,
    agent: Agent,
    hook_input: HookInput,
    link: SessionLink,
    wake: dict[str, str],
) -> tuple[SessionDoc, bool]:
    """Keep the link, and make its session alive at the broker. `client` speaks for the session; `wake`: the fields of
    `StartWaking`. Returns the session, and whether the broker knows those fields.

    Raises the MaestroError that the broker answers with; OSError where the link can't be written.
    """
    if link.made:
        link = link._replace(exported=link.exported or _exports(context, agent))
    if hook_input.session:
        kept = link if link.made else link._replace(token=None)
        state_files.write_link(context.data, agent.name, hook_input.session, kept)
    knows_all = True
    try:
        session = _touch_or_start(client, context, agent, hook_input, link, wake)
    except MaestroError as error:
        if error.code != "INVALID":
            raise
        # A broker of an earlier version refuses a field that it does not know.
        session = _touch_or_start(client, context, agent, hook_input, link, None)
        knows_all = False
    if link.made:
        _export(context, agent, link)
    return session, knows_all or not wake


def end(client: AnyClient, context: CommandContext, link: SessionLink, pid: int) -> None:
    """End a session that a hook started, unless another process uses it, to which it then belongs.

    Raises the MaestroError that the broker answers with.
    """
    others = state_files.others_in(context.data, link.session, state_files.AgentProcess.of(pid))
    if others:
        client.touch_session(pid=others[0].pid, pidStart=others[0].start)
    else:
        client.end_session(link.session)
        wake_facts.remove(context.data, link.session)


def revive(
    client: AnyClient, context: CommandContext, agent: Agent, hook_input: HookInput, link: SessionLink, pid: int
) -> None:
    """Start a session again that the end of another process has ended. Raises as `begin`."""
    link = link.used_by(state_files.AgentProcess.of(pid))
    state_files.write_link(context.data, agent.name, hook_input.session, link)
    _touch_or_start(client, context, agent, hook_input, link, None)


def continues(hook_input: HookInput) -> bool:
    """Whether the agent goes on after a SessionEnd."""
    return hook_input.reason in _CONTINUES


def _is_of_another_agent(
    context: CommandContext, shell: str, hook_input: HookInput, known: SessionLink | None
) -> bool:
    """Whether a hook started the shell's session for another agent. Then this agent runs below that one, and must not
    take its mail."""
    if known is not None and known.session == shell:
        return False
    maker = state_files.maker_of(context.data, shell)
    return maker is not None and maker != hook_input.session


def _touch_or_start(
    client: AnyClient,
    context: CommandContext,
    agent: Agent,
    hook_input: HookInput,
    link: SessionLink,
    wake: Mapping[str, str] | None,
) -> SessionDoc:
    """`wake`: None leaves out what a broker of an earlier version does not know, `nameBase` too."""
    facts: dict[str, Any] = {"agent": agent.name, "cwd": hook_input.directory or None, **(wake or {})}
    if not link.made:
        # It belongs to the shell that started it, and lives on when this agent has ended.
        return client.touch_session(agentSessionId=hook_input.session or None, **facts)
    if link.processes:
        facts |= {"pid": link.processes[0].pid, "pidStart": link.processes[0].start}
    try:
        before: SessionDoc | None = client.session(link.session, caller=_OPERATOR)
    except MaestroError as error:
        if error.code not in _UNKNOWN:
            raise
        before = None
    if before is not None and before["status"] not in _ENDED and ("name" in before or wake is None):
        return client.touch_session(agentSessionId=hook_input.session or None, **facts)
    return _start(client, context, agent, hook_input, link, before, wake)


def _start(
    client: AnyClient,
    context: CommandContext,
    agent: Agent,
    hook_input: HookInput,
    link: SessionLink,
    before: SessionDoc | None,
    wake: Mapping[str, str] | None,
) -> SessionDoc:
    """Start a new session, restart the one that has ended, or name one that has no name."""
    base = None
    if wake is not None and "name" not in (before or {}):
        from maestro_clients.processes import project_names

        base = project_names.name_base(hook_input.directory, context.environ, agent.name)

    def start(caller: Caller) -> SessionDoc:
        # What is left out is as it was before. The name too, with a number where another session has it by now.
        return client.start_session(
            link.session,
            token=link.token,
            name_base=base,
            parent_session_id=caller.session,
            agent=agent.name,
            agent_session_id=hook_input.session,
            pid=link.processes[0].pid if link.processes else None,
            pid_start=link.processes[0].start if link.processes else None,
            cwd=hook_input.directory or None,
            wake=(wake or {}).get("wake"),
            wake_by=(wake or {}).get("wakeBy"),
            caller=caller,
        )

    if before is not None:
        return start(_OPERATOR)
    # The parent is the session of the agent whose shell this is, if there is one that has not ended.
    try:
        return start(context.caller)
    except MaestroError as error:
        if error.code != "SESSION_ENDED":
            raise
        return start(_OPERATOR)


def _exports(context: CommandContext, agent: Agent) -> bool:
    """Whether this hook can give variables to the shell that runs the agent's tools."""
    return agent.shell_has_session and bool(context.environ.get(_ENV_FILE))


def _export(context: CommandContext, agent: Agent, link: SessionLink) -> None:
    """Give the session to the shell that runs the agent's tools. Raises OSError."""
    if not _exports(context, agent):
        return
    path = context.environ[_ENV_FILE]
    lines = [
        # Our ids and tokens contain no character that is special to a shell.
        f"export {SESSION_VARIABLE}={link.session}",
        f"export {TOKEN_VARIABLE}={link.token}",
        # The script knows the data directory of its installation. The agent's own environment may not name it.
        f"export MAESTRO_DATA_DIR={quoted(context.data)}",
        # Of the agent above, which has started this one: it would outweigh the session.
        f"unset {LINK_VARIABLE}",
    ]
    descriptor = places.open_file(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with open(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write("".join(f"{line}\n" for line in lines))
