"""Wake checks: whether mail can wake idle agents here, and what became of the wakes that were made.

Rule: no model is asked. The installed script is tried in a scratch data directory. A client's program is only asked
for its version.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from maestro_cli.context import now_ms
from maestro_cli.hooks import agents, shell_script
from maestro_cli.hooks.waking import client_version
from maestro_cli.output.render import plain
from maestro_cli.waking import wake_table
from maestro_clients.texts import wake_words
from maestro_runtime import config, places
from maestro_schemas.errors import MaestroError
from maestro_schemas.texts import waking
from maestro_schemas.texts.visible_text import one_line

from .findings import DoctorFinding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from maestro_cli.context import CommandContext
    from maestro_cli.hooks.agents import Agent

_SESSION: Final = "doctor_wake"
_RUN_S: Final = 20.0
_ASK_S: Final = 5.0
_LOG_BYTES_MAX: Final = 1 << 20
_NAMED_MAX: Final = 5
# What the broker counts of wakes.
_COUNTED: Final = ("made", "answered", "unanswered", "held", "failed")


# --- an installation -----------------------------------------------------------------------------------------


def of_hooks(
    agent: Agent, lines: Mapping[str, str], program: str, context: CommandContext, install: str, *, is_current: bool
) -> Iterator[DoctorFinding]:
    """Whether the installed hooks wake their agent. `lines`: our command lines, by event; `program`: the agent's.
    `is_current`: whether the entries with these lines are as this version writes them."""
    name = f"wakes of {agent.name}"
    if not agent.waker:
        return
    words = {shell_script.wake_word(line) for event, line in lines.items() if agent.events[event] == agents.START}
    why_not = _why_not(context)
    if why_not:
        yield DoctorFinding(name, "ok", f"mail does not wake it from idle: {why_not}")
        return
    if shell_script.NO_WAKE in words:
        yield DoctorFinding(name, "ok", "mail does not wake it from idle: installed with --no-wake")
        return
    if shell_script.WAKE not in words:
        what = "an earlier version installed its hooks, so mail does not wake it from idle"
        yield DoctorFinding(name, "warning", what, f"{install} brings it up to date; then start it again")
        return
    if not is_current:
        what = "its entries are not those of this version, so it is not known whether mail wakes it"
        yield DoctorFinding(name, "warning", what, install)
        return
    faults = list(_faults(agent, lines, context.environ))
    if faults:
        yield DoctorFinding(name, "failed", "; ".join(faults), install)
        return
    problem = _client_problem(agent, program, context.environ)
    if problem:
        yield DoctorFinding(name, "warning", problem, f"Update {program}: without that, mail does not wake it.")
        return
    needs = f", {agent.wakes_if}" if agent.wakes_if else ""
    what = f"mail wakes it from idle, by {agent.waker}{needs}; each wake costs a turn of its model"
    yield DoctorFinding(name, "ok", what)


def must_watch(agent: Agent, line: str) -> bool:
    """Whether the answer to a session's start, by this command line, must name a file that the agent watches."""
    is_installed = shell_script.wake_word(line) == shell_script.WAKE
    return is_installed and agent.waker == waking.CLAUDE_CODE and sys.platform == "linux"


def _why_not(context: CommandContext) -> str:
    """Why no agent that starts in this shell is woken; empty where it is."""
    if sys.platform != "linux":
        return "agents are woken on Linux only"
    if context.is_remote:
        return "the broker is on another machine"
    try:
        setting = config.wake_setting(context.environ)
    except MaestroError:
        return ""  # the check of the settings reports it
    return "MAESTRO_WAKE or the config file says off" if setting == "off" else ""


class _ScriptCase(NamedTuple):
    """One call of the installed script at FileChanged, and how it must end."""

    what: str
    # The content of the wake file; None for no file.
    wake: str | None
    state: str
    event: str
    # With 2, the client begins a turn.
    code: int


_CASES: Final = (
    _ScriptCase("an idle agent", "idle\n", "idle", "add", 2),
    _ScriptCase("an agent whose last sign is old", "any\n", "working", "change", 2),
    _ScriptCase("an agent at work", "idle\n", "working", "add", 0),
    _ScriptCase("an agent that waits for a person", "idle\n", "waiting", "add", 0),
    _ScriptCase("a file that was removed", "idle\n", "idle", "unlink", 0),
    _ScriptCase("no wake file", None, "idle", "add", 0),
)


def _faults(agent: Agent, lines: Mapping[str, str], environ: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with the hook that wakes Claude Code; the others are woken by the broker."""
    if agent.waker != waking.CLAUDE_CODE:
        return
    line = next((line for event, line in lines.items() if agent.events[event] == agents.WAKE), None)
    if line is None:
        yield "its settings have no FileChanged hook of ours"
        return
    for case in _CASES:
        root = tempfile.mkdtemp(prefix="mdoc-")
        try:
            fault = _fault_of(case, line, root, environ)
        finally:
            shutil.rmtree(root, ignore_errors=True)
        if fault:
            yield f"at FileChanged, with {case.what}, it {fault}"


def _fault_of(case: _ScriptCase, line: str, root: str, environ: Mapping[str, str]) -> str:
    mailbox = os.path.join(root, "messages", "by-receiver", _SESSION)
    wake = os.path.join(mailbox, waking.WAKE_FILE)
    files = {os.path.join(mailbox, ".pending"): "", wake: case.wake}
    files[os.path.join(root, "hooks", "state", _SESSION)] = f"{case.state}\nStop claude-code 1 - -\n"
    for path, content in files.items():
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if content is not None:
            with open(path, "w", encoding="ascii") as file:
                file.write(content)
    scratch = {name: value for name, value in environ.items() if not name.startswith("MAESTRO_")}
    scratch |= {"MAESTRO_DATA_DIR": root, "MAESTRO_SESSION_ID": _SESSION}
    given = f'{{"session_id": "{_SESSION}-agent", "file_path": "{wake}", "event": "{case.event}"}}'
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", line],
            input=given.encode(),
            capture_output=True,
            env=scratch,
            timeout=_RUN_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"takes longer than {_RUN_S:g} s"
    notice = f"{shell_script.WAKE_NOTICE}\n".encode()
    wanted = (case.code, b"", notice if case.code else b"")
    if (done.returncode, done.stdout, done.stderr) != wanted:
        return f"ends with exit code {done.returncode} and prints {len(done.stdout) + len(done.stderr)} bytes"
    is_left = case.wake is not None and case.code == 0
    return "" if os.path.exists(wake) is is_left else "does not claim the wake by removing its file"


def _client_problem(agent: Agent, program: str, environ: Mapping[str, str]) -> str:
    """Why this client can't be woken; empty where it can, or where it is not on the PATH."""
    old = client_version.too_old(agent, environ)
    first = client_version.floor(agent)
    return f"{program} {old} is older than {first}, the first that can be woken" if old else ""


# --- what became of wakes ------------------------------------------------------------------------------------


def outcomes(context: CommandContext) -> Iterator[DoctorFinding]:
    """The state of each session that can be woken, and what the broker and its log say of wakes."""
    running = context.running()
    if running is None:
        return
    from maestro_clients.client import Client
    from maestro_clients.protocol import older_brokers

    try:
        with Client(running.router, context.as_operator().caller, timeout_s=_ASK_S) as client:
            if older_brokers.is_older(client.hello()["limits"]):
                return  # the check of the broker says that it must be restarted
            sessions = wake_table.of_agents(client.sessions(active=True), context.own_session)
            stats = client.stats().get("wakes", {})
    except MaestroError:
        return  # the check of the broker reports it
    at_ms, by_state = now_ms(), dict[str, int]()
    last: tuple[int, str] = (0, "")
    bad = []
    for session in sessions:
        found = wake_table.document(session, at_ms)
        by_state[found["state"]] = by_state.get(found["state"], 0) + 1
        wake: dict[str, Any] = dict(session.get("presence", {}).get("wake", {}))
        last = max(last, (wake.get("at", 0), f"{wake_table.label(session)}, {wake_words.last(wake, at_ms)}"))
        if found["state"] == "unanswered":
            bad.append((wake_table.label(session), wake_words.why_not(wake, at_ms).partition("; `maestro")[0]))
        elif found["state"] in ("ready", "woken") and wake.get("reason"):
            bad.append((wake_table.label(session), f"its last wake failed: {one_line(wake['reason'])}"))
    if sessions:
        counted = ", ".join(f"{count} {state}" for state, count in by_state.items())
        made = ", ".join(f"{stats[word]} {word}" for word in _COUNTED if word in stats)
        when = f"; last: {last[1]}" if last[0] else ""
        of_all = f"; since the start: {made}" if made else ""
        yield DoctorFinding("wakes", "ok", f"sessions of agents: {counted}{when}{of_all}")
    for who, why in bad[:_NAMED_MAX]:
        repair = f"Look at its screen for a dialog; after a prompt there: maestro wake {who} --test"
        yield DoctorFinding("wakes", "warning", f"{who}: {why}", repair)
    if bad and (line := _last_line(os.path.join(context.data, "logs", "wake.log"))):
        yield DoctorFinding("wakes", "warning", f"logs/wake.log ends with: {line}", "Its lines name the command.")


def _last_line(path: str) -> str:
    try:
        lines = places.read(path, _LOG_BYTES_MAX).decode("utf-8", "replace").rstrip("\n").split("\n")
    except OSError:
        return ""
    return plain(lines[-1])[:200]
