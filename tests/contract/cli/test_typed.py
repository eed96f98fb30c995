"""Commands as people type them: a receiver and a text without options, the beginning of an id, and `last`."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from maestro_cli import exit_codes
from maestro_clients.texts.short_ids import ShortIds
from support.fast_path import ALLOWED, loaded

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from support.cli_shell import Ran, Shell


@pytest.fixture
def person(shared_person: Shell) -> Shell:
    return shared_person


def named(person: Shell, name: str, role: str) -> Iterator[Shell]:
    """A session that has this name for one test."""
    shell = person.session(name, role=role)
    yield shell
    with shell.client() as client:
        client.end_session()


@pytest.fixture
def alice(person: Shell) -> Iterator[Shell]:
    yield from named(person, "alice", "orchestrator")


@pytest.fixture
def bob(person: Shell) -> Iterator[Shell]:
    yield from named(person, "bob", "worker")


def texts(shell: Shell, *more: str) -> list[str]:
    return [message["message"] for message in shell.inbox(*more)]


def short(message_id: str) -> str:
    return ShortIds([message_id]).of(message_id)


def refused(ran: Ran, *parts: str, code: int = exit_codes.USAGE) -> None:
    assert (ran.code, ran.out) == (code, "")
    for part in parts:
        assert part in ran.err, ran.err


# --- send --------------------------------------------------------------------------------------------------------


def test_a_receiver_and_a_text(alice: Shell, bob: Shell) -> None:
    """As fast as with options."""
    assert loaded(alice, "send", "bob", "One.") <= ALLOWED | {
        "maestro_cli.addressing",
        "maestro_cli.addressing.words",
    }
    alice.done("send", "bob", "- two\n- lines", "--type", "request")
    alice.done("session", "send", "bob", "Three.")
    alice.done("send", "bob", "-m", "Four.")
    alice.done("send", "--to", "bob", "Five.")
    alice.done("send", "bob", "--", "--help")
    assert texts(bob) == ["One.", "- two\n- lines", "Three.", "Four.", "Five.", "--help"]


@pytest.mark.parametrize("arguments", [[], ["-"]], ids=["left off", "-"])
def test_a_text_that_is_piped_in(alice: Shell, bob: Shell, arguments: list[str]) -> None:
    alice.done("send", "bob", *arguments, stdin=b"two\nlines\n")
    [text] = texts(bob)
    assert text.rstrip("\n") == "two\nlines"


def test_a_text_from_a_file_at_standard_input(alice: Shell, bob: Shell) -> None:
    with open(os.path.join(alice.root, "note"), "w+b") as file:
        file.write(b"from a file")
        file.seek(0)
        assert alice.start("send", "bob", stdin=file).wait(60) == 0
    assert texts(bob) == ["from a file"]


@pytest.mark.parametrize("stdin", ["empty", "null", "closed"])
def test_without_a_text(alice: Shell, bob: Shell, stdin: str) -> None:
    """Also where an agent's shell has no standard input: the command waits for none."""
    command = [sys.executable, "-m", "maestro_cli", "send", "bob"]
    given = {"empty": subprocess.PIPE, "null": subprocess.DEVNULL, "closed": None}[stdin]
    if stdin == "closed":
        command = ["/bin/sh", "-c", 'exec "$@" <&-', "sh", *command]
    ran = subprocess.run(
        command,
        env=alice.environ,
        capture_output=True,
        timeout=60,
        text=True,
        check=False,
        **({"input": ""} if stdin == "empty" else {"stdin": given}),
    )
    assert (ran.returncode, ran.stdout) == (exit_codes.USAGE, "")
    assert 'the text is missing\n  next: maestro send bob "text"' in ran.stderr
    assert texts(bob) == []


def test_what_could_be_meant_in_two_ways(alice: Shell, bob: Shell) -> None:
    for arguments, parts in (
        (["bob", "fix", "the", "build"], ['maestro send bob "fix the build"', "--to bob --to fix"]),
        (["bob", "it's", "$HOME"], ["maestro send bob 'it'\"'\"'s $HOME'"]),
        (["--to", "ann", "bob", "x"], ["--to names the receiver", 'maestro send bob "text"']),
        (["bob", "x", "--message", "y"], ["--message too"]),
        (["bob", "x", "--file", "y"], ["--file too"]),
        (["bob", "-x"], ['maestro send bob -- "-x"']),
        (["bob", "--mesage", "x"], ["unknown option: --mesage"]),
        ([], ["the receiver is missing", 'maestro send bob "text"', "Here: bob."]),
        (["--to"], ["--to needs a value", "Here: bob."]),
        (["-t"], ["-t needs a value", "Here: bob."]),
    ):
        refused(alice.run("send", *arguments), *parts)
    assert texts(bob) == []


def test_without_a_broker_no_one_is_listed(alice: Shell) -> None:
    other = alice.like(MAESTRO_DATA_DIR=os.path.join(alice.root, "elsewhere"))
    refused(other.run("send"), "`maestro session list` shows who is here")
    assert not os.path.exists(other.data)


def test_the_form_with_words_to_several(alice: Shell, bob: Shell) -> None:
    alice.done("send", "@all", "For all.", "--yes")
    assert texts(bob) == ["For all."]


# --- reply and read ----------------------------------------------------------------------------------------------


def test_reply_to_the_last_that_was_shown(alice: Shell, bob: Shell) -> None:
    """Not to a newer one that its receiver has not read; that one is noted."""
    refused(bob.run("reply", "last", "x"), "no message was shown to you yet", code=exit_codes.NOT_FOUND)
    first = alice.send(bob, "first")
    refused(bob.run("reply", "last", "x"), "no message was shown to you yet, and 1 waits", code=exit_codes.NOT_FOUND)
    bob.done("inbox")
    alice.send(bob, "second")
    ran = bob.done("reply", "last", "Yes.")
    assert "a newer message waits, from alice, and this is no answer to it: maestro inbox" in ran.err
    [answer] = alice.inbox()
    assert (answer["message"], answer["metadata"]["inReplyTo"]) == ("Yes.", first)


@pytest.mark.parametrize("command", [["reply"], ["message", "reply"], ["mail", "reply"]], ids=" ".join)
def test_an_answer_without_options(alice: Shell, bob: Shell, command: list[str]) -> None:
    message_id = alice.send(bob, "Which port?")
    bob.done(*command, short(message_id), "8080, I think.")
    bob.done(*command, message_id, stdin=b"piped\n")
    assert texts(alice) == ["8080, I think.", "piped"]
    refused(bob.run(*command, "last", "two", "words"), f'maestro {" ".join(command)} last "two words"')
    refused(bob.run(*command, "a text"), 'maestro reply last "a text"')
    refused(bob.run(*command), f'maestro {" ".join(command)} last "text"')


def test_read_prints_and_acknowledges(alice: Shell, bob: Shell) -> None:
    """Also what was shown before; the newest without an id; and again."""
    refused(bob.run("read"), "no message has come to you yet", code=exit_codes.NOT_FOUND)
    first, second = alice.send(bob, "first"), alice.send(bob, "second", metadata={"requiresAck": True})
    bob.done("inbox")
    said = bob.done("read").out
    assert "  | second\n" in said
    assert f"Acknowledged {short(second)}; its sender is notified." in said
    assert "it asks for an acknowledgement" not in said
    assert (alice.state(first), alice.state(second)) == ("delivered", "read")
    again = bob.done("read", "last", short(first)).out
    assert "  | second\n  acknowledged before\n" in again
    assert f"Acknowledged {short(first)}; " in again
    assert bob.done("read", "--json").json()["messages"][0]["id"] == second


def test_read_of_what_is_not_ones_own_mail_marks_nothing(person: Shell, alice: Shell, bob: Shell) -> None:
    message_id = alice.send(bob, "for bob")
    assert "  | for bob\n  to bob" in alice.done("read", short(message_id)).out
    assert "  | for bob\n  to bob" in person.done("read", short(message_id)).out
    assert alice.state(message_id) == "pending"
    ran = bob.run("read", "absent", message_id)
    assert ran.code == exit_codes.NOT_FOUND
    assert "  | for bob\n" in ran.out
    assert alice.state(message_id) == "read"
    document = bob.run("read", "absent", message_id, "--json").json()
    assert (document["count"], document["error"]["code"]) == (1, "MESSAGE_NOT_FOUND")


# --- ids ---------------------------------------------------------------------------------------------------------


def spoken(shell: Shell, *commands: Sequence[str]) -> None:
    for command in commands:
        shell.done(*command)


def test_every_command_takes_the_beginning_of_an_id(alice: Shell, bob: Shell) -> None:
    with open(os.path.join(alice.root, "cart.patch"), "w") as file:
        file.write("x")
    alice.done("send", "bob", "With a file.", "--attach", "cart.patch")
    [message] = bob.inbox()
    beginnings = short(message["id"]), message["id"][:-1]
    for begins in (*beginnings, "last"):
        spoken(
            bob,
            ["message", "show", begins],
            ["message", "thread", begins],
            ["attachment", "list", begins],
            ["attachment", "save", begins, "--force"],
            ["export", "thread", begins],
            ["message", "read", begins],
            ["send", "alice", "x", "--reply-to", begins],
        )
        found = alice.done("message", "receipt", begins, "--json").json()
        assert found["id"] == message["id"]
    assert {each["metadata"]["inReplyTo"] for each in alice.inbox()} == {message["id"]}
    bob.done("message", "delete", "last")
    refused(bob.run("message", "show", beginnings[0]), code=exit_codes.NOT_FOUND)


def test_a_beginning_of_several(alice: Shell, bob: Shell) -> None:
    ids = [alice.send(bob, "x") for _ in range(7)]
    ran = bob.run("message", "show", "msg_", "--json")
    error = ran.error()
    assert (ran.code, error["code"]) == (exit_codes.NOT_FOUND, "AMBIGUOUS_ID")
    assert "more than 5 messages" in error["message"]
    assert f"{short(ids[-1])} (alice, just now)" in error["message"]
    assert error["details"]["ids"] == ids[:1:-1]


def test_a_key_of_ones_own_outweighs_what_others_send(alice: Shell, bob: Shell) -> None:
    """No sender can put a message in the place of another's, or take an id away from its owner."""
    bob.done("send", "alice", "mine", "--id", "deploy-7")
    own = alice.inbox()[0]["id"]
    alice.done("send", "bob", "theirs", "--id", "deploy-7")
    alice.done("send", "bob", "theirs too", "--id", "deploy-77")
    assert bob.done("message", "receipt", "deploy-7", "--json").json()["id"] == own
    refused(bob.run("message", "show", "deploy-"), "begins the ids of 3 messages", code=exit_codes.NOT_FOUND)
    assert bob.done("message", "show", "deploy-77", "--json").json()["message"] == "theirs too"
