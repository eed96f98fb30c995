"""What an everyday command imports, by name and by number: most of its time is that, and numbers do not vary.

A module costs 0.1 to 0.2 ms, `typing`, `re` and `enum` 3 to 5 ms each. So a command that would be slower than its bar
on a quiet machine imports more here.
"""

from __future__ import annotations

import os

import pytest

from maestro_runtime import hook_state
from support.cli_shell import Shell
from support.fast_path import loaded

# What an everyday command can do without, each with what it brings.
SLOW = frozenset(
    {
        "argparse",
        "asyncio",
        "collections",
        "contextlib",
        "cyclopts",
        "dataclasses",
        "datetime",
        "enum",
        "functools",
        "inspect",
        "json",
        "msgpack",
        "msgspec",
        "pathlib",
        "re",
        "rich",
        "shutil",
        "signal",
        "socket",
        "subprocess",
        "tempfile",
        "textwrap",
        "threading",
        "typing",
        "unicodedata",
        "zmq",
    }
)
# The most modules of each, printed to a pipe, as JSON, and on a terminal. A number is lowered where a command gets
# by with less, and raised only with a reason that is worth the time.
MOST = {
    "send BOB text": (36, 37, 44),
    "send --to BOB --message text": (34, 35, 42),
    "reply last text": (46, 47, 54),
    "read last": (53, 52, 53),
    "inbox": (28, 28, 28),
    "inbox --unread": (47, 49, 51),
    "message receipt last": (50, 42, 50),
    "who": (46, 48, 46),
    "log": (52, 54, 52),
    "session list": (47, 38, 47),
    "status": (51, 47, 51),
    "": (46, 48, 46),
}
# The help has `typing` and `re`, for it evaluates declarations; and not the parser, which has three times as many.
HELP_MOST = 81


@pytest.fixture
def person(shared_person: Shell) -> Shell:
    return shared_person


@pytest.mark.parametrize("form", [0, 1, 2], ids=["plain", "json", "terminal"])
@pytest.mark.parametrize("words", MOST)
def test_an_everyday_command(alice: Shell, bob: Shell, words: str, form: int) -> None:
    alice.send(bob, "first")
    bob.inbox()  # shown, so that `last` means it
    bob.send(alice, "second")
    alice.inbox()
    tokens = words.replace("BOB", bob.session_id).split() + (["--json"] if form == 1 else [])
    found = loaded(alice, *tokens, on_terminal=form == 2)
    assert found.isdisjoint(SLOW)
    assert len(found) <= MOST[words][form], sorted(found)


def test_an_inbox_with_mail(alice: Shell, bob: Shell) -> None:
    for form in (0, 1, 2):
        alice.send(bob, "é, ✓ and 👍")
        found = loaded(bob, "inbox", *(["--json"] if form == 1 else []), on_terminal=form == 2)
        assert "maestro_cli.inbox.listing" in found
        assert found.isdisjoint(SLOW - {"unicodedata"}), "only letters beyond ASCII on a terminal need that"
        assert "unicodedata" not in found or form == 2


@pytest.mark.parametrize("form", [0, 1, 2], ids=["plain", "json", "terminal"])
def test_beside_agents(person: Shell, alice: Shell, form: int) -> None:
    """Of an agent's session more is known, and said: its state, its directory, when it is woken."""
    agents = {"working": "", "idle": "", "waiting": "permission:Bash"}
    for number, (state, detail) in enumerate(agents.items()):
        agent = f"agent{number}{form}{os.urandom(4).hex()}"
        with person.anonymous().client() as client:
            client.start_session(
                agent, name=f"{state}-{agent}", project_id="shop", agent="claude-code", cwd="/srv/a b"
            )
        sign = hook_state.HookState(state, "Test", "claude-code", detail=detail or None)  # type: ignore[arg-type]
        hook_state.write(hook_state.path(person.data, agent), sign)
        assert loaded(alice, "send", agent, "text", on_terminal=form == 2).isdisjoint(SLOW)
    for command in ([], ["who"], ["session", "list"], ["status"], ["message", "receipt", "last"]):
        tokens = [*command, *(["--json"] if form == 1 else [])]
        assert loaded(alice, *tokens, on_terminal=form == 2).isdisjoint(SLOW), tokens


@pytest.mark.parametrize("words", ["--help", "send --help", "session --help", "help inbox", "hooks run --help"])
def test_help(person: Shell, words: str) -> None:
    found = loaded(person, *words.split())
    assert found.isdisjoint({"asyncio", "cyclopts", "dataclasses", "inspect", "msgspec", "rich", "zmq"})
    assert len(found) <= HELP_MOST, sorted(found)


def test_a_version(person: Shell) -> None:
    assert loaded(person, "--version").isdisjoint({"cyclopts", "re", "rich"})
