"""`maestro send --template` and `maestro template`: by real processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from maestro_cli import exit_codes
from support.cli_shell import Shell


def template(shell: Shell, name: str, text: str) -> None:
    folder = Path(shell.root) / ".maestro" / "templates"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(text, encoding="utf-8")


def test_a_template_becomes_a_message(alice: Shell, bob: Shell) -> None:
    alice.done("send", "--to", bob.session_id, "--template", "review", "--set", "pr={{pr}} 123")
    [message] = bob.inbox()
    assert message["message"].startswith("Please review {{pr}} 123.\n\nAnswer with")
    assert message["metadata"] == {"type": "request", "requiresAck": True}


def test_options_outweigh_it_and_a_text_comes_below(alice: Shell, bob: Shell) -> None:
    fields = "type: request\npriority: high\ntask: task_{{n}}\nrequireAck: false"
    template(alice, "own", f"---\n{fields}\nto: {bob.session_id}\n---\nNumber {{{{n}}}}.\n")
    extra = Path(alice.root) / "extra.md"
    extra.write_text("More of it.", encoding="utf-8")
    alice.done("send", "--template", "own", "--set", "n=7", "--file", str(extra))
    alice.done("send", "--template", "own", "--set", "n=8", "-m", "x", "--type", "command", "--priority", "low")
    first, second = bob.inbox()
    assert (first["message"], first["metadata"]) == (
        "Number 7.\n\nMore of it.",
        {"type": "request", "priority": "high", "taskId": "task_7"},
    )
    assert (second["message"], second["metadata"]["type"]) == ("Number 8.\n\nx", "command")
    assert second["metadata"]["priority"] == "low"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--to", "x", "--template", "review"], "needs a value for pr"),
        (["--to", "x", "--template", "review", "--set", "pr=1", "--set", "px=2"], "has no place for px"),
        (["--to", "x", "--template", "reviews", "--set", "pr=1"], "Did you mean review?"),
        (["--to", "x", "--template", "../review"], "there is no template '../review'"),
        (["--to", "x", "--template", ""], "there is no template ''"),
        (["--template", "review", "--set", "pr=1"], "--to is missing, and the template 'review' names no receiver"),
        (["--to", "x", "-m", "y", "--set", "pr=1"], "--set is for --template"),
        (["--to", "x", "--template", "review", "--set", "pr"], "--set takes NAME=VALUE"),
        (
            ["--to", "x", "--template", "review", "--set", "pr=1", "-m", "a", "--file", "b"],
            "both --message and --file",
        ),
        (["--to", "x", "--template", "broken"], "line 2: 'priorty' is no field"),
        (["-m", "y"], "the receiver is missing"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_send_nothing(alice: Shell, arguments: list[str], said: str) -> None:
    template(alice, "broken", "---\npriorty: high\n---\nx")
    ran = alice.run("send", *arguments)
    assert ran.code == exit_codes.USAGE, ran
    assert said in ran.err
    assert ran.out == ""


def test_the_list_and_one_of_them(alice: Shell) -> None:
    template(alice, "aaa", "Ask {{who}}.")
    template(alice, "broken", "---\nx\n---\n")
    shown = {line.split()[0]: line for line in alice.done("template", "list").out.splitlines()}
    assert shown["aaa"].split() == ["aaa", "project", "Ask", "{{who}}.;", "places:", "who"]
    assert "error: " in shown["broken"]
    assert "shipped" in shown["handoff"]
    listed = alice.run("template", "list", "--json")
    assert '"name": "aaa"' in listed.out
    # What it shows is the template again.
    again = alice.done("template", "show", "handoff").out
    template(alice, "again", again)
    assert alice.done("template", "show", "again").out == again
    document = alice.done("template", "show", "handoff", "--json").json()
    assert document["places"] == ["task", "branch", "done", "next"]
    assert document["fields"]["priority"] == "high"
    assert alice.run("template", "show", "absent").code == exit_codes.USAGE
