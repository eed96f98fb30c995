"""The whole post office over HTTP: its state, its dead letters, and sending one again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from support.gateways import Gateway
from support.post_office import eventually

if TYPE_CHECKING:
    from support.post_office import PostOffice

PERSON = {"X-Session-ID": "operator"}


@pytest.fixture
def gateway(open_office: PostOffice, alone: Gateway) -> Gateway:
    return alone


def dead(gateway: Gateway, query: str = "", **headers: str) -> list[dict[str, Any]]:
    answer = gateway.ask("GET", f"/api/dead-letters{query}", headers=headers or PERSON)
    assert answer.status == 200, answer.body
    messages: list[dict[str, Any]] = answer.json["messages"]
    return messages


def expired(office: PostOffice, gateway: Gateway, sender: str = "ann", to: Any = "bob") -> str:
    with office.client(sender) as client:
        sent = client.send(to, "too late", ttl_ms=1)["id"]
    eventually(lambda: sent in [message["id"] for message in dead(gateway)], "it has expired")
    return str(sent)


def retry(gateway: Gateway, message_id: str, query: str = "", **headers: str) -> Any:
    return gateway.ask("POST", f"/api/messages/{message_id}/retry{query}", headers=headers or PERSON)


def test_the_state_of_the_office_and_of_the_gateway(open_office: PostOffice, gateway: Gateway) -> None:
    said = gateway.ask("GET", "/api/status", headers=PERSON).json
    with open_office.client() as client:
        stats = client.stats()
    assert said["broker"]["pid"] == stats["pid"]
    assert said["broker"]["limits"] == stats["limits"]
    assert said["broker"]["outbox"] == {"waiting": 0, "failed": 0}
    shown = said["gateway"]
    assert shown["address"] == gateway.url
    assert shown["connections"] >= 1
    assert shown["connectionsMax"] > shown["connections"]
    assert (shown["webSockets"], shown["eventStreams"], shown["mailWaits"]) == (0, 0, 0)
    assert shown["startedAt"] >= stats["startedAt"]


def test_without_a_broker_it_is_503(open_office: PostOffice, gateway: Gateway) -> None:
    open_office.stop()
    answer = gateway.ask("GET", "/api/status", headers=PERSON)
    assert (answer.status, answer.json["code"]) == (503, "BROKER_UNREACHABLE")


def test_who_sees_which_dead_letters(open_office: PostOffice, gateway: Gateway) -> None:
    first, second = expired(open_office, gateway, "ann"), expired(open_office, gateway, "bob", "ann")
    assert [message["id"] for message in dead(gateway)] == [second, first]
    assert [message["id"] for message in dead(gateway, "?session=ann")] == [first]
    assert [message["id"] for message in dead(gateway, **{"X-Session-ID": "ann"})] == [first]
    page = gateway.ask("GET", "/api/dead-letters?limit=1", headers=PERSON)
    assert (page.json["count"], page.json["hasMore"], page.json["retried"]) == (1, True, {})
    assert 'rel="next"' in page.headers["link"]


def test_a_dead_letter_is_sent_again_once_and_in_its_senders_name(open_office: PostOffice, gateway: Gateway) -> None:
    lost = expired(open_office, gateway)
    with open_office.client() as client:
        client.end_session("bob")
    refused = retry(gateway, lost)
    assert (refused.status, refused.json["code"]) == (409, "RECEIVER_ENDED")
    answer = retry(gateway, lost, "?onEnded=queue")
    assert answer.status == 201
    assert (answer.json["retryOf"], answer.json["to"]) == (lost, "bob")
    assert answer.headers["location"] == f"/api/messages/{answer.json['id']}"
    shown = gateway.ask("GET", answer.headers["location"], headers=PERSON).json
    assert (shown["from"], shown["message"]) == ("ann", "too late")


def test_the_list_says_what_was_sent_again(open_office: PostOffice, gateway: Gateway) -> None:
    with open_office.client("ann") as client:
        lost = client.send("bob", "too late", ttl_ms=60_000)["id"]
    # It keeps its life: a short one would die again at once.
    with open_office.client("ann") as client:
        short = client.send("bob", "too late", ttl_ms=1)["id"]
    eventually(lambda: short in [message["id"] for message in dead(gateway)], "it has expired")
    alive = retry(gateway, lost)
    assert (alive.status, alive.json["code"]) == (409, "STATUS_CONFLICT")
    made = retry(gateway, short, **{"X-Session-ID": "ann"}).json["id"]
    retried = gateway.ask("GET", "/api/dead-letters", headers=PERSON).json["retried"]
    assert retried[short] == made


def test_a_message_to_several_goes_again_to_those_that_did_not_take_it(
    open_office: PostOffice, gateway: Gateway
) -> None:
    open_office.session("cid")
    with open_office.client() as client:
        client.end_session("cid")
    with open_office.client("ann") as client:
        sent = client.send(["bob", "cid"], "for both")
    assert (sent["accepted"], sent["refused"]) == (1, 1)
    again = retry(gateway, sent["id"], "?onEnded=queue")
    assert (again.status, [line["to"] for line in again.json["recipients"]]) == (201, ["cid"])
    repeat = retry(gateway, sent["id"])
    assert (repeat.status, repeat.headers["idempotent-replayed"]) == (200, "true")
    assert repeat.json["id"] == again.json["id"]


def test_a_sender_with_a_token_speaks_for_itself(open_office: PostOffice, gateway: Gateway) -> None:
    with open_office.client() as client:
        client.start_session("safe", token="a secret")
    from maestro_clients.protocol.callers import Caller

    with open_office.client() as client:
        lost = client.send("bob", "too late", ttl_ms=1, caller=Caller("safe", "a secret"))["id"]
    eventually(lambda: lost in [message["id"] for message in dead(gateway)], "it has expired")
    answer = retry(gateway, lost)
    assert (answer.status, answer.json["code"]) == (401, "TOKEN_REQUIRED")
    named = {"X-Session-ID": "safe", "Authorization": "Bearer a secret"}
    assert retry(gateway, lost, **named).status == 201
    assert retry(gateway, lost, **{"X-Session-ID": "ann"}).json["code"] in ("FORBIDDEN", "MESSAGE_NOT_FOUND")


def test_what_is_no_message(gateway: Gateway) -> None:
    answer = retry(gateway, "msg_none")
    assert (answer.status, answer.json["code"]) == (404, "MESSAGE_NOT_FOUND")
    assert retry(gateway, "msg_none", "?onEnded=burn").status == 400


def test_presence_says_whose_mailbox_is_full(open_office: PostOffice) -> None:
    open_office.stop()
    open_office.start(pending_max=1)
    with open_office.client("ann") as client:
        client.send("bob", "one")
    with Gateway(open_office) as gateway:
        lines = gateway.ask("GET", "/api/presence", headers=PERSON).json["presence"]
        full = {line["session"]: line.get("full", False) for line in lines}
        assert full == {"ann": False, "bob": True}
        [seen] = gateway.ask("GET", "/api/presence?session=bob", headers={"X-Session-ID": "ann"}).json["presence"]
        assert "full" not in seen
