"""Doctor of hooks: whether each agent's hooks are there, and whether what they say is what that agent reads.

Rule: each installed hook is run, with what the agent would say to it, in a post office of its own that is made for it
and removed; no mail of yours is shown or marked. Settings may come with a project from anybody: only a line that is
the very one that we install is run, and only while its script is the very one that we write.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

from maestro_cli.hooks import agents, installation, settings_entries, shell_script
from maestro_cli.output.render import plain
from maestro_cli.processes.process_exit import BrokerExit
from maestro_schemas.errors import MaestroError

from .checks import DoctorFinding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from maestro_cli.context import CommandContext
    from maestro_cli.hooks.agents import Agent
    from maestro_clients.client import Client

_SIZE_MAX = 10_000
_RUN_S = 30.0
_SLOW_S = 1.0
_END_S = 10.0
_LINE_CHARS = 160
_PROGRAMS = {"claude-code": "claude", "codex": "codex", "gemini-cli": "gemini"}
_SESSION = "5b0c1f6e-doctor"
# What the agents say beside the common fields, by what the event is to us.
_BESIDE: dict[str, dict[str, Any]] = {
    agents.START: {"source": "startup"},
    agents.PROMPT: {"prompt": "Go on, please."},
    agents.TOOL: {"tool_name": "Bash", "tool_input": {"command": "ls"}, "tool_response": {"stdout": "a.py"}},
    agents.STOP: {"stop_hook_active": False},
    agents.END: {"reason": "other"},
}


def findings(context: CommandContext) -> Iterator[DoctorFinding]:
    """Of every agent that is here or has hooks of ours."""
    for agent in agents.AGENTS.values():
        places = [agent.settings_path(scope, context.environ, os.getcwd()) for scope in ("user", "project")]
        for path in dict.fromkeys(places):
            yield from _settings(agent, path, context, is_users=path == places[0])


def _settings(agent: Agent, path: str, context: CommandContext, *, is_users: bool) -> Iterator[DoctorFinding]:
    name = f"hooks of {agent.name}"
    try:
        lines, strange = _lines(agent, path, context)
        is_current = not installation.plan_install(agent, path, installation.entries(agent, context.data)).is_needed
    except (MaestroError, OSError) as error:
        hint = error.hint if isinstance(error, MaestroError) else ""
        yield DoctorFinding(name, "failed", str(error), hint or f"Mend it, then: maestro hooks install {agent.name}")
        return
    again = f"maestro hooks install {agent.name}{'' if is_users else ' --scope project'}"
    for event, line in strange:
        what = f"not ours to run: at {plain(event)[:_LINE_CHARS]}, {path} has {plain(line)[:_LINE_CHARS]}"
        repair = again if shell_script.is_own_command(line) else "Take it out, unless it is yours."
        yield DoctorFinding(name, "warning", what, repair)
    if not lines:
        if not strange and is_users and shutil.which(_PROGRAMS[agent.name], path=context.environ.get("PATH")):
            yield DoctorFinding(name, "warning", f"{agent.name} is here and gets no mail by itself", again)
        return
    if not is_current:
        yield DoctorFinding(name, "warning", f"{path} has hooks of another version or another post office", again)
    script = shell_script.script_path(context.data)
    if not os.access(script, os.X_OK):
        yield DoctorFinding(name, "failed", f"{path} calls {script}, which is not there", again)
        return
    try:
        is_as_written = shell_script.is_current(context.data, sys.executable)
    except OSError as error:
        yield DoctorFinding(name, "failed", f"{script} can't be read: {error}", again)
        return
    if not is_as_written:
        yield DoctorFinding(name, "warning", f"not ours to run: {script} is not as this version writes it", again)
        return
    faults, slowest_s = _tried(agent, lines, context.environ)
    if faults:
        yield DoctorFinding(
            name, "failed", f"{path}: {'; '.join(faults)}", f"{again}; logs/hooks.log says what went wrong."
        )
        return
    what = f"{path}: {len(lines)} events, each says what {agent.name} reads, in {slowest_s * 1000:.0f} ms at most"
    yield DoctorFinding(
        name, "warning" if slowest_s > _SLOW_S else "ok", what, "The machine is busy." if slowest_s > _SLOW_S else ""
    )
    if agent is agents.CODEX:
        yield _reviewed(agent, path, lines)


def _reviewed(agent: Agent, path: str, lines: Mapping[str, str]) -> DoctorFinding:
    """Codex runs only what its user has reviewed, and keeps a hash of each in `config.toml` beside its hooks, under
    `hooks.state."<path>:<event_in_snake_case>:<entry>:<handler>"` (seen with 0.169.0). Whether the hash is that of
    the present line is Codex's own affair."""
    import tomllib

    name = f"trust in the hooks of {agent.name}"
    try:
        with open(os.path.join(os.path.dirname(path), "config.toml"), "rb") as file:
            state = tomllib.load(file).get("hooks", {}).get("state", {})
    except FileNotFoundError:
        state = {}
    except (OSError, tomllib.TOMLDecodeError, AttributeError) as error:
        return DoctorFinding(name, "warning", f"config.toml can't be read: {error}", agent.remark)
    known = {key.rsplit(":", 2)[0] for key in state} if isinstance(state, dict) else set()
    missing = [
        event
        for event in lines
        if f"{os.path.realpath(path)}:{_snake(event)}" not in known and f"{path}:{_snake(event)}" not in known
    ]
    if missing:
        return DoctorFinding(name, "warning", f"nobody has reviewed {', '.join(missing)}", agent.remark)
    return DoctorFinding(name, "ok", "all were reviewed; one that changes since has to be reviewed again")


def _snake(event: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in event).lstrip("_")


def _lines(agent: Agent, path: str, context: CommandContext) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Event -> the line that we install for it, where the settings have it; and, with their events, the other lines
    that name a script of ours."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except FileNotFoundError:
        return {}, []
    except UnicodeDecodeError:
        raise MaestroError("FILE_UNREADABLE", f"{path} is no text in UTF-8", "Mend it.") from None
    script = shell_script.script_path(context.data)
    lines: dict[str, str] = {}
    strange = []
    for event, line in settings_entries.commands_in(text, comments=agent.comments):
        # An event's name comes from the settings too: one that is unknown must not get into a line of ours.
        if event in agent.events and line == shell_script.command(script, agent.name, event):
            lines[event] = line
        elif shell_script.mentions_script(line):
            strange.append((event, line))
    return lines, strange


def _tried(agent: Agent, lines: Mapping[str, str], environ: Mapping[str, str]) -> tuple[list[str], float]:
    """Run each hook with mail waiting; what was wrong, and the longest run in seconds."""
    from maestro_clients.client import Client
    from maestro_clients.processes.broker_process import ensure
    from maestro_clients.protocol.callers import Caller

    root = tempfile.mkdtemp(prefix="mdoc-")
    data = os.path.join(root, "data")
    scratch = {name: value for name, value in environ.items() if not name.startswith("MAESTRO_")}
    scratch |= {"MAESTRO_DATA_DIR": data, "MAESTRO_RUNTIME_DIR": os.path.join(root, "run"), "MAESTRO_RATE_LIMIT": "0"}
    scratch |= {"MAESTRO_CONFIG": os.path.join(root, "config.toml"), "MAESTRO_SESSION_ID": "doctor_to"}
    try:
        broker = ensure(data, scratch, autostart=True)
        with BrokerExit(data, broker) as end, Client(broker.router) as operator:
            try:
                operator.start_session("doctor_from", role="orchestrator")
                operator.start_session("doctor_to")
                with Client(broker.router, Caller("doctor_from")) as sender:
                    return _each_run(agent, lines, sender, scratch)
            finally:
                _stop(operator, end, broker.pid)
    except MaestroError as error:
        return [f"could not be tried: {error.message}"], 0.0
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _stop(operator: Client, end: BrokerExit, pid: int) -> None:
    """End the broker that was started for this, and return when it writes no more."""
    with contextlib.suppress(MaestroError):
        operator.shutdown()
    if not end.wait(_END_S):
        # It has nothing that anybody would miss.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        end.wait(_END_S)


def _each_run(
    agent: Agent, lines: Mapping[str, str], sender: Client, environ: Mapping[str, str]
) -> tuple[list[str], float]:
    faults: list[str] = []
    slowest_s = 0.0
    for event, line in lines.items():
        kind = agent.events[event]
        # More than one answer holds, so that the hook has to choose.
        long = ("Urgent. " * 1_000, "Long. " * 1_500)
        for text in long if kind == agents.PROMPT else () if kind == agents.END else ("Hello.",):
            sender.send("doctor_to", text)
        fault, took_s = _run(agent, event, kind, line, environ)
        slowest_s = max(slowest_s, took_s)
        if fault:
            faults.append(f"{event} {fault}")
    return faults, slowest_s


def _run(agent: Agent, event: str, kind: str, line: str, environ: Mapping[str, str]) -> tuple[str, float]:
    said = {"session_id": _SESSION, "cwd": os.getcwd(), "hook_event_name": event, **_BESIDE[kind]}
    began_s = time.monotonic()
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", line],
            input=json.dumps(said).encode(),
            capture_output=True,
            env=dict(environ),
            timeout=_RUN_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"takes longer than {_RUN_S:g} s", _RUN_S
    took_s = time.monotonic() - began_s
    if done.returncode:
        return f"ends with {done.returncode}", took_s
    return _judged(agent, event, kind, done.stdout), took_s


def _judged(agent: Agent, event: str, kind: str, out: bytes) -> str:
    """What is wrong with an answer; empty where it is as the agent reads it."""
    if not out.strip():
        # A session's end tells nothing: nobody would read it.
        return "" if kind == agents.END else "says nothing, with mail waiting"
    try:
        answer = json.loads(out)
    except ValueError:
        return "says what is no JSON"
    text = _text_in(answer)
    wanted = agent.continue_turn(event, text) if kind == agents.STOP else agent.context(event, text)
    if not text or answer != wanted:
        return "says something that the agent does not read"
    if agent.size(text) > _SIZE_MAX:
        return f"says {agent.size(text):,} characters, and the agent takes {_SIZE_MAX:,}"
    return ""


def _text_in(answer: object) -> str:
    if not isinstance(answer, dict):
        return ""
    inner = answer.get("hookSpecificOutput")
    found = inner.get("additionalContext") if isinstance(inner, dict) else answer.get("reason")
    return found if isinstance(found, str) else ""
