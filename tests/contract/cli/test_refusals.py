"""Invalid input on the command line: it causes a typed error and its exit code; nothing is lost or changed."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from maestro_cli import exit_codes
from support.cli_shell import Shell, stop_broker

if TYPE_CHECKING:
    from support.cli_shell import Ran


@pytest.fixture(scope="module")
def shell_environ() -> dict[str, str]:
    return {}


@pytest.fixture
def person(shared_person: Shell) -> Shell:
    return shared_person


def refused(ran: Ran, code: str, exit_code: int) -> dict[str, object]:
    """Check the error, which is printed to both outputs with a next step; the error."""
    assert ran.code == exit_code, ran
    error = ran.error()
    assert error["code"] == code
    assert ran.err.startswith(f"maestro: {error['message']}\n")
    assert f"  next: {error['hint']}\n" in ran.err
    assert "Traceback" not in ran.err
    return error


def send(sender: Shell, to: str, *arguments: str | bytes, environ: dict[str, str] | None = None) -> Ran:
    return sender.run(
        "session", "send", "--to", to, "--json", *(arguments or ("--message", "hello")), environ=environ
    )


def test_an_unknown_receiver(alice: Shell) -> None:
    refused(send(alice, "sess_absent"), "RECEIVER_NOT_FOUND", exit_codes.NOT_FOUND)


def test_an_ended_receiver(alice: Shell, bob: Shell) -> None:
    bob.done("session", "end")
    refused(send(alice, bob.session_id), "RECEIVER_ENDED", exit_codes.REFUSED)


@pytest.mark.parametrize(
    "command",
    [
        ["message", "reply", "msg_1", "-m", "y"],
        ["session", "send", "--to", "x", "--message", "y"],
        ["session", "end"],
    ],
)
def test_no_session(person: Shell, command: list[str]) -> None:
    error = refused(person.run(*command, "--json"), "NO_SESSION", exit_codes.REFUSED)
    assert 'eval "$(maestro session start --export)"' in str(error["hint"])


def test_a_session_that_was_never_started_here(alice: Shell, bob: Shell) -> None:
    environ = {"MAESTRO_SESSION_ID": "sess_ghost", "MAESTRO_SESSION_TOKEN": "x"}
    refused(send(alice, bob.session_id, environ=environ), "UNKNOWN_SESSION", exit_codes.REFUSED)


def test_an_ended_sender(alice: Shell, bob: Shell) -> None:
    alice.done("session", "end")
    refused(send(alice, bob.session_id), "SESSION_ENDED", exit_codes.REFUSED)


def test_a_wrong_token(alice: Shell, bob: Shell) -> None:
    ran = send(alice, bob.session_id, environ={"MAESTRO_SESSION_TOKEN": "guessed"})
    refused(ran, "TOKEN_MISMATCH", exit_codes.REFUSED)
    nothing = alice.anonymous().like(MAESTRO_SESSION_ID=alice.session_id)
    refused(send(nothing, bob.session_id), "TOKEN_REQUIRED", exit_codes.REFUSED)
    refused(nothing.run("inbox", "--json"), "TOKEN_REQUIRED", exit_codes.REFUSED)
    assert bob.inbox() == []


def test_a_worker_to_a_worker_of_another_project(person: Shell, bob: Shell) -> None:
    stranger = person.session(project="elsewhere")
    refused(send(bob, stranger.session_id), "ROLE_FORBIDDEN", exit_codes.REFUSED)
    assert stranger.inbox() == []


def test_a_worker_may_not_start_an_orchestrator(bob: Shell) -> None:
    ran = bob.run("session", "start", "--role", "orchestrator", "--json")
    refused(ran, "ROLE_FORBIDDEN", exit_codes.REFUSED)


def test_the_eleventh_send_in_a_minute(alice: Shell, bob: Shell) -> None:
    for number in range(10):
        alice.send(bob, str(number))
    error = refused(send(alice, bob.session_id), "RATE_LIMITED", exit_codes.NOT_NOW)
    assert isinstance(error["retryAfter"], float | int)
    assert 0 < error["retryAfter"] <= 60
    assert [message["message"] for message in bob.inbox()] == [str(number) for number in range(10)]


def test_ten_thousand_and_one_characters(alice: Shell, bob: Shell) -> None:
    error = refused(send(alice, bob.session_id, "--message", "ü" * 10_001), "TEXT_TOO_LONG", exit_codes.USAGE)
    assert (error["limit"], error["actual"]) == (10_000, 10_001)
    alice.send(bob, "ü" * 10_000)
    assert [len(message["message"]) for message in bob.inbox()] == [10_000]


@pytest.mark.parametrize("text", ["", "   \n", "\x1b\x07"])
def test_an_empty_text(alice: Shell, bob: Shell, text: str) -> None:
    refused(send(alice, bob.session_id, "--message", text), "EMPTY_MESSAGE", exit_codes.USAGE)
    assert bob.inbox() == []


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"caf\xe9", "FILE_UNREADABLE"),
        (b"\xed\xa0\x80", "FILE_UNREADABLE"),
        (b"\x7fELF\0\0", "FILE_UNREADABLE"),
        (b"", "EMPTY_MESSAGE"),
        (b"x" * (1 << 20) + b"x", "TEXT_TOO_LONG"),
    ],
    ids=["latin1", "surrogate", "binary", "empty", "endless"],
)
def test_a_file_that_cannot_be_a_message(alice: Shell, bob: Shell, content: bytes, code: str) -> None:
    path = os.path.join(alice.root, "file.txt")
    with open(path, "wb") as file:
        file.write(content)
    refused(send(alice, bob.session_id, "--file", path), code, exit_codes.USAGE)
    ran = alice.run("session", "send", "--to", bob.session_id, "--file", "-", "--json", stdin=content)
    refused(ran, code, exit_codes.USAGE)
    assert bob.inbox() == []


@pytest.mark.parametrize("path", ["missing.txt", ".", "no/such/dir/file", "/dev/zero/x", ""])
def test_a_missing_file(alice: Shell, bob: Shell, path: str) -> None:
    refused(send(alice, bob.session_id, "--file", path), "FILE_UNREADABLE", exit_codes.USAGE)
    assert bob.inbox() == []


def test_invalid_utf_8_on_the_command_line(alice: Shell, bob: Shell) -> None:
    refused(send(alice, bob.session_id, "--message", b"caf\xe9"), "INVALID", exit_codes.USAGE)
    refused(send(alice, bob.session_id, "--message", "x", "--task", b"\xff"), "INVALID", exit_codes.USAGE)
    assert bob.inbox() == []


@pytest.mark.parametrize("both", [[], ["--message", "x", "--file", "y"]], ids=["neither", "both"])
def test_one_text_exactly(alice: Shell, bob: Shell, both: list[str]) -> None:
    ran = alice.run("session", "send", "--to", bob.session_id, "--json", *both)
    error = refused(ran, "INVALID", exit_codes.USAGE)
    assert ("both" if both else "the text is missing") in str(error["message"])


@pytest.mark.parametrize("bad", ["a/b", "../x", "a b", "x" * 65, "", "ü", "."])
def test_an_id_with_other_characters(alice: Shell, bob: Shell, bad: str) -> None:
    refused(send(alice, bob.session_id, "--message", "x", f"--id={bad}"), "INVALID_ID", exit_codes.USAGE)
    refused(alice.run("session", "start", f"--id={bad}", "--json"), "INVALID_ID", exit_codes.USAGE)
    assert bob.inbox() == []


def test_an_id_that_another_message_has(alice: Shell, bob: Shell) -> None:
    alice.send(bob, "one", message_id="msg_taken")
    ran = send(alice, bob.session_id, "--message", "two", "--id", "msg_taken")
    refused(ran, "CONFLICT", exit_codes.REFUSED)
    assert [message["message"] for message in bob.inbox()] == ["one"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--data", "{"),
        ("--data", "NaN"),
        ("--data", '"\\ud800"'),
        ("--data", "1" * 40),
        ("--data", "[" * 5000),
        ("--ttl", "1"),
        ("--ttl", "soon"),
        ("--timeout", "1x"),
        ("--reply-to", "a/b"),
    ],
    ids=lambda arguments: " ".join(arguments)[:20],
)
def test_a_wrong_value(alice: Shell, bob: Shell, arguments: tuple[str, str]) -> None:
    ran = send(alice, bob.session_id, "--message", "x", *arguments)
    assert ran.code in (exit_codes.USAGE, exit_codes.NOT_FOUND)
    assert ran.error()["code"] in ("INVALID", "INVALID_ID", "DATA_TOO_LARGE", "MESSAGE_NOT_FOUND")
    assert ran.err.startswith("maestro: ")
    assert bob.inbox() == []


def test_too_much_data(alice: Shell, bob: Shell) -> None:
    ran = send(alice, bob.session_id, "--message", "x", "--data", json.dumps("y" * 5000))
    error = refused(ran, "DATA_TOO_LARGE", exit_codes.USAGE)
    assert error["limit"] == 4096


def test_mail_of_other_sessions(person: Shell, alice: Shell, bob: Shell) -> None:
    carol = person.session()
    sent = alice.send(bob, "private")
    for command in (["message", "show"], ["message", "read"], ["message", "delete"]):
        ran = carol.run(*command, sent, "--json")
        assert ran.error()["code"] in ("FORBIDDEN", "MESSAGE_NOT_FOUND")
        assert ran.code in (exit_codes.REFUSED, exit_codes.NOT_FOUND)
    assert bob.inbox()[0]["status"] == "pending"
    refused(carol.run("session", "end", bob.session_id, "--json"), "FORBIDDEN", exit_codes.REFUSED)


@pytest.mark.parametrize("command", [["message", "show"], ["message", "read"], ["message", "delete"]])
def test_a_missing_message(alice: Shell, command: list[str]) -> None:
    ran = alice.run(*command, "msg_absent")
    assert ran.code == exit_codes.NOT_FOUND
    assert ran.err.startswith("maestro: ")


def test_a_missing_session(alice: Shell) -> None:
    refused(alice.run("session", "show", "sess_absent", "--json"), "SESSION_NOT_FOUND", exit_codes.NOT_FOUND)


def test_a_cursor_ahead_of_time(alice: Shell) -> None:
    ran = alice.run("timeline", "--after", "999999999", "--json")
    refused(ran, "CURSOR_AHEAD", exit_codes.NOT_FOUND)


def test_two_brokers_on_one_data_directory(person: Shell) -> None:
    person.done("up")
    pid = person.broker_pid()
    refused(person.run("up", "--foreground", "--json"), "DATA_DIR_LOCKED", exit_codes.REFUSED)
    refused(person.run("up", "--set", "rate_limit=5", "--json"), "DATA_DIR_LOCKED", exit_codes.REFUSED)
    assert person.broker_pid() == pid


def test_two_data_directories_under_one_runtime_directory(person: Shell, alice: Shell, bob: Shell) -> None:
    other = person.like(MAESTRO_DATA_DIR=os.path.join(person.root, "other"))
    try:
        carol, dave = other.session(role="orchestrator"), other.session()
        carol.send(dave, "over there")
        alice.send(bob, "over here")
        assert other.broker_pid() != person.broker_pid()
        assert [message["message"] for message in dave.inbox()] == ["over there"]
        assert [message["message"] for message in bob.inbox()] == ["over here"]
    finally:
        stop_broker(other.data)


def test_a_data_directory_that_cannot_be_written(person: Shell) -> None:
    if os.geteuid() == 0:
        # Only the kernel's virtual file systems are read-only to root.
        directory = "/proc/maestro"
    else:
        directory = os.path.join(person.root, "sealed")
        os.mkdir(directory, 0o500)
    for command in (["up"], ["session", "start"], ["session", "list"]):
        ran = person.run(*command, "--json", environ={"MAESTRO_DATA_DIR": directory})
        error = refused(ran, "DATA_DIR_UNUSABLE", exit_codes.FAILED)
        assert directory in str(error["message"])


def test_a_file_in_the_place_of_the_data_directory(person: Shell) -> None:
    path = os.path.join(person.root, "a-file")
    with open(path, "w", encoding="utf-8"):
        pass
    refused(person.run("up", "--json", environ={"MAESTRO_DATA_DIR": path}), "DATA_DIR_UNUSABLE", exit_codes.FAILED)


def test_a_runtime_path_that_is_too_long(person: Shell) -> None:
    environ = {"MAESTRO_RUNTIME_DIR": "/tmp/" + "x" * 107, "MAESTRO_DATA_DIR": os.path.join(person.root, "long")}
    error = refused(person.run("up", "--json", environ=environ), "PATH_TOO_LONG", exit_codes.FAILED)
    assert error["limit"] == 107


def test_an_invalid_setting(person: Shell) -> None:
    environ = {"MAESTRO_RATE_LIMIT": "often", "MAESTRO_DATA_DIR": os.path.join(person.root, "odd")}
    refused(person.run("up", "--json", environ=environ), "BAD_SETTING", exit_codes.USAGE)
