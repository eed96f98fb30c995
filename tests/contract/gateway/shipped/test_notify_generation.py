"""The requests of the generation with `session notify` and `session mail read`, which sends no header."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.gateways import Gateway
from support.post_office import eventually
from support.shipped_clients import ShippedClient
from support.shipped_watch import Seen, ShippedWatch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.post_office import PostOffice

LEAD, ONE, TWO = "sess_1_lead00000", "sess_2_worker001", "sess_3_worker002"


@pytest.fixture
def gateway(open_office: PostOffice) -> Iterator[Gateway]:
    with Gateway(open_office) as made:
        yield made


@pytest.fixture
def team(gateway: Gateway) -> dict[str, ShippedClient]:
    made = {session: ShippedClient(gateway, session) for session in (LEAD, ONE, TWO)}
    for session, client in made.items():
        mode = "coordinator" if session == LEAD else "worker"
        assert client.register(metadata={"mode": mode}).status == 201
    return made


def notify(client: ShippedClient, to: str, message: str, detail: str | None = None) -> int:
    body = {"fromSessionId": client.session, "fromName": "A name", "message": message}
    return client.call("POST", f"/api/sessions/{to}/mail", body | ({"detail": detail} if detail else {})).status


def test_one_and_several_are_notified_and_read(gateway: Gateway, team: dict[str, ShippedClient]) -> None:
    """The command posts once for each session that it names; one wrong name stops no other."""
    lead = team[LEAD]
    assert [notify(lead, to, "Stop.", "Main is red.") for to in (ONE, "sess_9_absent000", TWO)] == [200, 404, 200]
    assert notify(lead, ONE, "Only short.") == 200
    for session, expected in ((ONE, [("Stop.", "Main is red."), ("Only short.", None)]), (TWO, None)):
        mail = team[session].call("GET", f"/api/sessions/{session}/mail").json
        shown = [(one["message"], one["detail"]) for one in mail]
        assert shown == (expected or [("Stop.", "Main is red.")])
        assert {(one["fromSessionId"], one["fromName"], one["toSessionId"]) for one in mail} == {
            (LEAD, "A name", session)
        }
        eventually(
            lambda session=session: team[session].call("GET", f"/api/sessions/{session}/mail").json == [],  # type: ignore[misc]
            "it is read once",
        )


def test_a_watch_sees_the_mail_and_ends(gateway: Gateway, team: dict[str, ShippedClient]) -> None:
    """Its sender learns that it was delivered and read."""
    with ShippedWatch(gateway, LEAD, ONE) as watch:
        assert notify(team[LEAD], ONE, "Look.") == 200
        assert team[ONE].call("GET", f"/api/sessions/{ONE}/mail").json
        for session in (ONE, LEAD):
            assert team[session].call("PATCH", f"/api/sessions/{session}", {"status": "completed"}).status == 200
        lines = watch.run()
    assert lines[:3] == [
        Seen(ONE, "message:created"),
        Seen(LEAD, "session:message_sent"),
        Seen(ONE, "session:message_received"),
    ]
    assert lines.count(Seen(LEAD, "session:message_delivered")) == 2
    assert Seen(ONE, "message:read") in lines


def test_hooks_of_this_generation(gateway: Gateway, team: dict[str, ShippedClient]) -> None:
    """Registering again, waiting for a person, working again, the end, and coming back."""
    one = team[ONE]
    path = f"/api/sessions/{ONE}"
    assert one.register().json["status"] == "working"
    waiting = one.call("PATCH", path, {"needsInput": {"active": True, "message": "?", "since": 1}})
    assert (waiting.status, waiting.json["needsInput"]["active"]) == (200, True)
    working = one.call("PATCH", path, {"status": "working", "needsInput": {"active": False}})
    assert (working.json["status"], working.json["needsInput"]["active"]) == ("working", False)
    assert one.call("PATCH", path, {"status": "completed", "completedAt": 1}).json["status"] == "completed"
    with ShippedWatch(gateway, ONE) as watch:
        assert watch.run()[0] == Seen(ONE, "completed")
    assert one.call("PATCH", path, {"status": "working"}).json["status"] == "working"
