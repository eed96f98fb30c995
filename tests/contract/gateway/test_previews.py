"""A preview over HTTP: who would get a message and when, and nothing sent."""

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
        made.start(fanout_confirm=1)
        client = made.client()
        client.start_session("lead", role="orchestrator", project_id="shop")
        for name in ("ann", "ben", "gone"):
            client.start_session(name, project_id="shop")
        client.end_session("gone")
        client.start_session("zoe", project_id="bank")
        client.start_session("safe", project_id="shop", token="secret")
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def gateway(team: PostOffice) -> Iterator[Gateway]:
    with Gateway(team) as made:
        yield made


def preview(gateway: Gateway, to: Any, sender: str | None = "lead", **fields: Any) -> Answer:
    headers = {"X-Session-ID": sender} if sender is not None else {}
    return gateway.ask("POST", "/api/messages/preview", {"to": to, **fields}, headers=headers)


def test_it_says_what_a_send_would(gateway: Gateway) -> None:
    seen = preview(gateway, ["ann", "gone", "ben"], metadata={"type": "request"})
    assert seen.status == 200
    assert (seen.json["accepted"], seen.json["refused"]) == (2, 1)
    sent = gateway.ask(
        "POST",
        "/api/messages",
        {"to": ["ann", "gone", "ben"], "message": "hello", "metadata": {"type": "request"}},
        headers={"X-Session-ID": "lead"},
    ).json
    assert seen.json["audience"] == sent["audience"]
    of_a_send = ("seq", "state")
    assert seen.json["recipients"] == [
        {name: value for name, value in each.items() if name not in of_a_send} for each in sent["recipients"]
    ]


def test_nothing_is_sent_and_no_rate_counted(gateway: Gateway) -> None:
    def count() -> int:
        return len(
            gateway.ask("GET", "/api/messages?session=ben", headers={"X-Session-ID": "operator"}).json["messages"]
        )

    before = count()
    for _ in range(30):
        assert preview(gateway, "ben").status == 200
    assert count() == before


def test_the_person_previews(gateway: Gateway) -> None:
    assert not preview(gateway, "@workers", "operator").json.get("confirm")
    assert preview(gateway, "@workers", "lead").json["confirm"]
    assert preview(gateway, "zoe", "operator").json["accepted"] == 1


def test_a_single_receiver_that_refuses_is_an_entry_with_a_hint_for_http(gateway: Gateway) -> None:
    [refused] = preview(gateway, "gone").json["recipients"]
    assert (refused["status"], refused["error"]["code"]) == (409, "RECEIVER_ENDED")
    assert "maestro" not in refused["error"]["hint"]


@pytest.mark.parametrize(
    ("to", "sender", "status", "code"),
    [
        ("ghost", "lead", 404, "RECEIVER_NOT_FOUND"),
        ("zoe", "ann", 403, "ROLE_FORBIDDEN"),
        ("@none", "lead", 404, "GROUP_NOT_FOUND"),
        ([], "lead", 404, "NO_RECEIVERS"),
        ("ann", None, 401, "NO_SESSION"),
        ("ann", "safe", 401, "TOKEN_REQUIRED"),
        ("ann", "gone", 401, "SESSION_ENDED"),
        (7, "lead", 400, "INVALID"),
    ],
)
def test_what_refuses_the_whole_message(
    gateway: Gateway, to: Any, sender: str | None, status: int, code: str
) -> None:
    answer = preview(gateway, to, sender)
    assert (answer.status, answer.json["code"]) == (status, code)


def test_one_project_of_what_was_said(team: PostOffice, gateway: Gateway) -> None:
    with team.client("zoe") as client:
        sent = client.send("lead", "across")["id"]
    for project, there in (("bank", True), ("shop", True), ("none", False)):
        page = gateway.ask("GET", f"/api/messages?project={project}", headers={"X-Session-ID": "operator"}).json
        assert (sent in [said["message"]["id"] for said in page["messages"]]) is there
    found = gateway.ask("GET", "/api/messages?project=bank", headers={"X-Session-ID": "operator"}).json["messages"]
    assert [said["message"]["id"] for said in found] == [sent]
