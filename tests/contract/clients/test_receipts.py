"""Waiting for a receipt: it returns as soon as the status is reached, or raises a typed error if it never will be."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from maestro_clients.mailbox.receipts import wait_for, wait_for_all
from maestro_clients.protocol.callers import Caller
from maestro_schemas.errors import MaestroError
from support.post_office import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from maestro_schemas.documents import MessageDoc, ReceiptDoc
    from support.post_office import PostOffice

ANN = Caller("ann")


def wait(
    office: PostOffice, message_id: str, status: str, timeout_s: float = 20.0, caller: Caller = ANN
) -> MessageDoc:
    return wait_for(office.data, office.environ, caller, message_id, status, timeout_s)


def failure(office: PostOffice, message_id: str, status: str, timeout_s: float = 20.0) -> MaestroError:
    with pytest.raises(MaestroError) as raised:
        wait(office, message_id, status, timeout_s)
    return raised.value


class Waiting:
    """A thread that waits for a receipt."""

    def __init__(self, office: PostOffice, message_id: str, status: str, caller: Caller = ANN) -> None:
        self.message: MessageDoc | None = None
        self.error: MaestroError | None = None
        self._call: Callable[[], MessageDoc] = lambda: wait(office, message_id, status, caller=caller)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.message = self._call()
        except MaestroError as error:
            self.error = error

    def is_waiting(self, for_s: float) -> bool:
        """Whether the wait still goes on after `for_s`."""
        self._thread.join(for_s)
        return self._thread.is_alive()

    def result(self) -> MessageDoc:
        """The message with the status that the thread waited for."""
        self._thread.join(20.0)
        assert self.error is None, self.error
        assert self.message is not None
        return self.message


def test_a_status_that_is_reached_already_is_returned_at_once(open_office: PostOffice) -> None:
    """A read message counts as delivered."""
    sent = open_office.client("ann").send("bob", "hello")
    open_office.client("bob").confirm([sent["id"]], "read")
    assert wait(open_office, sent["id"], "delivered")["status"] == "read"
    assert wait(open_office, sent["id"], "read")["status"] == "read"
    assert wait(open_office, sent["id"], "read", caller=Caller())["status"] == "read"


@pytest.mark.parametrize("caller", [ANN, Caller()], ids=["sender", "operator"])
def test_a_wait_ends_with_its_status(open_office: PostOffice, caller: Caller) -> None:
    """A notice ends the wait. A delivered message does not count as read."""
    sent = open_office.client("ann").send("bob", "hello")
    delivered = Waiting(open_office, sent["id"], "delivered", caller)
    read = Waiting(open_office, sent["id"], "read", caller)
    assert delivered.is_waiting(0.3)
    bob = open_office.client("bob")
    bob.confirm([sent["id"]], "delivered", via="test")
    assert delivered.result().get("deliveredVia") == "test"
    assert read.is_waiting(0.2)
    bob.confirm([sent["id"]], "read")
    assert "readAt" in read.result()


def test_other_traffic_does_not_end_it(open_office: PostOffice) -> None:
    """Notices about other messages do not end the wait."""
    ann, bob = open_office.client("ann"), open_office.client("bob")
    sent = ann.send("bob", "hello")
    waiting = Waiting(open_office, sent["id"], "delivered")
    other = ann.send("bob", "another")
    bob.confirm([other["id"]], "delivered")
    assert waiting.is_waiting(0.3)
    bob.confirm([sent["id"]], "delivered")
    assert waiting.result()["id"] == sent["id"]


def test_too_late(open_office: PostOffice) -> None:
    """After the time, a typed error names the status that was reached."""
    sent = open_office.client("ann").send("bob", "hello")
    began_s = time.monotonic()
    error = failure(open_office, sent["id"], "delivered", timeout_s=0.5)
    assert 0.4 < time.monotonic() - began_s < 3.0
    assert error.code == "TIMEOUT"
    assert "pending" in error.message
    assert sent["id"] in error.hint


def test_a_status_that_will_never_be_reached(open_office: PostOffice) -> None:
    """The message is unknown or another session's, or the status can't be waited for."""
    open_office.sessions("cyd")
    sent = open_office.client("ann").send("bob", "hello")
    assert failure(open_office, "m0", "delivered").code == "MESSAGE_NOT_FOUND"
    assert failure(open_office, sent["id"], "seen").code == "INVALID"
    with pytest.raises(MaestroError) as raised:
        wait(open_office, sent["id"], "read", caller=Caller("cyd"))
    assert raised.value.code in ("MESSAGE_NOT_FOUND", "FORBIDDEN")


def test_a_message_that_expires(open_office: PostOffice) -> None:
    """The wait fails when the message expires."""
    sent = open_office.client("ann").send("bob", "hello", ttl_ms=300)
    error = failure(open_office, sent["id"], "delivered")
    assert error.code == "STATUS_CONFLICT"
    assert "expired" in error.message


def test_a_message_that_is_deleted_unread(open_office: PostOffice) -> None:
    """The error says that the message was deleted, not that it is unknown."""
    sent = open_office.client("ann").send("bob", "hello")
    waiting = Waiting(open_office, sent["id"], "read")
    assert waiting.is_waiting(0.3)
    open_office.client("bob").delete([sent["id"]])
    assert not waiting.is_waiting(20.0)
    assert waiting.error is not None
    assert waiting.error.code == "MESSAGE_NOT_FOUND"
    assert "deleted" in waiting.error.message


@pytest.mark.parametrize("status", ["delivered", "read"])
def test_a_message_that_is_deleted_right_after_it_got_there(open_office: PostOffice, status: str) -> None:
    """The notice proves that the status was reached."""
    ann, bob = open_office.client("ann"), open_office.client("bob")
    for number in range(10):
        sent = ann.send("bob", "hello")
        waiting = Waiting(open_office, sent["id"], status)
        assert waiting.is_waiting(0.15)
        bob.confirm([sent["id"]], status)
        bob.delete([sent["id"]])
        message = waiting.result()
        assert message["status"] == status, number
        assert ("readAt" if status == "read" else "deliveredAt") in message


def test_a_wait_survives_a_restart(open_office: PostOffice) -> None:
    sent = open_office.client("ann").send("bob", "hello")
    waiting = Waiting(open_office, sent["id"], "delivered")
    assert waiting.is_waiting(0.2)
    open_office.kill()
    assert waiting.is_waiting(1.5)
    open_office.start()
    open_office.client("bob").confirm([sent["id"]], "delivered")
    assert waiting.result()["status"] == "delivered"


def test_a_broker_that_stays_away(open_office: PostOffice) -> None:
    """The wait ends in time, with a typed error."""
    sent = open_office.client("ann").send("bob", "hello")
    result: list[MaestroError] = []
    waiter = threading.Thread(
        target=lambda: result.append(failure(open_office, sent["id"], "delivered", timeout_s=2.0))
    )
    waiter.start()
    waiter.join(0.3)
    open_office.kill()
    waiter.join(20.0)
    assert result[0].code in ("TIMEOUT", "BROKER_UNREACHABLE")


# --- of several receivers ------------------------------------------------------------------------------------


class WaitingForAll(Waiting):
    """A thread that waits until all receivers have a message."""

    def __init__(self, office: PostOffice, message_id: str, status: str, caller: Caller = ANN) -> None:
        self.receipt: ReceiptDoc | None = None
        self._place = (office.data, office.environ, caller, message_id, status)
        super().__init__(office, message_id, status, caller)

    def _run(self) -> None:
        try:
            self.receipt = wait_for_all(*self._place, 20.0)
        except MaestroError as error:
            self.error = error

    def done(self) -> ReceiptDoc:
        """The receipt with which the wait ended."""
        self._thread.join(20.0)
        assert self.error is None, self.error
        assert self.receipt is not None
        return self.receipt

    def failed(self) -> MaestroError:
        """The error with which the wait ended."""
        self._thread.join(20.0)
        assert self.error is not None
        return self.error


def to_three(office: PostOffice, **fields: Any) -> str:
    """A message from `ann` to `bob`, `cyd` and `dan`."""
    office.sessions("cyd", "dan")
    return office.client("ann").send(["bob", "cyd", "dan"], "hello", **fields)["id"]


@pytest.mark.parametrize("caller", [ANN, Caller()], ids=["sender", "operator"])
@pytest.mark.parametrize("status", ["delivered", "read"])
def test_a_wait_for_all_ends_with_the_last_one(open_office: PostOffice, status: str, caller: Caller) -> None:
    message_id = to_three(open_office)
    open_office.client("bob").confirm([message_id], status)
    waiting = WaitingForAll(open_office, message_id, status, caller)
    assert waiting.is_waiting(0.3)
    open_office.client("cyd").confirm([message_id], status)
    assert waiting.is_waiting(0.3)
    open_office.client("dan").confirm([message_id], status)
    receipt = waiting.done()
    assert receipt["counts"]["delivered"] == 3
    assert {line["state"] for line in receipt["recipients"]} == {status}
    assert wait_for_all(open_office.data, open_office.environ, ANN, message_id, status, 5.0) == receipt


def test_those_that_refused_are_not_waited_for(open_office: PostOffice) -> None:
    open_office.sessions("cyd")
    open_office.client().end_session("cyd")
    message_id = open_office.client("ann").send(["bob", "cyd"], "hello")["id"]
    open_office.client("bob").confirm([message_id], "delivered")
    receipt = wait_for_all(open_office.data, open_office.environ, ANN, message_id, "delivered", 5.0)
    assert (receipt["counts"]["accepted"], receipt["counts"]["refused"]) == (1, 1)


def test_who_is_missing_after_the_time(open_office: PostOffice) -> None:
    message_id = to_three(open_office)
    open_office.client("bob").confirm([message_id], "read")
    open_office.client().end_session("dan")
    with pytest.raises(MaestroError) as raised:
        wait_for_all(open_office.data, open_office.environ, ANN, message_id, "read", 0.5)
    error = raised.value
    assert error.code == "TIMEOUT"
    assert "missing of 3: cyd (pending), dan (ended)" in error.message
    assert error.details is not None
    assert error.details["missing"] == ["cyd", "dan"]
    assert error.details["receipt"]["counts"]["read"] == 1


def test_what_expired_or_was_deleted_ends_the_wait_for_all(open_office: PostOffice) -> None:
    message_id = to_three(open_office, ttl_ms=1_500)
    waiting = WaitingForAll(open_office, message_id, "read")
    open_office.client("bob").confirm([message_id], "read")
    open_office.client("cyd").delete([message_id])
    error = waiting.failed()
    assert error.code == "STATUS_CONFLICT"
    assert "read by 1 of 3" in error.message
    assert "cyd (deleted), dan (expired)" in error.message
    assert f"maestro message retry {message_id}" in error.hint


def test_a_copy_that_is_deleted_right_after_it_was_read_counts(open_office: PostOffice) -> None:
    message_id = to_three(open_office)
    waiting = WaitingForAll(open_office, message_id, "read")
    operator = open_office.client()
    eventually(lambda: operator.session("ann").get("watching", False), "the wait hears of ann's messages")
    for name in ("bob", "cyd", "dan"):
        client = open_office.client(name)
        client.confirm([message_id], "read")
        client.delete([message_id])
    # The wait may end between the last reading and the deletion after it.
    assert waiting.done()["counts"]["deleted"] >= 2


def test_a_wait_for_all_survives_a_restart(open_office: PostOffice) -> None:
    message_id = to_three(open_office)
    waiting = WaitingForAll(open_office, message_id, "delivered")
    assert waiting.is_waiting(0.3)
    open_office.client("bob").confirm([message_id], "delivered")
    open_office.kill()
    open_office.start()
    for name in ("cyd", "dan"):
        open_office.client(name).confirm([message_id], "delivered")
    assert waiting.done()["counts"]["delivered"] == 3


def test_a_wait_for_all_in_vain(open_office: PostOffice) -> None:
    message_id = to_three(open_office)
    for wanted, status, code in (("m0", "read", "MESSAGE_NOT_FOUND"), (message_id, "seen", "INVALID")):
        with pytest.raises(MaestroError) as raised:
            wait_for_all(open_office.data, open_office.environ, ANN, wanted, status, 5.0)
        assert raised.value.code == code
    open_office.client("ann").call(
        "send", {"messages": [{"id": "m_late", "to": ["bob", "ghost"], "message": "x"}], "queued": True}
    )
    with pytest.raises(MaestroError) as raised:
        wait_for_all(open_office.data, open_office.environ, ANN, "m_late", "read", 5.0)
    assert raised.value.code == "RECEIVER_NOT_FOUND"
