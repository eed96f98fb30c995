"""The gateway's events, over WebSocket and server-sent: which client gets which, none lost and none twice.

The form is `flat` here. `test_named_events.py` has the form that clients get otherwise.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import socket
import threading
from typing import TYPE_CHECKING, Any, Self

import httpx
import msgspec
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from maestro_clients.outbox import outbox_files
from maestro_clients.protocol.callers import Caller
from maestro_schemas.events import Event, expand
from support.gateways import Gateway
from support.post_office import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.post_office import PostOffice

WAIT_S = 20.0
STREAM = "/api/sessions/{}/messages/stream?frames=flat"
FLAT = "/ws?frames=flat"


@pytest.fixture
def gateway(alone: Gateway) -> Gateway:
    return alone


# --- clients -----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def websocket(
    gateway: Gateway, path: str = FLAT, session: str | None = None, token: str | None = None, **options: Any
) -> Iterator[ClientConnection]:
    headers = {}
    if session is not None:
        headers["X-Session-ID"] = session
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    # Without a bound of its own this client reads on while it closes.
    options = {"compression": None, "max_queue": None, **options}
    with connect(gateway.ws_url + path, additional_headers=headers, **options) as opened:
        yield opened


def receive(opened: ClientConnection) -> dict[str, Any]:
    frame: dict[str, Any] = json.loads(opened.recv(timeout=WAIT_S))
    return frame


def ask(opened: ClientConnection, **body: object) -> dict[str, Any]:
    """Send, and read the answer."""
    opened.send(json.dumps(body))
    return receive(opened)


def nothing_more(opened: ClientConnection) -> None:
    """No frame waits: the next one is the answer to a ping. A frame that the gateway still prepares is not
    noticed."""
    assert ask(opened, type="ping")["type"] == "pong"


def lsn_and_name(frame: dict[str, Any]) -> tuple[int, str]:
    return frame["lsn"], frame["event"]


def closing(opened: ClientConnection) -> tuple[int, str, list[dict[str, Any]]]:
    """Read to the end; the close code and reason, and the frames before."""
    frames = []
    try:
        while True:
            frames.append(receive(opened))
    except ConnectionClosed as closed:
        assert closed.rcvd is not None
        return closed.rcvd.code, closed.rcvd.reason, frames


class Stream:
    """A client of server-sent events that remembers the last id, as a browser does."""

    def __init__(self, gateway: Gateway, session: str, last_id: str | None = None, **headers: str) -> None:
        if last_id is not None:
            headers["Last-Event-ID"] = last_id
        self.last_id = last_id
        self._stack = contextlib.ExitStack()
        url = gateway.url + STREAM.format(session)
        self._response = self._stack.enter_context(httpx.stream("GET", url, headers=headers, timeout=WAIT_S))
        assert self._response.status_code == 200
        assert self._response.headers["content-type"].startswith("text/event-stream")
        self._lines = self._response.iter_lines()
        assert next(self._lines) == "retry: 1000"
        assert next(self._lines) == ""

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Name and data of each event, to the end."""
        event = data = ""
        for line in self._lines:
            field, _, value = line.partition(": ")
            if field == "event":
                event = value
            elif field == "data":
                data = value
            elif field == "id":
                self.last_id = value
            elif not line and event:
                yield event, json.loads(data)
                event = data = ""

    def close(self) -> None:
        self._stack.close()


def truth(office: PostOffice, after: int, session: str | None = None) -> list[tuple[int, str]]:
    """Every frame after an LSN, made from the broker's events; only those of one session where one is named."""
    operator = office.client()
    found = []
    has_more = True
    while has_more:
        page = operator.events(after, session=session)
        for doc in page["events"]:
            event = msgspec.convert(doc, Event)
            names = expand(event)
            own = [name for name in names if session in (None, name[1])]
            found += [(event.lsn, name) for name, _ in own or names]
        after, has_more = page["upTo"], page["hasMore"]
    return found


class Traffic:
    """Ann writes to bob all the time, in a thread of its own. Bob reads, so that the mailbox never fills."""

    def __init__(self, office: PostOffice) -> None:
        self._ann = office.client("ann", patient=True, timeout_s=60.0)
        self._bob = office.client("bob", patient=True, timeout_s=60.0)
        self._stopped = threading.Event()
        self._sent = 0
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            sent = self._ann.send("bob", f"number {self._sent}")
            self._bob.confirm([sent["id"]], "delivered")
            self._sent += 1

    def wait_for(self, more: int) -> None:
        """Wait until `count` more were accepted."""
        goal = self._sent + more
        eventually(lambda: self._sent >= goal, f"{more} more were sent", WAIT_S)


# --- names and shapes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/?frames=flat", FLAT])
def test_a_message_has_its_documented_names(open_office: PostOffice, gateway: Gateway, path: str) -> None:
    ann, bob = open_office.client("ann"), open_office.client("bob")
    with websocket(gateway, path) as opened:
        sent = ann.send("bob", "Hello.", metadata={"priority": "high", "taskId": "t1"})
        frames = [receive(opened) for _ in range(3)]
        assert [(frame["event"], frame["data"]["sessionId"]) for frame in frames] == [
            ("message:created", "bob"),
            ("session:message_sent", "ann"),
            ("session:message_received", "bob"),
        ]
        message = open_office.look(sent["id"])
        for frame in frames:
            assert set(frame) == {"type", "event", "data", "timestamp", "lsn", "index"}
            assert frame["type"] == "event"
            assert frame["timestamp"] == message["createdAt"]
            assert {name: frame["data"][name] for name in message} == message
        bob.confirm([sent["id"]], "delivered", via="cli")
        frames = [receive(opened) for _ in range(2)]
        assert [frame["event"] for frame in frames] == ["message:delivered", "session:message_delivered"]
        assert [frame["data"]["sessionId"] for frame in frames] == ["bob", "ann"]
        assert frames[0]["data"]["via"] == "cli"
        bob.delete([sent["id"]])
        gone = receive(opened)
        assert gone["event"] == "message:deleted"
        assert gone["data"] == {
            "sessionId": "bob",
            "id": sent["id"],
            "from": "ann",
            "to": "bob",
            "seq": 1,
            "by": "bob",
        }


def test_sessions_have_their_name_and_status(open_office: PostOffice, gateway: Gateway) -> None:
    operator = open_office.client()
    with websocket(gateway) as opened:
        operator.start_session("carol", name="reviewer", project_id="p1", role="orchestrator")
        operator.touch_session("carol", status="working")
        operator.end_session("carol", status="failed")
        frames: list[dict[str, Any]] = []
        while not frames or frames[-1]["event"] != "session:ended":
            frames.append(receive(opened))
    # The state is said after the event that it follows from; of `working` it may not be said any more.
    frames = [frame for frame in frames if frame["event"] != "session:presence"]
    assert [frame["event"] for frame in frames] == [
        "session:created", "session:started",
        "session:status_changed", "session:updated",
        "notify:session_failed", "session:status_changed", "session:updated", "session:ended",
    ]  # fmt: skip
    about = {"sessionId": "carol", "id": "carol", "name": "reviewer", "role": "orchestrator", "projectId": "p1"}
    assert [frame["data"] for frame in frames[:2]] == [{**about, "status": "idle"}] * 2
    assert [frame["data"] for frame in frames[2:4]] == [{**about, "status": "working", "was": "idle"}] * 2
    assert [frame["data"] for frame in frames[4:]] == [{**about, "status": "failed", "was": "working"}] * 4


def test_a_reading_of_pending_mail_is_a_delivery_too(open_office: PostOffice, gateway: Gateway) -> None:
    """Over WebSocket and as server-sent events; a reading of delivered mail is not."""
    ann, bob = open_office.client("ann"), open_office.client("bob")
    start = open_office.client().hello()["headLsn"]
    first, second = ann.send("bob", "One.")["id"], ann.send("bob", "Two.")["id"]
    bob.confirm([first], "read")
    bob.confirm([second], "delivered")
    bob.confirm([second], "read")
    with websocket(gateway, f"{FLAT}&since={start}") as opened:
        names = [receive(opened)["event"] for _ in range(14)]
        nothing_more(opened)
    assert names[6:] == [
        "message:delivered", "session:message_delivered", "message:read", "session:message_delivered",
        "message:delivered", "session:message_delivered", "message:read", "session:message_delivered",
    ]  # fmt: skip
    stream = Stream(gateway, "ann", str(start))
    names = [name for name, _ in itertools.islice(iter(stream), 6)]
    assert names == [
        "session:message_sent", "session:message_sent",
        "session:message_delivered", "session:message_delivered", "session:message_delivered",
        "session:message_delivered",
    ]  # fmt: skip
    stream.close()


def test_a_send_that_failed_is_an_event_of_its_sender(open_office: PostOffice, gateway: Gateway) -> None:
    """With the message, for those that may read it; its receiver hears nothing of it."""
    open_office.session("chief", role="orchestrator")
    open_office.session("stranger", role="orchestrator", project="p2")
    with contextlib.ExitStack() as stack:
        opened = {
            session: stack.enter_context(websocket(gateway, session=session))
            for session in ("ann", "bob", "chief", "stranger")
        }
        outbox_files.queue(
            open_office.data, Caller("ann"), {"id": "q1", "to": "ghost", "message": "Are you there?"}, 1
        )
        for session in ("ann", "chief"):
            failed = receive(opened[session])
            while failed["event"] != "message:failed":
                failed = receive(opened[session])
            assert (failed["event"], failed["data"]["sessionId"]) == ("message:failed", "ann")
            assert failed["data"]["message"] == "Are you there?"
            assert failed["data"]["failure"]["code"] == failed["data"]["code"] == "RECEIVER_NOT_FOUND"
        for session in ("bob", "stranger"):
            nothing_more(opened[session])


# --- rights ------------------------------------------------------------------------------------------------


def test_each_sees_what_the_broker_would_show_it(open_office: PostOffice, gateway: Gateway) -> None:
    open_office.session("other", project="p2")
    open_office.session("chief", role="orchestrator")
    open_office.session("stranger", role="orchestrator", project="p2")
    with contextlib.ExitStack() as stack:
        opened = {
            session: stack.enter_context(websocket(gateway, session=session))
            for session in ("ann", "bob", "other", "chief", "stranger")
        }
        open_office.client("ann").send("bob", "Between us.")
        open_office.client("chief").send("other", "To all.")
        for session, count in {"ann": 3, "bob": 3, "other": 3, "chief": 6, "stranger": 0}.items():
            frames = [receive(opened[session]) for _ in range(count)]
            texts = [frame["data"].get("message") for frame in frames]
            expected = {
                "ann": ["Between us."] * 3,
                "bob": ["Between us."] * 3,
                "other": ["To all."] * 3,
                "chief": ["Between us."] * 3 + ["To all."] * 3,
                "stranger": [],
            }
            assert texts == expected[session], session
            nothing_more(opened[session])
        # Facts are there without the text.
        seen = open_office.client().events(0)["events"][-2]
        assert seen["event"] == "message.accepted"


def test_a_text_for_a_receiver_with_a_token_is_not_shown_to_the_operator(
    open_office: PostOffice, gateway: Gateway
) -> None:
    open_office.session("safe", token="t" * 20)
    with websocket(gateway) as operator, websocket(gateway, session="safe", token="t" * 20) as safe:
        sent = open_office.client("ann").send("safe", "Secret.")
        shown = receive(operator)
        assert "message" not in shown["data"]
        assert shown["data"] == {"sessionId": "safe", "id": sent["id"], "from": "ann", "to": "safe", "seq": 1}
        assert receive(safe)["data"]["message"] == "Secret."


@pytest.mark.parametrize(
    ("session", "token", "code", "is_in_url"),
    [
        # In the header, a name that was never started is no name (`shipped/test_identity.py`).
        ("absent", None, "UNKNOWN_SESSION", True),
        ("safe", "wrong", "TOKEN_MISMATCH", True),
        ("safe", "wrong", "TOKEN_MISMATCH", False),
    ],
)
def test_a_false_identity_is_refused(
    open_office: PostOffice, gateway: Gateway, session: str, token: str | None, code: str, is_in_url: bool
) -> None:
    open_office.session("safe", token="t" * 20)
    path = f"/ws?sessionId={session}" if is_in_url else "/ws"
    with websocket(gateway, path, None if is_in_url else session, token) as opened:
        number, reason, frames = closing(opened)
    assert number == 4401
    assert reason.startswith(code)
    assert [(frame["type"], frame["code"]) for frame in frames] == [("error", code)]
    assert frames[0]["hint"]


def test_a_client_without_headers_authenticates_by_its_first_frame(open_office: PostOffice, gateway: Gateway) -> None:
    open_office.session("safe", token="t" * 20)
    ann = open_office.client("ann")
    for path in ("/ws?frames=flat&sessionId=safe", FLAT):
        with websocket(gateway, path) as opened:
            right = {"type": "auth", "sessionId": "safe", "token": "t" * 20}
            assert ask(opened, **right) == {"type": "authenticated", "sessionId": "safe"}
            ann.send("bob", "Not for it.")
            ann.send("safe", "For it.")
            assert [receive(opened)["data"]["message"] for _ in range(3)] == ["For it."] * 3
            assert ask(opened, **right)["code"] == "INVALID"
            nothing_more(opened)
        with websocket(gateway, path) as opened:
            opened.send(json.dumps({"type": "auth", "sessionId": "safe", "token": "wrong"}))
            assert closing(opened)[0] == 4401
    with websocket(gateway, "/ws?sessionId=safe") as opened:
        opened.send(json.dumps({"type": "ping"}))
        number, reason, _ = closing(opened)
        assert (number, reason.partition(":")[0]) == (4401, "TOKEN_REQUIRED")


# --- the client's frames -------------------------------------------------------------------------------------


def test_subscribing_chooses_and_unsubscribing_takes_it_back(open_office: PostOffice, gateway: Gateway) -> None:
    open_office.sessions("carol")
    ann, bob = open_office.client("ann"), open_office.client("bob")
    with websocket(gateway) as opened:
        answer = ask(opened, type="subscribe", sessionIds=["carol", "ann"])
        assert (answer["type"], answer["sessionIds"]) == ("subscribed", ["carol", "ann"])
        assert answer["lsn"] == open_office.client().events(-1, limit=1)["head"]
        sent = ann.send("bob", "One.")
        assert receive(opened)["event"] == "session:message_sent"
        bob.confirm([sent["id"]], "read")
        # The reading delivered it, too.
        for _ in ("delivered", "read"):
            about_ann = receive(opened)
            assert (about_ann["event"], about_ann["data"]["sessionId"]) == ("session:message_delivered", "ann")
        # Its own name is about bob alone; ann, the sender, gets it as a party.
        bob.delete([sent["id"]])
        deleted = receive(opened)
        assert (deleted["event"], deleted["data"]["sessionId"]) == ("message:deleted", "bob")
        bob.send("bob", "To myself.")
        bob.send("carol", "Two.")
        assert [receive(opened)["event"] for _ in range(2)] == ["message:created", "session:message_received"]
        assert ask(opened, type="unsubscribe")["type"] == "unsubscribed"
        bob.send("bob", "Three.")
        assert receive(opened)["data"]["message"] == "Three."


def test_a_subscription_may_look_back(open_office: PostOffice, gateway: Gateway) -> None:
    ann = open_office.client("ann")
    for number in range(5):
        ann.send("bob", f"{number}")
    with websocket(gateway) as opened:
        assert ask(opened, type="subscribe", sessionIds=["bob"], since=0)["type"] == "subscribed"
        ann.send("bob", "5")
        expected = truth(open_office, 0, "bob")
        assert [lsn_and_name(receive(opened)) for _ in expected] == expected
        refused = ask(opened, type="subscribe", sessionIds=["ann"], since=10**9)
        assert (refused["type"], refused["code"]) == ("error", "CURSOR_AHEAD")
        # The earlier subscription stays.
        ann.send("bob", "6")
        assert receive(opened)["data"]["message"] == "6"


def test_garbage_is_answered_and_the_connection_stays(open_office: PostOffice, gateway: Gateway) -> None:
    with websocket(gateway) as opened:
        garbled: dict[str | bytes, str] = {
            "no JSON": "BAD_REQUEST",
            b"\xff\x00": "BAD_REQUEST",
            "[]": "INVALID",
            "{}": "INVALID",
            "[" * 5_000: "INVALID",
            '{"type": "subscribe"}': "INVALID",
            '{"type": "subscribe", "sessionIds": []}': "INVALID",
            '{"type": "subscribe", "sessionIds": "bob"}': "INVALID",
            '{"type": "subscribe", "sessionIds": ["bob"], "since": -1}': "INVALID",
        }
        for garbage, code in garbled.items():
            opened.send(garbage)
            answer = receive(opened)
            assert (answer["type"], answer["code"]) == ("error", code), garbage
            assert answer["hint"]
        # A frame of a type that is not known is no fault.
        for ignored in ("heartbeat", "keepalive", "dance"):
            opened.send(json.dumps({"type": ignored, "data": [1]}))
        pong = ask(opened, type="ping")
        assert pong.keys() == {"type", "timestamp"}
        open_office.client("ann").send("bob", "Still here.")
        assert receive(opened)["data"]["message"] == "Still here."


# --- resuming ----------------------------------------------------------------------------------------------


def test_resuming_by_lsn_loses_nothing_and_repeats_nothing(open_office: PostOffice, gateway: Gateway) -> None:
    """A client that connects again and again while mail flows has in the end every event of the broker."""
    start = open_office.client().hello()["headLsn"]
    got: list[tuple[int, str]] = []
    since = start
    with Traffic(open_office) as traffic:
        for _ in range(8):
            traffic.wait_for(20)
            with websocket(gateway, f"{FLAT}&since={since}") as opened:
                mine: list[tuple[int, str]] = []
                while len(mine) < 120 or mine[-1][1] != "session:message_received":
                    mine.append(lsn_and_name(receive(opened)))
            got += mine
            since = mine[-1][0]
    expected = truth(open_office, start)
    with websocket(gateway, f"{FLAT}&since={since}") as opened:
        while got[-1] != expected[-1]:
            got.append(lsn_and_name(receive(opened)))
        nothing_more(opened)
    assert got == expected
    with websocket(gateway, f"{FLAT}&since={start}") as opened:
        assert [lsn_and_name(receive(opened)) for _ in expected] == expected


def test_a_stream_resumes_by_the_last_id(open_office: PostOffice, gateway: Gateway) -> None:
    """A client that is cut off between two frames of one event gets both again: each at least once, in order, and
    an event that was got whole never comes again."""
    start = open_office.client().hello()["headLsn"]
    got: list[tuple[int, str]] = []
    last_id: str | None = str(start)
    with Traffic(open_office) as traffic:
        for number in range(8):
            traffic.wait_for(20)
            stream = Stream(gateway, "bob", last_id)
            for name, data in itertools.islice(stream, 80 + number):
                assert (data["event"], data["data"]["sessionId"]) == (name, "bob")
                got.append(lsn_and_name(data))
            stream.close()
            last_id = stream.last_id
            got = [one for one in got if one[0] <= int(last_id or 0)]
    expected = truth(open_office, start, "bob")
    stream = Stream(gateway, "bob", last_id)
    for _, data in stream:
        got.append(lsn_and_name(data))
        if got[-1] == expected[-1]:
            break
    stream.close()
    assert got == expected


def test_a_stream_has_the_mailbox_and_the_changes_of_sent_messages(open_office: PostOffice, gateway: Gateway) -> None:
    open_office.sessions("carol")
    start = open_office.client().hello()["headLsn"]
    ann, bob = open_office.client("ann"), open_office.client("bob")
    sent = ann.send("bob", "One.")
    bob.send("carol", "Not ann's.")
    stream = Stream(gateway, "ann", str(start))
    events = iter(stream)
    assert next(events)[0] == "session:message_sent"
    bob.confirm([sent["id"]], "delivered")
    bob.send("ann", "Two.")
    names = [next(events)[0] for _ in range(3)]
    assert names == ["session:message_delivered", "message:created", "session:message_received"]
    stream.close()


def test_a_stream_is_refused_as_json(open_office: PostOffice, gateway: Gateway) -> None:
    open_office.session("safe", token="t" * 20)

    def refused(session: str, query: str = "", **headers: str) -> tuple[int, str]:
        answer = httpx.get(gateway.url + STREAM.format(session) + query, headers=headers)
        return answer.status_code, answer.json()["code"]

    assert refused("absent") == (401, "UNKNOWN_SESSION")
    assert refused("safe") == (401, "TOKEN_REQUIRED")
    assert refused("safe", Authorization="Bearer wrong") == (401, "TOKEN_MISMATCH")
    assert refused("bob", **{"X-Session-ID": "ann"}) == (403, "FORBIDDEN")
    assert refused("bob", "&since=1000000") == (409, "CURSOR_AHEAD")
    assert refused("bob", "&since=x") == (400, "INVALID")
    assert refused("bob", **{"Last-Event-ID": "-1"}) == (400, "INVALID")
    stream = Stream(gateway, "safe", Authorization="Bearer " + "t" * 20)
    open_office.client("ann").send("safe", "Secret.")
    assert next(iter(stream))[1]["data"]["message"] == "Secret."
    stream.close()
    head = httpx.head(gateway.url + STREAM.format("bob"))
    assert (head.status_code, head.content) == (200, b"")


def test_an_expired_cursor_is_refused(open_office: PostOffice, gateway: Gateway) -> None:
    ann = open_office.client("ann")
    for number in range(10):
        ann.send("bob", f"{number}")
    open_office.stop()
    directory = os.path.join(open_office.data, "timeline")
    [name] = os.listdir(directory)
    with open(os.path.join(directory, name), "r+b") as file:
        lines = file.readlines()
        file.seek(0)
        file.truncate()
        file.writelines(lines[5:])
    open_office.start()
    eventually(lambda: httpx.get(gateway.url + "/health").status_code == 200, "the gateway found the broker")
    with websocket(gateway, "/ws?frames=flat&since=1") as opened:
        number, reason, frames = closing(opened)
    assert (number, reason.partition(":")[0]) == (4410, "CURSOR_EXPIRED")
    oldest = frames[0]["details"]["oldest"]
    answer = httpx.get(gateway.url + STREAM.format("bob"), headers={"Last-Event-ID": "1"})
    assert (answer.status_code, answer.json()["code"]) == (410, "CURSOR_EXPIRED")
    with websocket(gateway, f"{FLAT}&since={oldest}") as opened:
        assert receive(opened)["lsn"] == oldest + 1
    with websocket(gateway, "/ws?frames=flat&since=1000000") as opened:
        assert closing(opened)[0] == 4409
    with websocket(gateway, "/ws?frames=flat&since=soon") as opened:
        assert closing(opened)[0] == 4400


# --- faults ------------------------------------------------------------------------------------------------


def test_a_broker_that_is_killed_leaves_no_gap(open_office: PostOffice, gateway: Gateway) -> None:
    start = open_office.client().hello()["headLsn"]
    got: list[tuple[int, str]] = []
    stream = Stream(gateway, "bob")
    with websocket(gateway) as opened:
        with Traffic(open_office) as traffic:
            for _ in range(3):
                traffic.wait_for(30)
                open_office.kill()
                open_office.start()
                traffic.wait_for(30)
        expected = truth(open_office, start)
        got = [lsn_and_name(receive(opened)) for _ in expected]
        nothing_more(opened)
    assert got == expected
    expected = truth(open_office, start, "bob")
    assert [lsn_and_name(data) for _, data in itertools.islice(stream, len(expected))] == expected
    stream.close()


def test_a_client_that_asks_hears_that_the_broker_is_away_and_back(open_office: PostOffice, gateway: Gateway) -> None:
    """Once each, and only where the address asks for it; the events go on in the same connection."""
    with websocket(gateway, "/ws?frames=flat&link=1") as asking, websocket(gateway) as other:
        for _ in range(2):
            open_office.kill()
            assert receive(asking)["type"] == "broker:away"
            open_office.start()
            assert receive(asking)["type"] == "broker:back"
        open_office.client("ann").send("bob", "x")
        assert receive(asking)["event"] == receive(other)["event"]


def test_a_slow_client_is_cut_off_alone_and_may_resume(open_office: PostOffice, gateway: Gateway) -> None:
    start = open_office.client().hello()["headLsn"]
    ann = open_office.client("ann", timeout_s=60.0)
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    small.connect(gateway.address)
    got: list[tuple[int, str]] = []
    taken: list[tuple[int, str]] = []
    a_batch = 0
    with (
        websocket(gateway, session="bob", max_queue=None) as fast,
        websocket(gateway, sock=small, max_queue=16) as slow,
    ):
        for number in range(20):
            results = ann.send_many(
                [{"id": f"m{number}_{one}", "to": "bob", "message": "x" * 2_000} for one in range(250)]
            )
            assert all(result["status"] == 201 for result in results)
            # The fast one keeps up, however busy this machine is.
            a_batch = a_batch or len(truth(open_office, start))
            taken += [lsn_and_name(receive(fast)) for _ in range(a_batch)]
        expected = truth(open_office, start)
        assert taken == expected
        code, reason, frames = closing(slow)
        assert code == 1013
        found = re.search(r"SLOW_CONSUMER.*since=([0-9]+)$", reason)
        assert found is not None, reason
        error = frames.pop()
        assert (error["code"], error["details"]["since"]) == ("SLOW_CONSUMER", int(found[1]))
        got = [lsn_and_name(frame) for frame in frames]
        assert got == expected[: len(got)]
        assert len(got) < len(expected)
    with websocket(gateway, f"{FLAT}&since={found[1]}") as again:
        got += [lsn_and_name(receive(again)) for _ in expected[len(got) :]]
        nothing_more(again)
    assert got == expected


def test_clients_are_notified_that_the_gateway_stops(open_office: PostOffice) -> None:
    with Gateway(open_office) as gateway, websocket(gateway) as opened:
        stream = Stream(gateway, "bob")
        open_office.client("ann").send("bob", "Hello.")
        assert next(iter(stream))[0] == "message:created"
        assert receive(opened)["event"] == "message:created"
        assert gateway.stop() == 0
        assert closing(opened)[0] == 1012
        assert [name for name, _ in stream][-1] == "closed"
        stream.close()


def test_without_a_client_nothing_is_read(open_office: PostOffice, gateway: Gateway) -> None:
    def watchers() -> int:
        found: int = open_office.client().stats()["watchers"]
        return found

    assert watchers() == 0
    with websocket(gateway):
        eventually(lambda: watchers() > 0, "the gateway listens")
    eventually(lambda: watchers() == 0, "the gateway listens no more")
    stream = Stream(gateway, "bob")
    eventually(lambda: watchers() > 0, "the gateway listens")
    stream.close()
    eventually(lambda: watchers() == 0, "the gateway listens no more")


def test_a_refused_stream_leaves_no_second_reader(open_office: PostOffice, gateway: Gateway) -> None:
    """Each event comes once, whichever clients came before."""
    for _ in range(5):
        answer = gateway.ask("GET", "/api/sessions/bob/messages/stream", headers={"Last-Event-ID": "99999999"})
        assert answer.json["code"] == "CURSOR_AHEAD"
    with connect(gateway.ws_url + FLAT) as client:
        client.send(json.dumps({"type": "subscribe", "sessionIds": ["bob"]}))
        assert json.loads(client.recv(10))["type"] == "subscribed"
        with open_office.client("ann") as ann:
            ids = [ann.send("bob", f"{number}")["id"] for number in range(3)]
        seen: list[tuple[str, str]] = []
        while len(seen) < 2 * len(ids):
            frame = json.loads(client.recv(10))
            seen.append((frame["event"], frame["data"]["id"]))
        client.send(json.dumps({"type": "ping"}))
        assert json.loads(client.recv(10))["type"] == "pong", "nothing comes twice"
    wanted = ("message:created", "session:message_received")
    assert seen == [(name, message_id) for message_id in ids for name in wanted]
