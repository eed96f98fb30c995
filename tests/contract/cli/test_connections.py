"""How many connections a command opens to the broker: one, and a subscription if it waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.fast_path import BOTH
from support.post_office import eventually

if TYPE_CHECKING:
    from maestro_clients.client import Client
    from support.cli_shell import Shell


@pytest.fixture
def person(shared_person: Shell) -> Shell:
    return shared_person


class Opened:
    """Counts the request connections that the broker has accepted, without its own."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._before = self._total()

    def _total(self) -> int:
        total: int = self._client.stats()["connections"]["opened"]
        return total

    def count(self) -> int:
        return self._total() - self._before


@BOTH
@pytest.mark.parametrize(
    "arguments",
    [
        "send --to BOB --message x",
        "inbox",
        "inbox --quiet",
        "message reply MSG --message x",
        "message show MSG",
        "message read MSG",
        "message receipt MSG",
        "message thread MSG",
        "message dead",
        "session list",
        "session show",
        "session start --name NAME",
        "session end",
        "status",
        "timeline",
    ],
)
def test_a_command_opens_one_connection(alice: Shell, bob: Shell, arguments: str, way: str) -> None:
    sent = alice.send(bob, "hello")
    words = [
        word.replace("BOB", alice.session_id).replace("MSG", sent).replace("NAME", f"carol_{way}")
        for word in arguments.split()
    ]
    with alice.client() as client:
        opened = Opened(client)
        ran = bob.run(*words, environ={"MAESTRO_QUICK": way})
        assert ran.code == 0, ran
        assert opened.count() == 1


@BOTH
@pytest.mark.parametrize("shape", [["--wait", "delivered"], ["--wait", "read"], ["--wait-reply"]], ids=" ".join)
def test_a_wait_opens_one_connection(alice: Shell, bob: Shell, shape: list[str], way: str) -> None:
    with bob.client() as receiver:
        opened = Opened(receiver)
        sending = alice.like(MAESTRO_QUICK=way).start(
            "send", "-t", bob.session_id, "-m", "x", *shape, "--timeout", "30s"
        )
        eventually(lambda: len(receiver.inbox(status=["pending"])["messages"]) == 1, "it arrived")
        [message] = receiver.inbox(status=["pending"])["messages"]
        if shape == ["--wait-reply"]:
            receiver.send(alice.session_id, "answer", metadata={"inReplyTo": message["id"]})
        else:
            receiver.confirm([message["id"]], "read")
        _, errors = sending.communicate(timeout=30)
        assert (sending.returncode, errors) == (0, b"")
        assert opened.count() == 1


@BOTH
def test_a_watch_opens_one_connection(alice: Shell, bob: Shell, way: str) -> None:
    alice.send(bob, "hello")
    with alice.client() as client:
        opened = Opened(client)
        ran = bob.run("inbox", "--watch", "--limit", "1", environ={"MAESTRO_QUICK": way})
        assert (ran.code, "hello" in ran.out) == (0, True)
        assert opened.count() == 1
