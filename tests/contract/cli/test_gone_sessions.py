"""Sessions whose process has ended without a word: how they are listed, ended, and what becomes of their mail."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from maestro_cli import exit_codes
from maestro_runtime import process_identity
from support.cli_shell import open_shell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.cli_shell import Shell

GONE = ("session", "end", "--gone")


@pytest.fixture
def person() -> Iterator[Shell]:
    with open_shell() as shell:
        yield shell


def killed(person: Shell, *names: str, project: str = "shop", **fields: Any) -> list[str]:
    """Sessions whose process was killed; their ids."""
    with subprocess.Popen(["sleep", "600"]) as process:
        identity: dict[str, Any] = {"pid": process.pid, "pid_start": process_identity.pid_start(process.pid)}
        with person.client() as client:
            for name in names:
                client.start_session(f"id_{name}", name=name, project_id=project, **identity, **fields)
        process.kill()
    return [f"id_{name}" for name in names]


def active(person: Shell) -> list[str]:
    return [session["id"] for session in listed(person)]


def listed(person: Shell) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(person.done("session", "list", "--json").out)
    return found


def test_the_operator_ends_all_that_are_gone_and_hears_of_their_mail(person: Shell) -> None:
    lead = person.session("lead", role="orchestrator")
    first, second = killed(person, "ann", agent="claude-code"), killed(person, "ben", project="docs")
    lead.done("send", "--to", "ann", "--message", "For later.")
    table = person.done("session", "list").out
    assert "The process of 2 has ended: maestro session end --gone ends them.\n" in table
    [line] = [line for line in table.splitlines() if line.startswith("ann ")]
    assert line.split()[1:4] == ["gone,", "last", "sign"]
    found = {session["id"]: session for session in listed(person)}
    assert (found["id_ann"]["unread"], found["id_ben"]["unread"]) == (1, 0)

    trial = person.done(*GONE, "--dry-run").out.splitlines()
    assert trial[0].startswith("Would end ann (claude-code, last sign ")
    assert trial[0].endswith("; 1 new message waits in it.")
    assert trial[1].startswith("Would end ben (last sign ")
    assert {*first, *second} < set(active(person))

    said = person.done(*GONE).out.splitlines()
    assert [each.split()[:2] for each in said[:2]] == [["Ended", "ann"], ["Ended", "ben"]]
    assert active(person) == [lead.session_id]
    # What it says of the mail is true: it can be read, and a restart of the session has it.
    command = said[2].rpartition("maestro ")[2].split()
    assert "| For later." in person.done(*command).out
    with person.client() as client:
        client.start_session("id_ann")
    assert "For later." in person.like(MAESTRO_SESSION_ID="id_ann").done("inbox").out
    assert person.done(*GONE).out == "No session is gone: the process of each runs, or is not known.\n"
    assert person.done(*GONE, "--json").out == "[]\n"


def test_an_orchestrator_ends_those_of_its_project_and_a_worker_none(person: Shell) -> None:
    lead, bob = person.session("lead", role="orchestrator"), person.session("bob")
    killed(person, "ann")
    killed(person, "ben", project="docs")
    refused = bob.run(*GONE)
    assert refused.code == exit_codes.REFUSED, refused
    assert "is a worker" in refused.err
    assert bob.run("session", "end", "ann").code == exit_codes.REFUSED
    assert lead.run("session", "end", "bob").code == exit_codes.REFUSED, "its process is not gone"
    [ended] = json.loads(lead.done(*GONE, "--json").out)
    assert (ended["session"], ended["name"], ended["unread"]) == ("id_ann", "ann", 0)
    assert set(active(person)) == {lead.session_id, bob.session_id, "id_ben"}
    assert lead.run("session", "end", "ben").code == exit_codes.REFUSED, "it is of another project"


def test_an_agents_shell_without_a_session_ends_none(person: Shell) -> None:
    killed(person, "ann")
    ran = person.run(*GONE, environ={"CLAUDECODE": "1"})
    assert (ran.code, active(person)) == (exit_codes.REFUSED, ["id_ann"]), ran
    assert "`maestro session end --gone --yes`" in ran.err


@pytest.mark.parametrize(("answer", "left"), [(b"\n", 4), (b"n\n", 4), (b"y\n", 0)])
def test_more_than_a_few_are_ended_after_a_question(person: Shell, answer: bytes, left: int) -> None:
    killed(person, "ann", "ben", "cid", "dee")
    shown = at_terminal(person, answer, *GONE)
    assert "Gone: dee (" in shown
    assert "End these 4 sessions?" in shown
    assert ("None was ended." in shown) == bool(left)
    assert len(active(person)) == left


def test_a_few_are_ended_without_a_question(person: Shell) -> None:
    killed(person, "ann", "ben", "cid")
    assert "?" not in at_terminal(person, b"", *GONE)
    assert active(person) == []
    killed(person, "ann", "ben", "cid", "dee")
    assert "?" not in at_terminal(person, b"", *GONE, "--yes")
    assert active(person) == []


def at_terminal(person: Shell, typed: bytes, *arguments: str) -> str:
    """Run a command at a terminal; what it shows."""
    master, slave = os.openpty()
    with subprocess.Popen(
        person.start_command(*arguments),
        env=person.environ,
        cwd=person.root,
        stdin=slave,
        stdout=slave,
        stderr=slave,
    ) as process:
        os.close(slave)
        # A terminal keeps what is typed ahead.
        os.write(master, typed)
        shown = b""
        while True:
            try:
                part = os.read(master, 65_536)
            except OSError:  # on Linux, when the last process has closed it
                break
            shown += part
        process.wait(60)
    os.close(master)
    assert process.returncode == 0, shown
    return shown.decode()


@pytest.mark.parametrize("arguments", [(*GONE, "bob"), ("session", "end", "--dry-run"), ("session", "end", "--yes")])
def test_options_that_exclude_each_other(person: Shell, arguments: tuple[str, ...]) -> None:
    assert person.session().run(*arguments).code == exit_codes.USAGE
