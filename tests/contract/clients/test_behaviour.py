"""Behaviour that all clients share, whichever transport and driver they use, with real brokers over real sockets.

The first part (`speak`) covers what every kind can express, REST too. The rest (`connect`) is for the Python clients.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from maestro_clients.channel.core import QUIET_S
from maestro_clients.protocol.new_ids import new_message_id, new_session_id, new_token
from maestro_schemas.errors import MaestroError
from support.client_kinds import CLIENTS, CORRESPONDENTS
from support.impostor import Impostor
from support.post_office import eventually, own_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from maestro_schemas.documents import OutgoingDoc
    from support.client_kinds import Connect, Correspondent
    from support.post_office import PostOffice


@pytest.fixture(params=CORRESPONDENTS)
def speak(request: pytest.FixtureRequest, open_office: PostOffice) -> Iterator[Callable[..., Correspondent]]:
    """`speak(session, token)`: a client that acts for a session of the open post office; without one, for the
    operator."""
    with CORRESPONDENTS[request.param](open_office) as made:
        yield made


@pytest.fixture(params=CLIENTS)
def connect(request: pytest.FixtureRequest, post_office: PostOffice) -> Iterator[Connect]:
    """`connect(session, token)`: a Python client of either kind."""
    with CLIENTS[request.param](post_office) as made:
        yield made


def refused(call: Callable[[], object]) -> MaestroError:
    """The error of a call that must fail."""
    with pytest.raises(MaestroError) as raised:
        call()
    return raised.value


def outgoing(count: int, text: str = "x", to: str = "bob") -> list[OutgoingDoc]:
    return [{"id": own_id("ann", new_message_id()), "to": to, "message": text} for _ in range(count)]


# --- what every kind of client can express ---------------------------------------------------------------------


def test_a_letter(speak: Callable[..., Correspondent]) -> None:
    """Both parties list, show and read it; the receiver deletes it. Showing changes nothing."""
    ann, bob = speak("ann"), speak("bob")
    sent = ann.send("bob", "hello\n-- 🙂", metadata={"priority": "high", "taskId": "t1"})
    assert (sent["to"], sent["seq"]) == ("bob", 1)
    for _ in range(2):
        [listed] = bob.inbox("bob")["messages"]
        assert (listed["message"], listed["status"], listed["from"]) == ("hello\n-- 🙂", "pending", "ann")
        assert listed["metadata"]["taskId"] == "t1"
    assert ann.message(sent["id"])["status"] == "pending"
    read = bob.read(sent["id"])
    assert (read["id"], read["status"]) == (sent["id"], "read")
    assert ann.message(sent["id"]).get("readAt") == read["readAt"]
    bob.delete(sent["id"])
    assert refused(lambda: bob.message(sent["id"])).code == "MESSAGE_NOT_FOUND"
    assert bob.inbox("bob", status="read")["count"] == 0


def test_an_inbox_can_be_filtered(speak: Callable[..., Correspondent]) -> None:
    """`inbox` selects by status, by type and by number, and `limit` bounds the page."""
    ann, bob = speak("ann"), speak("bob")
    kinds = ["request", "notification", "request", "response"]
    ids = [ann.send("bob", kind, metadata={"type": kind})["id"] for kind in kinds]
    bob.read(ids[0])
    assert [found["id"] for found in bob.inbox("bob", status="pending")["messages"]] == ids[1:]
    assert [found["id"] for found in bob.inbox("bob", status="read")["messages"]] == ids[:1]
    assert [found["id"] for found in bob.inbox("bob", status="pending", type="request")["messages"]] == ids[2:3]
    page = bob.inbox("bob", status="pending", since=1, limit=2)
    assert [found["id"] for found in page["messages"]] == ids[1:3]
    assert (page["count"], page["hasMore"]) == (2, True)


def test_a_repeat_under_the_same_id_is_one_message(speak: Callable[..., Correspondent]) -> None:
    """Another text under the same id is a conflict."""
    ann = speak("ann")
    first = ann.send("bob", "once", message_id="m1")
    again = ann.send("bob", "once", message_id="m1")
    assert (first["id"], first["seq"]) == (again["id"], again["seq"]) == (own_id("ann", "m1"), 1)
    assert refused(lambda: ann.send("bob", "twice", message_id="m1")).code == "CONFLICT"
    assert speak("bob").inbox("bob")["count"] == 1


def test_sends_that_are_refused(speak: Callable[..., Correspondent]) -> None:
    """Each refusal has its code, and nothing is stored."""
    operator, ann, bob = speak(), speak("ann"), speak("bob")
    operator.start("cyd", project_id="elsewhere")
    operator.start("dan")
    operator.end("dan")
    assert refused(lambda: ann.send("absent", "x")).code == "RECEIVER_NOT_FOUND"
    assert refused(lambda: ann.send("dan", "x")).code == "RECEIVER_ENDED"
    assert refused(lambda: ann.send("cyd", "x")).code == "ROLE_FORBIDDEN"
    assert refused(lambda: ann.send("bob", " ")).code == "EMPTY_MESSAGE"
    long = refused(lambda: ann.send("bob", "x" * 10_001))
    assert (long.code, long.limit, long.actual) == ("TEXT_TOO_LONG", 10_000, 10_001)
    assert refused(lambda: ann.send("bob", "x", metadata={"priority": "urgent"})).code == "INVALID"
    assert refused(lambda: speak("stranger").send("bob", "x")).code == "UNKNOWN_SESSION"
    assert refused(lambda: speak("dan").send("bob", "x")).code == "SESSION_ENDED"
    assert bob.inbox("bob")["count"] == 0


def test_an_ended_receiver(speak: Callable[..., Correspondent]) -> None:
    """Its mail waits for it, or is sent to its orchestrator, as the sender chose. The message says which."""
    operator, ann = speak(), speak("ann")
    operator.start("boss", role="orchestrator")
    ann.send("bob", "before")
    operator.end("bob")
    odd = refused(lambda: ann.send("bob", "x", on_ended="drop"))
    assert (odd.code, odd.hint) == ("INVALID", "Use one of: error, queue, redirect.")
    assert refused(lambda: ann.send("bob", "x", on_ended="error")).code == "RECEIVER_ENDED"
    queued = ann.send("bob", "while it is away", on_ended="queue")
    assert (queued["to"], queued["seq"]) == ("bob", 2)
    redirected = ann.send("bob", "urgent", message_id="m1", on_ended="redirect")
    assert (redirected["to"], redirected["originalTo"]) == ("boss", "bob")
    [shown] = speak("boss").inbox("boss")["messages"]
    assert (shown["message"], shown["originalTo"]) == ("urgent", "bob")
    operator.start("bob")
    again = ann.send("bob", "urgent", message_id="m1", on_ended="redirect")
    assert (again["to"], again["originalTo"], again["seq"]) == ("boss", "bob", redirected["seq"])
    found = speak("bob").inbox("bob", since=0)["messages"]
    assert [message["message"] for message in found] == ["before", "while it is away"]


def test_dead_letters(speak: Callable[..., Correspondent]) -> None:
    """The sender and the operator list expired messages page by page, the newest first."""
    operator, ann, bob = speak(), speak("ann"), speak("bob")
    ids = [ann.send("bob", f"{number}", ttl_ms=1 + number)["id"] for number in range(3)]
    ann.send("bob", "lives")
    other = bob.send("ann", "of bob", ttl_ms=1)["id"]
    eventually(lambda: all(operator.message(one)["status"] == "expired" for one in [*ids, other]), "all expire")
    page = ann.dead("ann", limit=2)
    assert page["hasMore"]
    rest = ann.dead("ann", limit=2, before=page["before"])
    assert not rest["hasMore"]
    assert [message["id"] for message in [*page["messages"], *rest["messages"]]] == ids[::-1]
    assert {message["status"] for message in page["messages"]} == {"expired"}
    assert [message["id"] for message in operator.dead("bob")["messages"]] == [other]
    assert refused(lambda: bob.dead("ann")).code == "FORBIDDEN"
    assert refused(lambda: ann.dead("ann", limit=0)).code == "INVALID"
    bob.delete(ids[1])
    assert [message["id"] for message in ann.dead("ann")["messages"]] == [ids[2], ids[0]]


def test_mail_of_another_session(speak: Callable[..., Correspondent]) -> None:
    """Neither another session's mailbox nor its message is accessible."""
    ann, bob = speak("ann"), speak("bob")
    speak().start("cyd")
    sent = ann.send("bob", "between us")
    assert refused(lambda: speak("cyd").inbox("bob")).code == "FORBIDDEN"
    assert refused(lambda: speak("cyd").message(sent["id"])).status in (403, 404)
    assert refused(lambda: bob.read("no-such")).code == "MESSAGE_NOT_FOUND"
    assert refused(lambda: bob.delete("no-such")).code == "MESSAGE_NOT_FOUND"


def test_the_life_of_a_session(speak: Callable[..., Correspondent]) -> None:
    """It is started, found, used with its token alone, and ended."""
    operator, token = speak(), new_token()
    started = operator.start("eve", token=token, name="builder", role="orchestrator", project_id="p1")
    assert (started["id"], started.get("name"), started["role"]) == ("eve", "builder", "orchestrator")
    assert operator.get("eve")["projectId"] == "p1"
    assert [found["id"] for found in operator.find(project_id="p1")] == ["eve"]
    assert speak("eve", token).send("bob", "x")["seq"] == 1
    assert refused(lambda: speak("eve").send("bob", "x")).code == "TOKEN_REQUIRED"
    assert refused(lambda: speak("eve", "wrong").send("bob", "x")).code == "TOKEN_MISMATCH"
    assert speak("eve", token).end("eve")["status"] == "completed"
    assert operator.find(project_id="p1", active=True) == []
    assert refused(lambda: operator.get("absent")).code == "SESSION_NOT_FOUND"


# --- every command, by the Python clients ------------------------------------------------------------------------


def test_hello_and_stats(open_office: PostOffice, connect: Connect) -> None:
    """They say which broker answers."""
    client = connect()
    hello = client.hello()
    assert hello["pid"] == open_office.pid
    assert hello["dataDir"] == open_office.data
    assert hello["limits"]["wire_bytes_max"] == 1 << 20
    assert client.stats()["epoch"] == hello["epoch"]


def test_a_message_from_send_to_read(open_office: PostOffice, connect: Connect) -> None:
    """A message is accepted, listed, confirmed, shown and deleted."""
    ann, bob = connect("ann"), connect("bob")
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


def test_leases_keep_two_readers_apart(open_office: PostOffice, connect: Connect) -> None:
    """The arguments of `inbox` set the lease."""
    connect("ann").send("bob", "one")
    bob = connect("bob")
    assert bob.inbox(lease_ms=60_000, reader="one")["count"] == 1
    other = bob.inbox(lease_ms=60_000, reader="two")
    assert (other["count"], other.get("leased")) == (0, 1)
    assert other.get("leaseEndsInMs", 0) > 50_000


def test_sessions(open_office: PostOffice, connect: Connect) -> None:
    """A session can be started, restarted, shown, listed, touched and ended."""
    operator = connect()
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
    own = connect(session_id, token)
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
    assert refused(lambda: connect(session_id, "wrong").session()).code == "TOKEN_MISMATCH"
    assert refused(lambda: connect(session_id).session()).code == "TOKEN_REQUIRED"


def test_groups(post_office: PostOffice, connect: Connect) -> None:
    """A group is made, changed, found page by page, and deleted."""
    post_office.start(sessions_reply_max=1)
    post_office.sessions("ann", "bob")
    ann = connect("ann")
    made = ann.set_group("reviews", create=True, add=["bob", "ann"])
    assert (made.get("created"), made.get("added")) == (True, ["bob", "ann"])
    assert ann.set_group("reviews", create=True, add=["bob"]) == {"group": made["group"]}
    changed = ann.set_group("@reviews", remove=["bob"])
    assert (changed.get("removed"), changed["group"]["size"]) == (["bob"], 1)
    operator = connect()
    operator.set_group("docs", create=True, project_id="elsewhere")
    assert [group["name"] for group in operator.groups()] == ["docs", "reviews"]
    assert [group["name"] for group in operator.groups(project_id="elsewhere")] == ["docs"]
    [shown] = operator.groups(project_id="default", members=True)
    assert shown == operator.group("reviews")
    page = operator.group_page(limit=1)
    assert ([group["name"] for group in page["groups"]], page.get("next")) == (["docs"], "docs")
    assert ann.delete_group("reviews") == {"name": "reviews", "size": 1}
    assert refused(lambda: ann.group("reviews")).code == "GROUP_NOT_FOUND"


def test_events(open_office: PostOffice, connect: Connect) -> None:
    """Events are replayed from a cursor."""
    ann = connect("ann")
    ann.send("bob", "hello")
    events = ann.events(0)
    assert [event["event"] for event in events["events"]] == ["session.started", "message.accepted"]
    assert ann.events(events["upTo"])["events"] == []
    assert len(connect().events(-1, limit=1, session="bob")["events"]) == 1
    assert refused(lambda: ann.events(10_000)).code == "CURSOR_AHEAD"


def test_the_outbox_is_drained_on_demand(open_office: PostOffice, connect: Connect) -> None:
    """The reply counts the entries."""
    assert connect().drain_outbox() == {"sent": 0, "waiting": 0, "failed": 0}


def test_shutdown_names_the_process_to_wait_for(open_office: PostOffice, connect: Connect) -> None:
    """The pid in the reply is the broker's own."""
    pid = open_office.pid
    assert connect().shutdown() == pid


def test_many_messages_in_one_request_are_judged_one_by_one(open_office: PostOffice, connect: Connect) -> None:
    """The results are in order, and a refused message does not stop the others."""
    ann = connect("ann")
    batch = [*outgoing(2), *outgoing(1, to="absent"), *outgoing(1)]
    results = ann.send_many(batch)
    assert [result["status"] for result in results] == [201, 201, 404, 201]
    assert [result["id"] for result in results] == [item["id"] for item in batch]
    assert results[2].get("error", {}).get("code") == "RECEIVER_NOT_FOUND"
    assert ann.send_many([]) == []
    assert refused(lambda: ann.send_many(outgoing(257))).code == "TOO_MANY"


def test_errors_arrive_whole(post_office: PostOffice, connect: Connect) -> None:
    """An error keeps its code, message, hint and numbers."""
    post_office.start(rate_limit=1)
    post_office.sessions("ann", "bob")
    ann = connect("ann")
    ann.send("bob", "one")
    error = refused(lambda: ann.send("bob", "two"))
    assert error.code == "RATE_LIMITED"
    assert error.retryable
    assert 0 < (error.retry_after_s or 0) <= 60
    assert error.hint
    long = refused(lambda: connect("bob").send("ann", "x" * 10_001))
    assert (long.code, long.limit, long.actual) == ("TEXT_TOO_LONG", 10_000, 10_001)
    assert refused(lambda: ann.call("no.such", {})).code == "UNKNOWN_COMMAND"
    assert refused(lambda: ann.call("hello", {"unknown": 1})).code == "INVALID"
    assert refused(lambda: ann.call("hello", {"client": "\ud800"})).code == "INVALID"


# --- sizes -----------------------------------------------------------------------------------------------------


def test_an_oversized_request_is_refused_before_it_is_sent(open_office: PostOffice, connect: Connect) -> None:
    """The error has the limit and the size. The connection stays open, and libzmq dropped nothing."""
    ann = connect("ann")
    error = refused(lambda: ann.send("bob", "x" * (5 << 20)))
    assert error.code == "FRAME_TOO_LARGE"
    assert error.limit == 1 << 20
    assert (error.actual or 0) > 5 << 20
    assert ann.send("bob", "small")["status"] == 201
    stats = connect().stats()
    assert stats["refused"]["oversize"] == 0


def test_the_brokers_own_limit_counts(post_office: PostOffice, connect: Connect) -> None:
    """The broker's setting is used, whether lower or higher than the default."""
    post_office.start(wire_bytes_max=4_096, text_chars_max=200_000)
    post_office.sessions("ann", "bob")
    ann = connect("ann")
    for size in (30_000, 500_000):
        error = refused(lambda size=size: ann.send("bob", "x" * size))  # type: ignore[misc]
        assert (error.code, error.limit) == ("FRAME_TOO_LARGE", 4_096)
    # A request of this size gets an answer; with a larger one, the connection is closed.
    assert refused(lambda: ann.send("bob", "x" * 10_000)).code == "FRAME_TOO_LARGE"
    post_office.stop()
    post_office.start(wire_bytes_max=8 << 20, text_chars_max=200_000, batch_messages_max=256)
    big = connect("ann")
    assert all(result["status"] == 201 for result in big.send_many(outgoing(40, "y" * 100_000)))


# --- broker restarts -------------------------------------------------------------------------------------------


def test_a_missing_broker_is_reported_at_once(post_office: PostOffice, connect: Connect) -> None:
    """The call does not wait for its whole timeout."""
    client = connect(timeout_s=30.0)
    began_s = time.monotonic()
    error = refused(client.hello)
    assert time.monotonic() - began_s < 5 * QUIET_S
    assert error.code == "BROKER_UNREACHABLE"
    assert error.hint


def test_a_dead_broker_is_reported_at_once_and_its_successor_found(open_office: PostOffice, connect: Connect) -> None:
    """The same client finds it."""
    client = connect(timeout_s=30.0)
    epoch = client.hello()["epoch"]
    open_office.kill()
    began_s = time.monotonic()
    assert refused(client.hello).code == "BROKER_UNREACHABLE"
    assert time.monotonic() - began_s < 5 * QUIET_S
    open_office.start()
    assert client.hello()["epoch"] != epoch


def test_a_broker_that_does_not_answer_is_a_timeout(open_office: PostOffice, connect: Connect) -> None:
    """The broker exists, so it is not unreachable. It handles the request once, when it continues."""
    ann = connect("ann")
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
    # The client repeated the request several times meanwhile.
    assert connect("bob").inbox()["count"] == 1


def test_an_unreachable_call_is_not_delivered_later(open_office: PostOffice, connect: Connect) -> None:
    """A send that was reported as failed must not be accepted by the next broker."""
    ann = connect("ann")
    ann.hello()
    open_office.kill()
    assert refused(lambda: ann.send("bob", "too late")).code == "BROKER_UNREACHABLE"
    open_office.start()
    assert ann.hello()
    assert connect("bob").inbox(status=["pending"])["count"] == 0


def test_a_closed_client_refuses_calls(open_office: PostOffice, connect: Connect) -> None:
    """Closing twice is allowed."""
    with connect() as client:
        client.hello()
    client.close()
    assert refused(client.hello).code == "BAD_REQUEST"


@pytest.mark.parametrize("address", ["", "nonsense", "ipc://" + "x" * 200, "tcp://127.0.0.1:1"])
def test_an_invalid_address(address: str, connect: Connect) -> None:
    """It causes a typed error, too."""
    with connect(address=address, timeout_s=0.5) as client:
        # The last address needs a key.
        assert refused(client.hello).code in ("BROKER_UNREACHABLE", "TIMEOUT", "KEY_FILE_UNUSABLE")


# --- a peer that is no broker ----------------------------------------------------------------------------------


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
def test_invalid_answers(post_office: PostOffice, answer: list[bytes], connect: Connect) -> None:
    """Each ends soon in a typed error. A stray frame is not taken as the beginning of the next answer."""
    impostor = Impostor(post_office.root, answer)
    try:
        with connect(address=impostor.address, timeout_s=5.0) as client:
            began_s = time.monotonic()
            error = refused(client.hello)
            assert time.monotonic() - began_s < 2.0
            assert error.code in ("BAD_REQUEST", "UNSUPPORTED_PROTOCOL", "INTERNAL")
    finally:
        impostor.close()


def test_too_few_results(post_office: PostOffice, connect: Connect) -> None:
    """The broker violates the contract. The client reports that, so that no message is without a result."""
    answer = [b"<header>", b"<id>", b"200", b"\x81\xa7results\x90"]
    impostor = Impostor(post_office.root, answer, answer)
    try:
        with connect("ann", address=impostor.address, timeout_s=5.0) as client:
            assert refused(lambda: client.send("bob", "x")).code == "INTERNAL"
            assert refused(lambda: list(client.pipeline(outgoing(1)))).code == "INTERNAL"
    finally:
        impostor.close()


# --- pipeline --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("in_flight", "batch"), [(1, 4), (8, 3), (16, 16), (300, 256)])
def test_a_pipeline_of_batches(open_office: PostOffice, connect: Connect, in_flight: int, batch: int) -> None:
    ann = connect("ann")
    sent = [*outgoing(40), *outgoing(1, to="absent"), *outgoing(9)]
    results = list(ann.pipeline(sent, in_flight=in_flight, batch=batch))
    assert [result["id"] for result in results] == [message["id"] for message in sent]
    assert [result["status"] for result in results] == [201] * 40 + [404] + [201] * 9
    stranger = connect("stranger")
    codes = [result["error"]["code"] for result in stranger.pipeline(outgoing(5), in_flight=4, batch=2)]
    assert codes == ["UNKNOWN_SESSION"] * 5


def test_a_pipeline_leaves_refusals_in_the_results(open_office: PostOffice, connect: Connect) -> None:
    """Refusals of a whole request are in the results, too."""
    ann = connect("ann")
    results = {result["id"]: result for result in ann.pipeline([*outgoing(2), *outgoing(1, to="absent")])}
    assert sorted(result["status"] for result in results.values()) == [201, 201, 404]
    stranger = connect("stranger")
    batch = outgoing(3)
    codes = {result["id"]: result.get("error", {}).get("code") for result in stranger.pipeline(batch)}
    assert codes == {item["id"]: "UNKNOWN_SESSION" for item in batch}
    assert list(ann.pipeline([])) == []


def test_a_message_to_several_and_its_receipt(connect: Connect, post_office: PostOffice) -> None:
    post_office.start()
    post_office.sessions("ann", "bob", "cyd")
    ann, bob = connect("ann"), connect("bob")
    sent = ann.send(["bob", "cyd", "bob"], "hello", message_id="msg_1_several")
    assert (sent["status"], sent["accepted"], sent["refused"]) == (201, 2, 0)
    assert sent["audience"] == {"to": ["bob", "cyd", "bob"], "size": 2}
    assert ann.send(["bob", "cyd", "bob"], "hello", message_id="msg_1_several")["status"] == 200
    bob.confirm([sent["id"]], "read")
    receipt = ann.receipt("msg_1_several", people=True)
    assert {line["to"]: line["state"] for line in receipt["recipients"]} == {"bob": "read", "cyd": "pending"}
    assert set(receipt["people"]) == {"ann", "bob", "cyd"}
    [own] = ann.receipt(sent["id"], session="cyd")["recipients"]
    assert own["to"] == "cyd"
    with pytest.raises(MaestroError) as raised:
        connect("cyd").receipt("msg_1_absent")
    assert raised.value.code == "MESSAGE_NOT_FOUND"


def test_sixty_five_receivers_are_too_many(connect: Connect, post_office: PostOffice) -> None:
    post_office.start()
    operator = connect()
    operator.start_session("lead", role="orchestrator")
    for number in range(65):
        operator.start_session(f"w{number}", parent_session_id="lead")
    lead = connect("lead")
    with pytest.raises(MaestroError) as raised:
        lead.send("@children", "hello")
    error = raised.value
    assert (error.code, error.limit, error.actual) == ("TOO_MANY", 64, 65)
    operator.end_session("w64")
    assert lead.send("@children", "hello")["accepted"] == 64
    with pytest.raises(MaestroError) as raised:
        lead.send("@workers", "hello")
    assert raised.value.code == "CONFIRM_FANOUT"
    assert lead.send("@workers", "hello", confirm=True)["accepted"] == 64
