"""Files of mail in the hooks: one line each with a path that the agent can open, at every event that shows mail."""

from __future__ import annotations

import json
import os
import re
import sys
from typing import TYPE_CHECKING

import pytest

from maestro_cli.hooks import agents, shell_script
from maestro_cli.hooks.agents import AGENTS
from support.hook_calls import Agent

if TYPE_CHECKING:
    from support.cli_shell import Shell

PATCH = b"-a\n+b\n"
SHOWING = [
    (agent.name, event)
    for agent in AGENTS.values()
    for event, kind in agent.events.items()
    if kind in (agents.PROMPT, agents.TOOL, agents.STOP)
]
_LINE = re.compile(r"^file: (\S+|\".*\") \([^)]*\) \"?(/.*?)\"?$", re.MULTILINE)


@pytest.fixture(scope="module")
def shared_person(shared_person: Shell) -> Shell:
    shell_script.write(shared_person.data, sys.executable)
    return shared_person


@pytest.fixture
def person(shared_person: Shell) -> Shell:
    return shared_person


def attached(person: Shell, *names: str) -> list[str]:
    """Paths of files of these names, each with the same content."""
    folder = os.path.join(person.root, "files")
    os.makedirs(folder, exist_ok=True)
    paths = [os.path.join(folder, name) for name in names]
    for path in paths:
        with open(path, "wb") as file:
            file.write(PATCH)
    return paths


def content_of(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


@pytest.mark.parametrize(("name", "event"), SHOWING)
def test_a_file_is_one_line_with_a_path(alice: Shell, bob: Shell, person: Shell, name: str, event: str) -> None:
    alice.send(bob, "the fix", attachments=attached(person, "cart.patch", "a b.txt"))
    found = _LINE.findall(Agent(bob, name).text(event))
    assert [shown for shown, _ in found] == ["cart.patch", '"a b.txt"']
    assert [content_of(path) for _, path in found] == [PATCH, PATCH]


def test_a_file_of_a_long_message_is_named_beside_its_beginning(alice: Shell, bob: Shell, person: Shell) -> None:
    alice.send(bob, "x" * 9_990, attachments=attached(person, "cart.patch"))
    alice.send(bob, "y" * 9_990, attachments=attached(person, "cart.patch"))
    text = Agent(bob, "claude-code").text("UserPromptSubmit")
    assert "The beginning of 9,990 characters." in text
    assert len(_LINE.findall(text)) == 2


def test_gemini_cli_gets_a_copy_in_its_own_folder(alice: Shell, bob: Shell, person: Shell) -> None:
    project = os.path.join(person.root, "gemini", "tmp", "shop")
    os.makedirs(os.path.join(project, "chats"))
    transcript = os.path.join(project, "chats", "session-1.jsonl")
    sent = alice.send(bob, "the fix", attachments=attached(person, "cart.patch"))
    text = Agent(bob, "gemini-cli").text("BeforeAgent", transcript_path=transcript)
    [(_, path)] = _LINE.findall(text)
    assert path == os.path.join(project, "maestro-files", sent, "cart.patch")
    assert content_of(path) == PATCH


def test_an_installation_lets_claude_code_read_files_of_mail_and_is_undone(person: Shell) -> None:
    home = os.path.join(person.root, "claude")
    os.makedirs(home)
    path = os.path.join(home, "settings.json")
    before = '{\n  "permissions": {\n    "allow": ["Bash(ls)"]\n  }\n}\n'
    with open(path, "w", encoding="utf-8") as file:
        file.write(before)
    shell = person.like(CLAUDE_CONFIG_DIR=home)
    shell.done("hooks", "install", "claude-code")
    allowed = json.loads(content_of(path))["permissions"]["allow"]
    assert allowed[0] == "Bash(ls)"
    assert all(rule.startswith(f"Read(/{person.data}/") for rule in allowed[1:])
    assert f"Read(/{person.data}/messages/by-receiver/*/*.files/**)" in allowed
    shell.done("hooks", "install", "claude-code")
    assert json.loads(content_of(path))["permissions"]["allow"] == allowed
    shell.done("hooks", "uninstall", "claude-code")
    assert content_of(path).decode() == before


@pytest.mark.parametrize("name", list(AGENTS))
def test_a_start_names_the_files_too(alice: Shell, bob: Shell, person: Shell, name: str) -> None:
    """The last test of the module: from then on the agent's own session is this one's."""
    alice.send(bob, "the fix", attachments=attached(person, "cart.patch"))
    [(_, path)] = _LINE.findall(Agent(bob, name).text("SessionStart"))
    assert content_of(path) == PATCH
