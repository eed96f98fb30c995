"""Groups with a real broker: files, links, notices, a crash at any time, and their end."""

from __future__ import annotations

import json
import os
import shutil
import time
from typing import TYPE_CHECKING, Any

import pytest

from maestro_broker.views.export import SpoolExporter
from maestro_broker.views.verify import SpoolVerifier
from maestro_clients.mailbox.notices import Notices
from maestro_clients.processes.broker_process import find
from maestro_schemas.errors import MaestroError
from support.post_office import eventually, own_id

if TYPE_CHECKING:
    from pathlib import Path

    from support.post_office import PostOffice


@pytest.fixture
def office(open_office: PostOffice) -> PostOffice:
    """A team in one project: lead leads ann, bob and cyd; far is of another."""
    open_office.session("lead", role="orchestrator")
    open_office.session("cyd")
    open_office.session("far", project="elsewhere")
    return open_office


def send(office: PostOffice, sender: str, to: str | list[str], key: str) -> dict[str, Any]:
    """The result of a send."""
    reply = office.client(sender).call("send", {"messages": [{"id": key, "to": to, "message": f"text of {key}"}]})
    [result] = reply["results"]
    return dict(result)


def filed(office: PostOffice) -> None:
    """Wait until everything accepted is in files."""
    eventually(lambda: office.client().stats()["filingBacklog"] == 0, "all is filed")


def links(office: PostOffice, name: str) -> list[str]:
    """The ids in a group's folder."""
    folder = os.path.join(office.data, "messages", "by-group", name)
    return sorted(each.removesuffix(".json") for each in os.listdir(folder)) if os.path.isdir(folder) else []


def members(office: PostOffice, name: str = "reviews") -> list[str]:
    return [member["session"] for member in office.client().group(name)["members"]]


def findings(office: PostOffice, *, is_served: bool = False) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    SpoolVerifier(office.data, lines.append, is_served=is_served).run()
    return [line for line in lines if "finding" in line]


def test_what_is_sent_to_a_group_reaches_its_active_members(office: PostOffice) -> None:
    """Not its sender, and not a member that has ended, until it is started again. Each message has a link."""
    ann = office.client("ann")
    ann.set_group("reviews", create=True, add=["ann", "bob", "cyd"])
    sent = send(office, "ann", "@reviews", "first")
    assert sorted(each["to"] for each in sent["recipients"]) == ["bob", "cyd"]
    office.client().end_session("cyd")
    sent = send(office, "ann", ["@reviews", "lead"], "second")
    assert sorted(each["to"] for each in sent["recipients"]) == ["bob", "lead"]
    assert ann.group("reviews")["active"] == 2
    office.session("cyd")
    assert send(office, "ann", "@reviews", "third")["accepted"] == 2
    assert send(office, "ann", ["lead"], "apart")["accepted"] == 1
    filed(office)
    ids = [own_id("ann", key) for key in ("first", "second", "third")]
    assert links(office, "reviews") == sorted(ids)
    for message_id in ids:
        path = os.path.join(office.data, "messages", "by-group", "reviews", f"{message_id}.json")
        assert os.path.islink(path)
        with open(path, "rb") as file:
            assert json.load(file)["id"] == message_id
    office.stop()
    assert findings(office) == []


def test_one_receiver_is_a_link_to_its_message(office: PostOffice) -> None:
    office.client("ann").set_group("pair", create=True, add=["ann", "bob"])
    send(office, "ann", "@pair", "one")
    filed(office)
    [message_id] = links(office, "pair")
    path = os.path.join(office.data, "messages", "by-group", "pair", f"{message_id}.json")
    with open(path, "rb") as file:
        assert json.load(file)["message"] == "text of one"


@pytest.mark.parametrize("checkpoint", [False, True])
def test_groups_outlive_a_crash(office: PostOffice, checkpoint: bool) -> None:
    """Behind a checkpoint they come from their files, before it from the journal."""
    ann = office.client("ann")
    ann.set_group("reviews", create=True, add=["bob"])
    ann.set_group("gone", create=True, add=["bob"])
    if checkpoint:
        office.stop()
        office.start()
        ann = office.client("ann")
    ann.set_group("reviews", add=["cyd"], remove=["bob"])
    ann.delete_group("gone")
    before = office.client().groups(members=True)
    office.kill()
    office.start()
    assert office.client().groups(members=True) == before
    assert [group["name"] for group in before] == ["reviews"]
    assert office.client("ann").set_group("reviews", create=True, add=["cyd"])["group"] == before[0]
    office.stop()
    assert findings(office) == []


def test_a_group_of_the_same_name_begins_with_nothing(office: PostOffice) -> None:
    """Whether the writer files each change by itself, or the journal gives back all of them at once."""
    ann = office.client("ann")
    for key in ("first", "second", "third"):
        ann.set_group("reviews", create=True, add=["bob", "ann"])
        send(office, "ann", "@reviews", key)
        if key != "third":
            ann.delete_group("reviews")
    filed(office)
    assert links(office, "reviews") == [own_id("ann", "third")]
    office.kill()
    office.start()
    filed(office)
    assert links(office, "reviews") == [own_id("ann", "third")]
    office.client("ann").delete_group("reviews")
    filed(office)
    assert not os.path.exists(os.path.join(office.data, "messages", "by-group", "reviews"))
    assert len(office.client("bob").inbox()["messages"]) == 3, "the mail stays"
    office.stop()
    assert findings(office) == []


def test_a_torn_file_is_written_again_from_the_journal(office: PostOffice) -> None:
    """A power cut may leave one. Where the journal does not have the group any more, the file is quarantined."""
    office.client("ann").set_group("old", create=True, add=["bob"])
    office.stop()
    office.start()
    office.client("ann").set_group("new", create=True, add=["bob"])
    filed(office)
    office.kill()
    for name in ("old", "new"):
        with open(os.path.join(office.data, "groups", f"{name}.json"), "r+b") as file:
            file.truncate(10)
    assert [one["finding"] for one in findings(office) if not one["harmless"]] == ["groups", "groups"]
    office.start()
    filed(office)
    assert [group["name"] for group in office.client().groups()] == ["new"]
    assert os.listdir(os.path.join(office.data, "groups")) == ["new.json"]
    assert os.listdir(os.path.join(office.data, "messages", "quarantine")) == ["groups--old.json"]


def test_members_get_a_notice_of_each_change(office: PostOffice) -> None:
    """Also one that has left; other sessions get none. Each is an event that they may read."""
    lead = office.client("lead")
    lead.set_group("reviews", create=True, add=["bob"])
    found = find(office.data)
    assert found is not None
    listeners = {name: Notices(found.notices, name, watches=name != "cyd") for name in ("bob", "cyd", "ann")}
    try:
        eventually(lambda: len(office.client().stats()) > 0 and _heads(listeners), "they are subscribed")
        lead.set_group("reviews", add=["cyd"])
        lead.set_group("reviews", remove=["bob"])
        lead.delete_group("reviews")
        heard: dict[str, list[Any]] = {name: [] for name in listeners}

        def drained() -> bool:
            for name, notices in listeners.items():
                heard[name] += [event for event in notices.drain() if event["event"] != "head"]
            return len(heard["bob"]) >= 2 and len(heard["cyd"]) >= 3

        eventually(drained, "the notices come")
    finally:
        for notices in listeners.values():
            notices.close()
    assert [(event["event"], event.get("joined"), event.get("left")) for event in heard["bob"]] == [
        ("group.changed", ["cyd"], None),
        ("group.changed", None, ["bob"]),
    ]
    assert [event["event"] for event in heard["cyd"]] == ["group.changed", "group.changed", "group.deleted"]
    assert heard["ann"] == []
    counts = {}
    for who in ("bob", "cyd", "lead", "ann", "far", None):
        page = office.client(who).events(0, events=["group"])
        counts[who] = [event["event"].removeprefix("group.") for event in page["events"]]
    assert counts == {
        "bob": ["changed", "changed", "changed"],
        "cyd": ["changed", "changed", "deleted"],
        "lead": ["changed", "changed", "changed", "deleted"],
        "ann": [],
        "far": [],
        None: ["changed", "changed", "changed", "deleted"],
    }
    only = office.client().events(0, events=["group"], session="bob")["events"]
    assert len(only) == 3


def _heads(listeners: dict[str, Notices]) -> bool:
    """Each that gets a `head` has it; the others were subscribed before them."""
    for name, notices in list(listeners.items()):
        if name in ("bob", "ann") and not getattr(notices, "is_ready", False):
            notices.is_ready = any(event["event"] == "head" for event in notices.drain())  # type: ignore[attr-defined]
    return all(getattr(listeners[name], "is_ready", False) for name in ("bob", "ann"))


def test_a_group_without_active_members_goes_after_its_retention(post_office: PostOffice) -> None:
    """By `maestro`, with its links; a session that is forgotten leaves its groups before."""
    post_office.start(retention_ms=1_000)
    post_office.sessions("ann", "bob", "cyd")
    operator = post_office.client()
    operator.set_group("left", create=True, add=["bob"])
    operator.set_group("kept", create=True, add=["bob", "ann"])
    send(post_office, "ann", "@kept", "lasting")
    filed(post_office)
    assert links(post_office, "kept") == [own_id("ann", "lasting")]
    operator.end_session("bob")
    eventually(lambda: [group["name"] for group in operator.groups()] == ["kept"], "the other goes", 30.0)
    eventually(lambda: members(post_office, "kept") == ["ann"], "bob is forgotten", 30.0)
    filed(post_office)
    assert os.listdir(os.path.join(post_office.data, "groups")) == ["kept.json"]
    eventually(lambda: links(post_office, "kept") == [], "the link goes with its mail", 30.0)
    by_office = [event for event in operator.events(0, events=["group"])["events"] if event.get("by") == "maestro"]
    shown = {(event["event"], event["group"]): event for event in by_office}
    assert set(shown) >= {("group.deleted", "left"), ("group.changed", "kept")}
    assert shown["group.changed", "kept"]["left"] == ["bob"]
    page = operator.events(0, events=["session.forgotten"])["events"]
    assert shown["group.changed", "kept"]["lsn"] < page[-1]["lsn"]


@pytest.fixture
def filled(office: PostOffice) -> PostOffice:
    """A stopped office with a group and a message to it."""
    office.client("ann").set_group("reviews", create=True, add=["ann", "bob", "cyd"])
    send(office, "ann", "@reviews", "first")
    filed(office)
    office.stop()
    assert findings(office) == []
    return office


def _lose_link(data: str) -> None:
    os.unlink(os.path.join(data, "messages", "by-group", "reviews", f"{own_id('ann', 'first')}.json"))


def _keep_folder(data: str) -> None:
    os.unlink(os.path.join(data, "groups", "reviews.json"))


def _swap_name(data: str) -> None:
    shutil.copy(os.path.join(data, "groups", "reviews.json"), os.path.join(data, "groups", "twin.json"))
    os.chmod(os.path.join(data, "groups", "twin.json"), 0o600)


def _foreign_link(data: str) -> None:
    os.symlink("../../by-receiver", os.path.join(data, "messages", "by-group", "reviews", "m_1234567.json"))


@pytest.mark.parametrize(
    ("damage", "check", "harmless"),
    [
        (_lose_link, "sender links", False),
        (_keep_folder, "groups", True),
        (_swap_name, "groups", False),
        (_foreign_link, "links", False),
    ],
)
def test_verify_finds_what_is_wrong(filled: PostOffice, damage: Any, check: str, harmless: bool) -> None:
    damage(filled.data)
    [found] = findings(filled)
    assert (found["finding"], found["harmless"]) == (check, harmless)
    assert found["todo"]


def test_the_repair_that_verify_names_repairs(filled: PostOffice) -> None:
    _lose_link(filled.data)
    [found] = findings(filled)
    command, option, target, link = found["todo"].split(" ")
    assert (command, option) == ("ln", "-s")
    os.symlink(target, link)
    assert findings(filled) == []


def test_an_export_has_the_groups(filled: PostOffice, tmp_path: Path) -> None:
    """Of one session those that it is in, and the events of their changes."""

    def exported(session: str | None) -> list[dict[str, Any]]:
        lines: list[str] = []
        SpoolExporter(filled.data, session, lines.append, lambda _: None).run()
        found = [json.loads(line) for line in lines]
        return [line for line in found if line["kind"] == "group" or line.get("group")]

    whole = exported(None)
    assert [line["kind"] for line in whole] == ["group", "event"]
    assert whole[0]["name"] == "reviews"
    assert [member["session"] for member in whole[0]["members"]] == ["ann", "bob", "cyd"]
    assert exported("cyd") == whole
    assert exported("lead") == []


def test_limits_are_those_of_the_broker(post_office: PostOffice) -> None:
    post_office.start(groups_max=1, group_members_max=1)
    post_office.sessions("ann", "bob")
    operator = post_office.client()
    operator.set_group("one", create=True, add=["ann"])
    for fields in ({"name": "one", "add": ["bob"]}, {"name": "two", "create": True}):
        with pytest.raises(MaestroError) as caught:
            operator.set_group(**fields)
        assert (caught.value.code, caught.value.limit, caught.value.actual) == ("TOO_MANY", 1, 2)
    limits = operator.stats()["limits"]
    assert (limits["groups_max"]["value"], limits["group_members_max"]["value"]) == (1, 1)


def test_the_clock_of_a_group_is_the_brokers(office: PostOffice) -> None:
    before = time.time_ns() // 1_000_000
    group = office.client("ann").set_group("reviews", create=True, add=["bob"])["group"]
    assert before <= group["createdAt"] == group["changedAt"] == group["members"][0]["joinedAt"]
