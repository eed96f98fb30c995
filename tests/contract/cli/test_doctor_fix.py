"""`maestro doctor --fix`: each repair, of what was broken for real; it is made once, and no mail is lost."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import sys
from typing import TYPE_CHECKING, Any

import pytest

from maestro_cli import exit_codes
from maestro_cli.hooks import shell_script
from maestro_runtime import paths
from support.agent_processes import Agent
from support.cli_shell import Shell
from support.post_office import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

OFF = {"MAESTRO_AUTOSTART": "0"}


@pytest.fixture
def at_home(person: Shell) -> Shell:
    """A person with a home, and a mailbox with one message."""
    home = os.path.join(person.root, "home")
    os.makedirs(os.path.join(home, ".local", "bin"))
    own = os.path.join(home, ".local", "bin")
    shell = person.like(HOME=home, PATH=f"{own}:/usr/bin:/bin", MAESTRO_HTTP="0")
    for variable in ("CLAUDE_CONFIG_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        shell.environ.pop(variable, None)
    os.symlink(os.path.join(os.path.dirname(sys.executable), "maestro"), os.path.join(own, "maestro"))
    lead, _ = shell.session("lead", role="orchestrator"), shell.session("bob")
    lead.done("send", "--to", "bob", "-m", "keep me")
    return shell


def fixed(shell: Shell, *options: str) -> list[dict[str, Any]]:
    """The repairs of one run."""
    ran = shell.run("doctor", "--fix", *options, "--json")
    assert "Traceback" not in ran.err, ran
    found: list[dict[str, Any]] = ran.json()["repairs"]
    return found


def names(found: list[dict[str, Any]], state: str = "fixed") -> list[str]:
    assert {one["state"] for one in found} <= {state}, found
    return [one["name"] for one in found]


def no_modes(shell: Shell) -> list[str]:
    data = shell.data
    os.chmod(data, 0o755)
    os.chmod(os.path.join(data, "hooks"), 0o777)
    os.chmod(os.path.join(data, "sessions"), 0o750)
    os.chmod(os.path.join(data, "format"), 0o644)
    return ["modes", "modes"]


def no_entry(shell: Shell) -> list[str]:
    """For root no mode is in the way, but it is wrong all the same."""
    os.chmod(os.path.join(shell.data, "logs"), 0)
    return ["modes"]


def no_script(shell: Shell) -> list[str]:
    shell.done("hooks", "install", "claude-code")
    os.unlink(shell_script.script_path(shell.data))
    return ["hooks of claude-code"]


def old_script(shell: Shell) -> list[str]:
    shell.done("hooks", "install", "codex")
    with open(shell_script.script_path(shell.data), "a", encoding="utf-8") as file:
        file.write("# of another version\n")
    return ["hooks of codex"]


def moved_hooks(shell: Shell) -> list[str]:
    """The data directory was somewhere else when they were installed, and that place is gone."""
    shell.done("hooks", "install", "claude-code")
    path = os.path.join(shell.environ["HOME"], ".claude", "settings.json")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace(shell.data, f"{shell.root}/gone"))
    return ["hooks of claude-code"]


def no_link(shell: Shell) -> list[str]:
    os.unlink(os.path.join(shell.environ["HOME"], ".local", "bin", "maestro"))
    return ["command"]


def dangling_link(shell: Shell) -> list[str]:
    """The environment that it led into was removed."""
    link = os.path.join(shell.environ["HOME"], ".local", "bin", "maestro")
    os.unlink(link)
    os.symlink("/nowhere/bin/maestro", link)
    return ["command"]


def stale_endpoints(shell: Shell) -> list[str]:
    shell.kill_broker()
    return ["broker", "socket directory", "socket directory"]


def fifo_for_endpoints(shell: Shell) -> list[str]:
    shell.anonymous().done("down")
    os.mkfifo(paths.endpoints_file(shell.data))
    return ["places"]


def empty_directory_for_a_lock(shell: Shell) -> list[str]:
    shell.anonymous().done("down")
    lock = os.path.join(shell.data, "gateway.lock")
    if os.path.exists(lock):
        os.unlink(lock)
    os.mkdir(lock, 0o700)
    return ["places"]


def stale_url(shell: Shell) -> list[str]:
    with open(paths.server_url_file(shell.data), "w", encoding="ascii") as file:
        file.write("http://127.0.0.1:1")
    os.chmod(paths.server_url_file(shell.data), 0o600)
    return ["HTTP gateway"]


def damaged_index(shell: Shell) -> list[str]:
    shell.anonymous().done("search", "keep")
    shell.anonymous().done("down")
    [path] = _index_files(shell)
    with open(path, "r+b") as file:
        file.write(b"\0" * 4_096)
    return ["search index"]


def _index_files(shell: Shell) -> list[str]:
    folder = os.path.join(shell.data, "index")
    return [os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".sqlite3")]


BREAKS: list[Callable[[Shell], list[str]]] = [
    no_modes,
    no_entry,
    no_script,
    old_script,
    moved_hooks,
    no_link,
    dangling_link,
    stale_endpoints,
    fifo_for_endpoints,
    empty_directory_for_a_lock,
    stale_url,
    damaged_index,
]


@pytest.mark.parametrize("broken", BREAKS, ids=lambda broken: broken.__name__)
def test_it_is_repaired_once_and_no_mail_is_lost(at_home: Shell, broken: Callable[[Shell], list[str]]) -> None:
    expected = broken(at_home)
    before = _tree(at_home.root)
    planned = fixed(at_home, "--dry-run")
    assert names(planned, "planned") == expected
    assert _tree(at_home.root) == before, "a dry run changes nothing"
    ran = at_home.run("doctor", "--fix", "--json")
    assert ran.code == exit_codes.DONE, ran
    made = ran.json()["repairs"]
    assert names(made) == expected
    assert [one["what"] for one in made] == [one["what"] for one in planned]
    assert fixed(at_home, "--dry-run") == [], "a second run finds nothing to do"
    # A hook that is slow is a warning, too.
    left = {one["name"]: one["repair"] for one in ran.json()["findings"] if one["state"] != "ok"}
    assert {left[name] for name in expected if name in left} <= {"The machine is busy."}
    with at_home.client() as client:
        assert [message["message"] for message in client.inbox(session="bob")["messages"]] == ["keep me"]


# A running broker files what was sent after its answer.
_WRITTEN_LATER = ("/timeline", "/messages", "/sessions/", "/index/", "/heads", ".log")


def _tree(root: str) -> dict[str, tuple[int, bytes]]:
    """Every file with its mode and content, but what a running broker writes."""
    found = {}
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            status = os.lstat(path)
            if any(part in path for part in _WRITTEN_LATER):
                continue
            content = b""
            if stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    content = file.read()
            found[path] = (status.st_mode, content)
    return found


def test_mail_that_waits_is_sent(at_home: Shell) -> None:
    """A running broker takes it by itself, once a second; so there may be nothing left to repair."""
    sender = at_home.session("sender", role="orchestrator")
    at_home.kill_broker()
    sender.like(**OFF).done("send", "--to", "bob", "-m", "queued")
    off = fixed(at_home.like(**OFF), "--dry-run")
    assert set(names(off, "planned")) == {"broker", "socket directory"}, "no broker is started for it"
    at_home.done("up")
    assert set(names(fixed(at_home))) <= {"outbox"}
    with at_home.client() as client:
        eventually(lambda: client.inbox(session="bob")["pending"] == 2, "the queued message is there")


def test_what_is_not_safe_is_left_and_explained(at_home: Shell) -> None:
    """A directory with content, a file of another's, and hooks of a post office that is there."""
    at_home.done("hooks", "install", "claude-code")
    at_home.anonymous().done("down")
    data, other = at_home.data, os.path.join(at_home.root, "other")
    os.mkdir(os.path.join(data, "gateway.lock"), 0o700)
    with open(os.path.join(data, "gateway.lock", "notes"), "w", encoding="ascii") as file:
        file.write("mine")
    os.chmod(os.path.join(data, "gateway.lock", "notes"), 0o600)
    shutil.copytree(os.path.join(data, "hooks"), os.path.join(other, "hooks"))
    path = os.path.join(at_home.environ["HOME"], ".claude", "settings.json")
    with open(path, encoding="utf-8") as file:
        text = file.read().replace(data, other)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    ran = at_home.run("doctor", "--fix")
    assert ran.code == exit_codes.FAILED
    assert "Nothing is there that can be repaired safely." in ran.out
    assert f"{data}/gateway.lock is a directory, and must be a file" in ran.out
    assert "maestro hooks install claude-code" in ran.out
    assert os.listdir(os.path.join(data, "gateway.lock")) == ["notes"]
    with open(path, encoding="utf-8") as file:
        assert file.read() == text


def test_directories_that_a_person_named_keep_their_modes(at_home: Shell) -> None:
    # As /tmp, or a project.
    named = os.path.join(at_home.root, "named")
    os.makedirs(os.path.join(named, "hooks"), mode=0o755)
    for name in ("hooks/useCart.ts", "endpoints", "server-url"):
        with open(os.path.join(named, name), "w") as file:
            file.write("mine")
        os.chmod(os.path.join(named, name), 0o644)
    os.chmod(named, 0o1777)
    assert fixed(at_home.like(MAESTRO_RUNTIME_DIR=named), "--dry-run") == []
    # Others may write there.
    at_home.like(MAESTRO_DATA_DIR=named, **OFF).run("doctor", "--fix")
    assert stat.S_IMODE(os.stat(named).st_mode) == 0o1777
    os.chmod(named, 0o755)
    found = fixed(at_home.like(MAESTRO_DATA_DIR=named, **OFF))
    assert [one for one in found if named in one["what"]] == []
    assert stat.S_IMODE(os.stat(named).st_mode) == 0o755
    assert sorted(os.listdir(named)) == ["endpoints", "hooks", "server-url"]
    # A file of a person in our own directory keeps its mode, and ours are repaired.
    mine = os.path.join(at_home.data, "logs", "mine.txt")
    with open(mine, "w") as file:
        file.write("mine")
    os.chmod(mine, 0o644)
    os.chmod(os.path.join(at_home.data, "sessions"), 0o755)
    assert names(fixed(at_home)) == ["modes"]
    assert stat.S_IMODE(os.stat(mine).st_mode) == 0o644


def test_an_agent_without_our_hooks_gets_none(at_home: Shell) -> None:
    at_home.done("hooks", "install", "claude-code")
    at_home.done("hooks", "uninstall", "claude-code")
    assert fixed(at_home, "--dry-run") == []
    settings = os.path.join(at_home.environ["HOME"], ".claude", "settings.json")
    assert not os.path.exists(settings), "the file was made for the hooks"


def test_a_socket_at_which_something_listens_stays(at_home: Shell) -> None:
    at_home.kill_broker()
    folder = paths.runtime_dir(at_home.data, at_home.environ)
    path = os.path.join(folder, "another.sock")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        other.listen()
        assert "broker" not in names(fixed(at_home.like(**OFF)))
        assert os.path.exists(path)


def test_another_program_called_maestro_is_not_replaced(at_home: Shell) -> None:
    link = os.path.join(at_home.environ["HOME"], ".local", "bin", "maestro")
    os.unlink(link)
    with open(link, "w", encoding="ascii") as file:
        file.write("#!/bin/sh\necho another\n")
    os.chmod(link, 0o755)
    made = fixed(at_home, "--dry-run")
    assert all(link != one["what"].split()[1] for one in made), made
    with open(link, encoding="ascii") as file:
        assert "another" in file.read()


def test_a_repair_that_fails_says_why(at_home: Shell) -> None:
    """The folder of the link is a file."""
    folder = os.path.join(at_home.environ["HOME"], ".local", "bin")
    shutil.rmtree(folder)
    with open(folder, "w", encoding="ascii") as file:
        file.write("")
    ran = at_home.run("doctor", "--fix", "--json")
    assert ran.code == exit_codes.FAILED
    [made] = [one for one in ran.json()["repairs"] if one["name"] == "command"]
    assert made["state"] == "failed"
    assert folder in made["what"]


def test_words(at_home: Shell) -> None:
    at_home.done("hooks", "install", "claude-code")
    os.unlink(shell_script.script_path(at_home.data))
    planned = at_home.done("doctor", "--fix", "--dry-run").out
    assert planned.startswith("planned  hooks of claude-code: write ")
    made = at_home.done("doctor", "--fix").out.splitlines()
    assert made[0] == planned.rstrip().replace("planned", "fixed  ")
    assert made[-1].endswith("checks are ok (--all shows them)")
    ran = at_home.run("doctor", "--dry-run")
    assert (ran.code, "--dry-run is for --fix" in ran.err) == (exit_codes.USAGE, True)


def test_a_session_whose_process_is_gone_is_said(at_home: Shell) -> None:
    """And left to the person: its agent may come back."""
    shell_script.write(at_home.data, sys.executable)
    agent = Agent(at_home, "claude-code")
    own = agent.start()
    agent.kill()
    with at_home.client() as client:
        name = client.session(own).get("name", own)
    found = {one["name"]: one for one in at_home.run("doctor", "--json").json()["findings"]}["sessions"]
    assert (found["state"], found["repair"]) == ("warning", "maestro session end --gone")
    assert found["what"] == f"the process of 1 has ended: {name}"
    assert fixed(at_home, "--dry-run") == []
