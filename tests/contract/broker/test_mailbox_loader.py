"""A long mailbox is read in steps: other clients do not wait, and a broker that ends meanwhile loses nothing."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import msgpack
import pytest
import zmq

from maestro_clients.protocol.new_ids import new_message_id
from maestro_runtime import paths
from support.post_office import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.post_office import PostOffice

COUNT = 2_000
_BATCH = 250


def _fill(office: PostOffice, count: int) -> None:
    with office.client("ann") as client:
        for start in range(0, count, _BATCH):
            batch = range(min(_BATCH, count - start))
            results = client.send_many([{"id": new_message_id(), "to": "bob", "message": "a text"} for _ in batch])
            assert {result["status"] for result in results} == {201}
        eventually(lambda: client.stats()["filingBacklog"] == 0, "all is filed", 30.0)


@pytest.fixture
def full(open_office: PostOffice) -> PostOffice:
    """A broker that has just started, with COUNT messages for bob, none of which is in its memory."""
    _fill(open_office, COUNT)
    open_office.stop()
    open_office.start()
    return open_office


class Reader:
    """A client that asks for bob's mail, and sends other requests while it waits."""

    def __init__(self, router: str) -> None:
        self._context = zmq.Context()
        self._dealer = self._context.socket(zmq.DEALER)
        self._dealer.setsockopt(zmq.LINGER, 0)
        self._dealer.connect(router)

    def ask(self, request_id: bytes, command: bytes, **body: Any) -> None:
        self._dealer.send_multipart((b"M1", request_id, command, msgpack.packb({"as": {}, **body})))

    def hear(self) -> tuple[bytes, Any]:
        assert self._dealer.poll(10_000), "no answer"
        _, request_id, status, body = self._dealer.recv_multipart()
        assert status == b"200"
        return request_id, msgpack.unpackb(body)

    def begin(self) -> None:
        """Start a read of the mailbox, and check that it is not finished at once."""
        self.ask(b"mail", b"inbox", session="bob", limit=10)
        self.ask(b"other", b"stats")
        request_id, stats = self.hear()
        assert request_id == b"other", "the read of the mailbox ended at once"
        assert stats["stats"]["mailboxes"]["loaded"] == 0

    def close(self) -> None:
        self._dealer.close()
        self._context.term()


@pytest.fixture
def reader(full: PostOffice) -> Iterator[Reader]:
    made = Reader(full.router())
    yield made
    made.close()


def test_others_are_answered_meanwhile(reader: Reader) -> None:
    """Each is answered between two steps of the read. The test counts answers, so the machine's speed does not
    matter."""
    reader.begin()
    others = 1
    reader.ask(b"other", b"hello")
    while (heard := reader.hear())[0] != b"mail":
        others += 1
        reader.ask(b"other", b"hello")
    assert others >= 3
    page = heard[1]
    assert [message["seq"] for message in page["messages"]] == list(range(1, 11))
    assert page["pending"] == COUNT


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_broker_that_ends_meanwhile(full: PostOffice, reader: Reader, end: signal.Signals) -> None:
    """A waiting client gets its answer from the next broker. A client that is gone delays no other client."""
    pages: list[Any] = []

    def read() -> None:
        with full.client("bob", timeout_s=30.0, patient=True) as client:
            pages.append(client.inbox(limit=10))

    reader.begin()
    waiting = threading.Thread(target=read)
    waiting.start()
    full.send_signal(end)
    assert full.wait_end() == (0 if end == signal.SIGTERM else -end)
    full.start()
    waiting.join()
    assert [message["seq"] for message in pages[0]["messages"]] == list(range(1, 11))
    assert pages[0]["pending"] == COUNT
    with full.client() as operator:
        assert operator.stats()["warnings"] == []


def test_a_files_mode_says_whether_it_is_pending(open_office: PostOffice) -> None:
    """A file is writable until its message is delivered, then read-only. Later changes work all the same."""

    def writable() -> int:
        directory = paths.receiver_dir(open_office.data, "bob")
        files = [entry for entry in os.scandir(directory) if entry.name.endswith(".json")]
        modes = [entry.stat().st_mode & 0o777 for entry in files]
        assert set(modes) <= {0o600, 0o400}
        return modes.count(0o600)

    _fill(open_office, 30)
    assert writable() == 30
    with open_office.client("bob") as bob:
        ids = [message["id"] for message in bob.inbox()["messages"]]
        bob.confirm(ids[:20], "delivered")
        eventually(lambda: writable() == 10, "delivered mail is read-only")
        bob.confirm(ids[:10], "read")
        bob.delete(ids[15:20])
        eventually(lambda: bob.stats()["filingBacklog"] == 0, "all is filed")
    open_office.stop()
    open_office.start()
    with open_office.client("bob") as bob:
        statuses = [bob.message(message_id)["status"] for message_id in ids[:15]]
        assert statuses == ["read"] * 10 + ["delivered"] * 5
        assert [message["id"] for message in bob.inbox()["messages"]] == ids[20:]
