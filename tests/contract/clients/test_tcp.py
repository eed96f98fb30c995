"""TCP access from other machines, on loopback: which keys are accepted, for which sessions, and which errors
occur."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
import zmq

from maestro_clients.async_client import AsyncClient
from maestro_clients.client import Client
from maestro_clients.mailbox.notices import Notices
from maestro_clients.mailbox.watcher import Watcher
from maestro_clients.outbox import outbox_files
from maestro_clients.processes.broker_process import ensure
from maestro_clients.protocol.callers import Caller
from maestro_clients.transports.curve_keys import new_pair
from maestro_runtime import key_files
from maestro_schemas.errors import MaestroError
from support.far_office import far_environ, make_key, open_door, revoke
from support.post_office import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.post_office import PostOffice

_SEND_ONCE = """
import sys
from maestro_clients.client import Client
from maestro_clients.protocol.callers import Caller
print(Client(sys.argv[1], Caller("ann")).send("bob", "once")["id"])
"""
ANN, BOB = Caller("ann"), Caller("bob")


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(MaestroError) as caught:
        call()
    assert caught.value.hint
    return caught.value.code


@pytest.fixture
def address(post_office: PostOffice) -> str:
    """The address of a running broker with the sessions ann and bob."""
    address = open_door(post_office)
    post_office.start()
    post_office.sessions("ann", "bob")
    return address


def test_a_key_speaks_for_its_sessions_and_no_other(post_office: PostOffice, address: str) -> None:
    key = make_key(post_office, "laptop", sessions=("ann",))
    with Client(f"{address}#{key}", ANN) as remote:
        assert remote.send("bob", "from far")["seq"] == 1
        with pytest.raises(MaestroError, match=r"'laptop'.*bob") as caught:
            remote.inbox(caller=BOB)
        assert caught.value.code == "FORBIDDEN"
        assert code_of(remote.stats) == "FORBIDDEN"
        assert code_of(lambda: remote.inbox(caller=Caller())) == "NO_SESSION"
        assert code_of(lambda: remote.start_session("carl")) == "FORBIDDEN"
        assert {session["id"] for session in remote.sessions(caller=Caller())} == {"ann", "bob"}
        assert remote.inbox()["count"] == 0


def test_a_plain_key_speaks_for_its_own_sessions(post_office: PostOffice, address: str) -> None:
    key, other = make_key(post_office, "laptop", own=True), make_key(post_office, "tablet", own=True)
    with Client(f"{address}#{key}") as remote, Client(f"{address}#{other}") as foreign:
        remote.start_session("carl", token="secret")
        carl = Caller("carl", "secret")
        assert remote.inbox(caller=carl)["count"] == 0
        assert code_of(lambda: remote.inbox(caller=Caller("carl"))) == "TOKEN_REQUIRED"
        assert code_of(lambda: remote.inbox(caller=ANN)) == "FORBIDDEN"
        assert code_of(lambda: foreign.inbox(caller=carl)) == "FORBIDDEN"
        assert code_of(lambda: foreign.start_session("carl", token="secret")) == "FORBIDDEN"
        assert code_of(lambda: remote.start_session("ann")) == "FORBIDDEN"
        assert code_of(lambda: remote.start_session("dora", role="orchestrator")) == "ROLE_FORBIDDEN"
    post_office.stop()
    post_office.start()
    with Client(f"{address}#{key}", carl) as remote:
        assert remote.inbox()["count"] == 0, "the owner of a session is kept over a restart"


def test_an_operators_key_has_the_rights_of_a_person(post_office: PostOffice, address: str) -> None:
    key = make_key(post_office, "desk", operator=True)
    with Client(f"{address}#{key}") as remote:
        remote.send("bob", "hello", caller=ANN)
        stats = remote.stats()
        assert stats["tcp"]["address"] == address
        assert "desk" in stats["tcp"]["keys"]


def test_a_wrong_key_is_reported_at_once(post_office: PostOffice, address: str) -> None:
    key = make_key(post_office, "laptop", any_session=True)
    good = key_files.read_client_key(key)
    unknown_key = os.path.join(post_office.root, "unknown.key")
    key_files.write_client_key(unknown_key, good._replace(pair=new_pair()))
    other_server = os.path.join(post_office.root, "elsewhere.key")
    key_files.write_client_key(other_server, good._replace(server=new_pair().public))
    for wrong, words in ((unknown_key, "does not take"), (other_server, "is not the broker")):
        # The timeout is longer than the test may take, so it can't be the cause of the end.
        with Client(f"{address}#{wrong}", ANN, timeout_s=600, patient=True) as remote:
            with pytest.raises(MaestroError, match=words) as caught:
                remote.inbox()
            assert caught.value.code == "KEY_REFUSED"
    with post_office.client() as operator:
        eventually(lambda: operator.stats()["tcp"]["refusedHandshakes"] >= 1, "the refusal is counted")


def test_a_wrong_key_is_reported_at_once_to_asyncio(post_office: PostOffice, address: str) -> None:
    key = make_key(post_office, "laptop", any_session=True)
    unknown_key = os.path.join(post_office.root, "unknown.key")
    key_files.write_client_key(unknown_key, key_files.read_client_key(key)._replace(pair=new_pair()))

    async def ask(path: str) -> int:
        async with AsyncClient(f"{address}#{path}", ANN, timeout_s=600) as remote:
            return (await remote.inbox())["count"]

    assert asyncio.run(ask(key)) == 0
    assert code_of(lambda: asyncio.run(ask(unknown_key))) == "KEY_REFUSED"


def test_a_missing_broker_is_reported_soon(post_office: PostOffice) -> None:
    address = open_door(post_office)
    key = make_key(post_office, "laptop", any_session=True)
    with Client(f"{address}#{key}", ANN, timeout_s=600) as remote:
        assert code_of(remote.inbox) == "BROKER_UNREACHABLE"
    with Client(address, ANN) as remote:
        assert code_of(remote.inbox) == "KEY_FILE_UNUSABLE"


def test_a_revoked_key_is_cut_off(post_office: PostOffice, address: str) -> None:
    doomed = make_key(post_office, "doomed", sessions=("ann",))
    kept = make_key(post_office, "kept", sessions=("bob",))
    states: list[str] = []
    bobs = far_environ(post_office, address, kept)
    with (
        Client(f"{address}#{doomed}", ANN) as remote,
        Watcher("", bobs, BOB, on_state=states.append) as bob_hears,
        post_office.client() as operator,
    ):
        remote.send("bob", "one")
        first = bob_hears.next_message(10)
        assert first is not None
        hears = Notices(f"{_notices(address)}#{doomed}", "ann")
        assert hears.socket.poll(10_000), "the head"
        hears.drain()
        eventually(lambda: operator.session("ann").get("watching") is True, "ann is watched")
        revoke(post_office, "doomed")
        assert code_of(remote.inbox) == "KEY_REVOKED"
        eventually(lambda: "watching" not in operator.session("ann"), "no client watches ann")
        operator.send("ann", "not for the doomed", caller=BOB)
        operator.send("bob", "two", caller=ANN)
        second = bob_hears.next_message(20)
        assert second is not None
        assert second["message"] == "two", "a client with a valid key has lost nothing"
        # It was notified of its own subscription, while its key was valid.
        assert [event["event"] for event in hears.drain() if event.get("status") != "watching"] == []
        hears.close()
    with Client(f"{address}#{doomed}", ANN, timeout_s=600) as remote:
        assert code_of(remote.inbox) == "KEY_REFUSED"
    assert code_of(lambda: Watcher("", far_environ(post_office, address, doomed), ANN)) == "KEY_REFUSED"


def _notices(address: str) -> str:
    host, _, port = address.rpartition(":")
    return f"{host}:{int(port) + 1}"


def test_revoking_its_key_ends_a_watcher(post_office: PostOffice, address: str) -> None:
    key = make_key(post_office, "laptop", sessions=("ann",))
    states: list[str] = []
    watcher = Watcher("", far_environ(post_office, address, key), ANN, on_state=states.append)
    assert watcher.next_message(0.5) is None
    revoke(post_office, "laptop")
    assert code_of(lambda: watcher.next_message(60)) in ("KEY_REFUSED", "KEY_REVOKED")
    with contextlib.suppress(MaestroError):
        watcher.close()
    assert states.count("connected") == 1, states


def test_topics_of_other_sessions_stay_silent(post_office: PostOffice, address: str) -> None:
    key = make_key(post_office, "laptop", sessions=("ann",))
    mine, foreign = (Notices(f"{_notices(address)}#{key}", session) for session in ("ann", "bob"))
    # An empty topic and the beginning of an id match more than one session's topic.
    for topic in (b"", b"an", b"bob|message.accepted", b"absent|"):
        foreign.socket.setsockopt(zmq.SUBSCRIBE, topic)
    try:
        assert mine.socket.poll(10_000)
        with post_office.client() as operator:
            eventually(lambda: operator.stats()["tcp"]["refusedTopics"] == 5, "all five topics were refused")
            operator.send("bob", "for bob", caller=ANN)
            eventually(
                lambda: any(event.get("to") == "bob" for event in mine.drain()), "ann gets the notice of her own send"
            )
        assert foreign.drain() == []
        foreign.close()
        with post_office.client() as operator:
            eventually(lambda: operator.stats()["tcp"]["connected"] <= 1, "the other subscriber is gone")
            operator.send("bob", "more", caller=ANN)
            eventually(lambda: bool(mine.drain()), "and other subscribers still get their notices")
    finally:
        mine.close()
        foreign.close()


def test_a_req_socket_is_served(post_office: PostOffice, address: str) -> None:
    """Its empty delimiter is kept in the reply, as on this machine."""
    key = key_files.read_client_key(make_key(post_office, "laptop", sessions=("ann",)))
    with zmq.Context() as context, context.socket(zmq.REQ) as req:
        req.setsockopt(zmq.LINGER, 0)
        req.setsockopt(zmq.CURVE_SERVERKEY, key.server.encode())
        req.setsockopt(zmq.CURVE_PUBLICKEY, key.pair.public.encode())
        req.setsockopt(zmq.CURVE_SECRETKEY, key.pair.secret.encode())
        req.connect(address)
        for number in (b"1", b"2"):
            req.send_multipart((b"M1", number, b"hello", b"\x80"))
            assert req.poll(10_000), "no answer"
            assert req.recv_multipart()[:3] == [b"M1", number, b"200"]


def test_without_curve_no_client_is_accepted(post_office: PostOffice, address: str) -> None:
    context = zmq.Context()
    plain = context.socket(zmq.DEALER)
    plain.setsockopt(zmq.LINGER, 0)
    monitor = plain.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
    plain.connect(address)
    plain.send_multipart((b"M1", b"1", b"hello", b"\x80"))
    event = int.from_bytes(monitor.recv_multipart()[0][:2], sys.byteorder)
    assert event == zmq.EVENT_DISCONNECTED
    assert plain.poll(300) == 0
    plain.disable_monitor()
    monitor.close()
    plain.close()
    context.term()


def test_garbage_at_the_ports_does_no_harm(post_office: PostOffice, address: str) -> None:
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    # A greeting of ZMTP 3.1 with CURVE, then garbage in place of the handshake.
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x01CURVE" + bytes(15) + b"\x00" + bytes(31)
    for number in (int(port), int(port) + 1):
        for raw in (
            b"GET / HTTP/1.1\r\n\r\n",
            bytes(4_096),
            b"\xff" * 4_096,
            greeting + b"\x04\xc8" + b"\x05HELLO" * 40,
        ):
            _send_raw(host, number, raw)
    key = make_key(post_office, "laptop", any_session=True)
    with Client(f"{address}#{key}", ANN) as remote:
        assert remote.send("bob", "still here")["seq"] == 1


def _send_raw(host: str, port: int, raw: bytes) -> None:
    """Send `raw` to the port, and wait until the peer closes the connection."""
    with socket.create_connection((host, port), timeout=10) as connection, contextlib.suppress(OSError):
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4_096):
            pass


def test_replayed_bytes_have_no_effect(post_office: PostOffice, address: str) -> None:
    key = make_key(post_office, "laptop", any_session=True)
    recorded = bytearray()
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    with socket.create_server(("127.0.0.1", 0)) as tap:
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                _SEND_ONCE,
                f"tcp://127.0.0.1:{tap.getsockname()[1]}#{key}",
            ],
            env=post_office.environ,
            stdout=subprocess.PIPE,
        )
        near, _ = tap.accept()
        with near, socket.create_connection((host, int(port))) as onward:
            near.settimeout(0.02)
            onward.settimeout(0.02)
            while process.poll() is None:
                for source, target, keep in ((near, onward, True), (onward, near, False)):
                    try:
                        some = source.recv(65_536)
                    except TimeoutError:
                        continue
                    except ConnectionError:
                        some = b""
                    if keep:
                        recorded += some
                    if some:
                        target.sendall(some)
        assert process.stdout is not None
        assert process.stdout.read().startswith(b"msg_")
        process.stdout.close()
    assert b"once" not in recorded
    _send_raw(host, int(port), bytes(recorded))
    with post_office.client() as operator:
        assert operator.inbox(session="bob")["headSeq"] == 1


def test_a_client_on_another_machine_drains_its_own_outbox(post_office: PostOffice) -> None:
    address = open_door(post_office)
    key = make_key(post_office, "laptop", sessions=("ann",))
    environ = far_environ(post_office, address, key)
    data = environ["MAESTRO_DATA_DIR"]
    paths = [
        outbox_files.queue(data, ANN, {"id": f"msg_{number}", "to": to, "message": str(number)}, 1)
        for number, to in enumerate(("bob", "absent", "bob"))
    ]
    assert code_of(lambda: _asked(data, environ)) == "BROKER_UNREACHABLE"
    post_office.start()
    post_office.sessions("ann", "bob")
    with post_office.client() as operator:
        operator.send("bob", "0", message_id="msg_0", caller=ANN)  # the client never got the answer
        ensure(data, environ, autostart=False)
        assert [m["message"] for m in operator.inbox(session="bob", since=0)["messages"]] == ["0", "2"]
        [failed] = operator.dead(session="ann")["messages"]
        assert (failed["status"], failed["to"], failed["message"]) == ("failed", "absent", "1")
        assert failed["failure"]["code"] == "RECEIVER_NOT_FOUND"
        # An entry that is no message of its session stays on this machine.
        outbox_files.queue(data, ANN, {"id": "msg_0", "to": "bob", "message": "another text"}, 2)
        ensure(data, environ, autostart=False)
        assert operator.dead()["messages"] == [failed]
    assert not any(map(os.path.exists, paths))
    [(path, refused)] = outbox_files.entries(data)
    assert refused.failure is not None
    assert (refused.outgoing["id"], refused.failure["code"]) == ("msg_0", "CONFLICT")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def _asked(data: str, environ: dict[str, str]) -> None:
    with Client(ensure(data, environ, autostart=False).router, ANN) as client:
        client.inbox()


def run(environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "maestro_cli", *arguments],
        env=environ,
        cwd=os.path.dirname(environ["MAESTRO_KEY_FILE"]),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command_line_here_and_there(post_office: PostOffice) -> None:
    address = open_door(post_office)
    post_office.environ["MAESTRO_KEY_FILE"] = os.path.join(post_office.root, "laptop.key")
    here = post_office.environ
    os.makedirs(post_office.root, exist_ok=True)
    made = run(here, "keys", "new", "laptop", "--json")
    assert made.returncode == 0, made.stderr
    path = json.loads(made.stdout)["file"]
    secret = key_files.read_client_key(path).pair.secret
    assert secret not in made.stdout + made.stderr
    keys = key_files.keys_dir(post_office.data)
    for file in (path, os.path.join(keys, "laptop.json"), os.path.join(keys, "server.secret")):
        assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(keys).st_mode) == 0o700
    assert run(here, "keys", "new", "laptop", "--out", "other.key").returncode == 4
    assert run(here, "keys", "new", "x", "--any", "--operator").returncode == 2
    assert run(here, "keys", "new", "a b").returncode == 2
    assert "the sessions it starts" in run(here, "keys", "list").stdout
    there = far_environ(post_office, address, path)
    queued = run({**there, "MAESTRO_SESSION_ID": "carl"}, "send", "--to", "ann", "-m", "early")
    assert queued.returncode == 0
    assert "next command that reaches it" in queued.stdout
    post_office.start()
    post_office.sessions("ann")
    for words in (("up",), ("down",), ("keys", "list")):
        refused = run(there, *words)
        assert refused.returncode == 2, words
        assert "another machine" in refused.stderr
    # The queued send names a session that is unknown, so it is refused for good. The start itself succeeds.
    started = run(there, "session", "start", "--id", "carl", "--json")
    assert started.returncode == 0, started.stderr
    assert len(json.loads(run(there, "outbox", "--json").stdout)["failed"]) == 1
    carl = {**there, "MAESTRO_SESSION_ID": "carl", "MAESTRO_SESSION_TOKEN": json.loads(started.stdout)["token"]}
    assert run(carl, "send", "--to", "ann", "-m", "hello").returncode == 0
    with post_office.client() as operator:
        operator.send("carl", "answer", caller=ANN)
    assert "answer" in run(carl, "inbox").stdout
    assert json.loads(run(carl, "outbox", "--replay", "--json").stdout)["replayed"]["waiting"] == 0
    os.chmod(path, 0o640)
    wide = run(carl, "inbox")
    assert (wide.returncode, "chmod 600" in wide.stderr) == (2, True)
    os.chmod(path, 0o600)
    assert run(here, "keys", "revoke", "absent").returncode == 3
    assert run(here, "keys", "revoke", "laptop").returncode == 0
    revoked = run(carl, "inbox", "--json")
    assert revoked.returncode == 4
    assert json.loads(revoked.stdout)["error"]["code"] == "KEY_REFUSED"
    assert json.loads(run(here, "keys", "list", "--json").stdout)["keys"][0]["revokedAt"] > 0
    bad = run({**carl, "MAESTRO_BROKER": "localhost"}, "inbox")
    assert (bad.returncode, "tcp://HOST:PORT" in bad.stderr) == (2, True)
    log = os.path.join(post_office.data, "logs", "broker.log")
    with open(log, encoding="utf-8") as file:
        assert secret not in file.read()


@pytest.mark.parametrize("value", ["5570", "host:", "host:0", "host:65535", "203.0.113.9:5570"])
def test_an_invalid_address_starts_no_broker(post_office: PostOffice, value: str) -> None:
    post_office.environ["MAESTRO_TCP"] = value
    assert code_of(post_office.start) == "BAD_SETTING"


def test_without_curve_it_does_not_start(post_office: PostOffice) -> None:
    open_door(post_office)
    # zmq.has is replaced, because no libzmq without CURVE can be installed.
    os.makedirs(post_office.root, exist_ok=True)
    with open(os.path.join(post_office.root, "sitecustomize.py"), "w", encoding="ascii") as file:
        file.write("import zmq\nzmq.has = lambda what: what != 'curve'\n")
    post_office.environ["PYTHONPATH"] = post_office.root
    assert code_of(post_office.start) == "CURVE_MISSING"


def test_while_a_key_file_is_unreadable_no_client_is_accepted(post_office: PostOffice, address: str) -> None:
    key = make_key(post_office, "laptop", any_session=True)
    with Client(f"{address}#{key}", ANN) as remote, post_office.client() as operator:
        remote.inbox()
        broken = os.path.join(key_files.keys_dir(post_office.data), "broken.json")
        with open(os.open(broken, os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="ascii") as file:
            file.write("{")
        assert code_of(remote.inbox) == "KEY_REVOKED"
        assert any("broken.json" in warning for warning in operator.stats()["warnings"])
        os.unlink(broken)
        eventually(lambda: _is_accepted(remote), "the client is let in again")


def _is_accepted(remote: Client) -> bool:
    try:
        remote.inbox()
    except MaestroError:
        time.sleep(0.05)
        return False
    return True
