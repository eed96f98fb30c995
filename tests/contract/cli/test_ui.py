"""`maestro ui`: the page's address, the browser that gets it, and the shells that are refused."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from maestro_cli import exit_codes
from maestro_clients.processes import gateway_process
from support.cli_shell import Shell, open_shell
from support.gateways import WITHOUT_OWNERS, Gateway
from support.post_office import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def shell() -> Iterator[Shell]:
    with open_shell(MAESTRO_HTTP="1", MAESTRO_HTTP_PORT="0") as opened:
        yield opened
        gateway_process.stop(opened.data)


@pytest.fixture
def opener(shell: Shell, tmp_path: Path) -> Path:
    """A program in the place of the system's that notes what it was asked to open; the notes."""
    notes = tmp_path / "opened"
    for name in ("xdg-open", "open"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {notes}\ncp "$1" {notes}.file 2>/dev/null\nexit 0\n')
        program.chmod(0o700)
    shell.environ |= {"PATH": f"{tmp_path / 'bin'}:{shell.environ['PATH']}", "DISPLAY": ":99"}
    return notes


def shown(shell: Shell, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = shell.done("ui", *arguments, "--json").json()
    return found


def test_it_starts_what_is_missing_and_opens_the_address(shell: Shell, opener: Path) -> None:
    assert gateway_process.find(shell.data) is None
    found = shown(shell)
    running = gateway_process.find(shell.data)
    assert running is not None
    assert found == {"url": f"{running.url}/ui/", "opened": True, "rights": "full", "login": False}
    assert opener.read_text().splitlines() == [f"{running.url}/ui/"]
    # Again it takes the same gateway.
    assert shell.done("ui").out == f"The page is open in your browser: {running.url}/ui/\n"
    again = gateway_process.find(shell.data)
    assert again is not None
    assert (again.pid, again.url) == (running.pid, running.url)


def test_without_a_browser_it_says_the_address(shell: Shell, opener: Path) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        shell.environ.pop(name, None)
    if sys.platform != "darwin":
        said = shell.done("ui").out
        assert "No browser could be opened" in said
        assert "/ui/" in said
    assert not shown(shell, "--no-open")["opened"]
    assert "No browser" not in shell.done("ui", "--no-open").out
    assert sys.platform == "darwin" or not opener.exists()


def test_a_page_that_only_shows_has_a_code_that_is_on_no_command_line(shell: Shell, opener: Path) -> None:
    found = shown(shell, "--view-only")
    assert (found["rights"], found["login"], found["opened"]) == ("view", True, True)
    assert "#" not in found["url"]
    [path] = opener.read_text().splitlines()
    assert path.startswith(os.path.join(shell.data, "http", "codes"))
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    text = (opener.parent / "opened.file").read_text()
    assert f"{found['url']}#code=" in text
    assert text.split("#code=")[1].split('"')[0] not in path


def test_the_printed_code_works_once(shell: Shell) -> None:
    said = shell.done("ui", "--view-only", "--no-open").out
    assert "It works once" in said
    address = shown(shell, "--view-only", "--no-open")["url"]
    code = address.partition("#code=")[2]
    running = gateway_process.find(shell.data)
    assert running is not None
    curl = ["curl", "-sS", "-X", "POST", f"{running.url}/ui/login", "-H", "Content-Type: application/json"]
    answers = [
        json.loads(subprocess.run([*curl, "-d", json.dumps({"code": code})], capture_output=True, check=True).stdout)
        for _ in range(2)
    ]
    assert (answers[0]["rights"], answers[1]["code"]) == ("view", "LOGIN_REFUSED")


def test_where_the_kernel_does_not_vouch_the_address_has_a_code(shell: Shell, opener: Path) -> None:
    shell.done("up", "--no-http")
    with Gateway(shell, first=WITHOUT_OWNERS) as gateway:
        found = shown(shell, "--no-open")
        assert found["login"]
        assert found["url"].startswith(f"{gateway.url}/ui/#code=")
        assert shown(shell)["opened"]
        assert opener.read_text().splitlines()[-1].endswith(".html")


def test_an_address_for_every_machine_is_opened_at_this_one(shell: Shell) -> None:
    shell.environ["MAESTRO_HTTP_HOST"] = "0.0.0.0"
    found = shown(shell, "--no-open")
    assert found["url"].startswith("http://127.0.0.1:")
    assert found["login"]


def test_an_agents_shell_is_refused(shell: Shell, opener: Path) -> None:
    shell.environ["CLAUDECODE"] = "1"
    ran = shell.run("ui")
    assert ran.code == exit_codes.REFUSED
    assert "CLAUDECODE is set" in ran.err
    assert "the page is the person's" in ran.err
    assert gateway_process.find(shell.data) is None, "nothing was started"
    assert shown(shell, "--yes")["opened"]


def test_where_there_is_no_gateway(shell: Shell) -> None:
    shell.environ["MAESTRO_HTTP"] = "0"
    ran = shell.run("ui", "--no-open")
    assert ran.code != 0
    assert "gateway is turned off" in ran.err
    shell.environ["MAESTRO_BROKER"] = "tcp://127.0.0.1:1"
    assert "another machine" in shell.run("ui", "--no-open").err


def test_down_ends_it(shell: Shell) -> None:
    shell.done("ui", "--no-open")
    shell.done("down")
    eventually(lambda: gateway_process.find(shell.data) is None, "the gateway has ended")
