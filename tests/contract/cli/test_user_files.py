"""User files: what commands write beside the user's own files, whose it is, and what it needs of the environment."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from maestro_cli import exit_codes
from support import components
from support.cli_shell import Shell, stop_broker

if TYPE_CHECKING:
    from collections.abc import Iterator

SHELLS = ("bash", "zsh", "fish")
AGENTS = ("claude-code", "codex", "gemini-cli", "qwen-code", "opencode")


def modes_below(directory: str) -> dict[str, int]:
    """The permissions of everything below a directory, links and sockets left out."""
    found = {}
    for above, folders, names in os.walk(directory):
        for name in (*folders, *names):
            status = os.lstat(os.path.join(above, name))
            if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
                found[os.path.relpath(os.path.join(above, name), directory)] = stat.S_IMODE(status.st_mode)
    return found


@pytest.fixture
def at_home(person: Shell) -> Iterator[Shell]:
    """A shell whose files are all below a new home directory."""
    home = os.path.join(person.root, "home")
    os.mkdir(home, 0o700)
    unset = ("MAESTRO_DATA_DIR", "MAESTRO_CONFIG", "XDG_DATA_HOME", "XDG_CONFIG_HOME")
    environ = {name: value for name, value in person.environ.items() if name not in unset}
    data = os.path.join(home, ".local", "share", "maestro")
    shell = Shell(person.root, {**environ, "HOME": home, "MAESTRO_DATA_DIR": ""}, [])
    shell.data = data
    try:
        yield shell
    finally:
        stop_broker(data)


# --- F18: modes --------------------------------------------------------------------------------------------


def test_with_any_umask_whatever_is_made_is_the_user_s_alone(at_home: Shell) -> None:
    script = """
        umask 000
        maestro() { "$python" -m maestro_cli "$@" < /dev/null > "$root/out" || echo "$*: $?"; }
        maestro hooks run claude-code SessionStart
        for shell in bash zsh fish; do maestro completion $shell --install; done
        for agent in claude-code codex gemini-cli; do maestro hooks install $agent; done
        maestro config init
        maestro service install
        maestro up
        maestro session start --id ann --role orchestrator --export
        . "$root/out"
        maestro send --to ann -m hello
        maestro inbox
        echo '{"session_id": "one", "source": "startup"}' | "$python" -m maestro_cli hooks run codex SessionStart
        maestro keys new far --out "$HOME/far.key"
        maestro doctor
        maestro down
    """
    done = subprocess.run(
        ["/bin/sh", "-c", script],
        env={**at_home.environ, "python": sys.executable, "root": at_home.root},
        cwd=at_home.root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not [line for line in done.stdout.splitlines() if not line.startswith("{")], "each command succeeded"
    found = modes_below(os.path.join(at_home.root, "home"))
    for name in (".config", ".local", ".local/share", ".claude", ".codex", ".gemini", ".config/systemd"):
        assert name in found
    assert {name: oct(mode) for name, mode in found.items() if mode & 0o077} == {}


def test_a_send_without_a_broker_makes_private_folders_too(at_home: Shell) -> None:
    off = at_home.like(MAESTRO_AUTOSTART="0", MAESTRO_SESSION_ID="ann")
    script = 'umask 000; exec "$python" -m maestro_cli send --to bob -m early'
    done = subprocess.run(
        ["/bin/sh", "-c", script], env={**off.environ, "python": sys.executable}, capture_output=True, check=False
    )
    assert done.returncode == exit_codes.DONE, done
    found = modes_below(os.path.join(at_home.root, "home"))
    assert ".local/share/maestro/outbox/ann" in found
    assert not [name for name, mode in found.items() if mode & 0o077]


def test_hooks_before_an_installation_leave_nothing_to_verify(person: Shell) -> None:
    """The folder of the hooks was open to other users then, and `spool verify` called it wrong."""
    payload = b'{"session_id": "one", "source": "startup"}'
    assert person.run("hooks", "run", "claude-code", "SessionStart", stdin=payload).code == exit_codes.DONE
    verified = person.run("spool", "verify")
    assert verified.code == exit_codes.DONE, verified


# --- F7: without a home directory ----------------------------------------------------------------------------


@pytest.fixture
def homeless(other_user: Any) -> Any:
    """A user without a home directory: the user database has no entry for it, and HOME is not set."""
    del other_user.environ["HOME"]
    return other_user


WRITERS = [
    *(("hooks", "install", agent) for agent in AGENTS),
    ("hooks", "show", "claude-code"),
    ("hooks", "uninstall", "codex"),
    *(("completion", shell, "--install") for shell in SHELLS),
    ("config", "init"),
    ("config", "path"),
    ("service", "install"),
]


@pytest.mark.parametrize("command", WRITERS, ids=" ".join)
def test_without_a_home_nothing_is_written(homeless: Any, command: tuple[str, ...]) -> None:
    work = homeless.path("work")
    os.mkdir(work)
    os.chown(work, homeless.uid, homeless.gid)
    script = 'cd work && exec "$0" -m maestro_cli "$@"'
    ran = homeless.run("/bin/sh", "-c", script, homeless.python, *command, MAESTRO_DATA_DIR=homeless.path("data"))
    assert ran.returncode != exit_codes.DONE
    assert f"HOME is not set, and uid {homeless.uid} has no home directory" in ran.stderr
    assert "Set HOME" in ran.stderr
    assert os.listdir(work) == [], "there was a folder named ~"


@pytest.mark.parametrize("command", WRITERS, ids=" ".join)
def test_a_relative_home_is_refused(person: Shell, command: tuple[str, ...]) -> None:
    before = sorted(os.listdir(person.root))
    environ = {"HOME": "home", "XDG_DATA_HOME": "", "XDG_CONFIG_HOME": "", "MAESTRO_CONFIG": ""}
    ran = person.like(**environ).run(*command)
    assert ran.code != exit_codes.DONE
    assert "HOME is the relative path 'home'" in ran.err
    assert sorted(os.listdir(person.root)) == before


def test_doctor_without_a_home_fails_and_goes_on(homeless: Any) -> None:
    ran = homeless.maestro("doctor", "--all")
    assert ran.returncode == exit_codes.FAILED
    assert "failed   data directory: HOME is not set" in ran.stdout
    assert "ok       versions: " in ran.stdout


@pytest.mark.parametrize("kind", ["missing", "a file", "closed"])
def test_doctor_calls_an_unusable_home_failed(other_user: Any, kind: str) -> None:
    """N-A8: "not there yet", exit code 0, before."""
    home = other_user.path("home")
    if kind == "a file":
        with open(home, "w", encoding="ascii"):
            pass
    elif kind == "closed":
        os.mkdir(home, 0o500)
    if kind != "missing":
        os.chown(home, other_user.uid, other_user.gid)
    ran = other_user.maestro("doctor", "--all", HOME=home)
    assert ran.returncode == exit_codes.FAILED
    [line] = [line for line in ran.stdout.splitlines() if "home directory:" in line]
    assert line.startswith("failed")
    assert home in line
    assert "versions: " in ran.stdout
    assert "this shell: " in ran.stdout


def test_a_home_that_nothing_needs_is_a_warning(person: Shell) -> None:
    person.done("up")
    found = person.like(HOME="/nonexistent/home").run("doctor", "--json").json()["findings"]
    states = {finding["name"]: finding["state"] for finding in found}
    assert states["home directory"] == "warning"
    assert states["data directory"] == "ok"


# --- N-A10: the command ------------------------------------------------------------------------------------


def test_doctor_says_that_path_has_no_command(person: Shell) -> None:
    os.mkdir(os.path.join(person.root, "bin"))
    shell = person.like(PATH=os.path.join(person.root, "bin"))

    def finding() -> dict[str, Any]:
        found: list[dict[str, Any]] = shell.run("doctor", "--json").json()["findings"]
        return next(one for one in found if one["name"] == "command")

    missing = finding()
    assert missing["state"] == "warning"
    installed = os.path.join(os.path.dirname(sys.executable), "maestro")
    assert f"ln -sf {installed} ~/.local/bin/maestro" in missing["repair"]
    os.symlink(installed, os.path.join(person.root, "bin", "maestro"))
    assert finding() == {
        "name": "command",
        "state": "ok",
        "what": os.path.join(person.root, "bin", "maestro"),
        "repair": "",
    }


# --- F8: root in the home of a user ------------------------------------------------------------------------


def as_root(user: Any, *command: str, has_data: bool = True) -> subprocess.CompletedProcess[str]:
    """Run `maestro` as root, with the user's HOME and a data directory of root's own; or with one that is missing."""
    components.require_root("writing as root into a user's home")
    data = os.path.join(user.home, "roots-data")
    if has_data:
        os.makedirs(data, mode=0o700, exist_ok=True)
    return subprocess.run(
        [sys.executable, "-m", "maestro_cli", *command],
        env={"PATH": os.environ["PATH"], "HOME": user.home, "MAESTRO_DATA_DIR": data, "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )


def owned(user: Any, name: str, text: str, mode: int) -> str:
    """A file of the user."""
    path: str = user.path(*name.split("/"))
    above = user.home
    for folder in name.split("/")[:-1]:
        above = os.path.join(above, folder)
        if not os.path.isdir(above):
            os.mkdir(above, 0o755)
            os.chown(above, user.uid, user.gid)
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    os.chown(path, user.uid, 4)
    os.chmod(path, mode)
    return path


def facts(path: str) -> tuple[int, int, int]:
    """Owner, group and mode."""
    status = os.stat(path)
    return status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)


@pytest.mark.parametrize(
    ("command", "name", "text"),
    [
        (
            ("completion", "zsh", "--install"),
            ".local/share/zsh/site-functions/_maestro",
            "made by `maestro completion`",
        ),
        (
            ("service", "install", "--force"),
            ".config/systemd/user/maestro.service",
            "# Made by `maestro service install`.",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and "/" in value else "",
)
def test_what_root_rewrites_keeps_owner_group_and_mode(
    other_user: Any, command: tuple[str, ...], name: str, text: str
) -> None:
    path = owned(other_user, name, text, 0o640)
    if "service" in command:
        # Its name is that of the default data directory, which root does not use here.
        name = os.path.basename(path)
        listed = as_root(other_user, "service", "install", "--print").stdout
        real = next(line[2:] for line in listed.splitlines() if line.startswith("# /") and ".service" in line)
        os.rename(path, real)
        owned(other_user, os.path.relpath(real.replace(".service", ".socket"), other_user.home), text, 0o640)
        path = real
    ran = as_root(other_user, *command)
    assert ran.returncode == exit_codes.DONE, ran
    with open(path, encoding="utf-8") as file:
        assert file.read() != text
    assert facts(path) == (other_user.uid, 4, 0o640)
    beside = f"{path}.before-maestro"
    if os.path.exists(beside):
        assert facts(beside) == (other_user.uid, 4, 0o640)


@pytest.mark.parametrize(
    "command",
    [("completion", "bash", "--install"), ("service", "install"), ("setup", "--yes", "codex")],
    ids=" ".join,
)
def test_root_makes_nothing_where_its_data_would_be_the_user_s(other_user: Any, command: tuple[str, ...]) -> None:
    """What it makes is noted in the data directory, and that one would be root's in the user's home."""
    ran = as_root(other_user, *command, has_data=False)
    assert ran.returncode == exit_codes.REFUSED, ran
    assert "sudo -u" in ran.stderr
    assert os.listdir(other_user.home) == []


@pytest.mark.parametrize(
    "command",
    [
        ("hooks", "install", "claude-code"),
        ("hooks", "install", "codex"),
        ("completion", "bash", "--install"),
        ("completion", "fish", "--install"),
        ("config", "init"),
        ("service", "install"),
    ],
    ids=" ".join,
)
def test_root_makes_no_file_in_the_home_of_a_user(other_user: Any, command: tuple[str, ...]) -> None:
    """It would belong to root, and the user's agent could not write its own settings any more."""
    ran = as_root(other_user, *command)
    assert ran.returncode != exit_codes.DONE
    assert f"belongs to uid {other_user.uid}" in ran.stderr
    assert "sudo -u" in ran.stderr
    assert set(os.listdir(other_user.home)) <= {"roots-data"}
