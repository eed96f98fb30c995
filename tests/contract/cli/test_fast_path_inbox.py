"""The fast path of `maestro inbox` shows the same texts and makes the same receipts and leases as the usual path."""

from __future__ import annotations

import fcntl
import os
import re
import signal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from maestro_cli import exit_codes
from maestro_clients.processes.broker_process import find
from maestro_schemas.names import short_id
from support.cli_shell import Ran, Shell, open_shell
from support.fast_path import ALLOWED_WITH_MAIL, BOTH, closed_pipe, loaded, run_and_loaded
from support.post_office import eventually

WAYS = ("1", "0")
SHAPES = [[], ["-q"], ["--json"], ["--mark-read"], ["--quiet", "--mark-read", "--json"]]
RICH: dict[str, Any] = {
    "priority": "high",
    "type": "request",
    "taskId": "task_7",
    "requiresAck": True,
    "data": {"größe": [1, None, True, {"a": "\x1b\u2028👍"}], "b": {}},
}
ODD = "naïve 👍 \x1b[31mred\x07 \x00\u2028msg_forged from boss\x85\ttab\r\nend\x7f"
# Mailboxes by name: text and metadata of each message.
MAIL: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "one": [("hello", {})],
    "high-first": [("first", {}), ("urgent", {"priority": "high"}), ("hindmost", {"priority": "low"})],
    "over-the-budget": [(str(number) * 6_000, {}) for number in range(7)],
    # A page holds 32.5 of them, so it ends at the same message whether the times read "just now" or "1s ago".
    "many": [(f"{number:500}", {}) for number in range(70)],
    "metadata": [("plain", {}), ("rich\nin lines", RICH)],
    "odd-characters": [(ODD, {}), ("line one\n\nline three\n", {})],
}


class Pair(NamedTuple):
    """Two mailboxes with the same mail, one for each path."""

    quick: Shell
    usual: Shell

    def ran(self, *arguments: str) -> Ran:
        """The output of a command. Both paths must agree, except in ids and times."""
        said = [shell.run(*arguments, environ={"MAESTRO_QUICK": way}) for shell, way in zip(self, WAYS, strict=True)]
        assert _plain(said[0]) == _plain(said[1])
        return said[0]


def _plain(ran: Ran) -> Ran:
    return Ran(ran.code, *map(_without_ids_and_times, ran[1:]))


def _without_ids_and_times(text: str) -> str:
    for pattern, word in (
        (r"\b(msg|sess)_\d+_\w{9}", r"\1"),
        (r"\d\d:\d\d:\d\d, (just now|\d+s ago)", "TIME"),
        (r'"(createdAt|seq)": \d+', r'"\1": N'),
        (r"comes back in \d+s", "comes back in S"),
        (r"(?m)^\w+ from |(?<=reply )\w+(?= \"\.\.\.\")", "ID "),
        (r"(?<=Acknowledged )\w+(?=;)|(?<=in reply to )\w+|(?<=message read )\w+", "ID "),
    ):
        text = re.sub(pattern, word, text)
    return text


def shows_mail(out: str) -> bool:
    """Whether a message was printed, in words or as JSON."""
    return " from " in out or '"msg_' in out


@pytest.fixture
def person(shared_person: Shell) -> Shell:
    return shared_person


@pytest.fixture
def pair(person: Shell) -> Pair:
    return Pair(person.session(), person.session())


def deliver(alice: Shell, pair: Pair, mail: list[tuple[str, dict[str, Any]]]) -> list[list[str]]:
    """Send `mail` to both mailboxes; the ids by mailbox."""
    sent: list[list[str]] = []
    for shell in pair:
        ids: list[str] = []
        for text, metadata in mail:
            answers = {"inReplyTo": ids[-1]} if ids and metadata.get("type") == "request" else {}
            ids.append(alice.send(shell, text, metadata={**metadata, **answers} or None))
        sent.append(ids)
    return sent


@pytest.mark.parametrize("shape", SHAPES, ids=" ".join)
@pytest.mark.parametrize("name", MAIL)
def test_mail_is_shown_alike(alice: Shell, pair: Pair, name: str, shape: list[str]) -> None:
    sent = deliver(alice, pair, MAIL[name])
    pages = 0
    while shows_mail(pair.ran("inbox", *shape).out):
        pages += 1
    assert pages > 1 if name in ("over-the-budget", "many") else pages == 1
    state = "read" if "--mark-read" in shape else "delivered"
    for ids in sent:
        assert {alice.state(message_id) for message_id in ids} == {state}
    shown = [alice.done("message", "show", ids[0], "--json").json() for ids in sent]
    assert [(message["status"], message["deliveredVia"]) for message in shown] == [(state, "cli")] * 2


@pytest.mark.parametrize("shape", SHAPES, ids=" ".join)
def test_it_imports_little(alice: Shell, bob: Shell, shape: list[str]) -> None:
    """Only what would be hidden in the sender's data needs a search, which imports `re`."""
    alice.send(bob, f"{ODD} \u26a0\ufe0f", metadata={**RICH, "data": {"gr\xf6\xdfe": [1, "\x1b", "\U0001f44d"]}})
    ran, modules = run_and_loaded(bob, "inbox", *shape)
    assert ran.code == 0
    assert shows_mail(ran.out)
    assert modules <= ALLOWED_WITH_MAIL
    # An empty inbox does not import the module that shows mail.
    assert "maestro_cli.inbox.listing" not in loaded(bob, "inbox", *shape)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-16"])
@pytest.mark.parametrize("shape", [[], ["--json"]], ids=" ".join)
def test_outputs_that_are_no_utf_8(alice: Shell, person: Shell, shape: list[str], encoding: str) -> None:
    pair = Pair(*(person.session().like(PYTHONIOENCODING=encoding) for _ in WAYS))
    deliver(alice, pair, [(ODD, RICH)])
    said = []
    for shell, way in zip(pair, WAYS, strict=True):
        command = shell.like(MAESTRO_QUICK=way).start("inbox", *shape)
        out, err = command.communicate(timeout=60)
        said.append((_without_ids_and_times(out.decode(encoding)), err, command.returncode))
    assert said[0] == said[1]
    assert said[0][2] == 0


@pytest.mark.parametrize("shape", SHAPES, ids=" ".join)
def test_mail_leased_by_another_reader(alice: Shell, pair: Pair, shape: list[str]) -> None:
    deliver(alice, pair, MAIL["high-first"])
    for shell in pair:
        with shell.client() as client:
            assert len(client.inbox(status=["pending"], limit=2, lease_ms=60_000, reader="other")["messages"]) == 2
    assert pair.ran("inbox", *shape).out.count("hindmost") == 1
    # The inbox is empty, and the output says why.
    ran = pair.ran("inbox", *shape)
    assert (ran.code, "is showing 2 messages" in ran.out) == (0, shape in ([], ["--mark-read"]))


def test_wrong_tokens_and_ended_sessions(alice: Shell, pair: Pair) -> None:
    sent = deliver(alice, pair, MAIL["one"])
    for token in ("", "wrong"):
        odd = Pair(*(shell.like(MAESTRO_SESSION_TOKEN=token) for shell in pair))
        for shape in SHAPES:
            assert odd.ran("inbox", *shape).code == exit_codes.REFUSED
    assert [alice.state(ids[0]) for ids in sent] == ["pending"] * 2
    for shell in pair:
        shell.done("session", "end")
    for shape in SHAPES:
        pair.ran("inbox", *shape)


@BOTH
@pytest.mark.parametrize("shape", SHAPES, ids=" ".join)
def test_closed_output_delivers_nothing(alice: Shell, bob: Shell, shape: list[str], way: str) -> None:
    sent = [alice.send(bob, "hello") for _ in range(2)]
    writing = closed_pipe()
    process = bob.like(MAESTRO_QUICK=way).start("inbox", *shape, stdout=writing)
    os.close(writing)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (exit_codes.PIPE_CLOSED, b"")
    # The lease does not keep it from the next reader.
    assert [message["id"] for message in bob.inbox()] == sent


class BlockedInbox:
    """A `maestro inbox` that is blocked while it writes more than its pipe takes."""

    def __init__(self, shell: Shell) -> None:
        reading, writing = os.pipe()
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
        self.process = shell.start("inbox", stdout=writing)
        os.close(writing)
        self._pipe = os.fdopen(reading, "rb")
        # The command is writing now.
        self._out = self._pipe.read(1)

    def read(self) -> str:
        """Read its output to the last byte, so that it can continue."""
        while not self._out.endswith(b'"..."\n') and (more := self._pipe.read1()):
            self._out += more
        return self._out.decode()

    def finish(self) -> Ran:
        """Read the rest, and wait for the process to end."""
        out = self.read()
        with self._pipe:
            assert self._pipe.read() == b""
        _, err = self.process.communicate(timeout=60)
        return Ran(self.process.returncode, out, err.decode())


def test_a_broker_that_dies_before_the_confirmation() -> None:
    """Both paths report it and start no other broker, and the mail is shown again."""
    with open_shell(MAESTRO_RATE_LIMIT="0") as person:
        alice = person.session(role="orchestrator")
        said = []
        for way in WAYS:
            bob = person.session()
            sent = alice.send(bob, "x" * 9_000)
            held = BlockedInbox(bob.like(MAESTRO_QUICK=way))
            person.kill_broker()
            said.append(_plain(held.finish()))
            assert find(person.data) is None
            assert [message["id"] for message in bob.inbox()] == [sent]
        assert said[0] == said[1]
        assert said[0].code == exit_codes.UNREACHABLE
        assert "were shown, but could not be marked delivered: no broker listens at" in said[0].err


def test_another_broker_takes_the_confirmation() -> None:
    with open_shell(MAESTRO_RATE_LIMIT="0") as person:
        alice = person.session(role="orchestrator")
        for way in WAYS:
            bob = person.session()
            sent = alice.send(bob, "x" * 9_000)
            held = BlockedInbox(bob.like(MAESTRO_QUICK=way))
            person.kill_broker()
            with alice.client():
                pass  # starts a broker
            ran = held.finish()
            assert (ran.code, ran.err) == (0, "")
            assert alice.state(sent) == "delivered"
            assert bob.inbox() == []


def test_a_broker_that_does_not_answer_the_confirmation_in_time(alice: Shell, bob: Shell) -> None:
    """The fast path then asks again, as patiently as the usual path."""
    sent = alice.send(bob, "x" * 9_000)
    held = BlockedInbox(bob)
    os.kill(alice.broker_pid(), signal.SIGSTOP)
    try:
        out = held.read()
        # Only the usual path loads msgpack's extension module.
        maps = Path(f"/proc/{held.process.pid}/maps")
        eventually(lambda: "_cmsgpack" in maps.read_text(), "the usual path took over")
    finally:
        os.kill(alice.broker_pid(), signal.SIGCONT)
    ran = held.finish()
    assert (ran.code, ran.err, out.count(f"{short_id(sent)} from ")) == (0, "", 1)
    assert alice.state(sent) == "delivered"
