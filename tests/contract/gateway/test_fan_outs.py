"""A message to several over HTTP: each receiver's outcome, repeats, refusals, and the receipt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from support.gateways import Answer, Gateway
from support.post_office import scratch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.post_office import PostOffice


@pytest.fixture(scope="module")
def team() -> Iterator[PostOffice]:
    made = scratch()
    try:
        made.start()
        client = made.client()
        client.start_session("lead", role="orchestrator", project_id="shop")
        for name in ("ann", "ben", "cid", "dee"):
            client.start_session(name, project_id="shop")
        client.start_session("zoe", project_id="bank")
        client.start_session("gone", project_id="shop")
        client.end_session("gone")
        client.start_session("safe", project_id="shop", token="secret")
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def gateway(team: PostOffice) -> Iterator[Gateway]:
    with Gateway(team) as made:
        yield made


def send(gateway: Gateway, to: Any, sender: str = "lead", key: str | None = None, **fields: Any) -> Answer:
    headers = {"X-Session-ID": sender} | ({"Idempotency-Key": key} if key is not None else {})
    return gateway.ask("POST", "/api/messages", {"to": to, "message": "hello", **fields}, headers=headers)


def receipt(gateway: Gateway, message_id: str, asking: str | None = None, query: str = "") -> Answer:
    headers = {} if asking is None else {"X-Session-ID": asking}
    return gateway.ask("GET", f"/api/messages/{message_id}/receipt{query}", headers=headers)


def test_each_receiver_has_its_outcome(gateway: Gateway) -> None:
    answer = send(gateway, ["ann", "gone", "ben"])
    assert answer.status == 201
    outcome = answer.json
    assert answer.headers["location"] == f"/api/messages/{outcome['id']}"
    assert "idempotent-replayed" not in answer.headers
    assert (outcome["status"], outcome["accepted"], outcome["refused"]) == (201, 2, 1)
    assert outcome["audience"] == {"to": ["ann", "gone", "ben"], "size": 3}
    *taken, refused = outcome["recipients"]
    assert [(each["to"], each["status"], each["state"]) for each in taken] == [
        ("ann", 201, "pending"),
        ("ben", 201, "pending"),
    ]
    assert (refused["to"], refused["status"], refused["error"]["code"]) == ("gone", 409, "RECEIVER_ENDED")
    assert "--" not in refused["error"]["hint"], "no step is a command of a shell"
    assert "httpHint" not in refused["error"]


def test_one_receiver_by_the_same_call(gateway: Gateway) -> None:
    outcome = send(gateway, "ann").json
    assert (outcome["to"], outcome["status"], outcome["state"]) == ("ann", 201, "pending")
    assert "audience" not in outcome


@pytest.mark.parametrize("way", ["key", "id"])
def test_a_repeat_is_the_same_send(gateway: Gateway, way: str) -> None:
    given: dict[str, Any] = {"key": "build-7"} if way == "key" else {"id": "build_7"}
    first, again = (send(gateway, ["ann", "ben"], **given) for _ in range(2))
    assert (first.status, again.status) == (201, 200)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json["id"] == first.json["id"]
    assert [each["status"] for each in again.json["recipients"]] == [200, 200]
    other = send(gateway, ["ann"], **given)
    assert (other.status, other.json["code"]) == (409, "CONFLICT")


@pytest.mark.parametrize(
    ("to", "sender", "status", "code"),
    [
        (["ann", "nope"], "lead", 404, "RECEIVER_NOT_FOUND"),
        (["lead"], "lead", 404, "NO_RECEIVERS"),
        ([], "lead", 404, "NO_RECEIVERS"),
        (["gone"], "lead", 409, "RECEIVER_ENDED"),
        ("@nope", "lead", 404, "GROUP_NOT_FOUND"),
        ("@all", "ann", 403, "ROLE_FORBIDDEN"),
        (["ben", "zoe"], "ann", 403, "ROLE_FORBIDDEN"),
        ("@workers", "lead", 409, "CONFIRM_FANOUT"),
        (["ann"] * 33, "lead", 400, "TOO_MANY"),
        ([7], "lead", 400, "INVALID"),
        (None, "lead", 400, "INVALID"),
        (["ann"], "nope", 401, "UNKNOWN_SESSION"),
    ],
)
def test_refusals_of_the_whole(gateway: Gateway, to: Any, sender: str, status: int, code: str) -> None:
    answer = send(gateway, to, sender)
    assert (answer.status, answer.json["code"]) == (status, code), answer.json
    assert (answer.json["error"], answer.json["statusCode"]) == (True, status)
    hint = answer.json.get("hint", "")
    assert "--" not in hint, "no step is a command of a shell"
    assert "maestro " not in hint


def test_without_a_sender(gateway: Gateway) -> None:
    answer = gateway.ask("POST", "/api/messages", {"to": ["ann", "ben"], "message": "x"})
    assert (answer.status, answer.json["code"]) == (401, "NO_SESSION")


def test_an_audience_is_confirmed(gateway: Gateway) -> None:
    refused = send(gateway, "@workers").json
    names = [each["session"] for each in refused["details"]["receivers"]]
    assert set(names) == {"ann", "ben", "cid", "dee", "safe", "zoe"}
    assert '"confirm": true' in refused["hint"]
    answer = send(gateway, "@workers", confirm=True)
    assert (answer.status, answer.json["accepted"]) == (201, len(names))
    assert answer.json["audience"]["to"] == ["@workers"]


def test_the_receipt(gateway: Gateway, team: PostOffice) -> None:
    message_id = send(gateway, ["ann", "ben", "safe", "gone"]).json["id"]
    team.client("ann").confirm([message_id], "read")
    team.client("ben").send("lead", "mine", metadata={"inReplyTo": message_id})
    for asking in ("lead", None):
        answer = receipt(gateway, message_id, asking)
        assert answer.status == 200
        found = answer.json
        states = {line["to"]: line["state"] for line in found["recipients"]}
        assert states == {"ann": "read", "ben": "answered", "safe": "pending", "gone": "refused"}
        counts = {name: number for name, number in found["counts"].items() if number}
        assert counts == {"accepted": 3, "offered": 1, "delivered": 1, "read": 1, "answered": 1, "refused": 1}
        assert (found["from"], found["people"]["ann"]["role"]) == ("lead", "worker")
    own = receipt(gateway, message_id, "ann").json
    assert [line["to"] for line in own["recipients"]] == ["ann"]
    one = receipt(gateway, message_id, "lead", "?receiver=gone").json
    assert [(line["to"], line["code"]) for line in one["recipients"]] == [("gone", "RECEIVER_ENDED")]
    for asking in ("zoe", "gone", "cid"):
        answer = receipt(gateway, message_id, asking)
        assert (answer.status, answer.json["code"]) == (404, "MESSAGE_NOT_FOUND"), asking
    answer = receipt(gateway, message_id, "safe")
    assert (answer.status, answer.json["code"]) == (401, "TOKEN_REQUIRED")
    answer = receipt(gateway, "absent", "lead")
    assert (answer.status, answer.json["code"]) == (404, "MESSAGE_NOT_FOUND")
