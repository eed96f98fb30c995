"""What is published: the lists of wheel and sdist, their metadata, and the installed program outside the checkout."""

from __future__ import annotations

import email
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from maestro_schemas import __version__
from support import wheels

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message
    from pathlib import Path

PACKAGES = {
    "maestro_schemas": "schemas",
    "maestro_wire": "schemas",
    "maestro_runtime": "schemas",
    "maestro_broker": "broker",
    "maestro_clients": "clients",
    "maestro_gateway": "clients",
    "maestro_cli": "cli",
}
LIT_HTML = "clients/maestro_gateway/web/ui/vendor/lit-html/LICENSE"
STEM = f"maestro_messaging-{__version__}"
# What a start in a venv writes, and a removal may leave.
_CACHES = ("__pycache__", ".pyc")


def of_the_checkout() -> set[str]:
    """Every file of the project, as a path from its root."""
    if not os.path.isdir(os.path.join(wheels.ROOT, ".git")):
        # An unpacked sdist has no list of its files; CI runs in a clone.
        pytest.skip("not a git checkout")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=wheels.ROOT, capture_output=True, check=True)
    found = {name.decode() for name in done.stdout.split(b"\0") if name}
    return {name for name in found if os.path.exists(os.path.join(wheels.ROOT, name))}


def in_wheel() -> set[str]:
    with zipfile.ZipFile(wheels.built_wheel()) as archive:
        return set(archive.namelist())


def in_sdist() -> set[str]:
    with tarfile.open(wheels.built_sdist()) as archive:
        return {member.name.removeprefix(f"{STEM}/") for member in archive.getmembers()}


def metadata() -> Message:
    with zipfile.ZipFile(wheels.built_wheel()) as archive:
        return email.message_from_bytes(archive.read(f"{STEM}.dist-info/METADATA"))


# --- the lists -----------------------------------------------------------------------------------------------


def test_the_wheel_has_the_packages_and_nothing_else() -> None:
    wanted = {
        name.partition("/")[2]
        for name in of_the_checkout()
        for package, folder in PACKAGES.items()
        if name.startswith(f"{folder}/{package}/")
    }
    wanted |= {f"{STEM}.data/scripts/maestro"}
    wanted |= {f"{STEM}.dist-info/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt")}
    wanted |= {f"{STEM}.dist-info/licenses/{name}" for name in ("LICENSE", LIT_HTML)}
    assert in_wheel() == wanted
    assert {f"{package}/py.typed" for package in PACKAGES} <= wanted


def test_the_sdist_is_of_the_checkout_and_has_no_pictures() -> None:
    found = in_sdist()
    assert found - of_the_checkout() == {"PKG-INFO"}
    assert not [name for name in found if name.endswith((".png", ".svg")) and not name.startswith("clients/")]
    assert {"LICENSE", "README.md", "CHANGELOG.md", "schemas/PROTOCOL.md", "tests/conftest.py"} <= found


def test_the_sdist_builds_the_same_wheel(tmp_path: Path) -> None:
    with tarfile.open(wheels.built_sdist()) as archive:
        archive.extractall(tmp_path, filter="data")
    [again] = wheels.build(str(tmp_path / STEM), str(tmp_path / "dist"), "wheel")
    with open(again, "rb") as one, open(wheels.built_wheel(), "rb") as other:
        assert one.read() == other.read()


def test_the_metadata_is_complete() -> None:
    found = metadata()
    assert (found["Name"], found["Version"]) == ("maestro-messaging", __version__)
    assert found["License-Expression"] == "MIT AND BSD-3-Clause"
    assert found.get_all("License-File") == ["LICENSE", LIT_HTML]
    assert found["Author"] == "The Maestro messaging contributors"
    assert found["Author-email"] is None
    assert found["Requires-Python"] == ">=3.11"
    # What pip older than 2025 and package indexes read.
    assert found["Metadata-Version"] == "2.4"


def test_the_description_has_no_link_that_leads_nowhere() -> None:
    """A package index has no files of ours: a relative link would be broken there, and so would a picture."""
    body = metadata().get_payload(decode=True)
    assert isinstance(body, bytes)
    text = body.decode()
    assert text.startswith("# Maestro messaging\n")
    assert [target for target in re.findall(r"\]\(([^)]*)\)", text) if "://" not in target] == []
    assert "![" not in text
    assert "(https://github.com/aannoo/hcom)" in text
    assert re.search(r"·\s+commands", text)


# --- installed -----------------------------------------------------------------------------------------------


class Installed:
    """The installed program of a user with an empty home directory, far from the checkout."""

    def __init__(self, commands: str, home: str, runtime: str) -> None:
        self._commands = commands
        self.home = home
        self._environ = {
            "HOME": home,
            "PATH": f"{commands}:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "XDG_RUNTIME_DIR": runtime,
            "MAESTRO_HTTP_PORT": "0",
        }

    def __call__(self, *words: str) -> str:
        """Run a command; returns what it printed."""
        done = subprocess.run(
            words, env=self._environ, cwd=self.home, capture_output=True, text=True, check=False, timeout=90
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def python(self, code: str) -> str:
        return self(os.path.join(self._commands, "python"), "-c", code)


@pytest.fixture(scope="module")
def installed() -> Iterator[Installed]:
    commands = wheels.installed()
    with tempfile.TemporaryDirectory(prefix="mh-") as home, tempfile.TemporaryDirectory(prefix="mr-") as runtime:
        run = Installed(commands, home, runtime)
        try:
            yield run
        finally:
            run("maestro", "down")


def test_nothing_of_the_checkout_is_imported(installed: Installed) -> None:
    code = "import importlib.util as u; print([u.find_spec(name).origin for name in {names}])"
    found = installed.python(code.replace("{names}", repr(sorted(PACKAGES))))
    assert found.count("site-packages") == len(PACKAGES)
    assert wheels.ROOT not in found


def test_each_name_of_the_command_says_its_version(installed: Installed) -> None:
    for words in (["maestro"], ["maestro-messaging"], ["python", "-m", "maestro_cli"]):
        assert installed(*words, "--version") == f"maestro {__version__}\n"
    assert json.loads(installed("maestro", "--version", "--json"))["version"] == __version__


def test_mail_is_sent_and_read(installed: Installed) -> None:
    installed("maestro", "up", "--no-http")
    for name in ("ann", "ben"):
        installed("maestro", "session", "start", "--id", name)
    assert "It is on disk" in installed(
        "maestro", "send", "--as", "operator", "--to", "ann", "--message", "From afar."
    )
    assert "| From afar." in installed("maestro", "inbox", "--session", "ann")
    assert "From afar." in installed("maestro", "search", "afar")


def test_the_demo_plays(installed: Installed) -> None:
    assert "All of it happened" in installed("maestro", "demo")


def test_hooks_come_and_go(installed: Installed) -> None:
    installed("maestro", "hooks", "install", "claude-code")
    with open(os.path.join(installed.home, ".claude", "settings.json"), encoding="utf-8") as file:
        assert "maestro-hook" in file.read()
    installed("maestro", "hooks", "install", "opencode")
    installed("maestro", "hooks", "uninstall", "claude-code")
    installed("maestro", "hooks", "uninstall", "opencode")


def test_the_gateway_serves_the_page(installed: Installed) -> None:
    installed("maestro", "up")
    with open(os.path.join(installed.home, ".local", "share", "maestro", "server-url"), encoding="utf-8") as file:
        url = file.read().strip()
    code = f"""
import re, urllib.request
page = urllib.request.urlopen({url!r} + "/ui").read().decode()
named = sorted(set(re.findall(r'"(/web/[^"]+)"', page)))
print([urllib.request.urlopen({url!r} + name).status for name in named + ["/web/ui/vendor/lit-html/lit-html.js"]])
"""
    answers = json.loads(installed.python(code))
    assert len(answers) > 10
    assert set(answers) == {200}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_are_there(installed: Installed, shell: str) -> None:
    assert "maestro" in installed("maestro", "completion", shell)


def test_templates_are_there(installed: Installed) -> None:
    assert "review" in installed("maestro", "template", "list")


def test_programs_find_the_schemas(installed: Installed) -> None:
    code = """
import json
from importlib import resources
folder = resources.files("maestro_schemas") / "json_schemas"
print(sorted(json.loads(entry.read_text("utf-8"))["$id"] for entry in folder.iterdir()))
"""
    found = installed.python(code)
    assert found.count("urn:maestro-messaging:m1:") == 8
    assert "urn:maestro-messaging:m1:message" in found


# --- installed where it is difficult -------------------------------------------------------------------------


def test_it_comes_and_goes_and_runs_in_a_folder_with_a_space(tmp_path: Path) -> None:
    """There, the first line of a script can't name the interpreter. The other name of the command has none."""
    venv = tmp_path / "my tools" / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True, timeout=60)
    before = files(venv)
    pip = [sys.executable, "-m", "pip", "--python", str(venv / "bin" / "python"), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", wheels.built_wheel()], check=True, timeout=60)
    # What it requires comes from the environment of the tests; a path in PYTHONPATH brings no editable install along.
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": os.path.dirname(os.path.dirname(pytest.__file__))}
    done = subprocess.run(
        [str(venv / "bin" / "maestro-messaging"), "--version"],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, f"maestro {__version__}\n"), done.stderr
    subprocess.run([*pip, "uninstall", "--quiet", "--yes", "maestro-messaging"], check=True, timeout=60)
    assert files(venv) == before


def files(directory: Path) -> set[str]:
    """The files below a directory."""
    found = {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}
    return {name for name in found if not any(mark in name for mark in _CACHES)}
