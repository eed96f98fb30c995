"""Hook invocation: answers one hook call of an agent.

Rule: standard output has one JSON answer in the agent's own format, or nothing. Errors go to the log only: an exit
code or other output could stop the agent, or discard its user's prompt. Each step imports only what it needs, because
the agent waits for the answer.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from maestro_cli.context import CommandContext
from maestro_schemas.errors import MaestroError

from . import agents

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maestro_clients.one_shot_client import AnyClient

    from .agents import Agent
    from .context_text import AgentFormat
    from .payload import HookInput
    from .state_files import SessionLink

# The longest waits for a start of the broker, and for one reply.
_START_S = 5.0
_ANSWER_S = 3.0
_PID_OPTION = "--agent-pid"
# The source of a SessionStart in the middle of a turn.
_COMPACTED = "compact"


class HookCall(NamedTuple):
    """The arguments of a hook call."""

    agent: Agent
    # The agent's own name of the event, and one of `agents.START`, `PROMPT`, `TOOL`, `STOP`, `END`.
    event: str
    kind: str
    # The agent's process; 0 if unknown.
    pid: int

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> HookCall:
        """Parse AGENT EVENT [--agent-pid N]. Raises MaestroError INVALID."""
        words = list(arguments)
        pid = 0
        if _PID_OPTION in words:
            index = words.index(_PID_OPTION)
            text = "".join(words[index + 1 : index + 2])
            pid = int(text) if text.isdecimal() and len(text) < 10 else 0
            del words[index : index + 2]
        if len(words) != 2:
            raise MaestroError("INVALID", "a hook is called with AGENT and EVENT", "maestro hooks run --help")
        agent = agents.named(words[0])
        kind = agent.events.get(words[1])
        if kind is None:
            raise MaestroError(
                "INVALID",
                f"no hook of {agent.name} is called {words[1]!r:.60}",
                f"Its events: {', '.join(agent.events)}.",
            )
        return cls(agent, words[1], kind, pid)

    @property
    def via(self) -> str:
        """The name that receipts give to this hook."""
        return f"hook:{self.agent.name}:{self.event}"


def run(arguments: Sequence[str]) -> None:
    """Answer one call. Raises MaestroError, OSError or StdoutClosed, which the caller logs."""
    from . import payload

    call = HookCall.parse(arguments)
    hook_input = payload.read(sys.stdin.buffer)
    context = CommandContext.here()
    if call.kind == agents.START:
        _begin(call, hook_input, context)
    elif call.kind == agents.END:
        _end(call, hook_input, context)
    else:
        _show_mail(call, hook_input, context)


def log(problem: str, arguments: Sequence[str]) -> None:
    """Write a problem (at most 1,000 characters of it) and the call's arguments to the hook log."""
    import os

    from maestro_runtime import paths

    from . import error_log

    try:
        data = paths.data_dir(os.environ)
    except MaestroError:
        return
    error_log.append(data, f"{' '.join(arguments)[:200]}: {problem[:1_000]}")


def _begin(call: HookCall, hook_input: HookInput, context: CommandContext) -> None:
    """Answer a SessionStart: make the agent's session alive, and show it the waiting mail."""
    if hook_input.in_subagent:
        return
    from . import agent_session, work_status
    from .context_text import introduction
    from .mail import HookMail

    link = agent_session.starting(context, call.agent, hook_input, call.pid)
    with _connect(context, link) as client:
        session = agent_session.begin(client, context, call.agent, hook_input, link)
        agent_format = _agent_format(call.agent, link, context)
        # Also for a session that a user started by hand, and after a compaction: the agent knows nothing of either.
        opening = introduction(session, agent_format.command)
        HookMail(client, agent_format, call.via).show(lambda text: call.agent.context(call.event, text), opening)
        # An agent that was killed has not reported the end of its turn.
        if session["status"] == "working" and hook_input.source != _COMPACTED:
            work_status.report_idle(client, context.data, link.session)


def _end(call: HookCall, hook_input: HookInput, context: CommandContext) -> None:
    """Answer a SessionEnd: end the session if a hook started it; else report that it no longer works."""
    from . import agent_session, state_files, work_status

    link = agent_session.current(context, call.agent, hook_input)
    if link is None:
        return
    ends = agent_session.is_to_end(link, hook_input)
    if not ends and not state_files.is_working(context.data, link.session):
        return
    with _connect(context, link) as client:
        if ends:
            client.end_session(link.session)
            state_files.clear_working(context.data, link.session)
        else:
            work_status.report_idle(client, context.data, link.session)


def _show_mail(call: HookCall, hook_input: HookInput, context: CommandContext) -> None:
    """Answer a prompt, a tool call or a turn's end with the waiting mail."""
    # Context injected while a subagent runs reaches only the subagent. After the tool that ran it, it is discarded.
    if hook_input.in_subagent or (call.kind == agents.TOOL and hook_input.tool in call.agent.subagent_tools):
        return
    from . import agent_session, state_files, work_status

    link = agent_session.current(context, call.agent, hook_input)
    if link is None:
        return
    is_stop = call.kind == agents.STOP
    again = hook_input.stop_hook_active
    must_stop = is_stop and not state_files.may_continue_turn(context.data, link.session, again=again)
    if must_stop and not state_files.is_working(context.data, link.session):
        return
    from .mail import HookMail

    def answer(text: str) -> dict[str, Any]:
        if not is_stop:
            return call.agent.context(call.event, text)
        state_files.count_continuation(context.data, link.session, again=again)
        return call.agent.continue_turn(call.event, text)

    with _connect(context, link) as client:
        agent_format = _agent_format(call.agent, link, context)
        shown = not must_stop and HookMail(client, agent_format, call.via).show(answer)
        # The status comes last, so that the mail does not wait for it.
        if shown or not is_stop:
            work_status.report_working(client, context.data, link.session)
        elif state_files.is_working(context.data, link.session):
            work_status.report_idle(client, context.data, link.session)


def _connect(context: CommandContext, link: SessionLink) -> AnyClient:
    """The one connection of a hook call, which speaks for the session. Starts the broker if that is allowed.

    The connection of the fast path imports less. Raises MaestroError.
    """
    own = CommandContext(context.environ, context.data, link.session, link.token)
    found = own.one_shot(timeout_s=_ANSWER_S)
    if found is not None:
        return found
    from maestro_clients.processes.broker_process import connect

    return connect(
        context.data,
        context.environ,
        own.caller,
        autostart=context.autostart,
        timeout_s=_START_S,
        call_timeout_s=_ANSWER_S,
    )


def _agent_format(agent: Agent, link: SessionLink, context: CommandContext) -> AgentFormat:
    """How mail is written for this agent. Where its shell does not have the session, each command names it."""
    from maestro_clients.protocol.callers import SESSION_VARIABLE

    from .context_text import AgentFormat
    from .shell_script import maestro_command

    command = maestro_command(context.environ)
    if link.made and link.token is None:
        command = f"{SESSION_VARIABLE}={link.session} {command}"
    return AgentFormat(command, agent.size)
