"""`maestro config`, and the effect of an invalid file on other commands."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.cli_shell import Shell


@pytest.fixture(scope="module")
def shell_environ() -> dict[str, str]:
    return {"MAESTRO_RATE_LIMIT": "77"}


def write(shell: Shell, text: str) -> str:
    path = shell.environ["MAESTRO_CONFIG"]
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def test_each_setting_says_where_it_came_from(shell: Shell) -> None:
    path = write(shell, '[limits]\nrate_limit = 5\nretention = "9d"\n[projects.shop]\nretention = "30d"\n')
    assert shell.done("config", "path").out == f"{path}\n"
    before = shell.done("config", "show").out
    shell.done("up", "--set", "pending_max=9")
    found = shell.done("config", "show", "--json").json()
    rows = {name: (row["value"], row["origin"], row["where"]) for name, row in found["settings"].items()}
    assert rows["rate_limit"] == (77, "environment", "MAESTRO_RATE_LIMIT")
    assert rows["retention_ms"] == (9 * 86_400_000, "config", f"{path}:3")
    assert rows["pending_max"] == (9, "flag", None)
    assert rows["sessions_max"] == (10_000, "default", None)
    assert rows["projects.shop.retention_ms"] == (30 * 86_400_000, "config", f"{path}:5")
    assert rows["http.enabled"] == (0, "environment", "MAESTRO_HTTP")
    assert not found["changed"]
    # The same settings, with and without a broker.
    # Below the heading.
    assert len(before.splitlines()) == len(rows) + 1
    write(shell, "[limits]\nretention = '1d'\n")
    shown = shell.done("config", "show", "retention")
    assert "9d" in shown.out
    assert "restart to apply: maestro down && maestro up" in shown.err
    assert "Did you mean retention_ms" in shell.run("config", "show", "retenton").err


def test_a_wrong_file_loses_no_send(shell: Shell) -> None:
    alice = shell.session("alice")
    shell.done("down")
    path = write(shell, "[limits]\n\nrate_limt = 5\n")
    words = f"{path} line 3: unknown key 'rate_limt' in [limits]; did you mean rate_limit?"
    assert words in shell.run("config", "show").err
    assert words in shell.run("doctor").out
    sent = alice.run("send", "--to", "alice", "--message", "hello")
    assert (sent.code, "Queued in the outbox" in sent.out, words in sent.err) == (0, True, True)
    assert alice.done("send", "--to", "alice", "--message", "two", "--json").json()["reason"]["details"]["line"] == 3
    os.unlink(path)
    alice.done("up")
    alice.done("outbox", "--replay")
    assert sorted(message["message"] for message in alice.inbox()) == ["hello", "two"]


def test_a_file_of_all_settings_is_written_once_and_is_valid(shell: Shell) -> None:
    path = shell.environ["MAESTRO_CONFIG"]
    shell.done("config", "init")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    again = shell.run("config", "init")
    assert again.code != 0
    assert "stays as it is" in again.err
    lines = text.splitlines(True)
    write(shell, "".join(line.removeprefix("# ") if " = " in line or "[" in line else line for line in lines))
    environ = {"MAESTRO_RATE_LIMIT": "", "MAESTRO_HTTP": ""}
    filled = shell.run("config", "show", "--json", environ=environ).json()["settings"]
    os.unlink(path)
    bare = shell.run("config", "show", "--json", environ=environ).json()["settings"]
    assert {name: row["value"] for name, row in bare.items()}.items() <= {
        name: row["value"] for name, row in filled.items()
    }.items()
    fromfile = [name for name, row in filled.items() if row["origin"] == "config"]
    assert len(fromfile) >= len(bare) - 3
