"""Projects: a worker reaches no worker of another project, whatever way it tries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from maestro_cli import exit_codes
from support.cli_shell import Ran, Shell, open_shell
from support.post_office import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def person() -> Iterator[Shell]:
    with open_shell(MAESTRO_RATE_LIMIT="0") as opened:
        yield opened


def moved(person: Shell, session: Shell, project: str) -> None:
    """Move a session to another project, as the operator may."""
    with person.client() as operator:
        token = session.environ["MAESTRO_SESSION_TOKEN"]
        operator.call("session.start", {"id": session.session_id, "token": token, "projectId": project})


def texts(session: Shell) -> list[str]:
    """Everything that ever came to a session."""
    found = session.done("inbox", "--all", "--limit", "100", "--json").json()["messages"]
    return [message["message"] for message in found]


def code(ran: Ran) -> str:
    return str(ran.error()["code"])


def test_a_worker_reaches_no_worker_of_another_project(person: Shell) -> None:
    """By any audience, group, list, answer, answer to all, redirection or retry."""
    person.session("lead", role="orchestrator", project="a")
    ann, ben = person.session("ann", project="a"), person.session("ben", project="a")
    eve = person.session("eve", project="b")
    # eve was in the project once: she wrote to ann, and a message of ann's to her and ben waited until it expired.
    moved(person, eve, "a")
    asked = eve.done("send", "--to", "ann", "--message", "before", "--json").json()["id"]
    dead = ann.done("send", "--to", "eve", "--to", "ben", "--message", "late", "--ttl", "50ms", "--json").json()["id"]
    eventually(lambda: ann.done("message", "receipt", dead, "--json").json()["counts"]["expired"] == 2, "it expired")
    moved(person, eve, "b")
    person.done("group", "create", "mixed", "ann", "ben", "eve", "--project", "a")
    came = texts(eve)

    for number, to in enumerate(("@workers", "@project", "@orchestrators", "@mixed")):
        sent = ann.done("send", "--to", to, "--yes", "--message", f"audience {number}", "--json").json()
        assert eve.session_id not in [each["to"] for each in sent["recipients"]]
    sent = ann.done("send", "--to", "@mixed", "--reply-to", asked, "--message", "to all", "--json").json()
    assert [each["to"] for each in sent["recipients"]] == [ben.session_id]
    refused = [
        ann.run("send", "--to", "@all", "--yes", "--message", "x", "--json"),
        ann.run("send", "--to", "@project:b", "--yes", "--message", "x", "--json"),
        ann.run("send", "--to", "ben", "--to", "eve", "--message", "x", "--json"),
        ann.run("message", "reply", asked, "--message", "x", "--json"),
        ann.run("message", "retry", dead, "--json"),
        ann.run("group", "add", "mixed", "eve", "--json"),
    ]
    assert [ran.code for ran in refused] == [exit_codes.REFUSED] * 5 + [exit_codes.DONE], refused
    assert [code(ran) for ran in refused[:5]] == ["ROLE_FORBIDDEN"] * 5
    person.done("group", "create", "ours", "ann", "--project", "a")
    other = ann.run("group", "add", "ours", "eve", "--json")
    assert other.code == exit_codes.REFUSED, other
    joins = eve.run("group", "join", "ours", "--json")
    assert joins.code == exit_codes.REFUSED, joins

    assert texts(eve) == came
    assert "audience" not in eve.done("log", "@mixed").out
    assert "audience 3" in ben.done("log", "@mixed").out
