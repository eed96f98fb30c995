"""Hook call: one call of a hook by an agent.

Rule: standard output holds one JSON answer of the agent's own form, or nothing; whatever goes wrong is for the log,
and never ends in an exit code or a word that could stop the agent or take its user's prompt away. Each import is
inside the step that needs it: the agent waits.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from maestro_cli.context import CommandContext
from maestro_schemas.errors import MaestroError

from . import agents

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .agents import Agent
    from .context_text import AgentFormat
    from .payload import HookInput
    from .session_links import SessionLink

_BROKER_S = 5.0
_ANSWER_S = 3.0
_PID_OPTION = "--agent-pid"
# A start in the middle of a turn.
_COMPACTED = "compact"


class HookCall(NamedTuple):
    """`event`: in the agent's words; `moment`: in ours. `pid`: the agent's process, 0 if unknown."""

    agent: Agent
    event: str
    moment: str
    pid: int

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> HookCall:
        """From AGENT EVENT [--agent-pid N]. Raises MaestroError INVALID."""
        words = list(arguments)
        pid = 0
        if _PID_OPTION in words:
            place = words.index(_PID_OPTION)
            text = "".join(words[place + 1 : place + 2])
            pid = int(text) if text.isdecimal() and len(text) < 10 else 0
            del words[place : place + 2]
        if len(words) != 2:
            raise MaestroError("INVALID", "a hook is called with AGENT and EVENT", "maestro hooks run --help")
        agent = agents.named(words[0])
        moment = agent.events.get(words[1])
        if moment is None:
            raise MaestroError(
                "INVALID",
                f"no hook of {agent.name} is called {words[1]!r:.60}",
                f"Its events: {', '.join(agent.events)}.",
            )
        return cls(agent, words[1], moment, pid)

    @property
    def via(self) -> str:
        """What receipts say."""
        return f"hook:{self.agent.name}:{self.event}"


def run(arguments: Sequence[str]) -> None:
    """Answer one call. Raises MaestroError, OSError or StdoutClosed for what is to be logged."""
    from . import payload

    call = HookCall.parse(arguments)
    given = payload.read(sys.stdin.buffer)
    context = CommandContext.here()
    if call.moment == agents.START:
        _begin(call, given, context)
    elif call.moment == agents.END:
        _end(call, given, context)
    else:
        _look(call, given, context)


def log(problem: str, arguments: Sequence[str]) -> None:
    """Keep what went wrong, or its beginning, with the call that it happened to."""
    import os

    from maestro_runtime import paths

    from . import error_log

    try:
        data = paths.data_dir(os.environ)
    except MaestroError:
        return
    error_log.say(data, f"{' '.join(arguments)[:200]}: {problem[:1_000]}")


def _begin(call: HookCall, given: HookInput, context: CommandContext) -> None:
    if given.in_subagent:
        return
    from maestro_clients.client import Client
    from maestro_clients.protocol.callers import Caller

    from . import agent_session, work_status
    from .mail import HookMail

    router = _router(context)
    with Client(router, timeout_s=_ANSWER_S) as operator:
        link, session = agent_session.begin(operator, context, call.agent, given, call.pid)
    voice = _voice(call.agent, link, context)
    # Whoever started a session by hand knows its id; of one that a hook made, nobody else could tell the agent.
    opening = _who_you_are(session["id"], session.get("name"), session["role"], voice.command) if link.made else ""
    with Client(router, Caller(link.session, link.token), timeout_s=_ANSWER_S) as client:
        HookMail(client, voice, call.via).show(lambda text: call.agent.context(call.event, text), opening)
        # One that was killed has not said that its turn is over.
        if session["status"] == "working" and given.source != _COMPACTED:
            work_status.idle(client, context.data, link.session)


def _end(call: HookCall, given: HookInput, context: CommandContext) -> None:
    from . import agent_session, work_status

    link = agent_session.current(context, call.agent, given)
    is_working = link is not None and work_status.is_working(context.data, link.session)
    ends = agent_session.ends(context, call.agent, given)
    if link is None or not (ends or is_working):
        return
    from maestro_clients.client import Client
    from maestro_clients.protocol.callers import Caller

    router = _router(context)
    if ends:
        with Client(router, timeout_s=_ANSWER_S) as operator:
            agent_session.end(operator, context, call.agent, given)
        work_status.forget(context.data, link.session)
    else:
        with Client(router, Caller(link.session, link.token), timeout_s=_ANSWER_S) as client:
            work_status.idle(client, context.data, link.session)


def _look(call: HookCall, given: HookInput, context: CommandContext) -> None:
    """Mail at a prompt, after a tool, at a turn's end."""
    # What is injected during a subagent's call lands in the subagent, and behind the tool that ran one nowhere.
    if given.in_subagent or (call.moment == agents.TOOL and given.tool in call.agent.subagent_tools):
        return
    from . import agent_session, turn_counter, work_status

    link = agent_session.current(context, call.agent, given)
    if link is None:
        return
    at_end = call.moment == agents.STOP
    again = given.stop_hook_active
    is_over = at_end and not turn_counter.may_go_on(context.data, link.session, again=again)
    if is_over and not work_status.is_working(context.data, link.session):
        return
    from maestro_clients.client import Client
    from maestro_clients.protocol.callers import Caller

    from .mail import HookMail

    def answer(text: str) -> dict[str, Any]:
        if not at_end:
            return call.agent.context(call.event, text)
        turn_counter.count(context.data, link.session, again=again)
        return call.agent.go_on(call.event, text)

    with Client(_router(context), Caller(link.session, link.token), timeout_s=_ANSWER_S) as client:
        told = not is_over and HookMail(client, _voice(call.agent, link, context), call.via).show(answer)
        # Last: the mail must not wait for it.
        if told or not at_end:
            work_status.working(client, context.data, link.session)
        elif work_status.is_working(context.data, link.session):
            work_status.idle(client, context.data, link.session)


def _router(context: CommandContext) -> str:
    """The broker's address, having started it if that is allowed. Raises MaestroError."""
    from maestro_clients.processes.broker_process import ensure

    return ensure(context.data, context.environ, autostart=context.autostart, timeout_s=_BROKER_S).router


def _voice(agent: Agent, link: SessionLink, context: CommandContext) -> AgentFormat:
    """How this agent is spoken to: where its shell can't be given the session, each command names it."""
    from maestro_clients.protocol.callers import SESSION_VARIABLE

    from .context_text import AgentFormat
    from .shell_script import maestro_command

    command = maestro_command(context.environ)
    if link.made and link.token is None:
        command = f"{SESSION_VARIABLE}={link.session} {command}"
    return AgentFormat(command, agent.size)


def _who_you_are(session: str, name: str | None, role: str, command: str) -> str:
    from maestro_cli.output.render import plain

    called = f" ({plain(name)})" if name else ""
    return (
        f"You are {session}{called}, {role}, in the Maestro post office of this machine. Other agents can write to "
        f"you, and their mail is shown to you here as it comes. Who is here: {command} session list. "
        f'To write to one: {command} session send --to ID_OR_NAME --message "..."'
    )
