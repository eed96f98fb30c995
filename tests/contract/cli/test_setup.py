"""`maestro setup` and `maestro uninstall`: in homes of several shapes, everything comes, and all of it goes."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from maestro_cli import exit_codes
from maestro_cli.hooks.agents import AGENTS
from support import components
from support.cli_shell import Ran, stop_broker

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND_S_MAX = 110.0
FOLDERS = {
    "claude-code": ".claude",
    "codex": ".codex",
    "gemini-cli": ".gemini",
    "qwen-code": ".qwen",
    "opencode": ".config/opencode",
}
HOOK_FILES = {
    "claude-code": ".claude/settings.json",
    "codex": ".codex/hooks.json",
    "gemini-cli": ".gemini/settings.json",
    "qwen-code": ".qwen/settings.json",
    "opencode": ".config/opencode/plugin/maestro.js",
}
SERVER_FILES = {
    "claude-code": ".claude.json",
    "codex": ".codex/config.toml",
    "gemini-cli": ".gemini/settings.json",
    "qwen-code": ".qwen/settings.json",
    "opencode": ".config/opencode/opencode.json",
}


BASH_FILES = ".local/share/bash-completion/completions"


class NewHome:
    """A home directory of its own, and commands in it: HOME and PATH, and no other variable of ours."""

    def __init__(self) -> None:
        self.root = tempfile.mkdtemp(prefix="mhm-", dir="/tmp")
        self.path = os.path.join(self.root, "home")
        os.mkdir(self.path, 0o755)
        self.data = self.at(".local/share/maestro")
        self.environ = {
            **{name: value for name, value in os.environ.items() if name.startswith("COV")},
            "HOME": self.path,
            "PATH": os.defpath,
            "SHELL": "/bin/bash",
            "LANG": "C.UTF-8",
            "MAESTRO_HTTP": "0",
        }

    def at(self, name: str) -> str:
        """A path in it."""
        return os.path.join(self.path, name)

    def put(self, name: str, text: str, mode: int = 0o644) -> str:
        """A file of the person."""
        path = self.at(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(text.encode())
        os.chmod(path, mode)
        return path

    def text(self, name: str) -> str:
        """What is in a file."""
        with open(self.at(name), encoding="utf-8", newline="") as file:
            return file.read()

    def run(self, *arguments: str, cwd: str | None = None, **environ: str) -> Ran:
        """Run `maestro ARGUMENTS` without a terminal."""
        done = subprocess.run(
            [sys.executable, "-m", "maestro_cli", *arguments],
            env={**self.environ, **environ},
            cwd=cwd or self.path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMMAND_S_MAX,
            check=False,
        )
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())

    def done(self, *arguments: str, cwd: str | None = None, **environ: str) -> Ran:
        """The same, for a command that must end with exit code 0."""
        ran = self.run(*arguments, cwd=cwd, **environ)
        assert ran.code == exit_codes.DONE, ran
        return ran

    def tree(self) -> dict[str, Entry]:
        """Everything in it."""
        found = {}
        for above, folders, names in os.walk(self.path):
            for name in (*folders, *names):
                path = os.path.join(above, name)
                found[os.path.relpath(path, self.path)] = Entry.of(path)
        return found

    def close(self) -> None:
        """End the broker, and remove it."""
        stop_broker(self.data)
        shutil.rmtree(self.root, ignore_errors=True)


class Entry(NamedTuple):
    """What stands at a path: all but the times."""

    mode: str
    owner: tuple[int, int]
    content: bytes | str | None

    @classmethod
    def of(cls, path: str) -> Entry:
        status = os.lstat(path)
        content: bytes | str | None = None
        if stat.S_ISLNK(status.st_mode):
            content = os.readlink(path)
        elif stat.S_ISREG(status.st_mode):
            with open(path, "rb") as file:
                content = file.read()
        return cls(stat.filemode(status.st_mode), (status.st_uid, status.st_gid), content)


@pytest.fixture
def home() -> Iterator[NewHome]:
    made = NewHome()
    try:
        yield made
    finally:
        made.close()


# --- there and back --------------------------------------------------------------------------------------------

PLAIN = """\
{
    "model": "opus",
    "hooks": {
        "Stop": [
            {"hooks": [{"type": "command", "command": "notify-send done"}]}
        ]
    },
    "mcpServers": {"files": {"command": "files-mcp"}},
    "permissions": {"allow": ["Bash(ls:*)"]}
}
"""
COMMENTED = """\
// mine
{
  /* the look */ "ui": {"theme": "Dracula"}, // dark
  "hooks": {
    // none yet, see "AfterTool": []
  },
  "mcpServers": { /* none */ }
}
"""
TOML = """\
# My own words about the model.
model = "gpt-5"   # fast

[mcp_servers.files] # of the project
command = "files-mcp"

# The end.
"""
# Each has (hooks file, server file); None: no such file, and only the settings folder.
SHAPES: dict[str, dict[str, tuple[str | None, str | None]]] = {
    "folders without files": dict.fromkeys(AGENTS, (None, None)),
    "files of a person": {
        "claude-code": (PLAIN, '{"numStartups": 4, "mcpServers": { }}'),
        "codex": (PLAIN, TOML),
        "gemini-cli": (COMMENTED, None),
        "qwen-code": (COMMENTED.rstrip("\n"), None),
        "opencode": (None, '{\n  // mine\n  "theme": "system"\n}'),
    },
    "odd layouts": {
        "claude-code": (PLAIN.replace("\n", "\r\n"), '{\r\n\t"a": 1\r\n}'),
        "codex": ('{"hooks":{}}', TOML.replace("\n", "\r\n").rstrip("\r\n")),
        "gemini-cli": ("\ufeff" + PLAIN.replace("    ", "\t"), None),
        "qwen-code": ('{"hooks": {"Stop": []}, "b": [1, 2]}', None),
        "opencode": (None, '{"mcp": {"files": {"type": "local", "command": ["files"]}}}'),
    },
    "empty files": {
        "claude-code": ("{}", "{}\n"),
        "codex": ("", ""),
        "gemini-cli": ("\n", None),
        "qwen-code": ("{\n}\n", None),
        "opencode": (None, "{ }"),
    },
}


def furnish(home: NewHome, shape: str) -> None:
    """The settings of all agents."""
    for number, (agent, (hooks, servers)) in enumerate(SHAPES[shape].items()):
        os.makedirs(home.at(FOLDERS[agent]), mode=0o755)
        mode = (0o600, 0o640, 0o644)[number % 3]
        if hooks is not None:
            home.put(HOOK_FILES[agent], hooks, mode)
        if servers is not None:
            home.put(SERVER_FILES[agent], servers, mode)


@pytest.mark.parametrize("shape", SHAPES)
def test_after_both_the_home_is_what_it_was(home: NewHome, shape: str) -> None:
    furnish(home, shape)
    before = home.tree()
    out = home.done("setup", "--yes", "--mcp").out
    for agent in AGENTS:
        assert f"ok       {agent}: mail comes into its context" in out
        assert "maestro-hook" in home.text(HOOK_FILES[agent])
        assert "maestro" in home.text(SERVER_FILES[agent])
    assert "a message to itself took" in out
    again = home.done("setup", "--dry-run", "--mcp").out
    assert "Everything is set up already; nothing is written." in again
    assert "It writes:" not in again
    home.done("uninstall", "--yes", "--data")
    assert home.tree() == before
    assert "Nothing of maestro is left to remove." in home.done("uninstall").out


def test_an_empty_home_is_empty_again(home: NewHome) -> None:
    """The agents are named, or found by their commands; nothing was there before."""
    programs = os.path.join(home.root, "bin")
    os.mkdir(programs)
    for agent in AGENTS.values():
        program = os.path.join(programs, agent.program)
        with open(program, "w", encoding="ascii") as script:
            script.write("#!/bin/sh\necho 99.0.0\n")
        os.chmod(program, 0o755)
    home.environ["PATH"] = f"{programs}:{os.defpath}"
    plain = home.run("setup")
    assert plain.code == exit_codes.USAGE
    assert "there is no terminal to ask on" in plain.err
    shown = home.done("setup", "--dry-run", "--json").json()
    assert [one["agent"] for one in shown["agents"]] == list(AGENTS)
    assert home.tree() == {}, "a command that only shows made something"
    done = home.done("setup", "--yes", "--mcp", "--json").json()
    assert (done["state"], done["changed"]) == ("ok", True)
    assert {step["name"] for step in done["steps"]} == {*AGENTS, "command", "completion", "broker"}
    for name in (*HOOK_FILES.values(), *SERVER_FILES.values(), ".local/bin/maestro"):
        assert os.path.exists(home.at(name))
    # Nothing of the message to itself is left for a person to see.
    assert "No new messages" in home.done("inbox", "--as", "operator").out
    assert home.done("log").out.startswith("Nothing was said yet")
    shown = home.done("uninstall", "--dry-run", "--data", "--json").json()
    assert {home.at(HOOK_FILES[agent]) for agent in AGENTS} <= {one["path"] for one in shown["removed"]}
    refused = home.run("uninstall")
    assert refused.code == exit_codes.USAGE
    assert os.path.exists(home.at(HOOK_FILES["codex"]))
    removed = home.done("uninstall", "--yes", "--data", "--json").json()
    assert (removed["state"], removed["left"]) == ("ok", [])
    assert home.tree() == {}


def test_without_data_the_mail_stays(home: NewHome) -> None:
    os.mkdir(home.at(".claude"))
    home.done("setup", "--yes")
    home.done("config", "init")
    home.done("send", "--as", "operator", "--to", "operator", "-m", "keep me")
    out = home.done("uninstall", "--yes").out
    assert "Left: ~/.local/share/maestro (the mail; `maestro uninstall --data` removes it)" in out
    assert "Left: ~/.config/maestro/config.toml" in out
    found = home.tree()
    assert ".local/share/maestro/hooks" not in found
    assert not [name for name in found if name.startswith((".claude/", ".local/bin", ".local/share/bash"))]
    assert "keep me" in home.done("inbox", "--as", "operator").out
    home.done("uninstall", "--yes", "--data")
    assert list(home.tree()) == [".claude"]


def test_a_second_setup_changes_nothing_and_tries_it_again(home: NewHome) -> None:
    os.mkdir(home.at(".qwen"))
    home.done("setup", "--yes")
    before = {name: one for name, one in home.tree().items() if not name.startswith(".local/share/maestro/")}
    again = home.done("setup")
    assert "Everything is set up already; nothing is written." in again.out
    assert "ok       qwen-code: is set up already." in again.out
    assert "a message to itself took" in again.out
    after = {name: one for name, one in home.tree().items() if not name.startswith(".local/share/maestro/")}
    assert after == before


def test_what_another_program_changed_stays_as_it_is(home: NewHome) -> None:
    home.put(".claude/settings.json", '{"model": "opus"}')
    home.done("setup", "--yes")
    changed = {**json.loads(home.text(".claude/settings.json")), "theme": "dark"}
    home.put(".claude/settings.json", json.dumps(changed))
    left = home.done("uninstall", "--yes", "--json").json()["left"]
    assert json.loads(home.text(".claude/settings.json")) == {"model": "opus", "theme": "dark"}
    backup = home.at(".claude/settings.json.before-maestro")
    assert backup in [one["path"] for one in left]
    # Once the person has put it back, the copy is no trace of theirs.
    home.put(".claude/settings.json", '{"model": "opus"}')
    home.done("uninstall", "--yes", "--data")
    assert sorted(home.tree()) == [".claude", ".claude/settings.json"]


def test_hooks_of_every_project_and_of_other_folders_go(home: NewHome) -> None:
    shop, bank, elsewhere = (os.path.join(home.root, name) for name in ("shop", "bank", "elsewhere"))
    for folder in (shop, bank):
        os.mkdir(folder)
    home.done("hooks", "install", "claude-code", "--scope", "project", cwd=shop)
    home.done("hooks", "install", "gemini-cli", "--scope", "project", cwd=bank)
    home.done("hooks", "install", "codex", "--mcp", CODEX_HOME=elsewhere)
    home.done("completion", "zsh", "--install")
    home.done("service", "install")
    assert os.path.exists(os.path.join(elsewhere, "config.toml"))
    removed = home.done("uninstall", "--yes", "--data", "--json").json()
    assert os.path.join(shop, ".claude", "settings.local.json") in {one["path"] for one in removed["removed"]}
    assert (os.listdir(shop), os.listdir(bank), os.path.exists(elsewhere)) == ([], [], False)
    assert home.tree() == {}


def test_a_person_s_files_in_the_data_directory_stay(home: NewHome) -> None:
    data = home.at("work")
    home.put("work/thesis.txt", "mine")
    home.put("work/logs-of-mine/one.log", "mine")
    before = home.tree()
    os.chmod(data, 0o755)
    home.done("setup", "codex", "--yes", MAESTRO_DATA_DIR=data)
    removed = home.done("uninstall", "--yes", "--data", "--json", MAESTRO_DATA_DIR=data).json()
    assert {"path": os.path.join(data, "thesis.txt"), "why": "not a file of the post office"} in removed["left"]
    assert home.tree() == before


def test_a_project_as_data_directory_keeps_its_own_hooks_and_logs(home: NewHome) -> None:
    data = home.at("shop")
    for name in ("hooks/useCart.ts", "hooks/state/cart.ts", "logs/2026.log", "messages/en.po"):
        home.put(f"shop/{name}", "mine")
    before = home.tree()
    # Nothing of ours is in it yet.
    for more in ([], ["--data"]):
        home.done("uninstall", "--yes", *more, MAESTRO_DATA_DIR=data)
        assert home.tree() == before
    shutil.rmtree(home.at("shop/hooks/state"))
    os.chmod(data, 0o755)
    before = home.tree()
    home.done("setup", "codex", "--yes", MAESTRO_DATA_DIR=data)
    home.done("doctor", "--fix", "--dry-run", "--json", MAESTRO_DATA_DIR=data)
    removed = home.done("uninstall", "--yes", "--data", "--json", MAESTRO_DATA_DIR=data).json()
    assert {one["path"] for one in removed["left"]} == {
        os.path.join(data, name) for name in ("hooks/useCart.ts", "logs/2026.log", "messages/en.po")
    }
    assert home.tree() == before


def test_what_could_not_be_removed_is_found_again(home: NewHome) -> None:
    shop = home.at("shop")
    os.mkdir(shop)
    home.done("hooks", "install", "claude-code", "--scope", "project", cwd=shop)
    [name] = [name for name in home.tree() if name.startswith("shop/") and name.endswith(".json")]
    whole = home.text(name)
    home.put(name, whole[:-9])
    failed = home.run("uninstall", "--yes")
    assert failed.code == exit_codes.FAILED
    home.put(name, whole)
    home.done("uninstall", "--yes")
    assert not os.path.exists(home.at(name))


def test_what_killed_commands_left_beside_the_settings_goes(home: NewHome) -> None:
    own = home.put(".codex/notes", "mine")
    before = home.tree()
    home.done("setup", "codex", "--yes")
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    for name in (HOOK_FILES["codex"], f"{HOOK_FILES['codex']}.before-maestro", f"{BASH_FILES}/maestro"):
        home.put(f"{name}.{ended.pid}.new", "{")
    running = home.put(f"{HOOK_FILES['codex']}.{os.getpid()}.new", "{")
    foreign = home.put(f"{HOOK_FILES['codex']}.new", "{")
    home.done("uninstall", "--yes", "--data")
    for path in (running, foreign):
        os.unlink(path)
    assert os.path.exists(own)
    assert home.tree() == before


def test_a_record_of_nonsense_stops_no_removal(home: NewHome) -> None:
    home.done("setup", "codex", "--yes")
    lines = ["[" * 100_000, "{", "7", '{"kind":"folder","path":"/\\u0000"}', '{"kind":"hooks","path":"/\\ud800"}']
    lines += [json.dumps({"kind": kind, "path": "/etc/passwd", "agent": "codex"}) for kind in ("hooks", "server")]
    lines += [json.dumps({"kind": "link", "path": "/bin/sh", "before": "/etc"}), '{"kind":"folder","path":"/etc"}']
    with open(os.path.join(home.data, "installed"), "a") as file:
        file.write("\n".join(lines))
    before = os.stat("/etc/passwd"), os.lstat("/bin/sh")
    ran = home.run("uninstall", "--yes", "--data")
    assert "Traceback" not in ran.err
    assert (os.stat("/etc/passwd").st_mtime_ns, os.lstat("/bin/sh").st_ino) == (
        before[0].st_mtime_ns,
        before[1].st_ino,
    )
    assert not os.path.exists(home.at(HOOK_FILES["codex"]))
    assert not os.path.exists(home.data)


# --- the command on PATH -----------------------------------------------------------------------------------


def test_the_command_is_linked_and_path_is_the_person_s(home: NewHome) -> None:
    ran = home.done("setup", "--yes")
    link = home.at(".local/bin/maestro")
    assert os.readlink(link) == os.path.join(os.path.dirname(sys.executable), "maestro")
    assert "~/.local/bin is not on your PATH" in ran.out
    assert """next: echo 'export PATH="$HOME/.local/bin:$PATH"' >> ~/.bashrc""" in ran.out
    assert not os.path.exists(home.at(".bashrc"))
    assert "No agent was found" in ran.err
    there = home.done("setup", "--yes", PATH=f"{os.path.dirname(link)}:{os.defpath}")
    assert "PATH" not in there.out


@pytest.mark.parametrize("kind", ["on PATH", "in ~/.local/bin", "a broken link"])
def test_another_program_of_that_name_is_never_replaced(home: NewHome, kind: str) -> None:
    folder = os.path.join(home.root, "bin") if kind == "on PATH" else home.at(".local/bin")
    os.makedirs(folder)
    other = os.path.join(folder, "maestro")
    if kind == "a broken link":
        os.symlink("/gone/maestro", other)
    else:
        with open(other, "w", encoding="ascii") as file:
            file.write("#!/bin/sh\necho another\n")
        os.chmod(other, 0o755)
    before, entry = home.tree(), Entry.of(other)
    home.environ["PATH"] = f"{folder}:{home.at('.local/bin')}:{os.defpath}"
    out = home.done("setup", "--yes").out
    if kind == "a broken link":
        assert os.path.exists(other), "it leads to the command now"
    else:
        assert Entry.of(other) == entry
        assert f"{other} is another program called `maestro`" in out
        assert os.path.islink(home.at(".local/bin/maestro-messaging"))
        assert not os.path.exists(home.at(".local/share/bash-completion/completions/maestro"))
    home.done("uninstall", "--yes", "--data")
    assert home.tree() == before


# --- the terminal ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("command", "answer", "does"), [
    ("setup", "\n", True),
    ("setup", "n\n", False),
    ("uninstall", "\n", False),
    ("uninstall", "y\n", True),
])  # fmt: skip
def test_a_person_is_asked_once(home: NewHome, command: str, answer: str, does: bool) -> None:
    os.mkdir(home.at(".codex"))
    if command == "uninstall":
        home.done("hooks", "install", "codex")
    before = os.path.exists(home.at(".codex/hooks.json"))
    code, shown = on_a_terminal(home, answer, command)
    assert ("Do it? [Y/n]" if command == "setup" else "Remove it? [y/N]") in shown
    assert (os.path.exists(home.at(".codex/hooks.json")) != before) == does
    assert code == (exit_codes.DONE if does else exit_codes.FAILED)
    assert ("Nothing was changed." in shown) == (not does)


def on_a_terminal(home: NewHome, answer: str, *arguments: str) -> tuple[int, str]:
    """Run `maestro ARGUMENTS` on a terminal where a person types an answer."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "maestro_cli", *arguments],
        env=home.environ,
        cwd=home.path,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    os.write(ours, answer.encode())
    shown = b""
    with contextlib.suppress(OSError):
        while some := os.read(ours, 4096):
            shown += some
    os.close(ours)
    return process.wait(COMMAND_S_MAX), shown.decode().replace("\r\n", "\n")


def test_what_is_written_while_a_person_thinks_is_kept(home: NewHome) -> None:
    home.put(".codex/hooks.json", "{}\n")
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "maestro_cli", "setup", "codex"],
        env=home.environ,
        cwd=home.path,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = b""
        while b"Do it?" not in shown:
            shown += os.read(ours, 4096)
        home.put(".codex/hooks.json", '{"description": "mine"}\n')
        os.write(ours, b"y\n")
        with contextlib.suppress(OSError):
            while some := os.read(ours, 4096):
                shown += some
    os.close(ours)
    assert process.returncode == exit_codes.FAILED
    assert "was changed by another program meanwhile" in " ".join(shown.decode().split())
    assert home.text(".codex/hooks.json") == '{"description": "mine"}\n'
    home.done("setup", "codex", "--yes")
    assert json.loads(home.text(".codex/hooks.json"))["description"] == "mine"


# --- what fails, and what is refused -------------------------------------------------------------------------


def test_one_agent_that_fails_stops_no_other(home: NewHome) -> None:
    home.put(".claude/settings.json", "{ not settings")
    home.put(".codex/config.toml", "[mcp_servers]\nmaestro = 1\n")
    os.mkdir(home.at(".gemini"))
    before = home.tree()
    dry = home.run("setup", "--dry-run", "--json", "--mcp")
    assert (dry.code, dry.json()["state"]) == (exit_codes.FAILED, "failed")
    ran = home.run("setup", "--yes", "--mcp")
    assert ran.code == exit_codes.FAILED
    assert "failed   claude-code: " in ran.out
    assert "failed   codex: an MCP server is called `maestro` there already" in ran.out
    assert "ok       gemini-cli: mail comes" in ran.out
    removed = home.run("uninstall", "--yes", "--data")
    assert removed.code == exit_codes.FAILED
    assert f"{home.at('.claude/settings.json')} can't be read as settings" in removed.err
    assert home.tree() == before


def test_an_unknown_agent_is_refused_before_anything_is_done(home: NewHome) -> None:
    ran = home.run("setup", "vim", "--yes")
    assert ran.code == exit_codes.USAGE
    assert "Known agents: claude-code, codex, gemini-cli, qwen-code, opencode." in ran.err
    assert home.tree() == {}


def test_hooks_that_are_switched_off_are_said(home: NewHome) -> None:
    """F11."""
    home.put(".claude/settings.json", '{"disableAllHooks": true}')
    out = home.done("setup", "--yes").out
    [line] = [line for line in out.splitlines() if "disableAllHooks" in line]
    assert line.startswith("warning")
    home.done("uninstall", "--yes", "--data")
    assert home.text(".claude/settings.json") == '{"disableAllHooks": true}'


@pytest.mark.parametrize(
    "command", [("setup", "claude-code", "--yes"), ("uninstall", "--yes", "--data")], ids=" ".join
)
def test_without_a_home_nothing_is_written(other_user: Any, command: tuple[str, ...]) -> None:
    """F7."""
    del other_user.environ["HOME"]
    before = sorted(os.listdir(other_user.home))
    ran = other_user.maestro(*command, MAESTRO_DATA_DIR=other_user.path("data"))
    assert ran.returncode != exit_codes.DONE
    assert f"HOME is not set, and uid {other_user.uid} has no home directory" in ran.stderr
    assert sorted(os.listdir(other_user.home)) == before


@pytest.mark.parametrize("own_data", [False, True])
def test_root_in_the_home_of_a_user_changes_no_owner(other_user: Any, own_data: bool) -> None:
    """F8."""
    components.require_root("writing as root into a user's home")
    folder = other_user.path(".claude")
    os.mkdir(folder, 0o755)
    os.chown(folder, other_user.uid, other_user.gid)
    data = tempfile.mkdtemp(prefix="mrd-", dir="/tmp")
    environ = {"PATH": os.environ["PATH"], "HOME": other_user.home, "LANG": "C.UTF-8", "MAESTRO_HTTP": "0"}
    environ |= {"MAESTRO_DATA_DIR": data} if own_data else {}

    def as_root(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "maestro_cli", *command], env=environ, capture_output=True, text=True, check=False
        )

    try:
        for command in (("setup", "--yes"), ("uninstall", "--yes", "--data")):
            ran = as_root(*command)
            assert own_data or ran.returncode == exit_codes.REFUSED, ran
            for above, folders, names in os.walk(other_user.home):
                assert {os.lstat(os.path.join(above, name)).st_uid for name in (*folders, *names)} <= {other_user.uid}
    finally:
        stop_broker(data)
        shutil.rmtree(data)


def test_on_a_file_system_without_execution_all_works(home: NewHome) -> None:
    """F12."""
    components.require_root("mounting a file system")
    mount = home.at("mount")
    os.makedirs(mount)
    command = ["mount", "-t", "tmpfs", "-o", "noexec,size=64m,mode=0700", "maestro-test", mount]
    if subprocess.run(command, check=False).returncode:
        components.missing("mounting is not permitted here")
    data = os.path.join(mount, "data")
    try:
        done = home.done("setup", "claude-code", "--yes", "--json", MAESTRO_DATA_DIR=data).json()
        assert [one["name"] for one in done["findings"] if one["state"] == "failed"] == []
        assert not [one for one in done["findings"] if one["name"] == "hooks of claude-code"]
        home.done("uninstall", "--yes", "--data", MAESTRO_DATA_DIR=data)
        assert os.listdir(mount) == []
        assert list(home.tree()) == ["mount"]
    finally:
        stop_broker(data)
        subprocess.run(["umount", "-l", mount], check=True)


def test_hooks_that_a_team_would_commit_go_too(home: NewHome) -> None:
    """N-A12: earlier versions wrote into the file that a team commits. `setup` writes into no project."""
    project = os.path.join(home.root, "shop")
    os.makedirs(os.path.join(project, ".claude"))
    home.done("setup", "claude-code", "--yes", cwd=project)
    assert os.listdir(os.path.join(project, ".claude")) == []
    shared = os.path.join(project, ".claude", "settings.json")
    shutil.copy(home.at(".claude/settings.json"), shared)
    removed = home.done("uninstall", "--yes", "--data", "--json", cwd=project).json()
    assert shared in {one["path"] for one in removed["removed"]}
    assert not os.path.exists(shared)
    assert home.tree() == {}


def test_zsh_is_only_said(home: NewHome) -> None:
    plan = home.done("setup", "codex", "--dry-run", SHELL="/bin/zsh").out
    assert "completion" not in plan
    out = home.done("setup", "codex", "--yes", SHELL="/bin/zsh").out
    assert "zsh needs a line in ~/.zshrc" in out
    assert "next: maestro completion zsh --install" in out


def test_with_any_umask_all_is_private(home: NewHome) -> None:
    """F18."""
    os.mkdir(home.at(".claude"), 0o700)
    script = 'umask 000; exec "$0" -m maestro_cli setup --yes --mcp'
    done = subprocess.run(
        ["/bin/sh", "-c", script, sys.executable], env=home.environ, cwd=home.path, capture_output=True, check=False
    )
    assert done.returncode == exit_codes.DONE, done
    open_to_others = {name for name, one in home.tree().items() if one.mode[0] in "-d" and one.mode[4:] != "------"}
    assert open_to_others == set()


def test_a_data_directory_that_is_not_private_is_refused(home: NewHome) -> None:
    os.makedirs(home.data)
    os.chmod(home.data, 0o777)
    before = home.tree()
    for command in (("setup", "codex", "--yes"), ("uninstall", "--yes", "--data")):
        ran = home.run(*command)
        assert ran.code == exit_codes.REFUSED
        assert "may be written to by other users" in ran.err
    assert home.tree() == before
    os.chmod(home.data, 0o700)


@pytest.mark.parametrize("wrong", ["maybe", "yy", "0"])
def test_an_answer_that_is_none_is_asked_for_again(home: NewHome, wrong: str) -> None:
    os.mkdir(home.at(".codex"))
    code, shown = on_a_terminal(home, f"{wrong}\nn\n", "setup")
    assert shown.count("Do it? [Y/n] ") == 2
    assert "Type y or n." in shown
    assert code == exit_codes.FAILED
    assert not os.path.exists(home.at(".codex/hooks.json"))


def test_control_c_at_the_question_says_that_nothing_was_changed(home: NewHome) -> None:
    os.mkdir(home.at(".codex"))
    before = home.tree()
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "maestro_cli", "setup"]
    with subprocess.Popen(
        command, env=home.environ, cwd=home.path, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = b""
        while not shown.endswith(b"Do it? [Y/n] "):
            shown += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        shown = b""
        with contextlib.suppress(OSError):
            while some := os.read(ours, 4096):
                shown += some
        os.close(ours)
        assert process.wait(COMMAND_S_MAX) == 130
    assert shown.split(b"\r\n") == [b"", b"Nothing was changed.", b""]
    assert home.tree() == before


@pytest.mark.parametrize("content", ['{"a": 1, ', "hello", '["a list"]'])
def test_the_plan_names_an_agent_whose_settings_are_broken(home: NewHome, content: str) -> None:
    os.mkdir(home.at(".claude"))
    home.done("setup", "--yes")
    home.done("hooks", "uninstall", "claude-code")
    with open(home.at(".claude/settings.json"), "w", encoding="utf-8") as file:
        file.write(content)
    ran = home.run("setup", "--dry-run")
    assert ran.code == exit_codes.FAILED
    assert f"claude-code is left out: {home.at('.claude/settings.json')} " in ran.out
    assert "Everything is set up already" not in ran.out
