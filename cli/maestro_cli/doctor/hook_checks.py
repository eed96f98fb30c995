"""Hook checks: whether each agent's hooks are installed, and whether it can read their answers.

Rule: each installed hook runs with an agent's payload against a temporary post office, which is removed afterwards;
the user's mail is neither shown nor marked. Settings may come with a foreign project. So a command line runs only if
it is exactly the one that we install, and if its script has exactly the bytes that we write.
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

from maestro_cli.hooks import agents, installation, shell_script, switches
from maestro_cli.output.render import plain
from maestro_cli.processes.process_exit import BrokerExit
from maestro_runtime import places
from maestro_schemas.errors import MaestroError

from . import wake_checks
from .findings import DoctorFinding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from maestro_cli.context import CommandContext
    from maestro_cli.hooks.agents import Agent
    from maestro_clients.client import Client

_SIZE_MAX = 10_000
_SETTINGS_BYTES_MAX = 4 << 20
_RUN_S = 30.0
_SLOW_S = 1.0
_END_S = 10.0
_LINE_CHARS = 160
_SESSION = "5b0c1f6e-doctor"
# By kind of event: what agents send besides the common fields.
_PAYLOADS: dict[str, dict[str, Any]] = {
    agents.START: {"source": "startup"},
    agents.PROMPT: {"prompt": "Go on, please."},
    agents.TOOL: {"tool_name": "Bash", "tool_input": {"command": "ls"}, "tool_response": {"stdout": "a.py"}},
    agents.STOP: {"stop_hook_active": False},
    agents.WAIT: {"notification_type": "permission_prompt", "tool_name": "Bash"},
    agents.END: {"reason": "other"},
    agents.WAKE: {"file_path": "/.wake", "event": "unlink"},
}
# No agent reads an answer to these.
_SILENT = (agents.WAIT, agents.END, agents.WAKE)


def hooks(context: CommandContext) -> Iterator[DoctorFinding]:
    """The hooks of every agent that is installed on this machine, or whose settings have our hooks."""
    directory = places.current_directory()
    if directory is None:
        what = "it does not exist any more; a project's hooks were not looked at"
        yield DoctorFinding("current directory", "warning", what, "Change to a directory that exists: cd")
    for agent in agents.AGENTS.values():
        users = agent.user_settings(context.environ)
        paths = [users]
        committed = ""
        if directory is not None:
            paths += [agent.project_settings(directory), agent.shared_settings(directory)]
            committed = agent.shared_settings(directory) if agent.local_file else ""
        has_hooks = False
        for path in dict.fromkeys(paths):
            found = list(_settings_file(agent, path, context, is_users=path == users))
            has_hooks = has_hooks or bool(found)
            yield from found
            if found and path == committed != users:
                what = f"{path} is committed with the project, and its hooks hold paths of your machine"
                repair = f"maestro hooks install {agent.name} --scope project moves them to {paths[1]}"
                yield DoctorFinding(f"hooks of {agent.name}", "warning", what, repair)
        if has_hooks:
            for sentence in switches.turned_off(agent, context.environ, directory):
                repair = "Remove that setting, or the agent gets no mail by itself."
                yield DoctorFinding(f"switch of {agent.name}'s hooks", "warning", sentence, repair)


def _settings_file(agent: Agent, path: str, context: CommandContext, *, is_users: bool) -> Iterator[DoctorFinding]:
    name = f"hooks of {agent.name}"
    try:
        lines, foreign = _command_lines(agent, path, context)
        wanted = installation.entries(agent, context.data, wake=installation.wakes(agent, path))
        is_current = not installation.plan_install(agent, path, wanted).is_needed
    except (MaestroError, OSError) as error:
        hint = error.hint if isinstance(error, MaestroError) else ""
        yield DoctorFinding(
            name, "failed", str(error), hint or f"Repair it, then: maestro hooks install {agent.name}"
        )
        return
    install = f"maestro hooks install {agent.name}{'' if is_users else ' --scope project'}"
    for event, line in foreign:
        at, has = plain(event)[:_LINE_CHARS], plain(line)[:_LINE_CHARS]
        what = f"not run, because it is not our command: at {at}, {path} has {has}"
        repair = install if shell_script.is_own_command(line) else "Remove it, unless it is yours."
        yield DoctorFinding(name, "warning", what, repair)
    if not lines:
        if not foreign and is_users and shutil.which(agent.program, path=context.environ.get("PATH")):
            yield DoctorFinding(name, "warning", f"{agent.name} is installed and gets no mail by itself", install)
        return
    if not is_current:
        yield DoctorFinding(name, "warning", f"{path} has hooks of another version or another post office", install)
    script = shell_script.script_path(context.data)
    try:
        is_current_script = shell_script.is_current(context.data, sys.executable)
    except FileNotFoundError:
        yield DoctorFinding(name, "failed", f"{path} calls {script}, which does not exist", install)
        return
    except OSError as error:
        refused = places.refusal("DATA_DIR_UNUSABLE", f"{path} calls {script}", error, f"Then: {install}")
        yield DoctorFinding(name, "failed", refused.message, refused.hint)
        return
    if not is_current_script:
        yield DoctorFinding(name, "warning", f"not run: this version would write {script} differently", install)
        return
    faults, slowest_s = _try_hooks(agent, lines, context.environ)
    if faults:
        yield DoctorFinding(
            name, "failed", f"{path}: {'; '.join(faults)}", f"{install}; logs/hooks.log has the errors."
        )
        return
    took = f"after {slowest_s * 1000:.0f} ms at most"
    what = f"{path}: {len(lines)} events; each answer is one that {agent.name} reads, {took}"
    is_slow = slowest_s > _SLOW_S
    yield DoctorFinding(name, "warning" if is_slow else "ok", what, "The machine is busy." if is_slow else "")
    yield from wake_checks.of_hooks(agent, lines, agent.program, context, install, is_current=is_current)
    if agent is agents.CODEX:
        yield _codex_trust(agent, path, lines)


def _codex_trust(agent: Agent, path: str, lines: Mapping[str, str]) -> DoctorFinding:
    """Whether the user has reviewed the hooks: Codex runs no others.

    Codex keeps a hash of each reviewed hook in `config.toml` beside its hooks, under
    `hooks.state."<path>:<event_in_snake_case>:<entry>:<handler>"` (seen with 0.169.0). This check does not compare
    the hash with the present line.
    """
    import tomllib

    name = f"trust in the hooks of {agent.name}"
    try:
        raw = places.read(os.path.join(os.path.dirname(path), "config.toml"), _SETTINGS_BYTES_MAX)
        state = tomllib.loads(raw.decode()).get("hooks", {}).get("state", {})
    except FileNotFoundError:
        state = {}
    except (OSError, ValueError, AttributeError) as error:
        return DoctorFinding(name, "warning", f"config.toml can't be read: {error}", agent.remark)
    known = {key.rsplit(":", 2)[0] for key in state} if isinstance(state, dict) else set()
    missing = [
        event
        for event in lines
        if f"{os.path.realpath(path)}:{_snake(event)}" not in known and f"{path}:{_snake(event)}" not in known
    ]
    if missing:
        return DoctorFinding(name, "warning", f"not reviewed yet: {', '.join(missing)}", agent.remark)
    return DoctorFinding(name, "ok", "all are reviewed; a hook that changes must be reviewed again")


def _snake(event: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in event).lstrip("_")


def _command_lines(agent: Agent, path: str, context: CommandContext) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Event -> our command line, for the events that have it in the settings; and (event, line) for each other line
    that mentions our script."""
    try:
        text = places.read(path, _SETTINGS_BYTES_MAX).decode()
    except FileNotFoundError:
        return {}, []
    except UnicodeDecodeError:
        raise MaestroError("FILE_UNREADABLE", f"{path} is not UTF-8 text", "Repair it.") from None
    script = shell_script.script_path(context.data)
    lines: dict[str, str] = {}
    foreign = []
    for event, line in installation.commands_in(agent, text):
        # The event's name comes from the settings too. An unknown name must not become a part of our line.
        words = ("", shell_script.WAKE, shell_script.NO_WAKE) if agent.events.get(event) == agents.START else ("",)
        known = [shell_script.command(script, agent.name, event, word) for word in words if event in agent.events]
        if line in known:
            lines[event] = line
        elif shell_script.mentions_script(line):
            foreign.append((event, line))
    return lines, foreign


def _try_hooks(agent: Agent, lines: Mapping[str, str], environ: Mapping[str, str]) -> tuple[list[str], float]:
    """Run each hook while mail waits. Returns the faults, and the longest run in seconds."""
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
                    return _run_all(agent, lines, sender, scratch)
            finally:
                _stop(operator, end, broker.pid)
    except MaestroError as error:
        return [f"could not be tried: {error.message}"], 0.0
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _stop(operator: Client, end: BrokerExit, pid: int) -> None:
    """Stop the temporary broker, and wait until it has ended and writes no more files."""
    with contextlib.suppress(MaestroError):
        operator.shutdown()
    if not end.wait(_END_S):
        # Its data is temporary, so SIGKILL loses nothing.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        end.wait(_END_S)


def _run_all(
    agent: Agent, lines: Mapping[str, str], sender: Client, environ: Mapping[str, str]
) -> tuple[list[str], float]:
    faults: list[str] = []
    slowest_s = 0.0
    for event, line in lines.items():
        kind = agent.events[event]
        # Together, these are longer than one answer may be, so the hook must shorten them.
        long = ("Urgent. " * 1_000, "Long. " * 1_500)
        for text in long if kind == agents.PROMPT else () if kind in _SILENT else ("Hello.",):
            sender.send("doctor_to", text)
        fault, took_s = _run(agent, event, kind, line, environ)
        slowest_s = max(slowest_s, took_s)
        if fault:
            faults.append(f"{event} {fault}")
    return faults, slowest_s


def _run(agent: Agent, event: str, kind: str, line: str, environ: Mapping[str, str]) -> tuple[str, float]:
    payload = {"session_id": _SESSION, "cwd": "/", "hook_event_name": event, **_PAYLOADS[kind]}
    began_s = time.monotonic()
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", line],
            input=json.dumps(payload).encode(),
            capture_output=True,
            env=dict(environ),
            timeout=_RUN_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"takes longer than {_RUN_S:g} s", _RUN_S
    took_s = time.monotonic() - began_s
    if done.returncode:
        return f"ends with exit code {done.returncode}", took_s
    must_watch = kind == agents.START and wake_checks.must_watch(agent, line)
    return _fault_in(agent, event, kind, done.stdout, must_watch=must_watch), took_s


def _fault_in(agent: Agent, event: str, kind: str, out: bytes, *, must_watch: bool = False) -> str:
    """The fault in an answer; empty if the agent can read it. `must_watch`: it must name a file to watch."""
    if not out.strip():
        return "" if kind in _SILENT else "answers nothing although mail waits"
    try:
        answer = json.loads(out)
    except ValueError:
        return "answers with something that is not JSON"
    text, watched = _text_in(answer), _watched_in(answer)
    wanted = agent.continue_turn(event, text) if kind == agents.STOP else agent.context(event, text, watched)
    if not text or answer != wanted:
        return "answers in a format that the agent does not read"
    if must_watch and not watched:
        return "names no file to watch in a folder that exists, so no wake reaches the agent"
    if agent.size(text) > _SIZE_MAX:
        return f"answers with {agent.size(text):,} characters, and the agent reads {_SIZE_MAX:,}"
    return ""


def _watched_in(answer: object) -> str:
    """The file that the agent is to watch, in a folder that exists; else empty."""
    inner = answer.get("hookSpecificOutput") if isinstance(answer, dict) else None
    paths = inner.get("watchPaths") if isinstance(inner, dict) else None
    path = paths[0] if isinstance(paths, list) and paths else ""
    is_file = isinstance(path, str) and os.path.isabs(path) and os.path.isdir(os.path.dirname(path))
    return path if is_file else ""


def _text_in(answer: object) -> str:
    if not isinstance(answer, dict):
        return ""
    inner = answer.get("hookSpecificOutput")
    found = inner.get("additionalContext") if isinstance(inner, dict) else answer.get("reason")
    return found if isinstance(found, str) else ""
