"""Whole commands: how long an agent or a person waits for one, beside a bare interpreter.

Rule: real processes, one of each in turn, so that other load on the machine slows all of them; medians of their time
and of their CPU time, and each one's difference from `python3 -c pass` in the same run. The interpreter may keep its
bytecode, as an installed one does. The floor is shown in parts: what the interpreter takes for itself, and what each
stage of a send adds to that.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from bench import wheel_install

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bench.run import Bench

_MAESTRO = os.path.join(os.path.dirname(sys.executable), "maestro")
ROUNDS = 31
EVERYDAY_BAR_MS = 15.0
HELP_BAR_MS = 120.0
HOOK_BAR = 2.0
_SESSIONS, _MORE_SESSIONS = 12, 188
_EVENTS = 1_000
_MANY = 50
# As the agent starts a hook after a tool call.
_AFTER_TOOL = json.dumps({"session_id": "none", "hook_event_name": "PostToolUse", "cwd": "/"}).encode()
_AT_ONCE = "import os; os._exit(0)"
_STAGES = {
    "the interpreter, left at once": "",
    "+ our main module": "import maestro_cli.main; from maestro_cli.output import streams; streams.prepare()",
    "+ the arguments": "from maestro_cli import fast_path; fast_path.parse(['send', 'whole_b', 'text'])",
    "+ the command's modules": "import maestro_cli.commands.send, maestro_cli.addressing.words, "
    "maestro_clients.channel.one_shot, maestro_clients.protocol.new_ids, maestro_clients.texts.presence_words",
}


class Command(NamedTuple):
    """A process that is measured."""

    arguments: list[str]
    session: str | None = None
    # How many messages it finds in its inbox.
    waiting: int = 0
    stdin: bytes = b""
    on_terminal: bool = False
    # `+ N`: over the bare interpreter; `x N`: times the one named; a number: in all.
    bar_ms: float | None = None
    beside: str = "bare"


class Took(NamedTuple):
    """A process's time from its start to its end, and its CPU time."""

    wall_ms: float
    cpu_ms: float


def whole_commands(bench: Bench) -> dict[str, float]:
    """Run each command ROUNDS times; the medians in ms, by name."""
    left_out = ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "CLAUDE", "VIRTUAL_ENV")
    environ = {name: value for name, value in bench.environ.items() if not name.startswith(left_out)}
    environ |= {"HOME": os.path.join(bench.scratch, "home"), "TERM": "xterm"}
    os.mkdir(environ["HOME"])
    _fill(bench, environ)
    figures = _measured(bench, environ, {**_floor(bench.scratch), **_everyday(), **_hook(environ)})
    figures |= _measured(bench, environ, _stages(), beside="stage_0")
    more = [f"whole_more_{number}" for number in range(_MORE_SESSIONS)]
    with bench.client() as operator:
        for session in more:
            operator.start_session(session)
        figures = {**_measured(bench, environ, _who_of_many()), **figures}
        for session in more:
            operator.end_session(session)
    return figures


def _fill(bench: Bench, environ: Mapping[str, str]) -> None:
    with bench.client() as operator:
        for name in ("a", "b", "log", "zero", "one", "many", "idle"):
            operator.start_session(f"whole_{name}", role="orchestrator")
        operator.start_session("whole_agent", agent="claude-code")
        for number in range(_SESSIONS - 8):
            operator.start_session(f"whole_{number}")
    with bench.client("whole_a") as sender:
        for number in range(_EVENTS):
            sender.send("whole_log", f"message {number} of a log")
    with bench.client("whole_b") as sender:
        sender.send("whole_a", "Which port?")
    # `last` means what was shown.
    _run(Command([_MAESTRO, "inbox"], "whole_a"), environ)


def _everyday() -> dict[str, Command]:
    words = {
        "send": ["send", "whole_b", "Review PR in task_456"],
        "reply": ["reply", "last", "Port 4568."],
        "inbox_quiet": ["inbox", "--quiet"],
        "inbox_zero": ["inbox"],
        "inbox_one": ["inbox"],
        "inbox_many": ["inbox"],
        "read": ["read", "last"],
        "receipt": ["message", "receipt", "last"],
        "who": ["who"],
        "log": ["log"],
        "session_list": ["session", "list"],
        "home": [],
        "status": ["status"],
    }
    speakers = {"inbox_quiet": "zero", "inbox_zero": "zero", "inbox_one": "one", "inbox_many": "many", "log": "log"}
    waiting = {"inbox_one": 1, "inbox_many": _MANY}
    found = {}
    for suffix, more, on_terminal in (("", [], False), ("_json", ["--json"], False), ("_terminal", [], True)):
        for name, arguments in words.items():
            found[f"{name}{suffix}"] = Command(
                [_MAESTRO, *arguments, *more],
                f"whole_{speakers.get(name, 'a')}",
                waiting.get(name, 0),
                on_terminal=on_terminal,
                bar_ms=EVERYDAY_BAR_MS,
            )
    for name, arguments in {"help": ["--help"], "help_of_send": ["send", "--help"]}.items():
        found[name] = Command([_MAESTRO, *arguments], "whole_a", bar_ms=HELP_BAR_MS, beside="")
    found["log_all"] = Command([_MAESTRO, "log", "--limit", str(_EVENTS)], "whole_log")
    return found


def _who_of_many() -> dict[str, Command]:
    found = {"bare": Command([sys.executable, "-c", "pass"])}
    for suffix, more in (("", []), ("_json", ["--json"])):
        found[f"who_of_200{suffix}"] = Command([_MAESTRO, "who", *more], "whole_a", bar_ms=EVERYDAY_BAR_MS)
    return found


def _floor(scratch: str) -> dict[str, Command]:
    """The interpreter's own start by its parts, and the same send in an installation without .pth files."""
    installed = wheel_install.folder_of_commands(scratch)
    scripts = {
        "script": (sys.executable, "pass"),
        # As pip makes one for an entry point.
        "wrapper": (sys.executable, "import re, sys"),
    }
    paths = {}
    for name, (interpreter, body) in scripts.items():
        paths[name] = os.path.join(scratch, name)
        with open(paths[name], "w", encoding="utf-8", opener=lambda path, flags: os.open(path, flags, 0o755)) as file:
            file.write(f"#!{interpreter}\n{body}\n")
    return {
        "bare": Command([sys.executable, "-c", "pass"]),
        "bare_without_site": Command([sys.executable, "-S", "-c", "pass"]),
        "bare_isolated": Command([sys.executable, "-I", "-c", "pass"]),
        "bare_isolated_without_site": Command([sys.executable, "-I", "-S", "-c", "pass"]),
        "bare_script": Command([paths["script"]]),
        "bare_wrapper": Command([paths["wrapper"]]),
        "installed_bare": Command([os.path.join(installed, "python"), "-c", "pass"]),
        "installed_send": Command(
            [os.path.join(installed, "maestro"), "send", "whole_b", "Review PR in task_456"],
            "whole_a",
            bar_ms=EVERYDAY_BAR_MS,
            beside="installed_bare",
        ),
    }


def _stages() -> dict[str, Command]:
    """A send up to each of its stages. All are left without taking the interpreter down, as a command is."""
    found = {}
    done = ""
    for number, (_, code) in enumerate(_STAGES.items()):
        done += f"{code}\n"
        found[f"stage_{number}"] = Command([sys.executable, "-c", done + _AT_ONCE])
    return found


def _hook(environ: Mapping[str, str]) -> dict[str, Command]:
    """The hook without mail, as Claude Code runs it after a tool call, beside a shell that does nothing."""
    subprocess.run([_MAESTRO, "hooks", "install", "claude-code"], env=environ, stdout=subprocess.DEVNULL, check=True)
    with open(os.path.join(environ["HOME"], ".claude", "settings.json"), encoding="utf-8") as file:
        line: str = json.load(file)["hooks"]["PostToolUse"][0]["hooks"][0]["command"]
    found = {
        "shell": Command(["/bin/sh", "-c", ":"], stdin=_AFTER_TOOL),
        "shell_that_reads": Command(["/bin/sh", "-c", "LC_ALL=C exec cat"], stdin=_AFTER_TOOL, beside="shell"),
    }
    for name, session in {"hook": "whole_idle", "hook_of_agent": "whole_agent"}.items():
        found[name] = Command(["/bin/sh", "-c", line], session, stdin=_AFTER_TOOL, bar_ms=HOOK_BAR, beside="shell")
    return found


def _measured(
    bench: Bench, environ: Mapping[str, str], commands: Mapping[str, Command], *, beside: str = "bare"
) -> dict[str, float]:
    """Measure in turns and show each; the medians by name."""
    took: dict[str, list[Took]] = {name: [] for name in commands}
    with bench.client("whole_a") as sender:
        for number in range(ROUNDS + 1):
            for name, command in commands.items():
                for _ in range(command.waiting):
                    sender.send(command.session or "", "one message")
                one = _run(command, environ)
                if number:  # the first of each writes the bytecode
                    took[name].append(one)
    medians = {
        name: Took(*(statistics.median(values) for values in zip(*all_of_it, strict=True)))
        for name, all_of_it in took.items()
    }
    for name, command in commands.items():
        _show(bench.row, name, command, medians, command.beside if command.beside in medians else beside)
    return {
        f"whole_{name}{suffix}": value
        for name, median in medians.items()
        for suffix, value in (("_ms", median.wall_ms), ("_cpu_ms", median.cpu_ms))
    }


def _run(command: Command, environ: Mapping[str, str]) -> Took:
    spoken = {} if command.session is None else {"MAESTRO_SESSION_ID": command.session}
    reading, writing = pty.openpty() if command.on_terminal else os.pipe()
    began = time.perf_counter()
    process = subprocess.Popen(
        command.arguments,
        env={**environ, **spoken},
        stdin=subprocess.PIPE if command.stdin else subprocess.DEVNULL,
        stdout=writing,
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError), process.stdin:  # not each reads it
            process.stdin.write(command.stdin)
    with contextlib.suppress(OSError):  # a terminal ends so
        while os.read(reading, 65_536):
            pass
    _, status, usage = os.wait4(process.pid, 0)
    wall_ms = (time.perf_counter() - began) * 1000
    os.close(reading)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command.arguments)}: exit code {process.returncode}")
    return Took(wall_ms, (usage.ru_utime + usage.ru_stime) * 1000)


def _show(
    row: Callable[[str, str, str], None], name: str, command: Command, medians: Mapping[str, Took], beside: str
) -> None:
    took, floor = medians[name], medians[beside]
    more = Took(took.wall_ms - floor.wall_ms, took.cpu_ms - floor.cpu_ms)
    note = f"{more.wall_ms:+.1f} ms, CPU {more.cpu_ms:+.1f} ms; {took.wall_ms / floor.wall_ms:.2f} x {_words(beside)}"
    if command.bar_ms is not None:
        if command.beside == "":
            bar, is_held = f"bar {command.bar_ms:g} ms", took.wall_ms <= command.bar_ms
        elif command.beside == "shell":
            bar, is_held = f"bar {command.bar_ms:g} x", took.wall_ms <= command.bar_ms * floor.wall_ms
        else:
            bar, is_held = f"bar + {command.bar_ms:g} ms", more.wall_ms <= command.bar_ms
        note += f"; {bar}: {'held' if is_held else 'not held'}"
    value = f"{took.wall_ms:.1f} ms, CPU {took.cpu_ms:.1f} ms"
    row(f"whole process: {_words(name)}", value, "" if name == beside else note)


def _words(name: str) -> str:
    """What was run, for a reader."""
    if name in _NAMES:
        return _NAMES[name]
    if name.startswith("stage_"):
        return list(_STAGES)[int(name.removeprefix("stage_"))]
    words = name
    for suffix, said in (("_json", ", --json"), ("_terminal", ", on a terminal")):
        if name.endswith(suffix):
            return f"{_words(name.removesuffix(suffix))}{said}"
    return f"maestro {words.replace('_', ' ')}"


_NAMES = {
    "bare": "python3 -c pass",
    "bare_without_site": "python3 -S -c pass",
    "bare_isolated": "python3 -I -c pass",
    "bare_isolated_without_site": "python3 -I -S -c pass",
    "bare_script": "a script that does nothing",
    "bare_wrapper": "a script as pip makes one",
    "installed_bare": "python3 -c pass, no .pth files",
    "installed_send": "maestro send, as a wheel installs it",
    "shell": "sh -c :",
    "shell_that_reads": "sh -c 'exec cat', the floor of a hook that takes its input",
    "hook": "the hook without mail",
    "hook_of_agent": "the hook without mail, of an agent",
    "home": "maestro",
    "help": "maestro --help",
    "help_of_send": "maestro send --help",
    "reply": "maestro reply last",
    "read": "maestro read last",
    "receipt": "maestro message receipt last",
    "inbox_quiet": "maestro inbox --quiet",
    "inbox_zero": "maestro inbox (no message)",
    "inbox_one": "maestro inbox (1 message)",
    "inbox_many": f"maestro inbox ({_MANY} messages)",
    "who": f"maestro who ({_SESSIONS} sessions)",
    "who_of_200": f"maestro who ({_SESSIONS + _MORE_SESSIONS} sessions)",
    "log": f"maestro log (of {_EVENTS:,})",
    "log_all": f"maestro log --limit {_EVENTS}",
}
