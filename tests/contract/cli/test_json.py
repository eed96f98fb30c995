"""`--json`: what every command prints has the shape that the guide describes, and an error is one object.

Rule: a real broker answers. A shape is checked without tolerance. A field that it does not name fails the test, so
that no field goes out undocumented.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from maestro_cli.help.command_rows import every_command
from maestro_cli.shapes import shape_writer
from maestro_cli.shapes.by_command import SHAPES, WITHOUT_JSON
from maestro_runtime import process_identity
from maestro_schemas.generators import json_schema
from support.cli_shell import open_shell
from support.post_office import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.cli_shell import Ran, Shell

# What a newer broker may add to: PROTOCOL.md describes it.
_OPEN = ("BrokerStatus", "LimitShown", "QueuedMessage", "DeadLetter", "SpoolLine", "Metadata")
_ERROR = json_schema.schemas()["error.schema.json"]
_COMMANDS = [" ".join(words) for words, _ in every_command() if " ".join(words) not in WITHOUT_JSON]


def _strict() -> dict[str, Any]:
    schema = shape_writer.schema()
    for name, shape in schema["$defs"].items():
        if name not in _OPEN:
            shape["additionalProperties"] = False
    return schema


class Runner:
    """Runs commands and checks what each prints. `seen`: the rows of SHAPES that were checked; `problems`: what is
    not as they say."""

    def __init__(self) -> None:
        self._schema = _strict()
        self.seen: set[str] = set()
        self.problems: list[str] = []

    def check(self, row: str, ran: Ran) -> Any:
        """Check the output of a command that has succeeded; what it printed."""
        assert ran.code == 0, ran
        assert "\x1b" not in ran.out
        lines = ran.out.splitlines()
        form = SHAPES[row].form
        documents = [json.loads(line) for line in lines]
        assert form == "lines" or len(documents) == 1, ran.out
        validator = jsonschema.Draft202012Validator(
            {"$defs": self._schema["$defs"], **self._schema["properties"][row]}
        )
        for document in documents:
            found = {f"{row} {error.json_path}: {error.message[:200]}" for error in validator.iter_errors(document)}
            self.problems += sorted(found)
        assert documents, f"{row} printed nothing, so nothing was checked"
        self.seen.add(row)
        return documents if form == "lines" else documents[0]

    def run(self, row: str, shell: Shell, *arguments: str) -> Any:
        """Run the command of a row with these arguments. Words in the row that are options are among them."""
        words = row.split()
        return self.check(row, shell.run(*words, *arguments, "--json"))


@pytest.fixture(scope="module")
def person() -> Iterator[Shell]:
    with open_shell(MAESTRO_RATE_LIMIT="0", MAESTRO_HTTP="1", MAESTRO_HTTP_PORT="0") as opened:
        home = os.path.join(opened.root, "home")
        os.mkdir(home)
        mine = {name: value for name, value in opened.environ.items() if not name.startswith("XDG_")}
        opened.environ = {**mine, "HOME": home}
        with open(os.path.join(opened.root, "a.txt"), "w") as file:
            file.write("a file")
        yield opened


@pytest.mark.timeout(300)
def test_each_command_prints_its_shape(person: Shell) -> None:
    runner = Runner()
    _before_the_broker(runner, person)
    ann, bob, first = _sessions(runner, person)
    _messages(runner, person, ann, bob, first)
    _groups(runner, ann)
    _compatible(runner, person, ann, bob)
    _archive(runner, person, ann)
    _upkeep(runner, person)
    _watches(runner, ann, bob)
    runner.run("session end --gone", person)
    runner.run("session complete", bob)
    with subprocess.Popen(["sleep", "600"]) as process, person.client() as client:
        client.start_session("gone", pid=process.pid, pid_start=process_identity.pid_start(process.pid))
        process.kill()
    assert [ended["session"] for ended in runner.run("session end --gone", person)] == ["gone"]
    runner.run("session end", ann)
    runner.run("down", person)
    runner.run("down", person)
    assert runner.run("uninstall", person, "--dry-run")["changed"] is True
    runner.run("uninstall", person, "--yes", "--data")
    assert not runner.problems, "\n".join(runner.problems)
    assert set(SHAPES) - runner.seen == set(_NOT_RUN)


# Rows that other tests run, because each needs an agent at work.
_NOT_RUN = {"wake --test": "tests/agents/test_wake_command.py"}


def _before_the_broker(runner: Runner, person: Shell) -> None:
    bare = person.like(PATH=os.path.join(person.root, "home"))
    assert runner.run("setup", bare, "--dry-run", "claude-code")["changed"] is True
    assert runner.run("config path", person)["exists"] is False
    runner.run("config init", person)
    assert runner.run("up", person)["started"] is True
    assert runner.run("up", person)["started"] is False
    runner.run("status", person)
    runner.run("doctor", person)
    assert "repairs" in runner.run("doctor", person, "--fix", "--dry-run")
    runner.run("config show", person)
    assert list(runner.run("config show", person, "rate_limit")["settings"]) == ["rate_limit"]


def _sessions(runner: Runner, person: Shell) -> tuple[Shell, Shell, str]:
    def started(*arguments: str) -> Shell:
        made = runner.run("session start", person, "--project", "shop", *arguments)
        return person.like(MAESTRO_SESSION_ID=made["id"], MAESTRO_SESSION_TOKEN=made["token"])

    ann, bob = started("--name", "ann", "--role", "orchestrator"), started("--name", "bobby")
    runner.run("session rename", bob, "bob")
    runner.run("session show", ann)
    assert len(runner.run("session list", ann)) == 2
    runner.run("session nudge", bob, "off")
    runner.run("who", ann)
    sent = runner.run("send", ann, "--to", "bob", "--message", "Ready?", "--type", "request", "--attach", "a.txt")
    return ann, bob, sent["id"]


def _messages(runner: Runner, person: Shell, ann: Shell, bob: Shell, first: str) -> None:
    runner.run("send --dry-run", ann, "--to", "bob", "--message", "Ready?")
    runner.run("send --dry-run", ann, "--to", "@project", "--message", "All?")
    runner.run("send", ann, "--to", "bob", "--to", "operator", "--message", "Both?")
    runner.run("session send", ann, "--to", "bob", "--message", "Again?")
    runner.run("inbox --wait", bob)
    assert runner.run("inbox", bob)["messages"][0]["id"] == first
    assert runner.run("inbox", bob)["messages"] == []
    runner.run("inbox", bob, "--unread")
    runner.run("inbox --all", bob)
    runner.run("inbox --sent", ann)
    runner.run("message show", bob, first)
    runner.run("message receipt", ann, first)
    runner.run("message reply", bob, first, "--message", "Yes.")
    runner.run("reply", bob, "last", "Yes, ready.")
    assert runner.run("read", bob)["count"] == 1
    runner.run("message thread", ann, first)
    runner.run("message read", bob, first)
    runner.run("attachment list", bob, first)
    runner.run("attachment save", bob, first, "--to", os.path.join(bob.root, "home"))
    short = runner.run("send", ann, "--to", "bob", "--message", "Soon", "--ttl", "1ms")["id"]
    eventually(lambda: ann.state(short) == "expired", "the message has expired")
    assert [letter["id"] for letter in runner.run("message dead", ann)["letters"]] == [short]
    assert runner.run("message retry", ann, short)["retryOf"] == short
    runner.run("message delete", bob, first)
    down = person.like(MAESTRO_AUTOSTART="0", MAESTRO_DATA_DIR=os.path.join(person.root, "other"))
    assert runner.run("send", down.like(**_own(ann)), "--to", "bob", "--message", "Later")["status"] == "queued"
    assert len(runner.run("outbox", down)["waiting"]) == 1
    runner.run("outbox", ann)


def _own(shell: Shell) -> dict[str, str]:
    return {name: value for name, value in shell.environ.items() if name.startswith("MAESTRO_SESSION_")}


def _groups(runner: Runner, ann: Shell) -> None:
    runner.run("group create", ann, "reviews", "bob")
    runner.run("group join", ann, "reviews")
    runner.run("send", ann, "--to", "@reviews", "--message", "To the group.")
    runner.run("group log", ann, "reviews")
    runner.run("group leave", ann, "reviews")
    runner.run("group add", ann, "reviews", "ann")
    runner.run("group remove", ann, "reviews", "ann")
    runner.run("group list", ann)
    runner.run("group list", ann, "--members")
    runner.run("group show", ann, "reviews")
    runner.run("group delete", ann, "reviews")


def _compatible(runner: Runner, person: Shell, ann: Shell, bob: Shell) -> None:
    runner.run("whoami", bob)
    runner.run("report", bob, "progress", "Half way")
    runner.run("session needs-input", bob, "--message", "Which?")
    runner.run("session resume-working", bob)
    runner.run("session prompt", ann, "bob", "--message", "Go on.")
    runner.run("session info", bob)
    child = person.session("child").like(MAESTRO_PROJECT_ID="shop")
    runner.run("session siblings", child)
    runner.run("session notify", ann, "bob", "--message", "Short", "--detail", "Long")
    runner.run("session inbox", bob)
    runner.run("session mail", bob, "read")
    runner.run("mail send", ann, "bob", "--type", "query", "--subject", "Port?")
    mail = runner.run("mail inbox", bob)["messages"]
    runner.run("mail reply", bob, mail[-1]["id"], "--message", "4568")
    runner.run("mail broadcast", ann, "--type", "notification", "--subject", "All")
    runner.run("mail wait", bob, "--timeout", "20000")
    registered = person.like(MAESTRO_SESSION_ID="sess_1_registered", MAESTRO_SESSION_TOKEN="t" * 32)
    runner.run("session register", registered)
    registered.done("session", "end")
    runner.run("session watch", bob, "sess_1_registered")


def _archive(runner: Runner, person: Shell, ann: Shell) -> None:
    runner.run("log", ann)
    runner.run("timeline", ann)
    runner.run("search", ann, "Ready")
    runner.run("threads", ann)
    runner.run("stats", ann)
    runner.run("export", ann)
    runner.check("export --out", ann.run("export", "--out", "all.jsonl", "--json"))
    runner.run("index status", ann)
    runner.run("index rebuild", person)
    runner.run("template list", ann)
    runner.run("template show", ann, "review")


def _upkeep(runner: Runner, person: Shell) -> None:
    runner.run("ui", person, "--no-open")
    runner.run("wake", person)
    # The doctor finds no `maestro` on PATH, and that is no failure.
    assert runner.run("setup", person, "claude-code", "--yes")["changed"] is True
    assert runner.run("uninstall", person, "--dry-run")["changed"] is True
    runner.run("hooks uninstall", person, "claude-code")
    runner.run("hooks install", person, "claude-code")
    runner.run("hooks install", person, "codex", "--mcp")
    runner.run("hooks show", person, "claude-code")
    runner.run("hooks show", person, "prompt-display")
    runner.run("hooks uninstall", person, "claude-code")
    runner.run("service install", person, "--print")
    runner.run("service install", person)
    runner.run("service status", person)
    assert len(runner.run("service uninstall", person)["removed"]) == 2
    assert runner.run("service uninstall", person)["removed"] == []
    runner.run("spool prune", person, "--dry-run")
    runner.run("spool verify", person)
    runner.run("spool export", person)
    runner.check("spool export --out", person.run("spool", "export", "--out", "spool.jsonl", "--json"))
    runner.run("keys new", person, "laptop", "--out", "laptop.key")
    runner.run("keys list", person)
    runner.run("keys revoke", person, "laptop")
    runner.run("keys list", person)


def _watches(runner: Runner, ann: Shell, bob: Shell) -> None:
    runner.check("wake --off", bob.run("wake", "--off", "--json"))
    runner.check("wake --on", bob.run("wake", "--on", "--json"))
    ann.send(bob, "For a watch.")
    runner.run("inbox --watch", bob, "--limit", "1")
    watching = ann.start("who", "--watch", "--json")
    assert watching.stdout is not None
    line = watching.stdout.readline().decode()
    runner.check("who --watch", type(ann.run("whoami"))(0, line, ""))


@pytest.mark.parametrize("command", _COMMANDS)
def test_a_wrong_option_is_one_object(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    """The command's own process would only add its start."""
    from maestro_cli.main import main

    assert main([*command.split(), "--no-such-option", "--json"]) == 2
    document = json.loads(capfd.readouterr().out)
    assert list(document) == ["error"]
    jsonschema.Draft202012Validator(_ERROR).validate(document["error"])


@pytest.mark.parametrize("words", [words for words, _ in every_command()], ids=" ".join)
def test_the_help_names_the_option(words: tuple[str, ...], capfd: pytest.CaptureFixture[str]) -> None:
    from maestro_cli.main import main

    assert main([*words, "--help"]) == 0
    assert ("--json" in capfd.readouterr().out) == (" ".join(words) not in WITHOUT_JSON)


def test_the_page_names_each_command() -> None:
    with open(shape_writer.PAGE, encoding="utf-8") as file:
        page = file.read()
    assert all(re.search(rf"`{re.escape(command)}`", page) for command in (*_COMMANDS, *WITHOUT_JSON))
