"""`maestro send --dry-run`: the receivers and when they would see it, and nothing sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from maestro_cli import exit_codes
from support.cli_shell import Shell, open_shell

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def person() -> Iterator[Shell]:
    with open_shell(MAESTRO_FANOUT_CONFIRM="1") as opened:
        yield opened


@pytest.fixture(scope="module")
def lead(person: Shell) -> Shell:
    lead = person.session("lead", role="orchestrator", project="shop")
    for name in ("ann", "ben"):
        person.session(name, project="shop")
    cid = person.session("cid", project="shop")
    cid.done("session", "end")
    return lead


def test_one_receiver(lead: Shell) -> None:
    ran = lead.done("send", "--to", "ann", "--dry-run")
    assert ran.out.startswith("Nothing was sent. It would go to ")
    assert ran.out.endswith("Its receiver sees it when it looks into its inbox.\n")
    assert lead.done("inbox", "--sent").out == "No messages were sent.\n"


def test_several_with_the_words_of_a_send(lead: Shell) -> None:
    said = ["--to", "ann", "--to", "ben", "--to", "cid", "--message", "hello"]
    ran = lead.run("send", *said, "--dry-run")
    assert ran.code == exit_codes.PARTLY
    first, *groups = ran.out.splitlines()
    assert first.startswith("Nothing was sent. It would go to 2 of 3 (")
    assert [line.split()[0] for line in groups] == ["later", "no", "It"]
    shown = lead.run("send", *said, "--dry-run", "--json").json()
    assert (shown["status"], shown["accepted"], shown["refused"]) == ("preview", 2, 1)
    sent = lead.run("send", *said).out.splitlines()
    # The same receivers in the same words; the send adds how to try again.
    assert [line for line in sent[1:] if "retry" not in line] == groups


def test_an_audience_that_must_be_confirmed(lead: Shell) -> None:
    assert "the send needs --yes" in lead.done("send", "--to", "@workers", "--dry-run").out
    assert "--yes" not in lead.done("send", "--to", "@workers", "--type", "request", "--dry-run", "--yes").out
    assert lead.run("send", "--to", "@workers", "--message", "hello").code == exit_codes.REFUSED


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--to", "cid"], exit_codes.REFUSED, "has ended"),
        (["--to", "ghost"], exit_codes.NOT_FOUND, "ghost"),
        (["--to", "ann", "--wait", "read"], exit_codes.USAGE, "sends nothing"),
        (["--to", "ann", "--wait-reply"], exit_codes.USAGE, "sends nothing"),
    ],
)
def test_what_would_be_refused_is_refused_in_the_same_words(
    lead: Shell, arguments: list[str], code: int, words: str
) -> None:
    ran = lead.run("send", *arguments, "--dry-run")
    assert (ran.code, words in ran.err) == (code, True), ran


def test_a_shell_without_a_session_asks_as_the_person(person: Shell, lead: Shell) -> None:
    assert person.run("send", "--to", "ann", "--dry-run").code != 0
    assert "It would go to lead." in person.done("send", "--as", "operator", "--to", "lead", "--dry-run").out
