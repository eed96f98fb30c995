"""States that are true: what the hooks of real processes sign, what senders are answered, and who ends what."""

from __future__ import annotations

import json
import os
import pty
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from maestro_cli.hooks import agents, shell_script
from maestro_cli.hooks.agents import AGENTS
from maestro_cli.hooks.state_files import AgentProcess, link_path, read_link
from maestro_clients.client import Client
from maestro_runtime import hook_state, paths
from maestro_runtime.process_identity import pid_start
from support import components
from support.agent_forms import reach_of_idle, said
from support.agent_processes import Agent, word
from support.cli_shell import Shell
from support.far_office import far_environ, make_key, open_door
from support.hook_calls import events_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maestro_schemas.documents import PresenceDoc, SendResultDoc, SessionDoc
    from support.post_office import PostOffice

STATES = {
    agents.PROMPT: "working",
    agents.TOOL: "working",
    agents.WAIT: "waiting",
    agents.STOP: "idle",
    agents.END: "left",
}
PROMPT = events_of("prompt")


@pytest.fixture
def started() -> Iterator[list[Agent]]:
    made: list[Agent] = []
    yield made
    for agent in made:
        agent.kill()


@pytest.fixture(scope="module")
def shared_person(shared_person: Shell) -> Shell:
    shell_script.write(shared_person.data, sys.executable)
    return shared_person


@pytest.fixture
def person(shared_person: Shell) -> Shell:
    return shared_person


def session(shell: Shell, session_id: str) -> SessionDoc:
    with shell.client() as operator:
        return operator.session(session_id)


def known(shell: Shell, session_id: str) -> PresenceDoc:
    return session(shell, session_id)["presence"]


def sent(alice: Shell, to: str) -> SendResultDoc:
    with alice.client() as client:
        return client.send(to, f"hello {os.urandom(4).hex()}")


# --- each event has its state ----------------------------------------------------------------------------------


@pytest.mark.parametrize("interpreter", ["", "bash", "bash --posix"])
@pytest.mark.parametrize("name", AGENTS)
def test_each_hook_without_mail_signs_its_state_without_python(
    person: Shell, started: list[Agent], name: str, interpreter: str
) -> None:
    agent = Agent(person, name, interpreter=interpreter)
    started.append(agent)
    own = agent.start()
    path = hook_state.path(person.data, own)
    begun = hook_state.read(path)
    assert begun is not None
    assert (begun.state, begun.event) == ("idle", "SessionStart")
    real = shell_script.script_path(person.data)
    with open(real, encoding="utf-8") as file:
        script = file.read()
    ran = os.path.join(person.root, "python-ran")
    with open(real, "w", encoding="utf-8") as file:
        file.write(script.replace(shell_script.quoted(sys.executable), word(_refusing_python(person, ran))))
    try:
        for event, kind in AGENTS[name].events.items():
            if kind in (agents.START, agents.END):
                continue
            if kind == agents.WAKE:
                assert agent.hook(event) == ""
                continue
            if (name, event) == ("opencode", "Notification"):
                continue  # it says that a turn was broken off
            before_ms = time.time_ns() // 1_000_000
            assert agent.hook(event) == ""
            sign = hook_state.read(path)
            assert sign is not None
            asks_first = "PermissionRequest" in AGENTS[name].events
            tool = said(name, "PermissionRequest")["tool_name"] if asks_first else "exec"
            detail = f"permission:{tool}" if kind == agents.WAIT else None
            # A notice about a request that was signed already leaves that sign.
            written = "PermissionRequest" if event == "Notification" and asks_first else event
            # The time of a file is that of the last tick, some ms ago.
            assert sign.at_ms >= before_ms - 50 or written != event
            start = pid_start(agent.process.pid)
            expected = hook_state.HookState(STATES[kind], written, name, agent.process.pid, start, detail)  # type: ignore[arg-type]
            assert sign._replace(at_ms=0) == expected
            assert known(person, own)["state"] == STATES[kind]
        assert not os.path.exists(ran)
    finally:
        with open(real, "w", encoding="utf-8") as file:
            file.write(script)
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert os.stat(os.path.dirname(path)).st_mode & 0o777 == 0o700
    agent.end()
    sign = hook_state.read(path)
    assert sign is not None
    assert sign.state == "left"
    assert known(person, own)["state"] == "ended"


def _refusing_python(shell: Shell, ran: str) -> str:
    path = os.path.join(shell.root, "refusing-python")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"#!/bin/sh\necho ran > {ran}\n")
    os.chmod(path, 0o700)
    return path


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("permission_prompt", "working", "waiting"),
        ("elicitation_dialog", "working", "waiting"),
        ("idle_prompt", "waiting", "idle"),
        ("idle_prompt", "working", "idle"),
        ("auth_success", "working", "working"),
        ("", "idle", "idle"),
    ],
)
def test_a_notification_of_claude_code_says_who_is_waited_for(
    person: Shell, started: list[Agent], kind: str, before: Any, after: str
) -> None:
    """`idle_prompt` also ends what Esc left behind."""
    agent = Agent(person, "claude-code")
    started.append(agent)
    path = hook_state.path(person.data, agent.start())
    hook_state.write(path, hook_state.HookState(before, "Test", "claude-code"))
    agent.hook("Notification", notification_type=kind)
    sign = hook_state.read(path)
    assert sign is not None
    assert sign.state == after


def test_what_stands_in_a_text_is_not_taken_for_a_field(person: Shell, started: list[Agent]) -> None:
    agent = Agent(person, "codex")
    started.append(agent)
    path = hook_state.path(person.data, agent.start())
    for tool, detail in (
        ("mcp__x__y.z:1-2", "permission:mcp__x__y.z:1-2"),
        ("rm -rf /; $(id)", "permission"),
        ('"session_id": "x"', "permission"),
        ("", "permission"),
    ):
        agent.hook("PermissionRequest", tool_name=tool)
        sign = hook_state.read(path)
        assert sign is not None
        assert sign.detail == detail


def test_a_compaction_in_a_turn_leaves_the_turn(person: Shell, started: list[Agent]) -> None:
    agent = Agent(person, "claude-code")
    started.append(agent)
    own = agent.start()
    agent.hook("UserPromptSubmit")
    agent.hook("SessionStart", source="compact")
    assert known(person, own)["state"] == "working"
    agent.hook("SessionStart", source="startup", agent_id="sub1")
    assert known(person, own)["state"] == "working"
    agent.hook("SessionStart", source="resume")
    assert known(person, own)["state"] == "idle"


@pytest.mark.parametrize("name", AGENTS)
def test_mail_at_the_end_of_a_turn_continues_the_work(
    alice: Shell, person: Shell, started: list[Agent], name: str
) -> None:
    agent = Agent(person, name)
    started.append(agent)
    own = agent.start()
    end = next(event for event, kind in AGENTS[name].events.items() if kind == agents.STOP)
    agent.hook(PROMPT[name])
    sent(alice, own)
    assert "hello" in agent.hook(end)
    assert known(person, own)["state"] == "working"
    assert agent.hook(end, stop_hook_active=True) == ""
    assert known(person, own)["state"] == "idle"


# --- F5: nothing is said of a dead agent but that it is gone -----------------------------------------------------


@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_that_is_killed_in_a_turn_is_gone_for_its_senders(
    alice: Shell, person: Shell, started: list[Agent], name: str
) -> None:
    """Findings F5, with mail at the prompt and without."""
    agent = Agent(person, name)
    started.append(agent)
    own = agent.start()
    first = sent(alice, own)
    assert (first["reach"], first["presence"]["state"]) == (reach_of_idle(name), "idle")
    assert "hello" in agent.hook(PROMPT[name])
    assert sent(alice, own)["reach"] == "tool"
    assert (
        " is at work, and sees it after its next tool call." in alice.done("send", "--to", own, "--message", "x").out
    )
    agent.kill()
    after = sent(alice, own)
    assert (after["reach"], after["presence"]["state"], after["presence"]["by"]) == ("gone", "gone", "process")
    assert "'s process has ended (last sign" in alice.done("send", "--to", own, "--message", "x").out
    listed = person.done("session", "list").out
    assert any(own in line and " gone, last sign " in line for line in listed.splitlines())
    assert session(person, own)["status"] == "idle", "it has not ended, and its mail waits for it"
    # The conversation is resumed by another process: the same session, which is alive again.
    again = Agent(person, name, agent.own_id)
    started.append(again)
    assert again.start("resume") == own
    assert known(person, own)["state"] == "idle"


def test_a_sign_from_before_the_session_was_started_says_nothing(
    alice: Shell, person: Shell, started: list[Agent]
) -> None:
    agent = Agent(person, "claude-code")
    started.append(agent)
    own = agent.start()
    sent(alice, own)
    agent.hook("UserPromptSubmit")
    long_ago_s = time.time() - 22 * 60
    _backdate(person, own, long_ago_s)
    result = sent(alice, own)
    assert (result["reach"], result["presence"]["state"]) == ("prompt", "unknown")


def _backdate(shell: Shell, own: str, at_s: float) -> None:
    os.utime(hook_state.path(shell.data, own), (at_s, at_s))


def test_the_same_pid_in_another_process_is_not_the_agent(alice: Shell, person: Shell, started: list[Agent]) -> None:
    """The kernel gives a pid again; and the machine may have been restarted in between."""
    agent = Agent(person, "codex")
    started.append(agent)
    own = agent.start()
    agent.hook("UserPromptSubmit")
    start = pid_start(agent.process.pid)
    assert start is not None
    boot, namespace, ticks = start.split("/")
    path = hook_state.path(person.data, own)
    for other in (f"{boot}/{namespace}/{int(ticks) - 1}", f"0-{boot}/{namespace}/{ticks}"):
        with person.client() as operator:
            operator.touch_session(own, pid=agent.process.pid, pidStart=other)
        hook_state.write(path, hook_state.HookState("working", "PostToolUse", "codex", agent.process.pid, other))
        assert sent(alice, own)["reach"] == "gone"
    # In another pid namespace the same pid is another process, which can't be seen from here: nothing is claimed.
    other = f"{boot}/7{namespace}/{ticks}"
    with person.client() as operator:
        operator.touch_session(own, pid=agent.process.pid, pidStart=other)
    hook_state.write(path, hook_state.HookState("working", "PostToolUse", "codex", agent.process.pid, other))
    assert sent(alice, own)["reach"] == "tool"


@pytest.mark.parametrize("kind", ["torn", "empty", "foreign", "fifo", "folder", "link", "binary"])
def test_a_state_file_that_is_none_hides_no_process_and_stops_no_hook(
    alice: Shell, person: Shell, started: list[Agent], kind: str
) -> None:
    agent = Agent(person, "gemini-cli")
    started.append(agent)
    own = agent.start()
    path = hook_state.path(person.data, own)
    os.unlink(path)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        os.mkdir(path)
    elif kind == "link":
        os.symlink("/nonexistent/elsewhere", path)
    else:
        content = {"torn": b"working\nBeforeAgent gem", "empty": b"", "binary": bytes(range(256))}
        with open(path, "wb") as file:
            file.write(content.get(kind, b"working\nBeforeAgent gemini-cli 1 - -\n"))
        if kind == "foreign":
            components.require_root("making a file of another user")
            os.chown(path, 12345, 12345)
    assert (sent(alice, own)["reach"], known(person, own)["state"]) == ("prompt", "unknown")
    assert "hello" in agent.hook("AfterTool"), "the mail comes whatever the file is"
    agent.kill()
    if kind in ("fifo", "folder", "link"):
        assert sent(alice, own)["reach"] == "gone"


def test_a_clock_that_was_set_back_gives_no_age(alice: Shell, person: Shell, started: list[Agent]) -> None:
    agent = Agent(person, "codex")
    started.append(agent)
    own = agent.start()
    agent.hook("UserPromptSubmit")
    _backdate(person, own, time.time() + 3_600)
    result = sent(alice, own)
    assert result["presence"].pop("wake")["state"] == "off", "its hooks are not installed for wakes"
    assert result["presence"] == {"state": "working", "by": "hook"}
    assert result["reach"] == "prompt"
    assert "silent for an unknown time" in alice.done("send", "--to", own, "--message", "x").out


def test_an_agent_that_waits_for_a_person_is_said_to(alice: Shell, person: Shell, started: list[Agent]) -> None:
    agent = Agent(person, "codex")
    started.append(agent)
    own = agent.start()
    agent.hook("UserPromptSubmit")
    agent.hook("PermissionRequest")
    shown = session(person, own)
    assert (shown["status"], shown["needsInput"]["message"]) == ("working", "permission:Bash")
    line = alice.done("send", "--to", own, "--message", "x").out
    assert " waits for a person (permission: Bash) for 0s, and sees it after that." in line
    assert "waiting 0s (permission: Bash)" in person.done("session", "list").out
    agent.hook("PostToolUse")
    assert "needsInput" not in session(person, own)


def test_a_session_of_a_shell_outlives_its_agent(alice: Shell, bob: Shell, started: list[Agent]) -> None:
    """An agent in a shell with a session of its own: the agent's end is said, and ends nothing."""
    agent = Agent(bob, "claude-code")
    started.append(agent)
    agent.hook("SessionStart")
    agent.hook("UserPromptSubmit")
    assert sent(alice, bob.session_id)["reach"] == "tool"
    agent.end()
    assert sent(alice, bob.session_id)["reach"] in ("prompt", "inbox")
    assert len(bob.inbox()) == 2
    killed = Agent(bob, "claude-code")
    started.append(killed)
    killed.hook("SessionStart")
    killed.hook("UserPromptSubmit")
    killed.kill()
    assert known(bob, bob.session_id)["state"] == "gone"


# --- F16: the end of one process ends nothing that another uses --------------------------------------------------


@pytest.mark.parametrize("name", AGENTS)
def test_a_conversation_that_is_open_twice_ends_with_the_last_process(
    alice: Shell, person: Shell, started: list[Agent], name: str
) -> None:
    """Findings F16."""
    first = Agent(person, name)
    second = Agent(person, name, first.own_id)
    started += [first, second]
    own = first.start()
    assert second.start("resume") == own
    second.end()
    found = session(person, own)
    assert "completedAt" not in found
    assert (found["pid"], found["pidStart"]) == (first.process.pid, pid_start(first.process.pid))
    assert sent(alice, own)["status"] == 201
    assert "hello" in first.hook(PROMPT[name])
    assert known(person, own)["state"] == "working"
    first.end()
    assert session(person, own)["status"] == "completed"


def test_the_first_process_of_a_conversation_may_end_first(alice: Shell, person: Shell, started: list[Agent]) -> None:
    first = Agent(person, "codex")
    second = Agent(person, "codex", first.own_id)
    started += [first, second]
    own = first.start()
    second.start("resume")
    first.end()
    assert "completedAt" not in session(person, own)
    assert second.hook("UserPromptSubmit") == ""
    assert known(person, own)["state"] == "working"
    second.end()
    assert session(person, own)["status"] == "completed"


def test_a_process_that_was_killed_holds_no_session(person: Shell, started: list[Agent]) -> None:
    first = Agent(person, "gemini-cli")
    second = Agent(person, "gemini-cli", first.own_id)
    started += [first, second]
    own = first.start()
    second.start("resume")
    first.kill()
    second.end()
    assert session(person, own)["status"] == "completed"


def test_a_later_hook_starts_again_what_another_process_ended(
    alice: Shell, person: Shell, started: list[Agent]
) -> None:
    """Findings F16, where the link knows the other process only."""
    first = Agent(person, "claude-code")
    second = Agent(person, "claude-code", first.own_id)
    started += [first, second]
    own = first.start()
    second.start("resume")
    path = link_path(person.data, "claude-code", first.own_id)
    with open(path, encoding="utf-8") as file:
        lines = [line for line in file if not line.startswith(f"{first.process.pid} ")]
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(lines)
    second.end()
    assert session(person, own)["status"] == "completed"
    assert first.hook("PostToolUse") == ""
    found = session(person, own)
    assert (found["status"], found["presence"]["state"], found["pid"]) == ("working", "working", first.process.pid)
    assert sent(alice, own)["status"] == 201
    assert "hello" in first.hook("UserPromptSubmit")
    link = read_link(person.data, "claude-code", first.own_id)
    assert link is not None
    assert link.processes == (AgentProcess(first.process.pid, pid_start(first.process.pid)),)


def test_what_the_operator_ends_no_tool_call_starts_again(person: Shell, started: list[Agent]) -> None:
    agent = Agent(person, "claude-code")
    started.append(agent)
    own = agent.start()
    person.done("session", "end", own)
    agent.hook("PostToolUse")
    assert session(person, own)["status"] == "completed"


# --- a shell whose session has ended -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", AGENTS)
def test_an_agent_in_a_shell_whose_session_has_ended_learns_it_once(
    person: Shell, started: list[Agent], name: str
) -> None:
    shell = person.session()
    ran = shell.done("session", "end")
    assert "This shell still names it. To leave it: unset MAESTRO_SESSION_ID" in ran.err
    agent = Agent(shell, name)
    started.append(agent)
    text = json.loads(agent.hook("SessionStart"))["hookSpecificOutput"]["additionalContext"]
    assert f"The Maestro session of this shell, {shell.session_id}, has ended" in text
    for event, kind in AGENTS[name].events.items():
        if kind != agents.START:
            assert agent.hook(event) == ""
    assert session(person, shell.session_id)["status"] == "completed"


def test_the_end_of_another_session_is_no_word_about_this_shell(person: Shell) -> None:
    shell = person.session()
    assert person.done("session", "end", shell.session_id).err == ""


def test_an_agents_shell_is_not_asked_to_leave_its_session(person: Shell) -> None:
    """The agent's next command is another shell, in which this variable is set again or not at all."""
    assert person.session().like(CLAUDECODE="1").done("session", "end").err == ""


# --- tokens ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", AGENTS)
def test_each_session_that_a_hook_makes_has_a_token_that_only_its_link_holds(
    alice: Shell, person: Shell, started: list[Agent], name: str
) -> None:
    agent = Agent(person, name)
    started.append(agent)
    own = agent.start()
    assert session(person, own)["hasToken"]
    path = link_path(person.data, name, agent.own_id)
    assert os.stat(path).st_mode & 0o777 == 0o600
    link = read_link(person.data, name, agent.own_id)
    assert link is not None
    assert link.token
    refused = person.run("session", "show", environ={"MAESTRO_SESSION_ID": own})
    assert "TOKEN_REQUIRED" in person.run("inbox", "--json", environ={"MAESTRO_SESSION_ID": own}).out, refused
    sent(alice, own)
    text = agent.hook(PROMPT[name])
    assert link.token not in text, "a token does not belong into a model's context"
    # By the link: it outweighs a session that the shell has inherited from an agent above.
    named = {"MAESTRO_SESSION_LINK": f"{name}/{agent.own_id}", "MAESTRO_SESSION_ID": "above"}
    ran = person.run("session", "show", "--json", environ=named)
    assert ran.json()["id"] == own


@pytest.mark.parametrize(
    ("variable", "name"), [("CLAUDE_CODE_SESSION_ID", "claude-code"), ("CODEX_SESSION_ID", "codex")]
)
def test_an_agents_own_variable_leads_to_its_session(
    person: Shell, started: list[Agent], variable: str, name: str
) -> None:
    agent = Agent(person, name)
    started.append(agent)
    own = agent.start()
    shown = person.run("session", "show", "--json", environ={variable: agent.own_id})
    assert shown.json()["id"] == own
    # A session that the user named outweighs it, and without a link it means nothing.
    given = person.session()
    assert given.run("session", "show", "--json", environ={variable: agent.own_id}).json()["id"] == given.session_id
    for other in ({variable: "unknown"}, {variable: "../../x"}, {variable: ""}):
        assert person.run("session", "show", "--json", environ=other).error()["code"] == "NO_SESSION"


def test_two_agents_variables_lead_to_none(person: Shell, started: list[Agent]) -> None:
    """Codex below Claude Code has both variables, and a command must not speak for the wrong one."""
    above, below = Agent(person, "claude-code"), Agent(person, "codex")
    started += [above, below]
    above.start()
    below.start()
    both = {"CLAUDE_CODE_SESSION_ID": above.own_id, "CODEX_SESSION_ID": below.own_id}
    assert person.run("session", "show", "--json", environ=both).error()["code"] == "NO_SESSION"


@pytest.mark.parametrize("link", ["codex/none", "codex", "../../etc/passwd", "a/b/c", "/", "codex/\x1b[1m"])
def test_a_link_that_is_none_is_refused_with_its_name(person: Shell, link: str) -> None:
    error = person.run("inbox", "--json", environ={"MAESTRO_SESSION_LINK": link}).error()
    assert error["code"] == "NO_SESSION"
    assert "MAESTRO_SESSION_LINK names" in error["message"]


def test_a_hook_in_a_world_readable_umask_writes_private_files(person: Shell, started: list[Agent]) -> None:
    """Findings F18, for what hooks write."""
    before = os.umask(0)
    try:
        agent = Agent(person, "codex")
    finally:
        os.umask(before)
    started.append(agent)
    own = agent.start()
    agent.hook("UserPromptSubmit")
    made = [hook_state.path(person.data, own), link_path(person.data, "codex", agent.own_id)]
    while os.path.dirname(made[-1]) != person.data:
        made.append(os.path.dirname(made[-1]))
    assert [path for path in made if os.stat(path).st_mode & 0o077] == []


def test_a_session_of_the_shell_is_no_path(person: Shell) -> None:
    """MAESTRO_SESSION_ID is part of a file's name in the script."""
    shell = person.like(MAESTRO_SESSION_ID="../../escaped")
    agent = Agent(shell, "codex")
    try:
        assert agent.hook("UserPromptSubmit") == ""
    finally:
        agent.kill()
    assert not os.path.exists(os.path.join(person.data, "escaped"))


def test_a_signal_to_the_agent_is_no_end_of_its_session(person: Shell, started: list[Agent]) -> None:
    """A stopped process (^Z) lives."""
    agent = Agent(person, "codex")
    started.append(agent)
    own = agent.start()
    agent.hook("UserPromptSubmit")
    agent.process.send_signal(signal.SIGSTOP)
    assert known(person, own)["state"] == "working"
    agent.process.send_signal(signal.SIGCONT)


def test_hooks_of_another_machine_report_to_its_broker(post_office: PostOffice, started: list[Agent]) -> None:
    """Its processes and files are there, and say nothing here; a pid of there may be any process of here."""
    address = open_door(post_office)
    post_office.start()
    environ = far_environ(post_office, address, make_key(post_office, "laptop", own=True))
    data = paths.data_dir(environ)
    shell_script.write(data, sys.executable)
    agent = Agent(Shell(post_office.root, {**environ, "MAESTRO_DATA_DIR": data}, []), "codex")
    started.append(agent)
    own = agent.start()

    def now() -> tuple[str, str, str]:
        with Client(post_office.router()) as operator:
            found = operator.session(own)
        assert "pid" not in found
        return found["status"], found["presence"]["state"], found["presence"]["by"]

    assert now() == ("idle", "unknown", "broker")
    agent.hook("UserPromptSubmit")
    assert now() == ("working", "working", "broker")
    agent.hook("PermissionRequest")
    agent.hook("PostToolUse")
    assert now() == ("working", "working", "broker")
    agent.hook("Stop")
    assert now() == ("idle", "unknown", "broker")
    agent.hook("UserPromptSubmit")
    agent.hook("SessionEnd", reason="clear")
    assert now() == ("idle", "unknown", "broker")
    agent.end()
    assert now() == ("completed", "ended", "broker")
    assert not os.path.exists(os.path.join(data, "hooks", "state"))


def test_a_session_of_a_terminal_is_gone_when_the_terminal_is_closed(alice: Shell, person: Shell) -> None:
    """No agent, no hook: the leader of the terminal's session is the process."""
    own = f"term_{os.urandom(4).hex()}"
    command = " ".join(map(word, person.start_command("session", "start", "--id", own)))
    leader, terminal = pty.fork()
    if not leader:  # pragma: no cover - the child becomes a shell
        os.chdir(person.root)
        os.execve("/bin/sh", ["sh", "-c", f"{command} > /dev/null; echo started; read -r _"], person.environ)
    heard = b""
    while b"started" not in heard:
        heard += os.read(terminal, 1_000)
    found = session(person, own)
    assert (found["pid"], found["presence"]["state"]) == (leader, "unknown")
    assert sent(alice, own)["reach"] == "inbox"
    # The kernel sends SIGHUP to the leader.
    os.close(terminal)
    os.waitpid(leader, 0)
    after = sent(alice, own)
    assert (after["reach"], after["presence"]["by"]) == ("gone", "process")
    assert "completedAt" not in session(person, own), "its mail waits for it"
