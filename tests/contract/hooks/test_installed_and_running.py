"""Installed is not yet running: switches that turn hooks off, mounts without execution, files that a team shares."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from typing import TYPE_CHECKING, Any

import pytest

from maestro_cli import exit_codes
from maestro_cli.hooks import git_check, shell_script, switches
from maestro_cli.hooks.agents import AGENTS
from maestro_cli.hooks.plugin import plugin_file
from support import components
from support.cli_shell import Shell, open_shell

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

USERS = {
    "claude-code": ".claude/settings.json",
    "codex": ".codex/hooks.json",
    "gemini-cli": ".gemini/settings.json",
    "qwen-code": ".qwen/settings.json",
    "opencode": ".config/opencode/plugin/maestro.js",
}


@pytest.fixture
def home(person: Shell) -> Shell:
    """A shell with a new home directory and a project beside it."""
    for name in ("home", "project"):
        os.mkdir(os.path.join(person.root, name))
    return person.like(
        HOME=os.path.join(person.root, "home"),
        CLAUDE_CONFIG_DIR="",
        CODEX_HOME="",
        GEMINI_CLI_HOME="",
        QWEN_HOME="",
        XDG_CONFIG_HOME="",
    )


def write(shell: Shell, name: str, text: str) -> str:
    """Write a file below the shell's root."""
    path = os.path.join(shell.root, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def content(path: str) -> str:
    """The text of a file; empty for none."""
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8") as file:
        return file.read()


def in_project(shell: Shell) -> Shell:
    """The same shell in the project's directory."""
    return Shell(os.path.join(shell.root, "project"), shell.environ, [])


def findings(shell: Shell, name: str) -> list[dict[str, Any]]:
    """Doctor's findings with a name."""
    found: list[dict[str, Any]] = shell.run("doctor", "--json").json()["findings"]
    return [one for one in found if one["name"] == name]


# --- F11: switches -----------------------------------------------------------------------------------------

SWITCHES = [
    ("claude-code", "home/.claude/settings.json", '{"disableAllHooks": true}', '"disableAllHooks": true'),
    ("claude-code", "project/.claude/settings.json", '{"disableAllHooks": true}', '"disableAllHooks": true'),
    ("claude-code", "project/.claude/settings.local.json", '{"disableAllHooks": true}', '"disableAllHooks": true'),
    ("codex", "home/.codex/config.toml", "[features]\nhooks = false\n", "[features] hooks = false"),
    ("codex", "home/.codex/config.toml", "[features]\ncodex_hooks = false\n", "[features] codex_hooks = false"),
    ("codex", "project/.codex/config.toml", "[features]\nhooks = false\n", "[features] hooks = false"),
    (
        "gemini-cli",
        "home/.gemini/settings.json",
        '// mine\n{"hooksConfig": {"enabled": false}}',
        '"hooksConfig": {"enabled": false}',
    ),
    (
        "gemini-cli",
        "project/.gemini/settings.json",
        '{"tools": {"enableHooks": false}}',
        '"tools": {"enableHooks": false}',
    ),
    ("qwen-code", "home/.qwen/settings.json", '// mine\n{"disableAllHooks": true}', '"disableAllHooks": true'),
    ("qwen-code", "project/.qwen/settings.json", '{"disableAllHooks": true}', '"disableAllHooks": true'),
    ("qwen-code", "qwen.json", '{"disableAllHooks": true}', '"disableAllHooks": true'),
    ("gemini-cli", "system.json", '{"hooksConfig": {"enabled": false}}', '"hooksConfig": {"enabled": false}'),
]


@pytest.mark.parametrize(("agent", "name", "text", "key"), SWITCHES, ids=lambda value: str(value)[:40])
def test_a_switch_is_said_by_install_and_doctor(home: Shell, agent: str, name: str, text: str, key: str) -> None:
    path = write(home, name, text)
    system = {"GEMINI_CLI": "system.json", "QWEN_CODE": "qwen.json"}
    paths = {f"{name}_SYSTEM_SETTINGS_PATH": os.path.join(home.root, file) for name, file in system.items()}
    shell = in_project(home.like(**paths))
    where = " in this project" if name.startswith("project") else ""
    said = f"{path} turns {agent}'s hooks off{where}: {key}"
    ran = shell.run("hooks", "install", agent)
    assert ran.code == exit_codes.DONE, ran
    assert f"{said}, so no hook runs" in ran.err
    [finding] = findings(shell, f"switch of {agent}'s hooks")
    assert (finding["state"], finding["what"]) == ("warning", said)
    assert "Remove that setting" in finding["repair"]
    report = shell.done("hooks", "install", agent, "--json").json()
    assert report["turnedOff"] == [finding["what"]]


@pytest.mark.parametrize("agent", AGENTS)
def test_without_a_switch_nothing_is_said(home: Shell, agent: str) -> None:
    ran = in_project(home).run("hooks", "install", agent)
    assert ran.err == ""
    assert findings(in_project(home), f"switch of {agent}'s hooks") == []


@pytest.mark.parametrize(
    ("agent", "file", "settings", "key"),
    [
        ("claude-code", "managed-settings.json", {"allowManagedHooksOnly": True}, '"allowManagedHooksOnly": true'),
        ("claude-code", "managed-settings.json", {"disableAllHooks": True}, '"disableAllHooks": true'),
        ("codex", "requirements.toml", {"allow_managed_hooks_only": True}, "allow_managed_hooks_only = true"),
        ("codex", "requirements.toml", {"features": {"hooks": False}}, "[features] hooks = false"),
    ],
)
def test_an_administrator_s_switch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, agent: str, file: str, settings: dict[str, Any], key: str
) -> None:
    """Their files are in /etc, which no test writes."""
    monkeypatch.setattr(
        switches, "_settings", lambda path, *, comments: settings if path.endswith(f"/{file}") else {}
    )
    [said] = switches.turned_off(AGENTS[agent], {"HOME": str(tmp_path)}, None)
    assert said.startswith("/etc/")
    assert said.endswith(key)


@pytest.mark.parametrize("text", ["", "{", "[]", "\xff", '{"disableAllHooks": "no"}', '{"disableAllHooks": false}'])
def test_a_file_that_is_no_settings_turns_nothing_off(tmp_path: Path, text: str) -> None:
    for name in (".claude/settings.json", ".codex/config.toml", ".gemini/settings.json"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(text.encode("latin-1"))
    for agent in AGENTS.values():
        assert switches.turned_off(agent, {"HOME": str(tmp_path)}, str(tmp_path)) == []


# --- F12: a file system that is mounted noexec --------------------------------------------------------------


@pytest.fixture
def noexec() -> Iterator[Shell]:
    """A shell whose data directory is on a file system where nothing can be executed."""
    components.require_root("mounting a file system")
    mount = tempfile.mkdtemp(prefix="mne-", dir="/tmp")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "noexec,size=64m", "maestro-test", mount], check=False)
    if done.returncode:
        os.rmdir(mount)
        components.missing("mounting is not permitted here")
    try:
        with open_shell(MAESTRO_RATE_LIMIT="0") as person:
            os.mkdir(os.path.join(person.root, "home"))
            data = os.path.join(mount, "data")
            shell = person.like(MAESTRO_DATA_DIR=data, HOME=os.path.join(person.root, "home"))
            yield shell
            shell.run("down")
    finally:
        subprocess.run(["umount", "-l", mount], check=True)
        os.rmdir(mount)


@pytest.mark.parametrize("agent", AGENTS)
def test_hooks_run_from_a_file_system_without_execution(noexec: Shell, agent: str) -> None:
    noexec.done("hooks", "install", agent)
    script = shell_script.script_path(noexec.data)
    with pytest.raises(PermissionError):
        subprocess.run([script], check=False)
    alice, bob = noexec.session("alice", role="orchestrator"), noexec.session("bob")
    alice.send(bob, "from a mount")
    settings_path = os.path.join(noexec.environ["HOME"], USERS[agent])
    with open(settings_path, encoding="utf-8") as file:
        text = file.read()
    hooks = json.loads(plugin_file.settings_in(text) if AGENTS[agent].is_plugin else text)["hooks"]
    event = next(name for name, kind in AGENTS[agent].events.items() if kind == "prompt")
    [handler] = hooks[event][0]["hooks"]
    payload = json.dumps({"session_id": "one", "hook_event_name": event, "cwd": "/", "prompt": "go"})
    done = subprocess.run(
        ["/bin/sh", "-c", handler["command"]],
        input=payload.encode(),
        env=bob.environ,
        capture_output=True,
        check=False,
    )
    assert b"from a mount" in done.stdout, done
    [finding] = findings(noexec, f"hooks of {agent}")
    assert finding["state"] in ("ok", "warning"), finding
    assert "each answer is one that" in finding["what"]


@pytest.mark.parametrize("run", ["test -x {0} && exec {0}", "test -r {0} && exec /bin/sh {0}"])
def test_the_line_of_an_earlier_version_is_still_ours(home: Shell, run: str) -> None:
    """It ran the script by its mode, or always in a second shell; an installation replaces it."""
    old = run.format(f"'{home.data}/hooks/maestro-hook'") + " claude-code Stop || true"
    handler = {"type": "command", "command": old, "timeout": 20}
    path = write(home, "home/.claude/settings.json", json.dumps({"hooks": {"Stop": [{"hooks": [handler]}]}}))
    home.done("hooks", "install", "claude-code")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    assert old not in text
    assert text.count("exec /bin/sh") == len(AGENTS["claude-code"].events)
    home.done("hooks", "uninstall", "claude-code")
    with open(path, encoding="utf-8") as file:
        assert "maestro-hook" not in file.read()


def test_a_reviewed_line_stays_as_it_is(home: Shell) -> None:
    """Codex runs no line that has changed since its user's review, and says nothing of it."""
    script = f"'{home.data}/hooks/maestro-hook'"
    home.done("hooks", "install", "codex")
    with open(os.path.join(home.environ["HOME"], ".codex/hooks.json"), encoding="utf-8") as file:
        [group] = json.load(file)["hooks"]["Stop"]
    assert group["hooks"][0]["command"] == f"test -r {script} && exec /bin/sh {script} codex Stop || true"


# --- the shell that an agent has ----------------------------------------------------------------------------


@pytest.mark.parametrize("interpreter", ["dash", "busybox sh", "bash", "bash --posix", "zsh", "fish"])
def test_the_line_works_in_each_shell(home: Shell, interpreter: str) -> None:
    """A plain `sh` reads the script itself, another shell starts one. Where the script is gone, all are silent."""
    components.require_tools(interpreter.partition(" ")[0])
    home.done("hooks", "install", "claude-code")
    script = shell_script.script_path(home.data)
    line = shell_script.command(script, "claude-code", "UserPromptSubmit")

    def ran(shell: Shell, line: str) -> tuple[int, bytes, bytes]:
        payload = json.dumps({"session_id": "one", "hook_event_name": "UserPromptSubmit", "prompt": "x" * 100_000})
        command = [*interpreter.split(), "-c", line]
        done = subprocess.run(
            command, input=payload.encode(), env=shell.environ, capture_output=True, check=False, timeout=60
        )
        return done.returncode, done.stdout, done.stderr

    alice, bob = home.session("alice", role="orchestrator"), home.session("bob")
    assert ran(bob, line) == (0, b"", b"")
    alice.send(bob, "in each shell")
    code, out, err = ran(bob, line)
    assert (code, b"in each shell" in out, err) == (0, True, b"")
    # A shell that becomes another one keeps its process: only a variable that is not exported tells them apart.
    with open(script, "w", encoding="utf-8") as file:
        file.write('echo "$1 $2 $# ${kept-}"; exit 0\n')
    kept = "set -g kept here" if interpreter == "fish" else "kept=here"
    is_plain = interpreter in ("dash", "busybox sh")
    said = f"claude-code UserPromptSubmit 2 {'here' if is_plain else ''}\n".encode()
    assert ran(bob, f"{kept}; {line}") == (0, said, b"")
    os.unlink(script)
    assert ran(bob, line) == (0, b"", b"")


# --- N-A12: files that a team commits ----------------------------------------------------------------------


def git(shell: Shell, *words: str) -> None:
    """Run git in the project."""
    components.require_tools("git")
    directory = os.path.join(shell.root, "project")
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    subprocess.run(["git", "-C", directory, *identity, *words], check=True, capture_output=True)


def test_a_project_s_hooks_are_in_its_local_settings(home: Shell) -> None:
    git(home, "init", "-q")
    shared = write(home, "project/.claude/settings.json", '{"model": "opus"}')
    ran = in_project(home).run("hooks", "install", "claude-code", "--scope", "project")
    assert ran.code == exit_codes.DONE, ran
    with open(shared, encoding="utf-8") as file:
        assert file.read() == '{"model": "opus"}'
    local = os.path.join(home.root, "project", ".claude", "settings.local.json")
    with open(local, encoding="utf-8") as file:
        assert "maestro-hook" in file.read()
    # git would add it: Claude Code excludes it only where it makes the file itself.
    assert "git would commit" in ran.err
    assert "info/exclude" in ran.err
    assert "project's hooks" not in ran.err


def test_hooks_that_an_earlier_version_put_into_the_shared_file_move(home: Shell) -> None:
    home.done("hooks", "install", "claude-code")
    with open(os.path.join(home.root, "home", ".claude", "settings.json"), encoding="utf-8") as file:
        text = file.read()
    shared = write(home, "project/.claude/settings.json", text)
    name = "hooks of claude-code"
    assert any("is committed with the project" in one["what"] for one in findings(in_project(home), name))
    ran = in_project(home).run("hooks", "install", "claude-code", "--scope", "project")
    assert f"removed the hooks from {shared}, which a team commits" in ran.err
    assert "maestro-hook" not in content(shared)
    assert not any("is committed" in one["what"] for one in findings(in_project(home), name))


def test_uninstall_removes_them_from_both(home: Shell) -> None:
    project = in_project(home)
    project.done("hooks", "install", "claude-code", "--scope", "project")
    local = os.path.join(home.root, "project", ".claude", "settings.local.json")
    with open(local, encoding="utf-8") as file:
        shared = write(home, "project/.claude/settings.json", file.read())
    said = project.done("hooks", "uninstall", "claude-code", "--scope", "project").out
    assert local in said
    assert shared in said
    assert not os.path.exists(local)
    assert "maestro-hook" not in content(shared)


@pytest.mark.parametrize("agent", ["codex", "gemini-cli"])
@pytest.mark.parametrize("is_tracked", [False, True])
def test_the_only_file_of_a_project_is_not_written_where_git_has_it(
    home: Shell, agent: str, *, is_tracked: bool
) -> None:
    git(home, "init", "-q")
    path = os.path.join(home.root, "project", USERS[agent])
    if is_tracked:
        write(home, f"project/{USERS[agent]}", "{}")
        git(home, "add", ".")
        git(home, "commit", "-q", "-m", "settings")
    project = in_project(home)
    for dry_run in ([], ["--dry-run"]):
        ran = project.run("hooks", "install", agent, "--scope", "project", *dry_run)
        assert ran.code == exit_codes.REFUSED, ran
        assert f"{path} would be committed with the project" in ran.err
    assert content(path) == ("{}" if is_tracked else "")
    if not is_tracked:
        # The hint's own command, then again.
        command = git_check.exclude_command(AGENTS[agent].folder, AGENTS[agent].file)
        assert command in ran.err
        subprocess.run(["/bin/sh", "-c", command], cwd=project.root, check=True)
        assert project.run("hooks", "install", agent, "--scope", "project").err == ""
        assert "maestro-hook" in content(path)


def test_without_git_every_file_in_a_repository_counts_as_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "project" / ".codex" / "hooks.json")
    assert not git_check.would_be_committed(path)
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("PATH", "/nonexistent")
    assert git_check.would_be_committed(path)
    monkeypatch.undo()
    # git does not take an empty folder for a repository, and so can't say that the file is ignored.
    assert git_check.would_be_committed(path)


# --- FIFOs where a hook looks --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place", ["logs/hooks.log", "hooks/links/claude-code/one", "hooks/state/BOB", "hooks/turns/BOB"]
)
@pytest.mark.parametrize("kind", ["a FIFO", "a directory"])
def test_no_hook_waits_for_a_fifo(home: Shell, place: str, kind: str) -> None:
    """An agent would wait with it. The mail comes all the same, or in another process."""
    home.done("hooks", "install", "claude-code")
    alice, bob = home.session("alice", role="orchestrator"), home.session("bob")
    alice.send(bob, "hello")
    path = os.path.join(home.data, place.replace("BOB", bob.session_id))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if os.path.exists(path):
        os.unlink(path)
    if kind == "a FIFO":
        os.mkfifo(path)
    else:
        os.mkdir(path)
    for event in ("SessionStart", "UserPromptSubmit", "PostToolUse", "Stop", "SessionEnd"):
        payload = json.dumps({"session_id": "one", "hook_event_name": event, "source": "startup", "cwd": "/"})
        done = subprocess.run(
            ["/bin/sh", shell_script.script_path(home.data), "claude-code", event],
            input=payload.encode(),
            env=bob.environ,
            capture_output=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done
