"""The blocking client at a real broker: every command, every error, and a broker that dies, sleeps or comes back."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import zmq

from maestro_clients.blocking import Client
from maestro_clients.callers import Caller
from maestro_clients.dealer import QUIET_S
from maestro_clients.fresh import new_message_id, new_session_id, new_token
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import is_id
from post_office import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from maestro_schemas.documents import OutgoingDoc
    from post_office import PostOffice


def refused(call: Callable[[], object]) -> MaestroError:
    """The error of a call that must fail."""
    with pytest.raises(MaestroError) as raised:
        call()
    return raised.value


def outgoing(count: int, text: str = "x", to: str = "bob") -> list[OutgoingDoc]:
    return [{"id": new_message_id(), "to": to, "message": text} for _ in range(count)]


# --- commands --------------------------------------------------------------------------------------------------


def test_hello_and_stats(open_office: PostOffice) -> None:
    """Who answers."""
    client = open_office.client()
    hello = client.hello()
    assert hello["pid"] == open_office.pid
    assert hello["dataDir"] == open_office.data
    assert hello["limits"]["wire_bytes_max"] == 1 << 20
    assert client.stats()["epoch"] == hello["epoch"]


def test_a_message_from_send_to_read(open_office: PostOffice) -> None:
    """Accepted, listed, confirmed, shown, deleted."""
    ann, bob = open_office.client("ann"), open_office.client("bob")
    sent = ann.send("bob", "hello\n-- 🙂", metadata={"priority": "high", "taskId": "t1"}, ttl_ms=60_000)
    assert (sent["status"], sent.get("to"), sent.get("seq")) == (201, "bob", 1)
    page = bob.inbox()
    assert [message["message"] for message in page["messages"]] == ["hello\n-- 🙂"]
    assert page["messages"][0].get("metadata") == {"priority": "high", "taskId": "t1"}
    [confirmed] = bob.confirm([sent["id"]], "delivered", via="test")
    assert (confirmed["status"], confirmed.get("state")) == (200, "delivered")
    assert bob.inbox()["count"] == 0
    assert bob.inbox(status=["delivered"], since=0, limit=5, type=None)["count"] == 1
    message = ann.message(sent["id"])
    assert message.get("deliveredVia") == "test"
    [deleted] = bob.delete([sent["id"]])
    assert deleted.get("state") == "deleted"
    assert refused(lambda: bob.message(sent["id"])).code == "MESSAGE_NOT_FOUND"


def test_a_repeat_under_the_same_id_is_one_message(open_office: PostOffice) -> None:
    """And another text under it is a conflict."""
    ann = open_office.client("ann")
    first = ann.send("bob", "once", message_id="m1")
    again = ann.send("bob", "once", message_id="m1")
    assert (first["status"], again["status"]) == (201, 200)
    assert first.get("seq") == again.get("seq")
    assert refused(lambda: ann.send("bob", "twice", message_id="m1")).code == "CONFLICT"


def test_leases_keep_two_readers_apart(open_office: PostOffice) -> None:
    """Through the arguments of `inbox`."""
    open_office.client("ann").send("bob", "one")
    bob = open_office.client("bob")
    assert bob.inbox(lease_ms=60_000, reader="one")["count"] == 1
    other = bob.inbox(lease_ms=60_000, reader="two")
    assert (other["count"], other.get("leased")) == (0, 1)
    assert other.get("leaseEndsInMs", 0) > 50_000


def test_sessions(open_office: PostOffice) -> None:
    """Start, restart, look, list, touch, end."""
    operator = open_office.client()
    session_id, token = new_session_id(), new_token()
    started = operator.start_session(
        session_id,
        token=token,
        name="builder",
        role="orchestrator",
        project_id="p1",
        task_ids=["t1", "t2"],
        metadata={"colour": "red"},
        agent="codex",
        agent_session_id="abc",
        pid=1,
        cwd="/",
        status="working",
    )
    assert started.get("hasToken")
    assert started.get("taskIds") == ["t1", "t2"]
    own = open_office.client(session_id, token)
    assert own.session()["id"] == session_id
    assert operator.session("builder")["id"] == session_id
    child = own.start_session(new_session_id())
    assert child.get("parentSessionId") == session_id
    assert [found["id"] for found in operator.sessions(parent_session_id=session_id)] == [child["id"]]
    assert {found["id"] for found in operator.sessions(project_id="p1", status=["working"], active=True)} == {
        session_id
    }
    assert len(operator.sessions()) == 4
    touched = own.touch_session(status="idle", needsInput={"active": True, "message": "which?"})
    assert touched["status"] == "idle"
    assert touched.get("needsInput", {}).get("message") == "which?"
    assert own.end_session(child["id"], status="stopped")["status"] == "stopped"
    assert own.end_session()["status"] == "completed"
    assert refused(lambda: own.send("bob", "from beyond")).code == "SESSION_ENDED"
    assert refused(lambda: open_office.client(session_id, "wrong").session()).code == "TOKEN_MISMATCH"
    assert refused(lambda: open_office.client(session_id).session()).code == "TOKEN_REQUIRED"


def test_events(open_office: PostOffice) -> None:
    """A replay from a cursor."""
    ann = open_office.client("ann")
    ann.send("bob", "hello")
    events = ann.events(0)
    assert [event["event"] for event in events["events"]] == ["session.started", "message.accepted"]
    assert ann.events(events["upTo"])["events"] == []
    assert len(open_office.client().events(-1, limit=1, session="bob")["events"]) == 1
    assert refused(lambda: ann.events(10_000)).code == "CURSOR_AHEAD"


def test_the_outbox_is_drained_on_demand(open_office: PostOffice) -> None:
    """With numbers."""
    assert open_office.client().drain_outbox() == {"sent": 0, "waiting": 0, "failed": 0}


def test_shutdown_names_the_process_to_wait_for(open_office: PostOffice) -> None:
    """It is the broker's own."""
    pid = open_office.pid
    assert open_office.client().shutdown() == pid


def test_many_messages_in_one_request_are_judged_one_by_one(open_office: PostOffice) -> None:
    """In order; the refused one does not stop the others."""
    ann = open_office.client("ann")
    batch = [*outgoing(2), *outgoing(1, to="nobody"), *outgoing(1)]
    results = ann.send_many(batch)
    assert [result["status"] for result in results] == [201, 201, 404, 201]
    assert [result["id"] for result in results] == [item["id"] for item in batch]
    assert results[2].get("error", {}).get("code") == "RECEIVER_NOT_FOUND"
    assert ann.send_many([]) == []
    assert refused(lambda: ann.send_many(outgoing(257))).code == "TOO_MANY"


def test_errors_arrive_whole(post_office: PostOffice) -> None:
    """Code, words, next step, numbers."""
    post_office.start(rate_limit=1)
    post_office.sessions("ann", "bob")
    ann = post_office.client("ann")
    ann.send("bob", "one")
    error = refused(lambda: ann.send("bob", "two"))
    assert error.code == "RATE_LIMITED"
    assert error.retryable
    assert 0 < (error.retry_after_s or 0) <= 60
    assert error.hint
    long = refused(lambda: post_office.client("bob").send("ann", "x" * 10_001))
    assert (long.code, long.limit, long.actual) == ("TEXT_TOO_LONG", 10_000, 10_001)
    assert refused(lambda: ann.call("no.such", {})).code == "UNKNOWN_COMMAND"
    assert refused(lambda: ann.call("hello", {"unknown": 1})).code == "INVALID"
    assert refused(lambda: ann.call("hello", {"client": "\ud800"})).code == "INVALID"


def test_fresh_names_are_ids() -> None:
    """And never the same twice."""
    made = {make() for make in (new_message_id, new_session_id) for _ in range(500)}
    assert len(made) == 1_000
    assert all(is_id(name) for name in made)
    assert len({new_token() for _ in range(100)}) == 100


# --- sizes -----------------------------------------------------------------------------------------------------


def test_an_oversized_request_is_refused_before_it_is_sent(open_office: PostOffice) -> None:
    """With both numbers; the connection lives on, and libzmq had nothing to drop."""
    ann = open_office.client("ann")
    error = refused(lambda: ann.send("bob", "x" * (5 << 20)))
    assert error.code == "FRAME_TOO_LARGE"
    assert error.limit == 1 << 20
    assert (error.actual or 0) > 5 << 20
    assert ann.send("bob", "small")["status"] == 201
    stats = open_office.client().stats()
    assert stats["refused"]["oversize"] == 0


def test_the_brokers_own_limit_counts(post_office: PostOffice) -> None:
    """Not the default one: a broker may be set to take less, or more."""
    post_office.start(wire_bytes_max=4_096, text_chars_max=200_000)
    post_office.sessions("ann", "bob")
    ann = post_office.client("ann")
    for size in (30_000, 500_000):
        error = refused(lambda size=size: ann.send("bob", "x" * size))  # type: ignore[misc]
        assert (error.code, error.limit) == ("FRAME_TOO_LARGE", 4_096)
    # Small enough to be answered rather than cut off.
    assert refused(lambda: ann.send("bob", "x" * 10_000)).code == "FRAME_TOO_LARGE"
    post_office.stop()
    post_office.start(wire_bytes_max=8 << 20, text_chars_max=200_000, batch_messages_max=256)
    big = post_office.client("ann")
    assert all(result["status"] == 201 for result in big.send_many(outgoing(40, "y" * 100_000)))


# --- the broker goes and comes ---------------------------------------------------------------------------------


def test_nobody_there_is_told_at_once(post_office: PostOffice) -> None:
    """Not after the whole timeout."""
    client = post_office.client(timeout_s=30.0)
    began_s = time.monotonic()
    error = refused(client.hello)
    assert time.monotonic() - began_s < 5 * QUIET_S
    assert error.code == "BROKER_UNREACHABLE"
    assert error.hint


def test_a_broker_that_died_is_told_at_once_and_its_successor_is_found(open_office: PostOffice) -> None:
    """By the same client."""
    client = open_office.client(timeout_s=30.0)
    epoch = client.hello()["epoch"]
    open_office.kill()
    began_s = time.monotonic()
    assert refused(client.hello).code == "BROKER_UNREACHABLE"
    assert time.monotonic() - began_s < 5 * QUIET_S
    open_office.start()
    assert client.hello()["epoch"] != epoch


def test_a_patient_call_survives_a_kill(open_office: PostOffice) -> None:
    """It is sent again to the broker that comes back, soon after it is back; and it is one message."""
    ann = open_office.client("ann", timeout_s=60.0, patient=True)
    ann.send("bob", "before")
    open_office.pause()
    result: dict[str, Any] = {}

    def send() -> None:
        result["sent"] = ann.send("bob", "during", message_id="m1")
        result["at_s"] = time.monotonic()

    sender = threading.Thread(target=send)
    sender.start()
    # The request is in the paused broker's hands, which then dies with it.
    sender.join(0.1)
    assert sender.is_alive()
    open_office.kill()
    sender.join(2 * QUIET_S)
    assert sender.is_alive()
    open_office.start()
    back_s = time.monotonic()
    sender.join(20.0)
    assert not sender.is_alive()
    assert result["sent"]["status"] in (200, 201)
    assert result["at_s"] - back_s < 1.0
    texts = [message["message"] for message in open_office.client("bob").inbox(since=0)["messages"]]
    assert texts == ["before", "during"]


def test_a_patient_call_waits_for_a_first_broker(post_office: PostOffice) -> None:
    """And ends with BROKER_UNREACHABLE where none comes."""
    short = post_office.client(timeout_s=1.0, patient=True)
    began_s = time.monotonic()
    assert refused(short.hello).code == "BROKER_UNREACHABLE"
    assert 0.9 < time.monotonic() - began_s < 3.0
    patient = post_office.client(timeout_s=30.0, patient=True)
    result: list[int] = []
    asker = threading.Thread(target=lambda: result.append(patient.hello()["pid"]))
    asker.start()
    post_office.start()
    asker.join(20.0)
    assert result == [post_office.pid]


def test_a_broker_that_does_not_answer_is_a_timeout(open_office: PostOffice) -> None:
    """It is there, so it is not unreachable; what was asked is done when it goes on, once."""
    ann = open_office.client("ann")
    ann.hello()
    open_office.pause()
    try:
        error = refused(lambda: ann.call("send", {"messages": outgoing(1)}, timeout_s=1.0))
        assert error.code == "TIMEOUT"
        assert error.retryable
        assert "safe" in error.hint
    finally:
        open_office.resume()
    assert ann.hello()["pid"] == open_office.pid
    # The request was sent several times meanwhile.
    assert open_office.client("bob").inbox()["count"] == 1


def test_an_unreachable_call_is_not_delivered_later(open_office: PostOffice) -> None:
    """What was said to have failed must not happen after all, when a broker comes back."""
    ann = open_office.client("ann")
    ann.hello()
    open_office.kill()
    assert refused(lambda: ann.send("bob", "too late")).code == "BROKER_UNREACHABLE"
    open_office.start()
    assert ann.hello()
    assert open_office.client("bob").inbox(status=["pending"])["count"] == 0


def test_a_closed_client_says_so(open_office: PostOffice) -> None:
    """Closing twice is fine."""
    with Client(open_office.router()) as client:
        client.hello()
    client.close()
    assert refused(client.hello).code == "BAD_REQUEST"


@pytest.mark.parametrize("address", ["", "nonsense", "ipc://" + "x" * 200, "tcp://127.0.0.1:1"])
def test_an_address_that_is_none(address: str) -> None:
    """Typed, too."""
    with Client(address, timeout_s=0.5) as client:
        assert refused(client.hello).code in ("BROKER_UNREACHABLE", "TIMEOUT")


# --- a peer that is no broker ----------------------------------------------------------------------------------


class Impostor:
    """A ROUTER that answers with what it was told, whatever is asked."""

    def __init__(self, directory: str, *answers: list[bytes]) -> None:
        os.makedirs(directory, exist_ok=True)
        self.address = f"ipc://{directory}/impostor"
        self._context = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._router.bind(self.address)
        self._answers = list(answers)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while self._answers and self._router.poll(10_000):
            peer, header, request_id, *_ = self._router.recv_multipart()
            for answer in self._answers.pop(0), [b"M1", request_id, b"200", b"\x80"]:
                parts = [
                    header if part == b"<header>" else request_id if part == b"<id>" else part for part in answer
                ]
                self._router.send_multipart([peer, *parts])

    def close(self) -> None:
        self._thread.join()
        self._context.destroy(linger=0)


@pytest.mark.parametrize(
    "answer",
    [
        [b"hello"],
        [b"M2", b"<id>", b"200", b"\x80"],
        [b"<header>", b"<id>", b"200"],
        [b"<header>", b"<id>", b"200", b"\x80", b"more"],
        [b"<header>", b"<id>", b"fine", b"\x80"],
        [b"<header>", b"<id>", b"200", b"\xc1"],
        [b"<header>", b"<id>", b"200", b"\x80"],
        [b"<header>", b"<id>", b"500", b"\x80"],
    ],
    ids=["one frame", "another version", "three frames", "five frames", "no status", "no body", "empty", "no error"],
)
def test_answers_that_are_none(post_office: PostOffice, answer: list[bytes]) -> None:
    """Each ends in a typed error, soon; a stray frame is not taken for the beginning of the next answer."""
    impostor = Impostor(post_office.root, answer)
    try:
        with Client(impostor.address, timeout_s=5.0) as client:
            began_s = time.monotonic()
            error = refused(client.hello)
            assert time.monotonic() - began_s < 2.0
            assert error.code in ("BAD_REQUEST", "UNSUPPORTED_PROTOCOL", "INTERNAL")
    finally:
        impostor.close()


def test_results_that_are_not_as_many_as_the_messages(post_office: PostOffice) -> None:
    """The broker contradicts the contract: said so, instead of a message without an outcome."""
    answer = [b"<header>", b"<id>", b"200", b"\x81\xa7results\x90"]
    impostor = Impostor(post_office.root, answer, answer)
    try:
        with Client(impostor.address, Caller("ann"), timeout_s=5.0) as client:
            assert refused(lambda: client.send("bob", "x")).code == "INTERNAL"
            assert refused(lambda: list(client.pipeline(outgoing(1)))).code == "INTERNAL"
    finally:
        impostor.close()


# --- pipeline --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_flight", [1, 7, 64])
def test_a_pipeline_keeps_the_order_of_its_messages(open_office: PostOffice, in_flight: int) -> None:
    """One result a message; at the receiver they stand in the order in which they went."""
    ann = open_office.client("ann")
    batch = outgoing(200)
    results = list(ann.pipeline(iter(batch), in_flight=in_flight))
    assert sorted(result["id"] for result in results) == sorted(item["id"] for item in batch)
    assert all(result["status"] == 201 for result in results)
    by_id = {result["id"]: result.get("seq") for result in results}
    assert [by_id[item["id"]] for item in batch] == list(range(1, 201))


def test_a_pipeline_leaves_refusals_in_the_results(open_office: PostOffice) -> None:
    """Also those of a whole request."""
    ann = open_office.client("ann")
    results = {result["id"]: result for result in ann.pipeline([*outgoing(2), *outgoing(1, to="nobody")])}
    assert sorted(result["status"] for result in results.values()) == [201, 201, 404]
    stranger = open_office.client("stranger")
    batch = outgoing(3)
    codes = {result["id"]: result.get("error", {}).get("code") for result in stranger.pipeline(batch)}
    assert codes == {item["id"]: "UNKNOWN_SESSION" for item in batch}
    assert list(ann.pipeline([])) == []


def test_a_pipeline_never_has_more_in_flight_than_it_may(open_office: PostOffice) -> None:
    """It takes from its source only as fast as answers come."""
    ann = open_office.client("ann")
    taken = 0

    def source() -> Iterator[OutgoingDoc]:
        nonlocal taken
        for item in outgoing(50):
            taken += 1
            yield item

    for count, _ in enumerate(ann.pipeline(source(), in_flight=8), start=1):
        assert taken - count < 8


def test_a_pipeline_and_other_calls_share_a_client(open_office: PostOffice) -> None:
    """Answers find their own request; one pipeline left in the middle leaves nothing behind."""
    ann = open_office.client("ann")
    first, second = ann.pipeline(outgoing(30), in_flight=8), ann.pipeline(outgoing(30), in_flight=8)
    for _ in range(10):
        assert next(first)["status"] == 201
        assert next(second)["status"] == 201
        assert ann.hello()["pid"] == open_office.pid
    first.close()  # type: ignore[attr-defined]
    assert len(list(second)) == 20
    assert ann.send("bob", "after")["status"] == 201


def test_a_pipeline_whose_broker_dies(open_office: PostOffice) -> None:
    """An error; and again with the same ids it comes to one message each."""
    ann = open_office.client("ann")
    batch = outgoing(300)
    pipeline = ann.pipeline(batch, in_flight=16)
    for _ in range(100):
        next(pipeline)
    open_office.kill()
    assert refused(lambda: list(pipeline)).code == "BROKER_UNREACHABLE"
    open_office.start()
    assert {result["status"] for result in ann.pipeline(batch)} == {200, 201}
    assert open_office.client("bob").inbox(since=0)["headSeq"] == 300


def test_a_patient_pipeline_outlives_the_broker(open_office: PostOffice) -> None:
    """What waits is sent again to the next one."""
    ann = open_office.client("ann", timeout_s=60.0, patient=True)
    batch = outgoing(300)
    restarter: threading.Thread | None = None
    count = 0
    for count, result in enumerate(ann.pipeline(batch, in_flight=16), start=1):
        assert result["status"] in (200, 201)
        if count == 100:
            open_office.kill()
            restarter = threading.Thread(target=open_office.start)
            restarter.start()
    assert restarter is not None
    restarter.join()
    assert count == 300
    assert open_office.client("bob").inbox(since=0)["headSeq"] == 300


def test_more_in_flight_than_a_queue_holds(open_office: PostOffice) -> None:
    """What libzmq does not take now is sent again later; nothing is lost and nothing is there twice."""
    count = 12_000
    ann = open_office.client("ann", timeout_s=60.0)
    ann.hello()
    pipeline = ann.pipeline(outgoing(count), in_flight=count)
    open_office.pause()
    resumer = threading.Timer(1.0, open_office.resume)
    resumer.start()
    statuses = [result["status"] for result in pipeline]
    resumer.join()
    assert len(statuses) == count
    assert statuses.count(429) == count - 10_000  # the mailbox is full
    assert open_office.client("bob").inbox(since=0)["headSeq"] == 10_000


def test_closing_a_client_under_a_pipeline_ends_it(open_office: PostOffice) -> None:
    """With an error rather than for ever."""
    client = Client(open_office.router(), Caller("ann"))
    pipeline = client.pipeline(outgoing(50), in_flight=4)
    next(pipeline)
    client.close()
    assert refused(lambda: list(pipeline)).code == "BAD_REQUEST"


# --- processes -------------------------------------------------------------------------------------------------

FORKING = """
import os, sys
from maestro_clients.blocking import Client
from maestro_clients.callers import Caller
from maestro_schemas.errors import MaestroError
client = Client(sys.argv[1], Caller("ann"))
client.hello()
batch = [{"id": f"f{n}", "to": "bob", "message": "x"} for n in range(8)]
pipeline = client.pipeline(batch, in_flight=8)
next(pipeline)
child = os.fork()
if child == 0:
    assert client.send("bob", "from the child", message_id="child")["status"] == 201
    try:
        list(pipeline)
    except MaestroError as error:
        assert error.code == "BAD_REQUEST", error
        client.close()
        os._exit(7)
    os._exit(1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert len(list(pipeline)) == 7
assert client.send("bob", "from the parent", message_id="parent")["status"] == 201
client.close()
"""


def test_a_fork_gives_the_child_a_connection_of_its_own(open_office: PostOffice) -> None:
    """And leaves the parent's as it is."""
    done = subprocess.run(
        [sys.executable, "-c", FORKING, open_office.router()], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    ids = {message["id"] for message in open_office.client("bob").inbox()["messages"]}
    assert {"child", "parent", "f0", "f7"} <= ids


def test_many_clients_in_many_threads(open_office: PostOffice) -> None:
    """One for each; they share a process's one I/O thread."""
    count = 16
    failures: list[BaseException] = []

    def send() -> None:
        try:
            with Client(open_office.router(), Caller("ann")) as client:
                for result in client.pipeline(outgoing(50), in_flight=4):
                    assert result["status"] == 201
        except BaseException as error:  # noqa: BLE001 - handed to the test, which fails by it
            failures.append(error)

    threads = [threading.Thread(target=send) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert open_office.client("bob").inbox(since=0)["headSeq"] == count * 50


def test_a_closed_client_leaves_no_connection_behind(open_office: PostOffice) -> None:
    """As the broker counts them."""
    operator = open_office.client()
    for _ in range(20):
        with Client(open_office.router()) as client:
            client.hello()

    def settled() -> bool:
        connections = operator.stats()["connections"]
        return connections["opened"] - connections["closed"] <= 2  # type: ignore[no-any-return]

    eventually(settled, "connections are closed")
