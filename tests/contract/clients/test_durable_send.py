"""Send or queue: a message is accepted, refused or queued in the outbox, whatever state the broker is in."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from maestro_clients.durable_send import SendOutcome, send_or_queue
from maestro_clients.outbox.outbox_files import entries
from maestro_clients.processes.broker_process import find
from maestro_clients.protocol.callers import Caller
from maestro_schemas.errors import MaestroError
from support.post_office import eventually

if TYPE_CHECKING:
    from maestro_schemas.documents import OutgoingDoc
    from support.post_office import PostOffice

ANN = Caller("ann")


def outgoing(message_id: str = "m1", to: str = "bob", text: str = "hello") -> OutgoingDoc:
    return {"id": message_id, "to": to, "message": text}


def send(office: PostOffice, item: OutgoingDoc, *, autostart: bool = True, timeout_s: float = 10.0) -> SendOutcome:
    return send_or_queue(office.data, office.environ, ANN, item, autostart=autostart, timeout_s=timeout_s)


def texts(office: PostOffice) -> list[str]:
    return [message["message"] for message in office.client("bob").inbox(since=0)["messages"]]


def test_accepted(open_office: PostOffice) -> None:
    """The broker has written it to disk."""
    sent = send(open_office, outgoing())
    assert sent.queued_path is None
    assert sent.result is not None
    assert sent.result["status"] == 201


def test_a_missing_broker_is_started(open_office: PostOffice) -> None:
    """This needs permission to start one."""
    open_office.kill()
    sent = send(open_office, outgoing())
    assert sent.result is not None
    assert texts(open_office) == ["hello"]


def test_without_a_broker_it_is_queued_at_once_and_sent_when_one_runs(open_office: PostOffice) -> None:
    """It is sent once, however often it was queued."""
    open_office.stop()
    began_s = time.monotonic()
    queued = send(open_office, outgoing(), autostart=False)
    assert time.monotonic() - began_s < 1.0
    assert queued.result is None
    assert queued.queued_path is not None
    assert send(open_office, outgoing(), autostart=False)[:2] == queued[:2]
    assert [path for path, _ in entries(open_office.data)] == [queued.queued_path]
    assert find(open_office.data) is None
    open_office.start()
    assert texts(open_office) == ["hello"]
    assert entries(open_office.data) == []
    again = send(open_office, outgoing())
    assert again.result is not None
    assert again.result["status"] == 200


def test_refusals_are_reported_and_not_queued(open_office: PostOffice) -> None:
    """A retry would not help."""
    for item, code in (
        (outgoing(to="absent"), "RECEIVER_NOT_FOUND"),
        (outgoing(text="\x07"), "EMPTY_MESSAGE"),
        (outgoing(text="x" * 10_001), "TEXT_TOO_LONG"),
        (outgoing(message_id="a/b"), "INVALID_ID"),
        (outgoing(text="x" * (2 << 20)), "FRAME_TOO_LARGE"),
    ):
        with pytest.raises(MaestroError) as raised:
            send(open_office, item)
        assert raised.value.code == code
    assert entries(open_office.data) == []


@pytest.mark.parametrize(
    ("setting", "code"), [({"rate_limit": 1}, "RATE_LIMITED"), ({"pending_max": 1}, "MAILBOX_FULL")]
)
def test_limits_are_reported_at_once(post_office: PostOffice, setting: dict[str, int], code: str) -> None:
    """The error says when to try again; the sender decides."""
    post_office.start(**setting)
    post_office.sessions("ann", "bob")
    assert send(post_office, outgoing("m1")).result is not None
    began_s = time.monotonic()
    with pytest.raises(MaestroError) as raised:
        send(post_office, outgoing("m2"))
    assert time.monotonic() - began_s < 2.0
    assert raised.value.code == code
    assert raised.value.retry_after_s
    assert entries(post_office.data) == []


def test_a_send_that_no_broker_can_ever_take_fails(post_office: PostOffice) -> None:
    """An entry that no broker could ever drain must not be queued: `queued` would be a false promise."""
    post_office.environ["MAESTRO_RUNTIME_DIR"] = "/tmp/" + "x" * 100
    with pytest.raises(MaestroError) as raised:
        send(post_office, outgoing())
    assert raised.value.code == "PATH_TOO_LONG"
    assert entries(post_office.data) == []


def test_a_silent_broker_gets_it_through_the_outbox(open_office: PostOffice) -> None:
    """It is accepted once, although the broker also received the request."""
    open_office.pause()
    try:
        queued = send(open_office, outgoing(), timeout_s=1.0)
    finally:
        open_office.resume()
    assert queued.queued_path is not None
    eventually(lambda: entries(open_office.data) == [], "the outbox is drained")
    assert texts(open_office) == ["hello"]


def test_a_broker_that_dies_during_the_send(open_office: PostOffice) -> None:
    """The next broker is started, and accepts the same message."""
    open_office.pause()
    result: list[SendOutcome] = []
    sender = threading.Thread(target=lambda: result.append(send(open_office, outgoing(), timeout_s=20.0)))
    sender.start()
    sender.join(0.2)
    assert sender.is_alive()
    open_office.kill()
    sender.join(20.0)
    [sent] = result
    assert sent.result is not None
    assert texts(open_office) == ["hello"]


def test_a_broker_that_cannot_take_it_now(post_office: PostOffice) -> None:
    """The client retries for a few seconds, then queues the message."""
    # A program in place of the broker answers BUSY.
    post_office.start()
    post_office.sessions("ann", "bob")
    post_office.stop()
    folder = os.path.join(post_office.root, "shadow")
    os.makedirs(folder)
    with open(os.path.join(folder, "maestro_broker.py"), "w", encoding="utf-8") as file:
        file.write(BUSY)
    post_office.environ["PYTHONPATH"] = folder
    began_s = time.monotonic()
    sent = send(post_office, outgoing())
    assert 0.5 < time.monotonic() - began_s < 8.0
    assert sent.queued_path is not None
    del post_office.environ["PYTHONPATH"]
    found = find(post_office.data)
    assert found is not None
    post_office.stop()
    post_office.start()
    assert texts(post_office) == ["hello"]


# A program in place of the broker whose spool writer is behind. A real broker can't be kept in that state.
BUSY = """
import os, signal, sys
import msgpack, zmq
data = sys.argv[sys.argv.index("--data-dir") + 1]
path = os.path.join(os.environ["MAESTRO_RUNTIME_DIR"], "busy")
os.makedirs(os.path.dirname(path), exist_ok=True)
router = zmq.Context().socket(zmq.ROUTER)
router.bind("ipc://" + path)
with open(os.path.join(data, "endpoints"), "w") as file:
    file.write(f"router=ipc://{path}\\nnotices=ipc://{path}\\npid={os.getpid()}\\n")
os.write(int(sys.argv[-1]), b"ready\\n")
error = msgpack.packb({"code": "BUSY", "message": "behind", "retryAfter": 0.25})
while router.poll(20_000):
    peer, header, request_id, *_ = router.recv_multipart()
    router.send_multipart([peer, header, request_id, b"503", error])
"""
