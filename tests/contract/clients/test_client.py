"""The blocking client's own behaviour: patience, pipelines and processes. `test_behaviour` has the shared part."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from maestro_clients.channel.core import QUIET_S
from maestro_clients.client import Client
from maestro_clients.protocol.callers import Caller
from maestro_clients.protocol.new_ids import new_message_id
from maestro_schemas.errors import MaestroError
from support.post_office import eventually, own_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from maestro_schemas.documents import OutgoingDoc
    from support.post_office import PostOffice, own_id


def refused(call: Callable[[], object]) -> MaestroError:
    """The error of a call that must fail."""
    with pytest.raises(MaestroError) as raised:
        call()
    return raised.value


def outgoing(count: int, text: str = "x", to: str = "bob") -> list[OutgoingDoc]:
    return [{"id": own_id("ann", new_message_id()), "to": to, "message": text} for _ in range(count)]


# --- broker restarts -------------------------------------------------------------------------------------------


def test_a_patient_call_survives_a_kill(open_office: PostOffice) -> None:
    """It is sent again soon after a broker is back, and it is one message."""
    ann = open_office.client("ann", timeout_s=60.0, patient=True)
    ann.send("bob", "before")
    open_office.pause()
    result: dict[str, Any] = {}

    def send() -> None:
        result["sent"] = ann.send("bob", "during", message_id="m1")
        result["at_s"] = time.monotonic()

    sender = threading.Thread(target=send)
    sender.start()
    # The paused broker has the request, and is killed before it answers.
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
    """Without a broker it ends with BROKER_UNREACHABLE."""
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


# --- pipeline --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_flight", [1, 7, 64])
def test_a_pipeline_keeps_the_order_of_its_messages(open_office: PostOffice, in_flight: int) -> None:
    """Each message has one result, and the receiver has the messages in the order of sending."""
    ann = open_office.client("ann")
    batch = outgoing(200)
    results = list(ann.pipeline(iter(batch), in_flight=in_flight))
    assert sorted(result["id"] for result in results) == sorted(item["id"] for item in batch)
    assert all(result["status"] == 201 for result in results)
    by_id = {result["id"]: result.get("seq") for result in results}
    assert [by_id[item["id"]] for item in batch] == list(range(1, 201))


def test_a_pipeline_never_has_more_in_flight_than_it_may(open_office: PostOffice) -> None:
    """It reads its source only as fast as answers arrive."""
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
    """Each answer finds its own request. A pipeline that is left early leaves nothing behind."""
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
    """It raises an error. Repeated with the same ids, it makes one message each."""
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
    """Waiting requests are sent again to the next broker."""
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
    """Requests that libzmq does not take at once are sent later. None is lost, and none arrives twice."""
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
    """The pipeline raises an error instead of waiting for ever."""
    client = Client(open_office.router(), Caller("ann"))
    pipeline = client.pipeline(outgoing(50), in_flight=4)
    next(pipeline)
    client.close()
    assert refused(lambda: list(pipeline)).code == "BAD_REQUEST"


# --- processes -------------------------------------------------------------------------------------------------

FORKING = """
import os, sys
from maestro_clients.client import Client
from maestro_clients.protocol.callers import Caller
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
    """The parent's connection is unchanged."""
    done = subprocess.run(
        [sys.executable, "-c", FORKING, open_office.router()], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    ids = {message["id"] for message in open_office.client("bob").inbox()["messages"]}
    assert {own_id("ann", key) for key in ("child", "parent", "f0", "f7")} <= ids


FORKING_IN_A_HANDLER = """
import os, signal, sys, threading
from maestro_clients.client import Client
from maestro_schemas.errors import MaestroError

children = []
parent = os.getpid()

def fork(*_):
    children.append(os.fork())
    if children[0] == 0:
        signal.alarm(20)

client = Client(sys.argv[1], timeout_s=2.0)
client.hello()
signal.signal(signal.SIGUSR1, fork)
os.kill(int(sys.argv[2]), signal.SIGSTOP)
threading.Timer(0.2, lambda: os.kill(parent, signal.SIGUSR1)).start()
try:
    client.hello()
    code = "none"
except MaestroError as error:
    code = error.code
finally:
    if os.getpid() != parent:
        os._exit(7 if code == "BAD_REQUEST" else 1)
    os.kill(int(sys.argv[2]), signal.SIGCONT)
assert code == "TIMEOUT", code
assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 7
"""


def test_a_fork_in_a_signal_s_handler_ends_the_childs_call(open_office: PostOffice) -> None:
    """Otherwise the child would wait for ever, in a busy loop."""
    words = [sys.executable, "-c", FORKING_IN_A_HANDLER, open_office.router(), str(open_office.pid)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_many_clients_in_many_threads(open_office: PostOffice) -> None:
    """Each thread has a client; all share one I/O thread of the process."""
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
    """The broker's counters show it."""
    operator = open_office.client()
    for _ in range(20):
        with Client(open_office.router()) as client:
            client.hello()

    def settled() -> bool:
        connections = operator.stats()["connections"]
        return connections["opened"] - connections["closed"] <= 2  # type: ignore[no-any-return]

    eventually(settled, "connections are closed")
