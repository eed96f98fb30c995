"""Owners: a user's post office is that user's alone, and the commands say so where it is not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
from typing import TYPE_CHECKING

import pytest

from maestro_cli import exit_codes
from maestro_clients.processes.broker_process import read_endpoints
from support.eavesdropper import Eavesdropper
from support.post_office import end_process, scratch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from subprocess import CompletedProcess

    from support.cli_shell import Shell
    from support.users import OtherUser


def refused(ran: CompletedProcess[str] | None, code: str = "NOT_PRIVATE") -> dict[str, str]:
    assert ran is not None
    assert ran.returncode == exit_codes.REFUSED, ran
    error: dict[str, str] = json.loads(ran.stdout)["error"]
    assert error["code"] == code, ran
    return error


def test_another_user_has_a_post_office_of_its_own(other_user: OtherUser) -> None:
    up = other_user.maestro("up")
    assert up.returncode == 0, up
    data = other_user.path(".local", "share", "maestro")
    assert other_user.call(os.listdir, data)
    assert os.stat(data).st_uid == other_user.uid
    down = other_user.maestro("down")
    assert (down.returncode, down.stderr) == (0, "")


# --- another user at the socket's path ---------------------------------------------------------------------


@pytest.fixture
def temporary() -> Iterator[str]:
    """A directory like /tmp: every user may make files there, and remove its own."""
    path = tempfile.mkdtemp(prefix="mm-", dir="/tmp")
    os.chmod(path, 0o1777)
    yield path
    shutil.rmtree(path)


@pytest.mark.parametrize("autostart", ["0", "1"])
def test_a_stranger_in_place_of_the_socket_gets_nothing(
    other_users: list[OtherUser], temporary: str, autostart: str
) -> None:
    """The broker was killed, the temporary directory was cleared, and another user listens at the same path."""
    ann, eve = other_users
    ann.environ |= {"MAESTRO_RUNTIME_DIR": os.path.join(temporary, "maestro"), "MAESTRO_AUTOSTART": "1"}
    data = ann.path(".local", "share", "maestro")
    for name in ("alice", "bob"):
        started = ann.maestro("session", "start", "--id", name, "--json")
        assert started.returncode == 0, started
    token = json.loads(started.stdout)["token"]
    found = read_endpoints_of(ann, data)
    end_process(found[1], signal.SIGKILL)
    shutil.rmtree(ann.environ["MAESTRO_RUNTIME_DIR"])
    eve.call(os.makedirs, os.path.dirname(found[0]), 0o755)
    stranger = Eavesdropper(eve, found[0])
    ann.environ |= {
        "MAESTRO_AUTOSTART": autostart,
        "MAESTRO_SESSION_ID": "bob",
        "MAESTRO_SESSION_TOKEN": token,
    }
    commands = [
        ("send", "--to", "alice", "--message", "a secret", "--json"),
        ("inbox", "--json"),
        ("session", "list", "--json"),
    ]
    if autostart == "0":  # a broker that could not start has removed the old address, so that none runs
        commands += [("status", "--json"), ("down", "--json")]
    for command in commands:
        error = refused(ann.maestro(*command))
        assert f"uid {eve.uid}" in error["message"]
        assert "MAESTRO_RUNTIME_DIR" in error["hint"]
    assert stranger.heard_bytes() == 0
    # A broker elsewhere: the hint is enough.
    ann.environ["MAESTRO_RUNTIME_DIR"] = ann.path("run")
    up = ann.maestro("up")
    assert up.returncode == 0, up
    sent = ann.maestro("send", "--to", "alice", "--message", "a secret")
    assert (sent.returncode, "On disk" in sent.stdout or "on disk" in sent.stdout) == (0, True), sent
    assert stranger.heard_bytes() == 0


def read_endpoints_of(user: OtherUser, data: str) -> tuple[str, int]:
    found = user.call(read_endpoints, data)
    assert found is not None
    return found.router.removeprefix("ipc://"), found.pid


# --- another user's data directory -------------------------------------------------------------------------

_MARK = "import os\nopen(os.environ['MARK'], 'a').write(__name__ + '\\n')\n"


def plant(directory: str) -> None:
    """Modules with the names of those that our processes import."""
    for name in ("json", "uvicorn", "zmq", "msgspec", "logging", "maestro_broker", "maestro_schemas"):
        path = os.path.join(directory, f"{name}.py")
        with open(path, "w", encoding="utf-8") as file:
            file.write(_MARK)
        os.chmod(path, 0o600)


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o755])
def test_another_users_data_directory_is_refused_and_its_code_not_run(
    other_users: list[OtherUser], mode: int
) -> None:
    ann, eve = other_users
    os.chmod(eve.home, 0o755)
    data = eve.path("data")
    eve.call(os.mkdir, data)
    os.chmod(data, mode)
    eve.call(plant, data)
    before = sorted(os.listdir(data))
    ann.environ |= {"MAESTRO_DATA_DIR": data, "MARK": ann.path("mark"), "MAESTRO_HTTP": "1"}
    for command in (
        ("up",),
        ("status",),
        ("down",),
        ("send", "--to", "bob", "--message", "hello"),
        ("inbox",),
        ("session", "start"),
        ("outbox",),
        ("keys", "list"),
        ("spool", "verify"),
    ):
        error = refused(ann.maestro(*command, "--json", MAESTRO_SESSION_ID="x"))
        assert f"{data} belongs to uid {eve.uid}, and you are uid {ann.uid}" in error["message"]
    refused_by_itself = ann.run(ann.python, "-P", "-m", "maestro_broker", "--foreground")
    assert (refused_by_itself.returncode, f"belongs to uid {eve.uid}" in refused_by_itself.stderr) == (1, True)
    assert (sorted(os.listdir(data)), os.path.exists(ann.path("mark"))) == (before, False)


def test_a_data_directory_that_others_may_write_to_is_refused_with_the_repair(person: Shell) -> None:
    os.makedirs(person.data)
    os.chmod(person.data, 0o770)
    error = person.run("up", "--json").error()
    assert (error["code"], error["hint"]) == (
        "NOT_PRIVATE",
        f"Look what is in it, then: chmod go-w {person.data}",
    )
    os.chmod(person.data, 0o750)
    person.done("up")


def test_modules_in_the_data_directory_are_not_run(person: Shell) -> None:
    """Not by the broker, the gateway or a command, whatever is there; nor from the directory of a command."""
    mark = os.path.join(person.root, "mark")
    here = person.like(MARK=mark, MAESTRO_HTTP="1", PYTHONPATH=os.pathsep)
    os.makedirs(person.data, 0o700)
    plant(person.data)
    here.done("up", "--http-port", "0")
    here.done("spool", "verify")
    here.done("spool", "export")
    here.done("down")
    assert not os.path.exists(mark)


def test_a_broker_in_the_foreground_runs_nothing_from_its_directory(person: Shell) -> None:
    office = scratch(person.data)
    try:
        mark = os.path.join(person.root, "mark")
        plant(person.root)
        # The command itself is started with -P: it is a script on the PATH otherwise.
        command = [*person.start_command("up", "--foreground", "--no-http")]
        command.insert(1, "-P")
        import subprocess

        broker = subprocess.Popen(
            command, env={**person.environ, "MARK": mark}, cwd=person.root, stderr=subprocess.PIPE, text=True
        )
        assert broker.stderr is not None
        lines = []
        for line in broker.stderr:
            lines.append(line)
            if "serves" in line:
                break
        assert os.readlink(f"/proc/{broker.pid}/cwd") == "/", lines
        broker.send_signal(signal.SIGTERM)
        broker.communicate()
        assert (broker.returncode, os.path.exists(mark)) == (0, False)
    finally:
        office.close()


# --- root with a user's home -------------------------------------------------------------------------------


def files_of_root(home: str) -> list[str]:
    return [
        os.path.join(directory, name)
        for directory, folders, names in os.walk(home)
        for name in (*folders, *names)
        if os.lstat(os.path.join(directory, name)).st_uid == 0
    ]


@pytest.mark.parametrize("has_data", [False, True])
def test_root_with_a_users_home_is_sent_to_the_user(person: Shell, other_user: OtherUser, *, has_data: bool) -> None:
    """As `sudo -E maestro send` does. Root leaves no file behind that the user could not change."""
    if has_data:
        assert other_user.maestro("session", "start", "--id", "bob").returncode == 0
    environ = {name: value for name, value in person.environ.items() if not name.startswith("MAESTRO_")}
    as_root = type(person)(person.root, {**environ, "HOME": other_user.home, "MAESTRO_DATA_DIR": ""}, [])
    for command in (
        ("send", "--to", "bob", "--message", "hello"),
        ("inbox",),
        ("status",),
        ("up", "--no-http"),
        ("session", "start"),
        ("outbox",),
        ("hooks", "install", "claude-code"),
        ("keys", "new", "far"),
        ("down",),
    ):
        ran = as_root.run(*command, "--json", environ={"MAESTRO_SESSION_ID": "root"})
        error = ran.error()
        assert (ran.code, error["code"]) == (exit_codes.REFUSED, "NOT_PRIVATE"), ran
        assert f"sudo -u '#{other_user.uid}' maestro" in error["hint"]
    assert files_of_root(other_user.home) == []
    after = other_user.maestro("up")
    assert after.returncode == 0, after


# --- what is made ------------------------------------------------------------------------------------------


def test_whatever_is_made_is_private_under_any_umask(other_user: OtherUser) -> None:
    """From the home down, parents included."""
    commands = "; ".join(
        f'"{other_user.python}" -m maestro_cli {words} || exit'
        for words in (
            "up --http-port 0",
            "session start --id alice",
            "config init",
            "keys new far --out key",
            "down",
            "--version",
        )
    )
    ran = other_user.run("/bin/sh", "-c", f"umask 0; {commands}", MAESTRO_HTTP="1")
    assert ran.returncode == 0, ran
    found = {
        os.path.join(directory, name): oct(os.lstat(os.path.join(directory, name)).st_mode & 0o7777)
        for directory, folders, names in os.walk(other_user.home)
        for name in (*folders, *names)
        if not os.path.islink(os.path.join(directory, name))
    }
    assert len(found) > 20
    assert {path: mode for path, mode in found.items() if int(mode, 8) & 0o077} == {}
