"""Deliveries: one message to several sessions has one id, one record, and a file of its own for each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from maestro_runtime import paths
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import mark_of
from support.post_office import eventually, own_id

if TYPE_CHECKING:
    from support.post_office import PostOffice

RECEIVERS = ("ben", "cid", "dee")


@pytest.fixture
def office(open_office: PostOffice) -> PostOffice:
    """A sender and its receivers, in one project."""
    open_office.sessions(*RECEIVERS)
    return open_office


def send(
    office: PostOffice, sender: str, to: list[str], key: str, text: str = "to all", **more: Any
) -> dict[str, Any]:
    """The result of a send to a list of addresses."""
    outgoing = {"id": key, "to": to, "message": text, **more}
    reply: Any = office.client(sender).call("send", {"messages": [outgoing]})
    [result] = reply["results"]
    return dict(result)


def filed(office: PostOffice) -> None:
    """Wait until everything accepted is in files."""
    eventually(lambda: office.client().stats()["filingBacklog"] == 0, "all is filed")


def test_one_id_and_a_number_in_each_mailbox(office: PostOffice) -> None:
    office.client("ann").send("cid", "before")
    sent = send(office, "ann", ["ben", "cid", "ben", "ann", "dee"], "news")
    assert (sent["id"], sent["status"], sent["accepted"], sent["refused"]) == (own_id("ann", "news"), 201, 3, 0)
    assert sent["audience"] == {"to": ["ben", "cid", "ben", "ann", "dee"], "size": 3}
    assert [(each["to"], each["seq"]) for each in sent["recipients"]] == [("ben", 1), ("cid", 2), ("dee", 1)]
    filed(office)
    for receiver, seq in (("ben", 1), ("cid", 2), ("dee", 1)):
        with open(os.path.join(paths.receiver_dir(office.data, receiver), f"{sent['id']}.json"), "rb") as file:
            message = json.load(file)
        assert (message["to"], message["seq"], message["message"]) == (receiver, seq, "to all")
        assert message["audience"] == sent["audience"]
    path = os.path.join(paths.sender_dir(office.data, "ann"), f"{sent['id']}.json")
    with open(path, "rb") as file:
        listed = json.load(file)
    assert [each["to"] for each in listed["deliveries"]] == list(RECEIVERS)
    assert "message" not in listed
    assert (os.path.islink(path), os.stat(path).st_mode & 0o777) == (False, 0o400)
    checked = subprocess.run(
        [sys.executable, "-m", "maestro_broker.views", "--data-dir", office.data, "verify"],
        capture_output=True,
        check=False,
    )
    assert b'"finding"' not in checked.stdout, checked.stdout


def test_each_delivery_has_a_state_of_its_own(office: PostOffice) -> None:
    sent = send(office, "ann", list(RECEIVERS), "news")["id"]
    office.client("ben").confirm([sent], "read")
    office.client("cid").delete([sent])
    for _ in range(2):
        again = send(office, "ann", list(RECEIVERS), "news")
        assert (again["status"], again["id"]) == (200, sent)
        assert [(each["to"], each["state"]) for each in again["recipients"]] == [
            ("ben", "read"),
            ("cid", "deleted"),
            ("dee", "pending"),
        ]
        assert office.client("dee").message(sent)["status"] == "pending"
        assert office.client("ann").message("news")["to"] == "ben"
        with pytest.raises(MaestroError) as caught:
            office.client().message(sent)
        assert (caught.value.code, caught.value.details) == ("AMBIGUOUS_ID", {"receivers": ["ben", "dee"]})
        assert office.client().message(sent, session="dee")["to"] == "dee"
        office.kill()
        office.start()
    assert send(office, "ann", ["ben", "cid"], "news")["error"]["code"] == "CONFLICT"
    assert send(office, "ann", list(RECEIVERS), "news", "other")["error"]["code"] == "CONFLICT"


def test_addresses_refuse_together_and_states_alone(office: PostOffice) -> None:
    office.session("far", project="elsewhere")
    office.session("old")
    office.client().end_session("old")
    assert send(office, "ann", ["ben", "absent"], "m1")["error"]["code"] == "RECEIVER_NOT_FOUND"
    assert send(office, "ann", ["ben", "far"], "m2")["error"]["code"] == "ROLE_FORBIDDEN"
    assert send(office, "ann", ["ann"], "m3")["error"]["code"] == "NO_RECEIVERS"
    assert send(office, "ann", ["old"], "m4")["error"]["code"] == "RECEIVER_ENDED"
    assert send(office, "ann", ["ben"] * 33, "m5")["error"]["code"] == "TOO_MANY"
    assert office.client("ben").inbox()["messages"] == []
    sent = send(office, "ann", ["old", "ben"], "m6")
    assert (sent["status"], sent["accepted"], sent["refused"]) == (201, 1, 1)
    assert [(each["to"], each["status"]) for each in sent["recipients"]] == [("ben", 201), ("old", 409)]
    filed(office)
    again = send(office, "ann", ["old", "ben"], "m6")
    assert [each.get("error", {}).get("code") for each in again["recipients"]] == [None, "RECEIVER_ENDED"]


def test_two_messages_come_to_all_in_one_order(office: PostOffice) -> None:
    for number in range(30):
        sender, other = ("ann", "bob") if number % 2 else ("bob", "ann")
        send(office, sender, [*RECEIVERS, other], f"m{number}", f"number {number}")
    office.kill()
    office.start()
    orders = [
        [message["message"] for message in office.client(receiver).inbox(since=0)["messages"]]
        for receiver in RECEIVERS
    ]
    assert orders == [[f"number {number}" for number in range(30)]] * 3


def test_its_events_are_of_one_record(office: PostOffice) -> None:
    """They have indexes, are in one page whatever its limit, and each receiver's line is what it was for one."""
    office.session("old")
    office.client().end_session("old")
    first = send(office, "ann", ["old", *RECEIVERS], "m1")
    lsn = office.client().hello()["headLsn"]
    send(office, "ann", list(RECEIVERS), "m2")
    for _ in range(2):
        found = office.client().events(lsn - 1, limit=1)
        assert [(each["event"], each.get("index", 0), each["of"], each.get("to")) for each in found["events"]] == [
            ("message.accepted", 0, 4, "ben"),
            ("message.accepted", 1, 4, "cid"),
            ("message.accepted", 2, 4, "dee"),
            ("message.refused", 3, 4, None),
        ]
        assert {each["lsn"] for each in found["events"]} == {lsn} == {found["upTo"]}
        assert {each.get("id") for each in found["events"]} == {first["id"]}
        own = office.client("cid").events(lsn - 1)["events"]
        assert [(each["lsn"], each["index"]) for each in own] == [(lsn, 1), (lsn + 1, 1)]
        assert len(office.client().events(lsn - 1, limit=5)["events"]) == 7
        filed(office)
        office.kill()
        office.start()


def test_a_thread_of_several_shows_each_what_it_is_a_party_of(office: PostOffice) -> None:
    root = send(office, "ann", list(RECEIVERS), "root", "Who broke it?")["id"]
    answer = office.client("ben").send("ann", "Me.", metadata={"inReplyTo": root})
    assert answer["threadId"] == root
    for _ in range(2):
        assert [each["message"] for each in office.client("ann").thread("root")["messages"]] == [
            "Who broke it?",
            "Me.",
        ]
        assert [each["to"] for each in office.client("cid").thread(root)["messages"]] == ["cid"]
        office.kill()
        office.start()
    again = send(office, "ann", ["cid", "dee"], "again", "Solved.", metadata={"inReplyTo": answer["id"]})
    assert again["threadId"] == root
    filed(office)
    link = os.path.join(office.data, "messages", "by-thread", root, f"{again['id']}.json")
    assert os.readlink(link) == f"../../by-sender/ann/{again['id']}.json"
    assert len(office.client("dee").thread(again["id"])["messages"]) == 2


def test_a_link_leads_through_the_receivers_mark(office: PostOffice) -> None:
    """Its target fits into the inode: 59 bytes on ext4."""
    sent = office.client("ann").send("ben", "hello")["id"]
    filed(office)
    link = os.path.join(paths.sender_dir(office.data, "ann"), f"{sent}.json")
    assert os.readlink(link) == f"../../to/{mark_of('ben')}/{sent}.json"
    assert len(os.readlink(link)) <= 59
    assert os.path.realpath(link) == os.path.join(
        os.path.realpath(paths.receiver_dir(office.data, "ben")), f"{sent}.json"
    )


@pytest.mark.parametrize("is_filed", [False, True])
def test_a_message_to_several_that_expires_is_one_notification(open_office: PostOffice, *, is_filed: bool) -> None:
    """However many mailboxes it is in, and whether or not they are in memory."""
    office, settings = open_office, {"mailbox_idle_ms": 100}
    office.stop()
    office.start(**settings)
    receivers = [f"x{number:02}" for number in range(60)]
    office.sessions("ann", *receivers)
    sent = send(office, "ann", ["@project"], "news", confirm=True, ttlMs=2_500 if is_filed else 200)
    receivers = [each["to"] for each in sent["recipients"]]
    assert (len(receivers) >= 60, sent["accepted"]) == (True, len(receivers))
    office.client("x59").confirm([sent["id"]], "read")
    if is_filed:
        filed(office)
        office.kill()
        office.start(**settings)
    eventually(lambda: len(office.client("ann").inbox()["messages"]) == 1, "the notification", 20.0)
    [notice] = office.client("ann").inbox()["messages"]
    of = len(receivers)
    assert f"expired before {of - 1} of its {of} receivers confirmed it" in notice["message"]
    states = {
        name: office.client(name).inbox(status=["expired", "read"])["messages"][0]["status"] for name in receivers
    }
    assert states == dict.fromkeys(receivers, "expired") | {"x59": "read"}
    assert office.client("ann").inbox()["count"] == 1
