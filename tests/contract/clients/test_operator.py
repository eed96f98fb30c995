"""The operator in the Python clients: each speaks as it, on this machine or with an operator's key, and no other."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from maestro_broker.views.export import SpoolExporter
from maestro_broker.views.verify import SpoolVerifier
from maestro_clients.async_client import AsyncClient
from maestro_clients.channel import one_shot
from maestro_clients.client import Client
from maestro_clients.durable_send import send_or_queue
from maestro_clients.mailbox.notices import Notices
from maestro_clients.mailbox.receipts import wait_for
from maestro_clients.mailbox.watcher import Watcher
from maestro_clients.one_shot_client import OneShotClient
from maestro_clients.outbox.remote_drain import drain
from maestro_clients.processes.broker_process import connect_if_running, find
from maestro_clients.protocol.callers import Caller
from maestro_clients.transports.addresses import unix_path
from maestro_schemas.errors import MaestroError
from support.far_office import far_environ, make_key, open_door
from support.post_office import eventually, own_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from maestro_clients.one_shot_client import AnyClient
    from support.post_office import PostOffice

PERSON = Caller("operator")
ANN = Caller("ann")
SOON_S = 10.0


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(MaestroError) as caught:
        call()
    assert caught.value.hint
    return caught.value.code


def usual(office: PostOffice) -> AnyClient:
    return Client(office.router(), PERSON)


def quick(office: PostOffice) -> AnyClient:
    connection = one_shot.OneShotConnection(str(unix_path(office.router())))
    assert connection.open()
    return OneShotClient(connection, PERSON.as_body())


def quick_then_usual(office: PostOffice) -> AnyClient:
    """A one-shot client whose one connection is used up, so that it goes on with another client."""
    client = quick(office)
    assert isinstance(client, OneShotClient)
    client._usual = client._opened()
    return client


@pytest.mark.parametrize("connect", [usual, quick, quick_then_usual], ids=lambda made: made.__name__)
def test_a_client_of_the_operator(open_office: PostOffice, connect: Callable[[PostOffice], AnyClient]) -> None:
    with connect(open_office) as person, open_office.client("ann") as ann:
        assert person.session()["id"] == "operator"
        down = person.send("ann", "down", message_id="plan")["id"]
        assert down == own_id("operator", "plan")
        assert ann.inbox()["messages"][0]["from"] == "operator"
        up = ann.send("operator", "up")["id"]
        assert [message["id"] for message in person.inbox()["messages"]] == [up]
        assert person.confirm([up], "read")[0]["state"] == "read"
        other = ann.send("bob", "not the person's")["id"]
        assert person.message(other)["message"] == "not the person's"
        assert person.thread(other)["messages"]
        assert person.confirm([other], "read")[0]["error"]["code"] == "MESSAGE_NOT_FOUND"
        assert code_of(lambda: person.confirm([other], "read", session="bob")) == "FORBIDDEN"
        assert ann.message(other)["status"] == "pending"
        assert person.delete([other], session="bob")[0]["state"] == "deleted"
        assert person.delete([up])[0]["state"] == "deleted"


def test_an_async_client_of_the_operator(open_office: PostOffice) -> None:
    async def converse() -> list[str]:
        async with AsyncClient(open_office.router(), PERSON) as person:
            sent = [result["id"] async for result in person.pipeline([{"id": "a", "to": "ann", "message": "one"}])]
            await person.send("operator", "of ann", caller=ANN)
            page = await person.inbox()
            return [*sent, *(message["from"] for message in page["messages"])]

    assert asyncio.run(converse()) == [own_id("operator", "a"), "ann"]


def test_a_token_beside_the_operator_is_left_out() -> None:
    assert Caller("operator", "stray").as_body() == {"operator": True}


def test_no_variable_makes_a_program_the_operator(open_office: PostOffice) -> None:
    environ = {**open_office.environ, "MAESTRO_SESSION_ID": "operator"}
    assert code_of(lambda: Caller.from_environ(environ)) == "NO_SESSION"
    assert code_of(lambda: connect_if_running(open_office.data, environ)) == "NO_SESSION"


# --- mail as it comes ------------------------------------------------------------------------------------------


def test_a_watcher_of_the_operators_mailbox(open_office: PostOffice) -> None:
    """Also after another broker has taken over."""
    with Watcher(open_office.data, open_office.environ, PERSON) as watcher:
        for text in ("one", "two"):
            open_office.client("ann").send("operator", text)
            message = watcher.next_message(SOON_S)
            assert message is not None
            assert message["message"] == text
            if text == "one":
                open_office.kill()
                open_office.start()
    with open_office.client("operator") as person:
        assert person.inbox()["messages"] == []


def test_watching_others_mail_as_the_operator_marks_nothing(open_office: PostOffice) -> None:
    sent = open_office.client("ann").send("bob", "for bob")["id"]
    with Watcher(open_office.data, open_office.environ, PERSON, session="bob", confirm=False) as watcher:
        message = watcher.next_message(SOON_S)
        assert message is not None
        assert message["id"] == sent
    assert open_office.status_of(sent) == "pending"


def test_the_operator_waits_for_a_receipt(open_office: PostOffice) -> None:
    sent = open_office.client("operator").send("bob", "read this")["id"]
    bob = open_office.client("bob")
    reading = threading.Thread(target=lambda: bob.confirm([sent], "read"))
    reading.start()
    found = wait_for(open_office.data, open_office.environ, PERSON, sent, "read", SOON_S)
    reading.join()
    assert found["status"] == "read"


def test_the_notices_of_the_operator(open_office: PostOffice) -> None:
    found = find(open_office.data)
    assert found is not None
    notices = Notices(found.notices, "operator")
    try:
        assert notices.socket.poll(10_000)
        sent = open_office.client("ann").send("operator", "noticed")["id"]
        eventually(lambda: any(event.get("id") == sent for event in notices.drain()), "the notice of the mail")
        assert open_office.client("bob").send("operator", "now")["reach"] == "watching"
    finally:
        notices.close()


# --- whatever the broker is doing --------------------------------------------------------------------------------


def queued(office: PostOffice, message_id: str, to: str = "ann") -> Any:
    return send_or_queue(
        office.data,
        {**office.environ, "MAESTRO_AUTOSTART": "0"},
        PERSON,
        {"id": message_id, "to": to, "message": message_id},
        autostart=False,
    )


def test_what_waits_in_the_outbox_is_sent_as_the_operator_in_order_and_once(open_office: PostOffice) -> None:
    open_office.stop()
    paths = [queued(open_office, name).queued_path for name in ("first", "second", "first")]
    assert paths[0] == paths[2]
    assert os.path.dirname(paths[0]) == os.path.join(open_office.data, "outbox", "operator")
    open_office.start()
    with open_office.client("ann") as ann:
        assert [(message["from"], message["id"]) for message in ann.inbox(since=0)["messages"]] == [
            ("operator", own_id("operator", name)) for name in ("first", "second")
        ]
    assert outbox_files_are_gone(open_office)
    again = open_office.client("operator").send("ann", "first", message_id="first")
    assert (again["status"], again["id"]) == (200, own_id("operator", "first"))


def outbox_files_are_gone(office: PostOffice) -> bool:
    eventually(lambda: not os.listdir(os.path.join(office.data, "outbox")), "the outbox is empty", 20.0)
    return True


@pytest.mark.parametrize("how", ["stopped", "killed", "counted again"])
def test_the_operators_mail_outlives_the_broker(open_office: PostOffice, how: str) -> None:
    """Nothing is lost and nothing is there twice, whatever ended the broker; and nothing about the data complains."""
    person, ann = open_office.client("operator"), open_office.client("ann")
    up = [ann.send("operator", f"up {number}", message_id=f"u{number}")["id"] for number in range(3)]
    down = [person.send("ann", f"down {number}", message_id=f"d{number}")["id"] for number in range(3)]
    person.confirm(up[:1], "read")
    if how == "killed":
        open_office.kill()
    else:
        open_office.stop()
    if how == "counted again":
        os.unlink(os.path.join(open_office.data, "heads"))
    open_office.start()
    person, ann = open_office.client("operator"), open_office.client("ann")
    assert person.send("ann", "down 1", message_id="d1")["status"] == 200
    assert ann.send("operator", "up 1", message_id="u1")["status"] == 200
    assert [message["id"] for message in person.inbox(since=0)["messages"]] == up[1:]
    assert [message["id"] for message in ann.inbox(since=0)["messages"]] == down
    assert ann.message(up[0])["status"] == "read"
    assert ann.send("operator", "the next")["seq"] == 4
    assert person.send("ann", "the next")["seq"] == 4
    assert {each["id"] for each in person.sessions()} == {"ann", "bob"}
    warnings = person.stats().get("warnings", [])
    assert not [one for one in warnings if "operator" in one]
    open_office.stop()
    found: list[dict[str, Any]] = []
    SpoolVerifier(open_office.data, found.append, is_served=False).run()
    assert [line for line in found if "finding" in line and not line["harmless"]] == []
    exported: list[str] = []
    SpoolExporter(open_office.data, "operator", exported.append, lambda _: None).run()
    lines = [json.loads(line) for line in exported]
    assert {line["id"] for line in lines if line["kind"] == "message"} >= set(up)


# --- from another machine ----------------------------------------------------------------------------------------


@pytest.fixture
def address(post_office: PostOffice) -> str:
    """The address of a running broker with the sessions ann and bob."""
    found = open_door(post_office)
    post_office.start()
    post_office.sessions("ann", "bob")
    return found


@pytest.mark.parametrize(
    "scope",
    [{"sessions": ("ann",)}, {"any_session": True, "orchestrator": True}, {"project": "default"}, {"own": True}],
    ids=lambda scope: next(iter(scope)),
)
def test_no_limited_key_is_the_operator(post_office: PostOffice, address: str, scope: dict[str, Any]) -> None:
    key = make_key(post_office, "laptop", **scope)
    mine = post_office.client("ann").send("operator", "for the person alone")["id"]
    with Client(f"{address}#{key}", PERSON) as remote:
        for call in (
            remote.inbox,
            remote.session,
            lambda: remote.inbox(session="operator"),
            lambda: remote.send("bob", "forged"),
            lambda: remote.confirm([mine], "read"),
            lambda: remote.message(mine),
            lambda: remote.delete([mine]),
        ):
            assert code_of(call) == "FORBIDDEN"
        assert code_of(lambda: remote.inbox(session="operator", caller=ANN)) == "FORBIDDEN"
    with post_office.client() as reader:
        assert reader.inbox(session="bob", since=0)["messages"] == []
        assert reader.message(mine)["status"] == "pending"


def test_no_limited_key_hears_the_operators_notices(post_office: PostOffice, address: str) -> None:
    key = make_key(post_office, "laptop", any_session=True, orchestrator=True)
    port = int(address.rpartition(":")[2]) + 1
    far = f"tcp://127.0.0.1:{port}#{key}"
    mine, persons = Notices(far, "bob"), Notices(far, "operator")
    try:
        assert mine.socket.poll(10_000)
        with post_office.client() as reader:
            eventually(lambda: reader.stats()["tcp"]["refusedTopics"] == 1, "the operator's topic was refused")
            reader.send("operator", "for the person", caller=ANN)
            reader.send("bob", "for bob", caller=ANN)
        eventually(lambda: any(event.get("to") == "bob" for event in mine.drain()), "the later notice is there")
        assert persons.drain() == []
    finally:
        mine.close()
        persons.close()


def test_a_person_with_an_operators_key_is_the_operator_from_far(post_office: PostOffice, address: str) -> None:
    """What waits in the outbox of the other machine is sent as the operator, too."""
    environ = far_environ(post_office, address, make_key(post_office, "desk", operator=True))
    outgoing: Any = {"id": "far", "to": "bob", "message": "from my desk"}
    away = {**environ, "MAESTRO_BROKER": "tcp://127.0.0.1:9"}
    kept = send_or_queue(environ["MAESTRO_DATA_DIR"], away, PERSON, outgoing, autostart=False, timeout_s=1.0)
    assert kept.queued_path is not None
    with post_office.client("ann") as ann:
        ann.send("operator", "to the desk")
    client = connect_if_running(environ["MAESTRO_DATA_DIR"], environ, PERSON)
    assert client is not None
    with client:
        drain(environ["MAESTRO_DATA_DIR"], client.address, SOON_S, client=client)
        assert [message["message"] for message in client.inbox()["messages"]] == ["to the desk"]
    with post_office.client() as reader:
        [message] = reader.inbox(session="bob", since=0)["messages"]
        assert (message["id"], message["from"]) == (own_id("operator", "far"), "operator")
    assert not os.path.exists(kept.queued_path)
