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
    from collections.abc import Callable, Sequence

    from maestro_clients.one_shot_client import AnyClient
    from maestro_schemas.documents import MessageDoc, SessionDoc

    from .agents import Agent
    from .context_text import AgentFormat, Others
    from .payload import HookInput
    from .state_files import SessionLink

# The longest waits for a start of the broker, and for one reply.
_START_S = 5.0
_ANSWER_S = 3.0
_PID_OPTION = "--agent-pid"
# The script says that the session's last sign was its end.
_AFTER_END = "--after-end"
# What the command of a start says about waking: whether the hooks were installed for that.
_WAKE_OPTIONS = {"--wake": True, "--no-wake": False}
# How many sessions a start asks for, to name a few of them.
_OTHERS_ASKED = 64
# The source of a SessionStart in the middle of a turn.
_COMPACTED = "compact"


class HookCall(NamedTuple):
    """The arguments of a hook call."""

    agent: Agent
    # The agent's own name of the event, and one of `agents.START`, `PROMPT`, `TOOL`, `STOP`, `WAIT`, `END`.
    event: str
    kind: str
    # The agent's process; 0 if unknown.
    pid: int
    # Whether the session's last sign was its end, so that it must start again.
    after_end: bool
    # Whether the hooks were installed to wake the agent; None where the call does not say.
    wakes: bool | None = None

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> HookCall:
        """Parse AGENT EVENT [--agent-pid N] [--after-end] [--wake|--no-wake]. Raises MaestroError INVALID."""
        words = [word for word in arguments if word != _AFTER_END]
        after_end = len(words) < len(arguments)
        wakes = next((_WAKE_OPTIONS[word] for word in words if word in _WAKE_OPTIONS), None)
        words = [word for word in words if word not in _WAKE_OPTIONS]
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
        return cls(agent, words[1], kind, pid, after_end, wakes)

    @property
    def via(self) -> str:
        """The name that receipts give to this hook."""
        return f"hook:{self.agent.name}:{self.event}"


def run(arguments: Sequence[str]) -> None:
    """Answer one call. Raises MaestroError, OSError or StdoutClosed, which the caller logs."""
    from . import payload

    call = HookCall.parse(arguments)
    hook_input = payload.read(sys.stdin.buffer)
    if call.agent is agents.CODEX:
        import os

        from .waking import codex

        # Before the context, since the environment of Codex's daemon is not that of the agent.
        begins = call.kind == agents.START
        call = call._replace(pid=codex.enter(call.pid, hook_input, os.environ, begins=begins))
    context = CommandContext.here(linked=False)
    if call.kind == agents.START:
        _begin(call, hook_input, context)
    elif call.kind == agents.END:
        _end(call, hook_input, context)
    elif call.kind not in (agents.WAIT, agents.WAKE):
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
    from . import agent_session
    from .context_text import introduction
    from .mail import HookMail
    from .waking import start_waking

    link = agent_session.starting(context, call.agent, hook_input, call.pid)
    wake = start_waking.at_start(context, call.agent, link.session, hook_input, call.pid, installed=call.wakes)
    with _connect(context, link) as client:
        try:
            session, knows_wake = agent_session.begin(client, context, call.agent, hook_input, link, wake.fields)
        except MaestroError as error:
            if error.code != "SESSION_ENDED":
                _say_older(call, error)
                raise
            _say_ended(call, link)
            return
        agent_format = _agent_format(call, hook_input, link, context)
        # Also for a session that a user started by hand, and after a compaction: the agent knows nothing of either.
        note = wake.note if knows_wake else start_waking.OLD_BROKER
        opening = introduction(session, agent_format.command, _others(client, session), note)
        HookMail(client, agent_format, call.via, locate=_locator(call, hook_input, context)).show(
            lambda text: call.agent.context(call.event, text, wake.watched), opening
        )
        _report(client, context, "working" if hook_input.source == _COMPACTED else "idle")


def _others(client: AnyClient, session: SessionDoc) -> Others:
    """Who else is in the session's project, in one request; what is not known stops no start."""
    from .context_text import NO_OTHERS, others_here

    try:
        return others_here(client.presence_page(project_id=session["projectId"], limit=_OTHERS_ASKED), session)
    except MaestroError:
        return NO_OTHERS


def _say_ended(call: HookCall, link: SessionLink) -> None:
    """Tell an agent, at its start alone, that the session of its shell has ended. Later calls are quiet."""
    from maestro_cli.output import streams

    text = (
        f"The Maestro session of this shell, {link.session}, has ended, so no mail of other agents comes here. The "
        'user can start it again: leave the agent, run eval "$(maestro session start --export)" in that shell, and '
        "start the agent again."
    )
    streams.say_json(call.agent.context(call.event, text))


def _say_older(call: HookCall, error: MaestroError) -> None:
    """Tell an agent, at its start alone, that its user must restart the broker, if that is the cause."""
    from maestro_clients.protocol.older_brokers import is_explained

    if is_explained(error):
        from maestro_cli.output import streams

        text = f"No mail of other agents comes here: {error.message.partition(':')[0]}. Your user can restart it: "
        streams.say_json(call.agent.context(call.event, f"{text}maestro down, then maestro up"))


def _report(client: AnyClient, context: CommandContext, status: str) -> None:
    """Report the work to a broker on another machine, which can't see the state file of this one."""
    if context.is_remote:
        client.touch_session(status=status)


def _end(call: HookCall, hook_input: HookInput, context: CommandContext) -> None:
    """Answer a SessionEnd: end the session if a hook started it, and no other process uses it."""
    from . import agent_session

    link = agent_session.current(context, call.agent, hook_input)
    if link is None or not (link.made or context.is_remote):
        return
    if agent_session.continues(hook_input) and not context.is_remote:
        return
    with _connect(context, link) as client:
        if link.made and not agent_session.continues(hook_input):
            agent_session.end(client, context, link, call.pid)
        else:
            _report(client, context, "idle")


def _show_mail(call: HookCall, hook_input: HookInput, context: CommandContext) -> None:
    """Answer a prompt, a tool call or a turn's end with the waiting mail."""
    # Context injected while a subagent runs reaches only the subagent. After the tool that ran it, it is discarded.
    if hook_input.in_subagent or (call.kind == agents.TOOL and hook_input.tool in call.agent.subagent_tools):
        return
    from . import agent_session, state_files

    link = agent_session.current(context, call.agent, hook_input)
    if link is None:
        return
    is_stop = call.kind == agents.STOP
    again = hook_input.stop_hook_active
    must_stop = is_stop and not state_files.may_continue_turn(context.data, link.session, again=again)
    if must_stop and not context.is_remote and not call.after_end:
        return
    from .mail import HookMail

    def answer(text: str) -> dict[str, Any]:
        if not is_stop:
            return call.agent.context(call.event, text)
        state_files.count_continuation(context.data, link.session, again=again)
        _sign_working(call, context, link)
        return call.agent.continue_turn(call.event, text)

    with _connect(context, link) as client:
        agent_format = _agent_format(call, hook_input, link, context)
        if call.after_end and link.made:
            agent_session.revive(client, context, call.agent, hook_input, link, call.pid)
        # Quiet mail does not continue a turn: the next prompt or tool call shows it.
        woken_by = _waker(call, context, link) if call.kind == agents.PROMPT and hook_input.is_woken else ""
        locate = _locator(call, hook_input, context)
        mail = HookMail(client, agent_format, call.via, woken_by, locate=locate)
        shown = not must_stop and mail.show(answer, hold_quiet=is_stop)
        # The status comes last, so that the mail does not wait for it.
        _report(client, context, "working" if shown or not is_stop else "idle")


def _waker(call: HookCall, context: CommandContext, link: SessionLink) -> str:
    """What has begun a turn with the fixed words of a wake."""
    from maestro_runtime import wake_facts

    known = wake_facts.read(context.data, link.session)
    return call.agent.waker if known is None else known.by


def _sign_working(call: HookCall, context: CommandContext, link: SessionLink) -> None:
    """Replace the script's sign that the turn has ended. Raises OSError."""
    from maestro_runtime import hook_state
    from maestro_schemas.texts.waking import WOKEN

    from .state_files import AgentProcess

    if context.is_remote:
        return
    process = AgentProcess.of(call.pid) or AgentProcess(0, None)
    file = hook_state.path(context.data, link.session)
    ended = hook_state.read(file)
    # The turn goes on, so a wake has still begun it.
    detail = WOKEN if ended is not None and ended.detail == WOKEN else None
    sign = hook_state.HookState("working", call.event, call.agent.name, process.pid, process.start, detail)
    hook_state.write(file, sign)


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


def _locator(
    call: HookCall, hook_input: HookInput, context: CommandContext
) -> Callable[[Sequence[MessageDoc], AnyClient], None]:
    """Gives files the paths by which this agent can open them."""

    def locate(messages: Sequence[MessageDoc], client: AnyClient) -> None:
        from maestro_clients.mailbox import received_files

        from .files import project_folder

        own = project_folder.of_transcript(hook_input.transcript) if call.agent.has_own_folder else None
        received_files.locate(messages, context.data, client, copies_in=own)

    return locate


def _agent_format(call: HookCall, hook_input: HookInput, link: SessionLink, context: CommandContext) -> AgentFormat:
    """How mail is written for this agent. Where its shell does not have the session, each command names the link."""
    from .context_text import AgentFormat
    from .session_link import LINK_VARIABLE
    from .shell_script import maestro_command

    command = maestro_command(context.environ)
    if link.made and not link.exported:
        command = f"{LINK_VARIABLE}={call.agent.name}/{hook_input.session} {command}"
    return AgentFormat(command, call.agent.size)
