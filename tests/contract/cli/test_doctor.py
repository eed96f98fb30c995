"""`maestro doctor`: its findings for a healthy post office, and for each fault."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
import tempfile
from typing import Any

import pytest

from maestro_cli import exit_codes
from maestro_cli.doctor import hook_checks
from maestro_cli.hooks import agents, shell_script
from maestro_cli.processes.process_exit import BrokerExit
from maestro_clients.processes.broker_process import find
from support.cli_shell import Shell, open_shell
from support.hook_calls import Agent
from support.post_office import eventually


def examined(shell: Shell, code: int = exit_codes.DONE) -> dict[str, dict[str, Any]]:
    """Run the command; its findings by name."""
    ran = shell.run("doctor", "--json")
    assert ran.code == code, ran
    return {finding["name"]: finding for finding in ran.json()["findings"]}


def test_before_the_first_start(person: Shell) -> None:
    found = examined(person)
    assert found["data directory"]["state"] == "warning"
    assert found["broker"]["state"] == "ok"
    assert not os.path.exists(os.path.join(person.data, "endpoints")), "doctor starts no broker"


def test_a_healthy_post_office(person: Shell) -> None:
    person.done("up")
    with_command = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    found = examined(person.like(PATH=with_command))
    assert {finding["state"] for finding in found.values()} == {"ok"}, found
    assert "ms at the median" in found["round trip"]["what"]
    assert "ms at the median" in found["sync of the disk"]["what"]
    assert not [name for name in os.listdir(person.data) if name.startswith(".doctor")]
    words = person.done("doctor", "--all").out.splitlines()
    assert all(line.startswith(("ok       ", "warning  ", "failed   ", "         next: ")) for line in words)


def test_what_is_ok_is_only_counted(person: Shell) -> None:
    """Unless --all is given; with --json all is there."""
    person.done("up")
    person.session("ann")
    os.chmod(os.path.join(person.data, "sessions"), 0o755)
    with_command = person.like(PATH=f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}")
    count = sum(finding["state"] == "ok" for finding in examined(with_command).values())
    first, step, last = with_command.done("doctor").out.splitlines()
    assert first == f"warning  modes: the mode of {person.data}/sessions lets others in"
    assert step == "         next: maestro doctor --fix"
    assert last == f"the other {count} checks are ok (--all shows them)"
    assert len(with_command.done("doctor", "--all").out.splitlines()) == count + 2


def test_a_gateway(person: Shell) -> None:
    shell = person.like(MAESTRO_HTTP="1", MAESTRO_HTTP_PORT="0")
    shell.done("up")
    assert "http://127.0.0.1:" in examined(shell)["HTTP gateway"]["what"]
    pid = shell.done("status", "--json").json()["http"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        found = examined(shell, exit_codes.FAILED)["HTTP gateway"]
    finally:
        os.kill(pid, signal.SIGCONT)
    assert (found["state"], "does not answer" in found["what"]) == ("failed", True)


def test_a_broker_that_hangs(person: Shell) -> None:
    person.done("up")
    os.kill(person.broker_pid(), signal.SIGSTOP)
    try:
        found = examined(person, exit_codes.FAILED)["broker"]
    finally:
        os.kill(person.broker_pid(), signal.SIGCONT)
    assert "does not answer" in found["what"]
    assert "logs/broker.log" in found["repair"]


def test_without_autostart_a_missing_broker_is_a_warning(person: Shell) -> None:
    found = examined(person.like(MAESTRO_AUTOSTART="0"))["broker"]
    assert (found["state"], found["repair"]) == ("warning", "Start it: maestro up")


def test_directories_with_faults(person: Shell) -> None:
    person.done("up")
    os.chmod(person.data, 0o755)
    assert examined(person)["data directory"]["repair"] == f"chmod 700 {person.data}"
    long = person.like(MAESTRO_RUNTIME_DIR="/tmp/" + "x" * 100)
    assert examined(long, exit_codes.FAILED)["socket directory"]["state"] == "failed"


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="no tmpfs at /dev/shm")
def test_a_file_system_in_memory(person: Shell) -> None:
    data = f"/dev/shm/maestro-doctor-{os.getpid()}"
    os.mkdir(data, 0o700)
    try:
        found = examined(person.like(MAESTRO_DATA_DIR=data))
    finally:
        for name in os.listdir(data):
            os.unlink(os.path.join(data, name))
        os.rmdir(data)
    assert found["file system"]["state"] == "warning"
    assert "tmpfs" in found["file system"]["what"]


def test_the_outbox(person: Shell) -> None:
    alice, _ = person.session("alice", role="orchestrator"), person.session("bob")
    person.done("down")
    alone = alice.like(MAESTRO_AUTOSTART="0")
    alone.done("send", "-t", "bob", "-m", "hello")
    assert "1 messages wait" in examined(alone)["outbox"]["what"]
    assert "no broker runs" in examined(alone)["this shell"]["what"]


def test_the_session_of_the_shell(person: Shell) -> None:
    alice = person.session("alice")
    assert examined(alice)["this shell"]["what"] == "speaks for alice (worker)"
    wrong = alice.like(MAESTRO_SESSION_TOKEN="wrong")
    assert examined(wrong, exit_codes.FAILED)["this shell"]["repair"]
    assert examined(alice.like(MAESTRO_SESSION_ID="ghost"), exit_codes.FAILED)["this shell"]["repair"]
    alice.done("session", "end")
    assert "has ended" in examined(alice)["this shell"]["what"]


def test_an_address_where_another_program_listens(person: Shell) -> None:
    """The endpoints file of a killed broker names a socket that never answers."""
    os.makedirs(person.data, mode=0o700)
    path = os.path.join(person.root, "odd.sock")
    with socket.socket(socket.AF_UNIX) as odd:
        odd.bind(path)
        odd.listen()
        with open(os.path.join(person.data, "endpoints"), "w", encoding="utf-8") as file:
            file.write(f"router=ipc://{path}\nnotices=ipc://{path}\npid={os.getpid()}\nepoch=x\nversion=0\n")
        found = examined(person, exit_codes.FAILED)["broker"]
        os.unlink(os.path.join(person.data, "endpoints"))
    assert "does not answer" in found["what"]


@pytest.fixture
def at_home(person: Shell) -> Shell:
    """A person with a home of their own, in which agents keep their settings."""
    home = os.path.join(person.root, "home")
    os.mkdir(home)
    shell = person.like(HOME=home)
    for variable in (
        "CLAUDE_CONFIG_DIR",
        "CODEX_HOME",
        "GEMINI_CLI_HOME",
        "QWEN_HOME",
        "OPENCODE_CONFIG_DIR",
        "XDG_CONFIG_HOME",
    ):
        shell.environ.pop(variable, None)
    return shell


@pytest.mark.parametrize("agent", ["claude-code", "codex", "gemini-cli", "qwen-code", "opencode"])
def test_hooks_are_tried(at_home: Shell, agent: str) -> None:
    assert (
        f"hooks of {agent}" not in examined(at_home) or examined(at_home)[f"hooks of {agent}"]["state"] == "warning"
    )
    at_home.done("hooks", "install", agent)
    found = examined(at_home)[f"hooks of {agent}"]
    assert found["state"] == "ok", found
    assert f"each answer is one that {agent} reads" in found["what"]


def test_codex_must_trust_the_hooks(at_home: Shell) -> None:
    """codex keeps its own record of that; the test writes the format of version 0.169.0."""
    at_home.done("hooks", "install", "codex")
    name = "trust in the hooks of codex"
    found = examined(at_home)[name]
    assert (found["state"], "SessionStart" in found["what"], "/hooks" in found["repair"]) == ("warning", True, True)
    folder = os.path.join(at_home.environ["HOME"], ".codex")
    events = [re.sub("(?<!^)([A-Z])", r"_\1", event).lower() for event in agents.CODEX.events]
    lines = [f'[hooks.state."{folder}/hooks.json:{event}:0:0"]\ntrusted_hash = "sha256:0"\n' for event in events]
    with open(os.path.join(folder, "config.toml"), "w", encoding="utf-8") as file:
        file.writelines(lines[:-1])
    assert examined(at_home)[name]["what"] == f"not reviewed yet: {list(agents.CODEX.events)[-1]}"
    with open(os.path.join(folder, "config.toml"), "a", encoding="utf-8") as file:
        file.write(lines[-1])
    assert examined(at_home)[name]["state"] == "ok"
    with open(os.path.join(folder, "config.toml"), "a", encoding="utf-8") as file:
        file.write("=")
    assert examined(at_home)[name]["state"] == "warning"


def test_a_hook_without_its_script(at_home: Shell) -> None:
    at_home.done("hooks", "install", "claude-code")
    os.unlink(os.path.join(at_home.data, "hooks", "maestro-hook"))
    found = examined(at_home, exit_codes.FAILED)["hooks of claude-code"]
    assert "does not exist" in found["what"]
    assert found["repair"] == "maestro hooks install claude-code"


def test_a_changed_script_is_not_run(at_home: Shell) -> None:
    at_home.done("hooks", "install", "claude-code")
    trace = os.path.join(at_home.root, "trace")
    with open(os.path.join(at_home.data, "hooks", "maestro-hook"), "a", encoding="utf-8") as file:
        file.write(f": > '{trace}'\n")
    found = examined(at_home)["hooks of claude-code"]
    assert (found["state"], "not run: " in found["what"]) == ("warning", True)
    assert found["repair"] == "maestro hooks install claude-code"
    assert not os.path.exists(trace)


def test_foreign_commands_of_a_project_are_not_run(at_home: Shell) -> None:
    """Settings that came with another person's project."""
    trace = os.path.join(at_home.root, "trace")
    script = shell_script.script_path(at_home.data)
    evil = os.path.join(at_home.root, "evil", "maestro-hook")
    os.mkdir(os.path.dirname(evil))
    with open(evil, "w", encoding="utf-8") as file:
        file.write(f"#!/bin/sh\n: > '{trace}'\n")
    os.chmod(evil, 0o700)
    at_home.done("hooks", "install", "claude-code")
    lines = [
        ("Stop", f": > '{trace}'; test -x /x/maestro-hook claude-code Stop || true"),
        ("Stop", shell_script.command(evil, "claude-code", "Stop")),
        ("Stop", shell_script.command(script, "claude-code", "Stop") + f"; : > '{trace}'"),
        ("Stop", f"it's /maestro-hook' claude-code Stop || true; : > '{trace}'"),
        ("Stop", "/maestro-hook"),
        ("Stop", "/maestro-hook claude-code Stop || true"),
    ]
    # The name of this event contains a shell command.
    odd = f"Stop; : > '{trace}'; true"
    lines.append((odd, shell_script.command(script, "claude-code", odd)))
    hooks: dict[str, list[Any]] = {}
    for event, line in lines:
        hooks.setdefault(event, []).append({"hooks": [{"type": "command", "command": line}, "odd", {"command": 7}]})
    folder = os.path.join(at_home.root, ".claude")
    os.mkdir(folder)
    with open(os.path.join(folder, "settings.json"), "w", encoding="utf-8") as file:
        json.dump({"hooks": hooks}, file)
    ran = at_home.run("doctor", "--json")
    assert ran.code == exit_codes.DONE, ran
    warnings = [
        finding for finding in ran.json()["findings"] if "not run, because it is not our command" in finding["what"]
    ]
    assert len(warnings) == len(lines), warnings
    assert {finding["state"] for finding in warnings} == {"warning"}
    assert all(finding["repair"] for finding in warnings)
    assert not os.path.exists(trace)


@pytest.mark.parametrize(
    ("event", "out", "fault"),
    [
        ("Stop", b"", "answers nothing although mail waits"),
        ("Stop", b"hello", "answers with something that is not JSON"),
        ("Stop", b'{"additionalContext": "x"}', "answers in a format that the agent does not read"),
        ("SessionEnd", b"hello", "answers with something that is not JSON"),
        ("SessionEnd", b"", ""),
    ],
)
def test_how_an_answer_is_judged(event: str, out: bytes, fault: str) -> None:
    agent = agents.CLAUDE_CODE
    assert hook_checks._fault_in(agent, event, agent.events[event], out) == fault


def test_an_answer_that_is_too_long() -> None:
    agent = agents.CLAUDE_CODE
    answer = [json.dumps(agent.context("Stop", "x" * size)).encode() for size in (10_000, 10_001)]
    assert hook_checks._fault_in(agent, "Stop", agents.STOP, answer[0]) == ""
    assert "10,001 characters" in hook_checks._fault_in(agent, "Stop", agents.STOP, answer[1])


def test_a_trial_leaves_nothing_behind(at_home: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """This holds after an unexpected exception, too."""
    monkeypatch.setattr(tempfile, "tempdir", at_home.root)
    ends = []

    def broken(*arguments: Any) -> Any:
        found = find(arguments[4]["MAESTRO_DATA_DIR"])
        assert found is not None
        ends.append(BrokerExit(arguments[4]["MAESTRO_DATA_DIR"], found))
        raise ZeroDivisionError

    monkeypatch.setattr(hook_checks, "_run", broken)
    with pytest.raises(ZeroDivisionError):
        hook_checks._try_hooks(agents.CODEX, {"Stop": "true"}, at_home.environ)
    assert not [name for name in os.listdir(at_home.root) if name.startswith("mdoc-")]
    with ends[0] as end:
        assert end.wait(0), "the broker has ended before"


def test_settings_that_are_broken(at_home: Shell) -> None:
    at_home.done("hooks", "install", "claude-code")
    path = os.path.join(at_home.environ["HOME"], ".claude", "settings.json")
    with open(path, "w", encoding="utf-8") as file:
        file.write("{")
    assert examined(at_home, exit_codes.FAILED)["hooks of claude-code"]["repair"]


def test_wakes_of_an_installation(at_home: Shell) -> None:
    """As it is written now, without wakes, and as an earlier version wrote it."""
    name = "wakes of claude-code"
    at_home.done("hooks", "install", "claude-code")
    found = examined(at_home)
    assert (found[name]["state"], "by claude-code:FileChanged" in found[name]["what"]) == ("ok", True)
    assert found["inotify"]["state"] == "ok"
    assert "MAESTRO_WAKE" in examined(at_home.like(MAESTRO_WAKE="off"))[name]["what"]
    at_home.done("hooks", "install", "claude-code", "--no-wake")
    assert examined(at_home)[name]["what"].endswith("installed with --no-wake")
    path = os.path.join(at_home.environ["HOME"], ".claude", "settings.json")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace(" SessionStart no-wake ", " SessionStart "))
    older = examined(at_home)[name]
    assert (older["state"], "an earlier version" in older["what"]) == ("warning", True)
    assert older["repair"].startswith("maestro hooks install claude-code brings it up to date")


def test_wakes_without_an_answer() -> None:
    with open_shell(MAESTRO_WAKE_AGAIN="100ms") as person:
        assert "wakes" not in examined(person), "no broker, and no session"
        lead, ann = person.session("lead", role="orchestrator"), person.session("ann")
        shell_script.write(ann.data, sys.executable)
        Agent(ann, "claude-code").call("SessionStart")
        assert "sessions of agents: 1 ready" in examined(person)["wakes"]["what"]
        lead.send(ann, "hello")
        eventually(lambda: "unanswered" in person.done("wake", "ann").out, "two wakes in vain")
        os.makedirs(os.path.join(person.data, "logs"), exist_ok=True)
        with open(os.path.join(person.data, "logs", "wake.log"), "a", encoding="utf-8") as file:
            file.write("10:00:00 one line\n10:00:01 the last line\n")
        found = [one for one in person.run("doctor", "--json").json()["findings"] if one["name"] == "wakes"]
        assert [one["state"] for one in found] == ["ok", "warning", "warning"]
        assert "1 unanswered; last: ann, " in found[0]["what"]
        assert "2 made" in found[0]["what"]
        assert found[1]["what"].startswith("ann: it was woken twice without an answer, the last time at ")
        assert "maestro wake ann --test" in found[1]["repair"]
        assert found[2]["what"] == "logs/wake.log ends with: 10:00:01 the last line"
