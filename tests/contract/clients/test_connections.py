"""How many connections each operation opens: a connection costs the client a connect and a handshake."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from maestro_clients.durable_send import send_or_queue
from maestro_clients.mailbox.receipts import wait_for
from maestro_clients.mailbox.watcher import Watcher
from maestro_clients.processes.broker_process import connect, find
from maestro_clients.protocol.callers import Caller
from maestro_clients.protocol.new_ids import new_message_id
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from maestro_clients.client import Client
    from maestro_schemas.documents import OutgoingDoc
    from support.post_office import PostOffice

ANN, BOB = Caller("ann"), Caller("bob")


class Opened:
    """Counts the request connections that the broker has accepted, without its own."""

    def __init__(self, office: PostOffice) -> None:
        self._client: Client = office.client()
        self._before = self._total()

    def _total(self) -> int:
        total: int = self._client.stats()["connections"]["opened"]
        return total

    def count(self) -> int:
        return self._total() - self._before


def outgoing(to: str, text: str) -> OutgoingDoc:
    return {"id": new_message_id(), "to": to, "message": text}


def test_a_client_is_its_own_probe(open_office: PostOffice) -> None:
    opened = Opened(open_office)
    with connect(open_office.data, open_office.environ, ANN, autostart=False) as client:
        assert client.session()["id"] == "ann"
        assert client.address == open_office.router()
    assert opened.count() == 1


def test_no_broker_is_found_without_a_start(post_office: PostOffice) -> None:
    with pytest.raises(MaestroError) as raised:
        connect(post_office.data, post_office.environ, ANN, autostart=False)
    assert raised.value.code == "BROKER_UNREACHABLE"


def test_a_client_starts_the_broker_that_it_needs(post_office: PostOffice) -> None:
    with connect(post_office.data, post_office.environ, Caller(), autostart=True) as client:
        found = find(post_office.data)
        assert found is not None
        assert client.address == found.router
        # The probe after the start becomes the client's connection. `find` above opened the other one.
        assert client.stats()["connections"]["opened"] == 2


def test_a_send_that_waits_for_its_answer(open_office: PostOffice) -> None:
    """The look-up of the sender, the send, the watch and the confirmation share one request connection."""
    bob = open_office.client("bob")
    bob.hello()
    opened = Opened(open_office)
    sent = outgoing("bob", "Ready?")
    with connect(open_office.data, open_office.environ, ANN, autostart=False) as client:
        since = client.inbox(since=0, limit=1)["headSeq"]
        done = send_or_queue(open_office.data, open_office.environ, ANN, sent, autostart=False, client=client)
        assert done.result is not None
        bob.send("ann", "Yes.", metadata={"inReplyTo": done.result["id"]})
        with Watcher(
            open_office.data, open_office.environ, ANN, confirm=False, since=since, client=client
        ) as watcher:
            answer = watcher.next_message(10.0)
            assert answer is not None
            # The client's calls use the same connection between the watcher's requests.
            assert client.session(answer["from"])["id"] == "bob"
            [confirmed] = client.confirm([answer["id"]], "delivered", via="wait-reply")
        assert "error" not in confirmed
        # The watcher leaves the connection open.
        assert client.session()["id"] == "ann"
    assert opened.count() == 1


def test_a_reply(open_office: PostOffice) -> None:
    """The message is read, answered and confirmed over one connection."""
    asked = open_office.client("ann").send("bob", "Ready?")
    opened = Opened(open_office)
    with connect(open_office.data, open_office.environ, BOB, autostart=False) as client:
        message = client.message(asked["id"])
        answer: OutgoingDoc = {**outgoing(message["from"], "Yes."), "metadata": {"inReplyTo": message["id"]}}
        done = send_or_queue(open_office.data, open_office.environ, BOB, answer, autostart=False, client=client)
        assert done.result is not None
        client.confirm([message["id"]], "delivered", via="reply")
    assert opened.count() == 1


def test_a_send_that_waits_for_its_receipt(open_office: PostOffice) -> None:
    opened = Opened(open_office)
    bob = open_office.client("bob")
    with connect(open_office.data, open_office.environ, ANN, autostart=False) as client:
        sent = client.send("bob", "Ready?")
        reading = threading.Timer(0.2, lambda: bob.confirm([sent["id"]], "read"))
        reading.start()
        message = wait_for(open_office.data, open_office.environ, ANN, sent["id"], "read", 10.0, client=client)
        reading.join()
        assert message["status"] == "read"
    assert opened.count() == 2, "one for the sender and one for the reader"


def test_a_send_and_a_watcher_of_their_own(open_office: PostOffice) -> None:
    """Without the caller's connection, each opens its own."""
    opened = Opened(open_office)
    done = send_or_queue(open_office.data, open_office.environ, ANN, outgoing("bob", "Hello."), autostart=False)
    assert done.result is not None
    assert opened.count() == 1
    with Watcher(open_office.data, open_office.environ, BOB) as watcher:
        assert watcher.next_message(10.0) is not None
    assert opened.count() == 2


def test_a_watcher_outlives_the_connection_that_it_borrowed(open_office: PostOffice) -> None:
    with (
        connect(open_office.data, open_office.environ, BOB, autostart=False) as client,
        Watcher(open_office.data, open_office.environ, BOB, client=client) as watcher,
    ):
        assert watcher.next_message(0.0) is None
        open_office.kill()
        open_office.start()
        sent = open_office.client("ann").send("bob", "Hello.")
        message = watcher.next_message(10.0)
        assert message is not None
        assert message["id"] == sent["id"]


def test_a_send_outlives_the_connection_that_it_was_given(open_office: PostOffice) -> None:
    with connect(open_office.data, open_office.environ, ANN, autostart=False) as client:
        open_office.kill()
        done = send_or_queue(
            open_office.data, open_office.environ, ANN, outgoing("bob", "Hello."), autostart=True, client=client
        )
    assert done.result is not None
