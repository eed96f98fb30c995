"""README.md and the reference behind it: commands exist, CI finds its two commands, and tables match the code."""

from __future__ import annotations

import os
import re
import shlex
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from maestro_cli import exit_codes
from maestro_cli.help import command_rows
from maestro_cli.hooks.agents import AGENTS
from maestro_schemas import http_limits, limits

if TYPE_CHECKING:
    from support.post_office import PostOffice

ROOT = os.path.join(os.path.dirname(__file__), os.pardir, os.pardir, os.pardir)
PACKAGES = ("schemas", "broker", "clients", "cli")


def read(*path: str) -> str:
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


README = read("README.md")
COMMANDS = read("docs", "guide", "commands.md")
SETTINGS = read("docs", "guide", "settings.md")
DEVELOPMENT = read("docs", "development.md")
GROUPS = {group.name for group in command_rows.GROUPS}
PAGES = ("README.md", os.path.join("docs", "development.md"))


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)


def rows() -> list[list[str]]:
    """Each command in the first column of the reference's tables."""
    found = []
    for row in re.findall(r"^\| (`maestro .*?) \|", COMMANDS, flags=re.MULTILINE):
        first, *others = (shlex.split(words) for words in re.findall(r"`([^`]+)`", row))
        found.append(first)
        found += [other if len(other) > 1 else [*first[:-1], *other] for other in others]
    return found


def commands() -> list[list[str]]:
    """Each call of `maestro` in README's shell blocks, and each row of the reference."""
    calls = re.findall(r"(?<![\w./-])maestro (?:\"[^\"]*\"|[^\"&|#)\n])*", "".join(blocks(README, "sh")))
    return [*(shlex.split(call) for call in calls), *rows()]


def words_of(call: list[str]) -> list[str]:
    """The words that name the command: one, or two where the first is that of a group."""
    names = call[1:2] if call[1:] and not call[1].startswith("-") else []
    if names and names[0] in GROUPS and call[2:] and call[2] not in AGENTS and not call[2].startswith("-"):
        names.append(call[2])
    return names


def marked(name: str) -> str:
    """The command after a marker, which `.ci/run` reads in the same way."""
    [found] = re.findall(rf"<!-- command: {name} -->\n```sh\n(.+)\n```\n", README)
    assert isinstance(found, str)
    return found


@pytest.mark.parametrize("call", commands(), ids=" ".join)
def test_each_command_exists_and_has_the_options_shown(call: list[str]) -> None:
    names = words_of(call)
    done = subprocess.run(
        [sys.executable, "-m", "maestro_cli", *names, "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Usage: {' '.join(['maestro', *names])}"), done.stdout
    for option in (word for word in call if word.startswith("--")):
        assert re.search(rf"(^|\s){option}\b", done.stdout), f"{option} is not an option of {' '.join(names)}"


def test_each_command_has_its_row_in_the_reference() -> None:
    documented = {tuple(words_of(call)) for call in rows()}
    assert {words for words, _ in command_rows.every_command()} <= documented


def test_the_first_two_commands_are_complete() -> None:
    for name in ("run", "test"):
        assert marked(name).startswith("python3 -m venv .venv && .venv/bin/pip install ")
    assert marked("run").endswith("&& .venv/bin/maestro demo")
    assert marked("test").endswith("&& .venv/bin/just")
    script = os.path.join(ROOT, ".ci", "run")
    assert "<!-- command: {sys.argv[1]} -->" in read(".ci", "run")
    assert os.stat(script).st_mode & stat.S_IXUSR


def test_the_exit_codes() -> None:
    section = COMMANDS.split("## Exit codes")[1].split("\n##")[0]
    documented = {
        int(number): meaning for number, meaning in re.findall(r"^\| (\d+) \| (.+?) \|$", section, re.MULTILINE)
    }
    assert list(documented) == sorted(exit_codes.MEANINGS)
    for number, meaning in exit_codes.MEANINGS.items():
        assert documented[number].split()[0].rstrip(",:") == meaning.split()[0].rstrip(",:")


def test_each_variable_that_the_code_reads_is_documented() -> None:
    code = "".join(
        read(directory, name)
        for package in PACKAGES
        for directory, _, names in os.walk(os.path.join(ROOT, package))
        for name in names
        if name.endswith(".py")
    )
    known = {f"MAESTRO_{name.upper()}" for name in limits.DOCS}
    known |= {f"MAESTRO_HTTP_{name.upper()}" for name in (*http_limits.DOCS, *http_limits.FRONT_DOCS)}
    known |= {name.removesuffix("_MS") for name in known}
    read_by_code = {name for name in re.findall(r'"(MAESTRO_[A-Z_]*[A-Z])"', code) if name not in known}
    documented = set(re.findall(r"`(MAESTRO_[A-Z_]+)`", COMMANDS))
    assert read_by_code <= documented
    assert documented <= read_by_code | known


def test_each_default_is_that_of_the_code() -> None:
    found = limits.Limits()
    documented = re.search(r"By default a message .*?\.\s+`maestro status --all`", SETTINGS, re.DOTALL)
    assert documented is not None
    numbers = [int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", documented[0])]
    assert numbers == [found.text_chars_max, found.rate_limit, found.pending_max, found.retention_ms // 86_400_000]


@pytest.mark.parametrize("page", PAGES)
def test_each_link_has_a_target(page: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)", read(page)):
        if "://" not in target:
            assert os.path.exists(os.path.join(ROOT, os.path.dirname(page), target)), target


def test_the_readme_is_a_screen_and_a_half() -> None:
    lines = README.splitlines()
    assert len(lines) <= 90
    assert max(len(line) for line in lines if not line.startswith("|")) <= 102


def test_the_program_runs(open_office: PostOffice) -> None:
    [program] = blocks(DEVELOPMENT, "python")
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**open_office.environ, "MAESTRO_SESSION_ID": "ann"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("201\n", "")
