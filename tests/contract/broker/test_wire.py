"""The broker as a foreign client sees it: raw frames, notices, files, starts and stops."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import msgpack
import pytest
import zmq

from maestro_clients.client import Client
from maestro_clients.processes.broker_process import ensure, find
from maestro_clients.protocol.callers import Caller
from maestro_schemas.errors import MaestroError
from maestro_wire import zmtp
from support import components, protocol_page
from support.post_office import eventually, own_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.post_office import PostOffice, own_id


class Foreign:
    """A DEALER that can send any frames."""

    def __init__(self, router: str) -> None:
        self._context = zmq.Context()
        self.dealer = self._context.socket(zmq.DEALER)
        self.dealer.setsockopt(zmq.LINGER, 0)
        self.dealer.connect(router)
        self._others: list[zmq.Socket[bytes]] = []

    def say(self, *frames: bytes) -> None:
        """Send the frames unchanged."""
        self.dealer.send_multipart(frames)

    def hear(self, timeout_ms: int = 5_000) -> tuple[bytes, bytes, int, Any]:
        """One reply: header, id, status, body."""
        assert self.dealer.poll(timeout_ms), "no answer"
        header, request_id, status, body = self.dealer.recv_multipart()
        return header, request_id, int(status), msgpack.unpackb(body)

    def ask(self, command: str, **body: Any) -> tuple[int, Any]:
        """Send a valid request; the status and the body of its reply."""
        self.say(b"M1", b"7", command.encode(), msgpack.packb(body))
        header, request_id, status, answer = self.hear()
        assert (header, request_id) == (b"M1", b"7")
        return status, answer

    def req(self, router: str) -> zmq.Socket[bytes]:
        """Connect a REQ."""
        made = self._context.socket(zmq.REQ)
        made.setsockopt(zmq.LINGER, 0)
        made.connect(router)
        self._others.append(made)
        return made

    def listen(self, notices: str, topic: bytes) -> zmq.Socket[bytes]:
        """Open a subscription to `topic`."""
        sub = self._context.socket(zmq.SUB)
        sub.setsockopt(zmq.LINGER, 0)
        sub.connect(notices)
        sub.subscribe(topic)
        self._others.append(sub)
        return sub

    def close(self) -> None:
        """Close all sockets."""
        for other in self._others:
            other.close(0)
        self.dealer.close(0)
        self._context.term()


@pytest.fixture
def foreign(post_office: PostOffice) -> Iterator[Foreign]:
    """A foreign client of a running broker with two sessions."""
    post_office.start()
    endpoints = find(post_office.data)
    assert endpoints is not None
    client = Foreign(endpoints.router)
    client.ask("session.start", id="boss", role="orchestrator")
    client.ask("session.start", id="ann", token="secret")
    yield client
    client.close()


def _notice(sub: zmq.Socket[bytes], timeout_ms: int = 5_000) -> tuple[bytes, dict[str, Any]]:
    """The next notice but those of presence, which come when a subscription makes a session watched."""
    while True:
        assert sub.poll(timeout_ms), "no notice"
        topic, body = sub.recv_multipart()
        if not topic.endswith(b"|session.presence"):
            return topic, msgpack.unpackb(body)


@pytest.mark.parametrize(
    ("frames", "code", "status", "request_id"),
    [
        ((b"",), "UNSUPPORTED_PROTOCOL", 426, b"-"),
        ((b"HELLO",), "UNSUPPORTED_PROTOCOL", 426, b"-"),
        ((b"M2", b"1", b"hello", b"\x80"), "UNSUPPORTED_PROTOCOL", 426, b"1"),
        ((b"M1",), "BAD_REQUEST", 400, b"-"),
        ((b"M1", b"1", b"hello"), "BAD_REQUEST", 400, b"1"),
        ((b"M1", b"", b"hello", b"\x80"), "BAD_REQUEST", 400, b"-"),
        ((b"M1", b"x" * 65, b"hello", b"\x80"), "BAD_REQUEST", 400, b"x" * 64),
        ((b"M1", b"1", b"hello", b"\x80", b"more"), "BAD_REQUEST", 400, b"1"),
        ((b"M1", b"1", b"nonsense\xff", b"\x80"), "UNKNOWN_COMMAND", 501, b"1"),
        ((b"M1", b"1", b"hello", b""), "BAD_REQUEST", 400, b"1"),
        ((b"M1", b"1", b"hello", b"\xc1"), "BAD_REQUEST", 400, b"1"),
        ((b"M1", b"1", b"send", b"\x81\xa8messages\x91\x81\xa2id\xa2\xff\xfe"), "BAD_REQUEST", 400, b"1"),
        ((b"M1", b"1", b"hello", b"\x90"), "INVALID", 400, b"1"),
        ((b"M1", b"1", b"hello", b"\x81\xa1x\x01"), "INVALID", 400, b"1"),
        ((b"M1", b"1", b"send", b"\x80"), "INVALID", 400, b"1"),
        (
            (b"M1", b"1", b"hello", msgpack.packb({"protocolMin": 2, "protocolMax": 9})),
            "UNSUPPORTED_PROTOCOL",
            426,
            b"1",
        ),
    ],
)
def test_garbage_is_answered(
    foreign: Foreign, frames: tuple[bytes, ...], code: str, status: int, request_id: bytes
) -> None:
    """The reply is a typed error with a hint, and the broker goes on."""
    foreign.say(*frames)
    header, answered, got, body = foreign.hear()
    assert (header, answered, got, body["code"]) == (b"M1", request_id, status, code)
    assert body["hint"]
    assert foreign.ask("hello")[0] == 200


@pytest.mark.parametrize(
    ("low", "high", "advice"),
    [
        (0, 0, "The client is the older one: `pipx upgrade"),
        (2, 9, "The broker is the older one: `maestro down`"),
    ],
)
def test_the_answer_to_a_hello_of_another_version_names_the_side_to_upgrade(
    foreign: Foreign, low: int, high: int, advice: str
) -> None:
    """The error has both ranges of versions, and its hint says how to upgrade."""
    foreign.say(b"M1", b"1", b"hello", msgpack.packb({"protocolMin": low, "protocolMax": high}))
    _, _, status, body = foreign.hear()
    assert (status, body["code"]) == (426, "UNSUPPORTED_PROTOCOL")
    assert f"the client {low} to {high}" in body["message"]
    assert body["hint"].startswith(advice)


@pytest.mark.parametrize(
    ("frames", "advice"),
    [
        ((b"M0", b"1", b"hello", b"\x80"), "The client is the older one: `pipx upgrade"),
        ((b"M2", b"1", b"hello", b"\x80"), "The broker is the older one: `maestro down`"),
        ((b"GET /", b"1", b"hello", b"\x80"), "See PROTOCOL.md, Grammar."),
    ],
)
def test_the_answer_to_a_header_of_another_version_names_the_side_to_upgrade(
    foreign: Foreign, frames: tuple[bytes, ...], advice: str
) -> None:
    foreign.say(*frames)
    _, _, status, body = foreign.hear()
    assert (status, body["code"]) == (426, "UNSUPPORTED_PROTOCOL")
    assert body["hint"].startswith(advice)


def test_a_req_socket_is_served(foreign: Foreign, post_office: PostOffice) -> None:
    """libzmq puts an empty frame before each request of a REQ, and drops every reply that has none."""
    req = foreign.req(post_office.router())
    for number in range(3):
        sent = {"as": {"session": "boss"}, "messages": [{"id": f"m{number}", "to": "ann", "message": "by REQ"}]}
        req.send_multipart((b"M1", b"%d" % number, b"send", msgpack.packb(sent)))
        assert req.poll(5_000), "no answer"
        header, request_id, status, body = req.recv_multipart()
        assert (header, request_id, status) == (b"M1", b"%d" % number, b"200")
        assert msgpack.unpackb(body)["results"][0]["status"] == 201
    req.send_multipart((b"M1", b"4", b"nonsense", b"\x80"))
    assert req.poll(5_000), "an error is answered too"
    assert req.recv_multipart()[2] == b"501"
    req.send_multipart((b"HELLO",))
    assert req.poll(5_000), "a malformed request is answered too"
    assert req.recv_multipart()[2] == b"426"


def test_the_exchange_of_the_page_is_served(post_office: PostOffice) -> None:
    """The bytes that PROTOCOL.md prints, over a plain socket and without any library."""
    section = protocol_page.sections("##")["One exchange with its bytes"]
    opening, request, _ = (bytes.fromhex(" ".join(block)) for block in protocol_page.blocks(section))
    post_office.start()
    post_office.sessions("ann", "bob")
    with socket.socket(socket.AF_UNIX) as plain:
        plain.settimeout(10.0)
        plain.connect(post_office.router().removeprefix("ipc://"))
        connection = zmtp.ZmtpConnection(zmtp.DEALERS_PEERS, 1 << 20)
        plain.sendall(opening)
        while not connection.ready:
            connection.receive(plain.recv(1 << 16))
        plain.sendall(request)
        while not connection.messages:
            connection.receive(plain.recv(1 << 16))
    [[header, request_id, status, body]] = connection.messages
    assert (header, request_id, status) == (b"M1", b"1", b"200")
    [result] = msgpack.unpackb(body)["results"]
    assert (result["id"], result["status"], result["to"], result["seq"]) == ("plan-7_0p9d12d", 201, "bob", 1)


def test_a_dealer_may_put_an_empty_frame_before_any_of_its_requests(foreign: Foreign) -> None:
    """Each reply has the delimiter if its own request had it, also where both kinds are on their way at once."""
    wanted = {}
    for number in range(40):
        delimiter = (b"",) if number % 3 else ()
        wanted[b"%d" % number] = len(delimiter)
        foreign.say(*delimiter, b"M1", b"%d" % number, b"hello", b"\x80")
    found = {}
    for _ in range(40):
        assert foreign.dealer.poll(5_000), "no answer"
        frames = foreign.dealer.recv_multipart()
        found[frames[-3]] = len(frames) - 4
    assert found == wanted


def test_two_empty_frames_are_no_request(foreign: Foreign) -> None:
    foreign.say(b"", b"", b"M1", b"1", b"hello", b"\x80")
    assert foreign.dealer.poll(5_000), "no answer"
    assert foreign.dealer.recv_multipart()[:4][0::3] == [b"", b"426"]


def test_garbage_does_not_shift_the_next_request(foreign: Foreign) -> None:
    """Frames of one message are never taken as frames of another one."""
    for _ in range(50):
        foreign.say(b"M1", b"1")
        foreign.say(b"M1", b"2", b"hello", msgpack.packb({}))
    answers = [foreign.hear() for _ in range(100)]
    assert [answer[2] for answer in answers] == [400, 200] * 50


def test_a_body_over_the_limit_is_refused_with_both_numbers(foreign: Foreign) -> None:
    """The refusal is counted. A body beyond libzmq's limit ends its connection, and other clients are still
    served."""
    foreign.say(b"M1", b"1", b"hello", b"x" * ((1 << 20) + 1))
    _, _, status, body = foreign.hear()
    assert (status, body["code"], body["limit"], body["actual"]) == (413, "FRAME_TOO_LARGE", 1 << 20, (1 << 20) + 1)
    stats = foreign.ask("stats")[1]["stats"]
    assert stats["refused"]["oversize"] == 1
    closed = stats["connections"]["closed"]
    foreign.say(b"M1", b"2", b"hello", b"x" * (5 << 20))
    assert not foreign.dealer.poll(500)
    after = foreign.ask("stats")[1]["stats"]
    assert after["connections"]["closed"] == closed + 1


def test_stats_counts_each_refusal_and_has_only_documented_keys(foreign: Foreign) -> None:
    """Refusals are counted by code, also those inside a request. PROTOCOL.md names every key."""
    boss = {"session": "boss"}
    ann = {"session": "ann", "token": "secret"}
    foreign.ask("send", **{"as": {"session": "absent"}}, messages=[])
    messages = [{"id": "m1", "to": "ann", "message": "x"}, {"id": "m2", "to": "absent", "message": "x"}]
    foreign.ask("send", **{"as": boss}, messages=messages)
    foreign.ask("confirm", **{"as": ann}, ids=[own_id("boss", "m1"), "m9"], kind="read")
    stats = foreign.ask("stats")[1]["stats"]
    assert stats["messages"] == {
        "accepted": 1,
        "offered": 0,
        "delivered": 1,
        "read": 1,
        "deleted": 0,
        "expired": 0,
    }
    assert stats["refusedByCode"] == {"UNKNOWN_SESSION": 1, "RECEIVER_NOT_FOUND": 1, "MESSAGE_NOT_FOUND": 1}
    assert stats["commit"]["count"] == sum(stats["commit"]["durationMs"]["counts"])
    assert stats["disk"]["journalBytes"] >= 16 << 20
    named = set(protocol_page.spans(protocol_page.sections("###")["stats"].partition("→ `{stats}`")[2]))
    keys = set(stats)
    for group in ("mailboxes", "messages", "commit", "outbox", "connections", "refused", "disk"):
        keys |= set(stats[group])
    for key in keys:
        assert key in named, f"PROTOCOL.md does not say that stats has {key!r}"


def test_bytes_that_are_no_zeromq(foreign: Foreign, post_office: PostOffice) -> None:
    """A browser connects to the broker's socket by mistake."""
    endpoints = find(post_office.data)
    assert endpoints is not None
    with socket.socket(socket.AF_UNIX) as browser:
        browser.connect(endpoints.router.removeprefix("ipc://"))
        browser.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
        assert foreign.ask("hello")[0] == 200


def test_a_subscription_is_answered_with_the_head(foreign: Foreign, post_office: PostOffice) -> None:
    """Notices follow, one for each record and party, without any text."""
    endpoints = find(post_office.data)
    assert endpoints is not None
    sent = {"messages": [{"id": "m1", "to": "ann", "message": "the text"}], "as": {"session": "boss"}}
    assert foreign.ask("send", **sent)[1]["results"][0]["status"] == 201
    receiver = foreign.listen(endpoints.notices, b"ann|")
    topic, head = _notice(receiver)
    assert (topic, head["event"], head["seq"], head["session"]) == (b"ann|head", "head", 1, "ann")
    sender = foreign.listen(endpoints.notices, b"boss|")
    assert _notice(sender)[1]["seq"] == 0
    everything = foreign.listen(endpoints.notices, b"")
    delivered = foreign.listen(endpoints.notices, b"boss|message.delivered")
    eventually(lambda: foreign.ask("stats")[1]["stats"]["watchers"] == 4, "four topics are held", 20.0)
    sent["messages"] = [{"id": "m2", "to": "ann", "message": "the text", "metadata": {"priority": "high"}}]
    foreign.ask("send", **sent)
    for sub, party in ((receiver, b"ann"), (sender, b"boss")):
        topic, notice = _notice(sub)
        assert topic == party + b"|message.accepted"
        assert (notice["id"], notice["from"], notice["to"], notice["seq"], notice["priority"]) == (
            own_id("boss", "m2"),
            "boss",
            "ann",
            2,
            "high",
        )
        assert "the text" not in str(notice)
    assert {_notice(everything)[0] for _ in range(2)} == {b"ann|message.accepted", b"boss|message.accepted"}
    who = {"session": "ann", "token": "secret"}
    assert (
        foreign.ask("confirm", **{"ids": [own_id("boss", "m2")], "kind": "delivered", "via": "test", "as": who})[0]
        == 200
    )
    assert _notice(delivered)[1]["via"] == "test"
    absent = foreign.listen(endpoints.notices, b"absent|")
    assert _notice(absent)[1]["seq"] == 0


def test_events_replay(foreign: Foreign) -> None:
    """It starts at a cursor, merges filed and unfiled events, and shows only permitted ones. A cursor out of range is
    a typed error."""
    foreign.ask("session.start", id="cyd", projectId="elsewhere")
    for number in range(300):
        sent = {"messages": [{"id": f"m{number}", "to": "ann", "message": "x"}], "as": {"session": "boss"}}
        assert foreign.ask("send", **sent)[1]["results"][0]["status"] == 201
    status, page = foreign.ask("events", after=3, limit=100)
    assert status == 200
    assert [event["lsn"] for event in page["events"]] == list(range(4, 104))
    assert (page["upTo"], page["head"], page["hasMore"]) == (103, 303, True)
    rest = foreign.ask("events", after=103)[1]
    assert [event["lsn"] for event in rest["events"]] == list(range(104, 304))
    newest = foreign.ask("events", after=-1, limit=5)[1]
    assert [event["id"] for event in newest["events"]] == [own_id("boss", f"m{number}") for number in range(295, 300)]
    cyd = foreign.ask("events", after=0, **{"as": {"session": "cyd"}})[1]
    assert [event["event"] for event in cyd["events"]] == ["session.started"]
    assert cyd["upTo"] == 303
    assert foreign.ask("events", after=0, session="cyd")[1]["events"][0]["session"] == "cyd"
    assert foreign.ask("events", after=304)[1]["code"] == "CURSOR_AHEAD"
    assert foreign.ask("events", after=0, limit=0)[1]["code"] == "INVALID"


def test_events_before_the_timeline_are_a_typed_error(foreign: Foreign, post_office: PostOffice) -> None:
    """The error names the oldest available cursor."""
    post_office.stop()
    [path] = os.listdir(os.path.join(post_office.data, "timeline"))
    path = os.path.join(post_office.data, "timeline", path)
    with open(path, "rb") as file:
        lines = file.readlines()
    with open(path, "wb") as file:
        file.writelines(lines[1:])
    post_office.start()
    status, body = foreign.ask("events", after=0)
    assert (status, body["code"], body["details"]) == (410, "CURSOR_EXPIRED", {"oldest": 1})
    assert foreign.ask("events", after=1)[1]["events"][0]["lsn"] == 2


def test_the_marker_is_there_before_the_answer(foreign: Foreign, post_office: PostOffice) -> None:
    """The marker exists exactly while unoffered mail waits, also after SIGKILL."""
    marker = os.path.join(post_office.data, "messages", "by-receiver", "ann", ".pending")
    who = {"session": "ann", "token": "secret"}
    for number in range(20):
        assert not os.path.exists(marker)
        sent = {"messages": [{"id": f"m{number}", "to": "ann", "message": "x"}], "as": {"session": "boss"}}
        foreign.ask("send", **sent)
        assert os.path.exists(marker)
        kind = ["offered", "delivered", "read"][number % 3]
        foreign.ask("confirm", **{"ids": [own_id("boss", f"m{number}")], "kind": kind, "as": who})
    foreign.ask("send", **{"messages": [{"id": "last", "to": "ann", "message": "x"}], "as": {"session": "boss"}})
    post_office.kill()
    os.unlink(marker)
    post_office.start()
    assert os.path.exists(marker), "recovery reconciles it"


def test_two_brokers_on_one_data_directory(foreign: Foreign, post_office: PostOffice) -> None:
    """The second names the running one and changes nothing."""
    command = [sys.executable, "-m", "maestro_broker", "--data-dir", post_office.data]
    second = subprocess.run(command, env=post_office.environ, capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == 1
    assert "another broker (pid " in second.stderr
    assert "next:" in second.stderr
    assert foreign.ask("hello")[0] == 200


def test_a_successor_waits_for_a_broker_that_is_stopping(post_office: PostOffice) -> None:
    """Each start finds the directory unlocked or waits for it, and no mail is lost on the way."""
    post_office.start()
    post_office.sessions("boss", "ann")
    epochs = set()
    for number in range(8):
        with Client(post_office.router()) as operator:
            operator.shutdown()
        endpoints = ensure(post_office.data, post_office.environ, autostart=True)
        epochs.add(endpoints.epoch)
        with Client(endpoints.router, Caller("boss")) as client:
            client.send("ann", f"message {number}")
    assert len(epochs) == 8, "each time another broker"
    with Client(post_office.router()) as operator:
        assert [message["seq"] for message in operator.inbox(session="ann", since=0)["messages"]] == list(range(1, 9))


def test_an_ordered_stop_leaves_everything_filed(foreign: Foreign, post_office: PostOffice) -> None:
    """After SIGTERM, requests are answered, mail is filed, a checkpoint is written, sockets and endpoints are
    removed, exit 0."""
    batch = [{"id": f"m{number}", "to": "ann", "message": "x" * 100} for number in range(200)]
    assert foreign.ask("send", **{"messages": batch, "as": {"session": "boss"}})[0] == 200
    endpoints = find(post_office.data)
    assert endpoints is not None
    os.kill(endpoints.pid, signal.SIGTERM)
    eventually(lambda: find(post_office.data) is None, "no broker listens", 20.0)
    post_office.stop()
    assert not os.path.exists(os.path.join(post_office.data, "endpoints"))
    mailbox = os.path.join(post_office.data, "messages", "by-receiver", "ann")
    assert len([name for name in os.listdir(mailbox) if name.endswith(".json")]) == 200
    assert not os.path.exists(endpoints.router.removeprefix("ipc://"))
    with open(os.path.join(post_office.data, "logs", "broker.log"), encoding="utf-8") as file:
        assert json.loads(file.readlines()[-1])["message"] == "broker stopped"


def test_the_socket_directory_is_private(foreign: Foreign, post_office: PostOffice) -> None:
    """Its mode is 0700, and no file gives a right to another user."""
    endpoints = find(post_office.data)
    assert endpoints is not None
    directory = os.path.dirname(endpoints.router.removeprefix("ipc://"))
    assert os.stat(directory).st_mode & 0o777 == 0o700
    for root, directories, files in os.walk(post_office.data):
        for name in directories + files:
            assert os.lstat(os.path.join(root, name)).st_mode & 0o077 == 0 or os.path.islink(os.path.join(root, name))


def _start_error(data: str, environ: dict[str, str]) -> MaestroError:
    with pytest.raises(MaestroError) as caught:
        ensure(data, environ, autostart=True)
    assert caught.value.hint
    return caught.value


def test_directories_that_cannot_be_used(post_office: PostOffice, tmp_path: Path) -> None:
    """The client that starts the broker gets a typed error for a file in the way, a long path and another format."""
    in_the_way = tmp_path / "file"
    in_the_way.write_text("x")
    assert _start_error(str(in_the_way / "data"), post_office.environ).code == "DATA_DIR_UNUSABLE"
    long = post_office.environ | {"MAESTRO_RUNTIME_DIR": str(tmp_path / ("x" * 100))}
    error = _start_error(str(tmp_path / "data"), long)
    assert (error.code, error.limit) == ("PATH_TOO_LONG", 107)
    assert (error.actual or 0) > 107
    other = tmp_path / "other"
    other.mkdir()
    (other / "format").write_text("maestro-data 99\n")
    assert _start_error(str(other), post_office.environ).code == "FORMAT_UNSUPPORTED"
    bad = post_office.environ | {"MAESTRO_RATE_LIMIT": "many"}
    assert _start_error(str(tmp_path / "data"), bad).code == "BAD_SETTING"


def test_a_read_only_data_directory(post_office: PostOffice, tmp_path: Path) -> None:
    """A read-only mount, for root; a directory without the write permission, for other users."""
    data = tmp_path / "data"
    data.mkdir()
    if os.getuid() == 0:
        mounted = subprocess.run(["mount", "--bind", "-o", "ro", data, data], check=False, capture_output=True)
        remounted = subprocess.run(["mount", "-o", "remount,ro,bind", data], check=False, capture_output=True)
        if mounted.returncode or remounted.returncode:
            components.missing(f"a mount (root writes everywhere else): {mounted.stderr!r} {remounted.stderr!r}")
    else:
        data.chmod(0o500)
    try:
        assert _start_error(str(data), post_office.environ).code == "DATA_DIR_UNUSABLE"
    finally:
        if os.getuid() == 0:
            subprocess.run(["umount", data], check=True)


def test_two_data_directories_share_a_runtime_directory(post_office: PostOffice, tmp_path: Path) -> None:
    """Each data directory has its own sockets."""
    post_office.start()
    other = str(tmp_path / "other")
    endpoints = ensure(other, post_office.environ, autostart=True)
    one, two = Foreign(find(post_office.data).router), Foreign(endpoints.router)  # type: ignore[union-attr]
    try:
        one.ask("session.start", id="only_here")
        assert one.ask("session.get", id="only_here")[0] == 200
        assert two.ask("session.get", id="only_here")[0] == 404
    finally:
        two.ask("shutdown")
        one.close()
        two.close()


def test_a_retry_in_every_state_of_the_message(foreign: Foreign, post_office: PostOffice) -> None:
    """Before and after filing, SIGKILL, deletion and a restart, a retry gets the same answer and makes no second
    message."""
    sent = {"messages": [{"id": "m1", "to": "ann", "message": "x"}], "as": {"session": "boss"}}
    who = {"session": "ann", "token": "secret"}
    assert foreign.ask("send", **sent)[1]["results"][0]["status"] == 201

    def again() -> tuple[int, str, int | None]:
        result = foreign.ask("send", **sent)[1]["results"][0]
        return result["status"], result["state"], result.get("seq")

    assert again() == (200, "pending", 1)
    post_office.kill()
    post_office.start()
    assert again() == (200, "pending", 1)
    foreign.ask("confirm", **{"ids": [own_id("boss", "m1")], "kind": "read", "as": who})
    assert again() == (200, "read", 1)
    post_office.stop()
    post_office.start()
    assert again() == (200, "read", 1)
    changed = {"messages": [{"id": "m1", "to": "ann", "message": "y"}], "as": {"session": "boss"}}
    assert foreign.ask("send", **changed)[1]["results"][0]["error"]["code"] == "CONFLICT"
    foreign.ask("delete", **{"ids": [own_id("boss", "m1")], "as": who})
    assert again() == (200, "deleted", None)
    post_office.kill()
    post_office.start()
    assert again() == (200, "deleted", None)
    post_office.stop()
    post_office.start()
    assert again() == (200, "deleted", None)
    assert foreign.ask("inbox", **{"as": who, "status": ["pending", "delivered", "read"]})[1]["messages"] == []
