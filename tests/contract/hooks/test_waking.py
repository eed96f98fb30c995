"""Waking by hooks: who claims the broker's `.wake`, which turns count as woken, and what a start says of it."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from maestro_cli.hooks import installation, shell_script
from maestro_cli.hooks.agents import AGENTS, CLAUDE_CODE
from maestro_cli.hooks.state_files import read_link
from maestro_runtime import hook_state
from maestro_schemas.texts import waking
from support import components
from support.agent_forms import said
from support.agent_processes import Agent as AgentProcess
from support.cli_shell import Shell, open_shell
from support.hook_calls import Agent, Called

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Iterator

    from maestro_schemas.documents import SessionDoc

INTERPRETERS = ["dash", "bash", "bash --posix", "bash -u", "busybox sh"]
LINE = b"maestro: new mail has come; it is shown with this notice.\n"
WOKEN_PROMPT = (
    f"<task-notification>\n<summary>{waking.NOTICE}</summary>\n</task-notification>\n"
    f"<system-reminder>\n{LINE.decode()}\n</system-reminder>"
)


@pytest.fixture(scope="module")
def shared_person(shared_person: Shell) -> Shell:
    shell_script.write(shared_person.data, sys.executable)
    return shared_person


@pytest.fixture
def person(shared_person: Shell) -> Shell:
    return shared_person


@pytest.fixture
def started() -> Iterator[list[AgentProcess]]:
    made: list[AgentProcess] = []
    yield made
    for agent in made:
        agent.kill()


class Mailbox:
    """A mailbox whose broker asks for a wake; the files are made by hand."""

    def __init__(self, shell: Shell, mail: bool = True) -> None:
        self.shell = shell
        self.folder = os.path.join(shell.data, "messages", "by-receiver", shell.session_id)
        self.wake = os.path.join(self.folder, waking.WAKE_FILE)
        os.makedirs(self.folder, exist_ok=True)
        if mail:
            open(os.path.join(self.folder, ".pending"), "w").close()

    def ask(self, when: str = "idle\n") -> None:
        with open(self.wake, "w", encoding="utf-8") as file:
            file.write(when)

    def sign(self, state: Any, detail: str | None = None) -> None:
        path = hook_state.path(self.shell.data, self.shell.session_id)
        hook_state.write(path, hook_state.HookState(state, "Test", "claude-code", detail=detail))

    def asked(self) -> bool:
        return os.path.exists(self.wake)


def interpreted(interpreter: str) -> str:
    components.require_tools(interpreter.partition(" ")[0])
    return interpreter


def call(shell: Shell, interpreter: str, hook: str, environ: dict[str, str] | None = None, **more: Any) -> Called:
    """Call the script by this interpreter, with Claude Code's input."""
    script = shell_script.quoted(shell_script.script_path(shell.data))
    done = subprocess.run(
        ["/bin/sh", "-c", f"exec {interpreter} {script} claude-code {hook}"],
        input=json.dumps(said("claude-code", hook, **more)).encode(),
        env={**shell.environ, **(environ or {})},
        capture_output=True,
        timeout=60,
        check=False,
    )
    return Called(done.returncode, done.stdout, done.stderr)


def own_id() -> str:
    return f"agent-{os.urandom(8).hex()}"


def session(shell: Shell, session_id: str) -> SessionDoc:
    with shell.anonymous().client() as operator:
        return operator.session(session_id)


# --- the claim -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_the_script_claims_a_wake_and_prints_fixed_words(bob: Shell, interpreter: str) -> None:
    mailbox = Mailbox(bob)
    interpreted(interpreter)
    for state, when in (("idle", "idle\n"), ("idle", "any\n"), ("working", "any\n"), ("waiting", "any\n")):
        mailbox.sign(state)
        mailbox.ask(when)
        assert call(bob, interpreter, "FileChanged") == Called(2, b"", LINE)
        assert not mailbox.asked()
        assert call(bob, interpreter, "FileChanged", event="change").silent(), "the wake is claimed already"


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_the_script_leaves_a_wake_that_is_not_its_to_carry_out(bob: Shell, interpreter: str) -> None:
    mailbox = Mailbox(bob)
    interpreted(interpreter)
    for state in ("working", "waiting"):
        mailbox.sign(state)
        mailbox.ask()
        assert call(bob, interpreter, "FileChanged").silent(), "the hooks of the turn bring the mail"
    mailbox.sign("idle")
    mailbox.ask("any\n")
    assert call(bob, interpreter, "FileChanged", {"MAESTRO_WAKE": "off"}).silent()
    assert call(bob, interpreter, "FileChanged", {"MAESTRO_BROKER": "tcp://10.0.0.1:1"}).silent()
    assert call(bob, interpreter, "FileChanged", {"MAESTRO_SESSION_ID": ""}).silent()
    assert call(bob, interpreter, "FileChanged", {"MAESTRO_SESSION_ID": "operator"}).silent()
    assert call(bob, interpreter, "FileChanged", event="unlink").silent()
    os.unlink(os.path.join(mailbox.folder, ".pending"))
    assert call(bob, interpreter, "FileChanged").silent(), "no mail waits any more"
    assert mailbox.asked()


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_odd_files_in_place_of_a_wake_are_not_waited_for(bob: Shell, interpreter: str) -> None:
    mailbox = Mailbox(bob)
    interpreted(interpreter)
    os.mkfifo(mailbox.wake)
    assert call(bob, interpreter, "FileChanged").silent()
    os.unlink(mailbox.wake)
    os.mkdir(mailbox.wake)
    assert call(bob, interpreter, "FileChanged").silent()
    os.rmdir(mailbox.wake)
    for content in ("", "\n", "idle", "any", "$(exit 7)\n", "-n\n"):
        mailbox.ask(content)
        assert call(bob, interpreter, "FileChanged") == Called(2, b"", LINE), "an idle agent is woken all the same"


def test_of_many_who_see_a_wake_one_claims_it(bob: Shell) -> None:
    """Two clients on one mailbox are each shown the file's change."""
    mailbox = Mailbox(bob)
    given = json.dumps(said("claude-code", "FileChanged")).encode()
    for _ in range(5):
        mailbox.ask()
        running = [Agent(bob, "claude-code").start("FileChanged") for _ in range(6)]
        for process in running:
            assert process.stdin is not None
            process.stdin.write(given)
            process.stdin.close()
        codes = []
        for process in running:
            codes.append(process.wait(60))
            for stream in (process.stdout, process.stderr):
                assert stream is not None
                stream.close()
        assert sorted(codes) == [0, 0, 0, 0, 0, 2]


def test_every_other_event_ends_with_0_beside_a_wake(bob: Shell) -> None:
    mailbox = Mailbox(bob, mail=False)
    agent = Agent(bob, "claude-code")
    for event in CLAUDE_CODE.events:
        mailbox.ask()
        called = agent.call(event, session_id=own_id())
        assert (called.code, called.err) == (0, b"")
        assert mailbox.asked()


# --- the turn that a wake began --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["claude-code", "codex"])
def test_a_woken_turn_says_so_to_its_end(person: Shell, started: list[AgentProcess], name: str) -> None:
    agent = AgentProcess(person, name)
    started.append(agent)
    path = hook_state.path(person.data, agent.start())

    def sign() -> tuple[str, str | None]:
        found = hook_state.read(path)
        assert found is not None
        return found.state, found.detail

    for prompt, detail in ((WOKEN_PROMPT, waking.WOKEN), ("Go on.", None), (f"x {waking.NOTICE}", waking.WOKEN)):
        agent.hook("UserPromptSubmit", prompt=prompt)
        assert sign() == ("working", detail)
        agent.hook("PostToolUse")
        assert sign() == ("working", detail)
        agent.hook("Stop")
        assert sign() == ("idle", detail)
    agent.hook("UserPromptSubmit")
    assert sign() == ("working", None)


def test_mail_that_continues_a_woken_turn_leaves_it_one(
    alice: Shell, person: Shell, started: list[AgentProcess]
) -> None:
    agent = AgentProcess(person, "claude-code")
    started.append(agent)
    own = agent.start()
    for prompt, detail in ((WOKEN_PROMPT, waking.WOKEN), ("Go on.", None)):
        agent.hook("UserPromptSubmit", prompt=prompt)
        with alice.client() as client:
            client.send(own, f"more, {prompt[:3]}")
        assert "more" in agent.hook("Stop")
        sign = hook_state.read(hook_state.path(person.data, own))
        assert sign is not None
        assert (sign.state, sign.detail) == ("working", detail)


def test_a_receipt_names_what_woke_the_agent(alice: Shell, bob: Shell) -> None:
    """Only for the mail of the woken turn's prompt, and only if a wake began that turn."""
    agent = Agent(bob, "claude-code")
    for event, prompt in (("UserPromptSubmit", WOKEN_PROMPT), ("UserPromptSubmit", "Go on."), ("PostToolUse", "")):
        sent = alice.send(bob, f"hello {event} {len(prompt)}")
        assert "| hello" in agent.text(event, prompt=prompt)
        with alice.client() as client:
            records: list[dict[str, Any]] = [dict(one) for one in client.events(0, message=sent)["events"]]
        [confirmed] = [record for record in records if record["event"] == "message.delivered"]
        assert confirmed.get("wokenBy") == (waking.CLAUDE_CODE if prompt == WOKEN_PROMPT else None)


# --- the start -------------------------------------------------------------------------------------------------


def start(
    shell: Shell, word: str = "wake", source: str = "startup", environ: dict[str, str] | None = None
) -> tuple[dict[str, Any], SessionDoc]:
    """A start of Claude Code without a session of its shell: what its hook answers, and the session that it has."""
    own = own_id()
    line = shell_script.command(shell_script.script_path(shell.data), "claude-code", "SessionStart", word)
    done = subprocess.run(
        ["/bin/sh", "-c", line],
        input=json.dumps(said("claude-code", "SessionStart", session_id=own, source=source)).encode(),
        env={**shell.environ, **(environ or {})},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    link = read_link(shell.data, "claude-code", own)
    assert link is not None
    answer: dict[str, Any] = json.loads(done.stdout)["hookSpecificOutput"]
    return answer, session(shell, link.session)


@pytest.mark.parametrize("source", ["startup", "resume", "clear", "compact"])
def test_each_start_names_a_file_to_watch_whose_folder_exists(person: Shell, source: str) -> None:
    answer, found = start(person, source=source)
    folder = os.path.join(person.data, "messages", "by-receiver", found["id"])
    assert answer["watchPaths"] == [os.path.join(folder, waking.WAKE_FILE)]
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    assert (found["wakeBy"], found.get("wake", "idle")) == (waking.CLAUDE_CODE, "idle")
    assert "wake you" not in answer["additionalContext"]


def test_a_session_of_the_shell_is_woken_too(bob: Shell) -> None:
    answer = Agent(bob, "claude-code").call("SessionStart", session_id=own_id())
    [watched] = json.loads(answer.out)["hookSpecificOutput"]["watchPaths"]
    assert watched.endswith(f"/{bob.session_id}/{waking.WAKE_FILE}")
    assert session(bob, bob.session_id)["wakeBy"] == waking.CLAUDE_CODE


def test_an_installation_without_wakes_watches_nothing(person: Shell) -> None:
    answer, found = start(person, "no-wake")
    assert "watchPaths" not in answer
    assert "wakeBy" not in found
    assert "wake you" not in answer["additionalContext"]


def test_an_installation_from_before_is_said_once_a_start(person: Shell) -> None:
    answer, found = start(person, "")
    assert "watchPaths" not in answer
    assert "wakeBy" not in found
    assert answer["additionalContext"].count("maestro hooks install claude-code") == 1


def test_what_could_wake_a_session_is_cleared_by_a_start_that_cannot(bob: Shell) -> None:
    agent = Agent(bob, "claude-code")
    agent.call("SessionStart", session_id=own_id())
    assert session(bob, bob.session_id)["wakeBy"] == waking.CLAUDE_CODE
    line = shell_script.command(shell_script.script_path(bob.data), "claude-code", "SessionStart", "no-wake")
    given = json.dumps(said("claude-code", "SessionStart", session_id=own_id())).encode()
    subprocess.run(["/bin/sh", "-c", line], input=given, env=bob.environ, capture_output=True, check=True)
    assert "wakeBy" not in session(bob, bob.session_id)


def test_the_setting_goes_from_the_variable_and_the_file_to_the_session(person: Shell) -> None:
    answer, found = start(person, environ={"MAESTRO_WAKE": "off"})
    assert (found["wakeBy"], found["wake"]) == (waking.CLAUDE_CODE, "off")
    path = os.path.join(person.root, "wake-off.toml")
    with open(path, "w", encoding="utf-8") as file:
        file.write('[hooks]\nwake = "off"\n')
    answer, found = start(person, environ={"MAESTRO_CONFIG": path})
    assert found["wake"] == "off"
    assert "watchPaths" in answer, "the setting can change while the agent runs"
    _, found = start(person, environ={"MAESTRO_CONFIG": path, "MAESTRO_WAKE": "idle"})
    assert found.get("wake", "idle") == "idle"


def test_a_setting_that_is_no_setting_keeps_no_mail_back(person: Shell) -> None:
    answer, found = start(person, environ={"MAESTRO_WAKE": "of"})
    assert found["wakeBy"] == waking.CLAUDE_CODE
    assert "MAESTRO_WAKE can't be 'of'" in answer["additionalContext"]


def test_config_knows_the_setting(person: Shell) -> None:
    shown = person.done("config", "show", "hooks.wake", "--json").json()["settings"]["hooks.wake"]
    assert (shown["value"], shown["origin"]) == ("idle", "default")
    ran = person.run("config", "show", "hooks.wake", environ={"MAESTRO_WAKE": "off"})
    assert ran.out.splitlines()[1].split(maxsplit=2) == ["hooks.wake", "off", "environment MAESTRO_WAKE"]
    person.done("up")
    wrong = {"MAESTRO_WAKE": "maybe"}
    ran = person.run("config", "show", "hooks.wake", environ=wrong)
    assert (ran.code, ran.out.splitlines()[1].split()) == (0, ["hooks.wake", "idle", "default"])
    assert "MAESTRO_WAKE can't be 'maybe'" in ran.err
    found = person.run("doctor", "--json", environ=wrong).json()["findings"]
    [settings] = [each for each in found if each["name"] == "settings"]
    assert (settings["state"], "MAESTRO_WAKE can't be" in settings["what"]) == ("failed", True)
    path = os.path.join(person.root, "made.toml")
    assert person.run("config", "init", environ={"MAESTRO_CONFIG": path}).code == 0
    with open(path, encoding="utf-8") as file:
        text = file.read()
    assert '[hooks]\n# whether mail may start a turn of an idle agent\n# wake = "idle"\n' in text
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace('# wake = "idle"', 'wake = "never"'))
    ran = person.run("config", "show", environ={"MAESTRO_CONFIG": path})
    assert "wake can't be 'never': it is one of idle, off" in ran.err


def test_an_older_broker_is_said_and_keeps_no_mail_back(tmp_path: pathlib.Path) -> None:
    """A broker whose `session.start` does not know the fields yet, that of a name's base too."""
    (tmp_path / "sitecustomize.py").write_text(_OLDER_BROKER)
    with open_shell(MAESTRO_AUTOSTART="0") as other:
        assert other.run("up", environ={"PYTHONPATH": str(tmp_path)}).code == 0
        shell_script.write(other.data, sys.executable)
        answer, found = start(other)
        assert "wakeBy" not in found
        assert "restart it: maestro down, then maestro up" in answer["additionalContext"]
        assert answer["additionalContext"].startswith(f"You are {found['id']}")
        assert read_link(other.data, "claude-code", found["agentSessionId"]) is not None


# The broker that decodes these requests has their fields of the version before.
_OLDER_BROKER = """\
import msgspec
from maestro_schemas import requests

for name in ("SessionStart", "SessionTouch"):
    new = getattr(requests, name)
    fields = [
        (field.name, field.type, msgspec.field(default=field.default, default_factory=field.default_factory))
        if not field.required else (field.name, field.type)
        for field in msgspec.structs.fields(new)
        if field.name not in ("wake", "wake_by", "name_base", *requests.Request.__struct_fields__)
    ]
    # The core of this version looks at them.
    absent = {name: property(lambda request: None) for name in ("wake", "wake_by", "name_base")}
    old = msgspec.defstruct(
        name, fields, bases=(requests.Request,), frozen=True, module=requests.__name__, namespace=absent
    )
    setattr(requests, name, old)
"""


# --- the installation ------------------------------------------------------------------------------------------


@pytest.fixture
def home(person: Shell, tmp_path: pathlib.Path) -> Shell:
    return person.like(HOME=str(tmp_path), PATH=os.defpath)


def settings_of(home: Shell) -> dict[str, Any]:
    with open(os.path.join(home.environ["HOME"], ".claude/settings.json"), encoding="utf-8") as file:
        found: dict[str, dict[str, Any]] = json.load(file)
    return found["hooks"]


def start_line(home: Shell) -> str:
    line = settings_of(home)["SessionStart"][0]["hooks"][0]["command"]
    assert isinstance(line, str)
    return line


def test_the_entry_starts_a_turn_beside_the_clients_work(home: Shell) -> None:
    out = home.done("hooks", "install", "claude-code").out
    assert "FileChanged" in out
    assert "--no-wake" in out
    [group] = settings_of(home)["FileChanged"]
    [handler] = group["hooks"]
    assert handler["asyncRewake"] is True
    assert waking.NOTICE in handler["rewakeMessage"]
    assert waking.NOTICE in handler["rewakeSummary"]
    assert start_line(home).endswith(" claude-code SessionStart wake")


def test_an_installation_can_leave_wakes_out_and_the_next_keeps_that(home: Shell) -> None:
    home.done("hooks", "install", "claude-code", "--no-wake")
    for _ in range(2):
        assert "FileChanged" not in settings_of(home)
        assert start_line(home).endswith(" claude-code SessionStart no-wake")
        assert home.done("hooks", "install", "claude-code", "--json").json()["wakes"] is False
        assert home.done("hooks", "show", "claude-code", "--json").json()["installed"] is True
    home.done("hooks", "install", "claude-code", "--wake")
    assert "FileChanged" in settings_of(home)
    home.done("hooks", "install", "claude-code", "--no-wake")
    assert "FileChanged" not in settings_of(home)
    home.done("hooks", "uninstall", "claude-code")
    assert not os.path.exists(os.path.join(home.environ["HOME"], ".claude/settings.json"))


def test_an_installation_from_before_is_brought_up_to_date(home: Shell) -> None:
    path = os.path.join(home.environ["HOME"], ".claude/settings.json")
    script = shell_script.script_path(home.data)
    before = {
        event: [{"hooks": [{"type": "command", "command": shell_script.command(script, "claude-code", event)}]}]
        for event in CLAUDE_CODE.events
        if event != "FileChanged"
    }
    os.makedirs(os.path.dirname(path))
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"model": "opus", "hooks": before}, file)
    home.done("hooks", "install", "claude-code")
    found = settings_of(home)
    assert {event: entries[0] for event, entries in found.items()} == installation.entries(CLAUDE_CODE, home.data)
    assert all(len(entries) == 1 for entries in found.values())
    home.done("hooks", "uninstall", "claude-code")
    with open(path, encoding="utf-8") as file:
        assert json.load(file) == {"model": "opus"}


@pytest.mark.parametrize("version", ["2.1.59", "2.0.77", "1.0.128"])
def test_a_client_that_would_refuse_the_entry_does_not_get_it(home: Shell, version: str) -> None:
    """Versions before 2.1.83 skip a whole settings file that has an event which they don't know."""
    folder = os.path.join(home.environ["HOME"], "bin")
    os.makedirs(folder)
    program = os.path.join(folder, "claude")
    with open(program, "w", encoding="utf-8") as file:
        file.write(f"#!/bin/sh\necho '{version} (Claude Code)'\n")
    os.chmod(program, 0o755)
    home = home.like(PATH=f"{folder}:{os.defpath}")
    ran = home.done("hooks", "install", "claude-code")
    assert f"claude-code {version} is installed, and mail can wake it from version 2.1.83 on" in ran.err
    assert "FileChanged" not in settings_of(home)
    with open(program, "w", encoding="utf-8") as file:
        file.write("#!/bin/sh\necho '2.1.83 (Claude Code)'\n")
    assert home.done("hooks", "install", "claude-code", "--wake").err == ""
    assert "FileChanged" in settings_of(home)


def test_only_an_agent_that_a_hook_wakes_can_be_asked_for_it(home: Shell) -> None:
    ran = home.run("hooks", "install", "gemini-cli", "--wake")
    assert ran.code != 0
    assert "no hook can wake gemini-cli" in ran.err
    home.done("hooks", "install", "gemini-cli", "--no-wake")


def test_a_third_word_is_ours_only_where_we_write_it() -> None:
    script = "/data/hooks/maestro-hook"
    for agent in AGENTS.values():
        for word in ("", shell_script.WAKE, shell_script.NO_WAKE):
            line = shell_script.command(script, agent.name, "SessionStart", word)
            assert shell_script.is_own_command(line)
            assert shell_script.wake_word(line) == word
    line = shell_script.command(script, "claude-code", "SessionStart", shell_script.WAKE)
    for other in (line.replace(" wake", " wakes"), line.replace(" wake", " wake wake"), line + " x"):
        assert not shell_script.is_own_command(other)
        assert shell_script.wake_word(other) == ""
