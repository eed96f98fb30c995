"""What was said, from a real broker: each message once, over pages, kills, and while others write."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from maestro_clients.protocol.new_ids import new_message_id
from maestro_schemas.errors import MaestroError
from support.post_office import eventually

if TYPE_CHECKING:
    from maestro_clients.client import Client
    from support.post_office import PostOffice

RECEIVERS = ["ben", "cid", "dee"]


@pytest.fixture
def office(open_office: PostOffice) -> PostOffice:
    """Workers of one project, its orchestrator, and one of another project."""
    open_office.sessions(*RECEIVERS)
    open_office.session("lead", role="orchestrator")
    open_office.session("boss", role="orchestrator", project="other")
    return open_office


def say(office: PostOffice, sender: str, to: str | list[str], text: str, **more: Any) -> str:
    """The id of an accepted message."""
    outgoing = {"id": new_message_id(), "to": to, "message": text, **more}
    [result] = office.client(sender).call("send", {"messages": [outgoing]})["results"]
    assert "error" not in result, result
    return str(result["id"])


def texts(client: Client, *, limit: int = 200, **filters: Any) -> list[str]:
    """The texts of all pages, the oldest first."""
    pages = list(client.message_pages(limit=limit, **filters))
    assert all(len(page["messages"]) <= limit for page in pages)
    ordered = pages if "after" in filters else pages[::-1]
    return [said["message"]["message"] for page in ordered for said in page["messages"]]


@pytest.mark.parametrize("limit", [1, 3, 200])
def test_pages_over_kills_and_restarts(office: PostOffice, limit: int) -> None:
    """Some of the messages are in files, some in the journal alone, some came after the last kill."""
    expected: list[str] = []
    for life in range(3):
        for number in range(4):
            text = f"{life}.{number}"
            say(office, "ann", [*RECEIVERS] if number % 2 else "ben", text)
            expected.append(text)
        if life == 1:
            eventually(lambda: office.client().stats()["filingBacklog"] == 0, "all is filed")
        own = [text for text in expected if text[-1] in "13"]
        for who, found in (("ann", expected), ("ben", expected), ("cid", own), ("lead", expected), ("boss", [])):
            client = office.client(who)
            assert texts(client, limit=limit) == found
            assert texts(client, limit=limit, after=0) == found
        assert texts(office.client(), limit=limit, with_="cid") == own
        office.kill()
        office.start()
    assert texts(office.client("dee"), limit=limit) == own
    # One entry for its sender, with all receivers.
    said = office.client("ann").messages(limit=1, counts=True)["messages"]
    assert [(each["receivers"], each["counts"]) for each in said] == [(RECEIVERS, {"pending": 3})]


def test_a_cursor_is_good_over_a_kill(office: PostOffice) -> None:
    ann, ben = office.client("ann"), office.client("ben")
    say(office, "ann", "ben", "one")
    page = ben.messages()
    office.kill()
    office.start()
    assert ben.messages(after=page["upTo"])["messages"] == []
    say(office, "ann", ["ben", "cid"], "two")
    assert texts(office.client("ben"), after=page["upTo"]) == ["two"]
    with pytest.raises(MaestroError) as raised:
        ann.messages(after=page["upTo"] + 1_000)
    assert raised.value.code == "CURSOR_AHEAD"


def test_while_others_write(office: PostOffice) -> None:
    """A follower and a reader of pages see each message once and in one order, whatever is filed meanwhile."""
    count = 600
    ended = threading.Event()

    def write() -> None:
        outgoing: list[Any] = [
            {"id": new_message_id(), "to": RECEIVERS if number % 3 == 0 else "ben", "message": str(number)}
            for number in range(count)
        ]
        for result in office.client("ann").pipeline(outgoing, in_flight=8):
            assert "error" not in result
        ended.set()

    writer = threading.Thread(target=write)
    writer.start()
    found: list[str] = []
    cursor = 0
    with office.client("ben") as client:
        while not ended.is_set() or len(found) < count:
            page = client.messages(after=cursor, limit=50)
            found += [said["message"]["message"] for said in page["messages"]]
            cursor = page["upTo"]
            back = texts(client, limit=37)
            assert back == [str(number) for number in range(len(back))]
            assert len(back) >= len(found)
    writer.join()
    assert found == [str(number) for number in range(count)]


def test_what_was_deleted_or_removed_is_left_out(office: PostOffice) -> None:
    first = say(office, "ann", "ben", "deleted")
    say(office, "ann", "ben", "old")
    say(office, "ann", RECEIVERS, "kept by some")
    ben = office.client("ben")
    ben.delete([first])
    ben.confirm([said["message"]["id"] for said in ben.messages()["messages"]], "read")
    assert texts(ben) == ["old", "kept by some"]
    operator = office.client()
    eventually(lambda: operator.stats()["filingBacklog"] == 0, "all is filed")

    def pruned() -> bool:
        done = operator.prune(older_than_ms=1)
        eventually(lambda: operator.prune(number=done["round"])["done"], "the round is over")
        return texts(ben) == []

    eventually(pruned, "what was read is removed")
    assert texts(office.client("ann")) == ["kept by some"]
    [said] = office.client("ann").messages(counts=True)["messages"]
    assert (said["message"]["to"], said["counts"]) == ("cid", {"deleted": 1, "pending": 2})


def test_reading_changes_nothing(office: PostOffice) -> None:
    say(office, "ann", RECEIVERS, "x")
    before = office.client().stats()["headLsn"]
    for who in ("ben", "lead", None):
        office.client(who).messages(counts=True)
    assert office.client().stats()["headLsn"] == before
    assert office.client("ben").inbox()["unoffered"] == 1


def test_messages_by_how_their_ids_begin(office: PostOffice) -> None:
    """By the whole id, by its random part, and by a key; in files, in memory, and of a message that was refused."""
    ids = [say(office, "ann", "ben", "one"), say(office, "ben", ["ann", "cid"], "two")]
    ids.append(say(office, "ann", "ben", "three", id="plan-7"))
    for kept in (False, True):
        if kept:
            eventually(lambda: office.client().stats()["filingBacklog"] == 0, "all is filed")
        for message_id, part in zip(ids, (ids[0].split("_")[2], ids[1].split("_")[2][:4], "plan"), strict=True):
            for begins in (message_id, part):
                for who in ("ann", "ben", "lead"):
                    found = office.client(who).messages(id_prefix=begins)["messages"]
                    assert [each["message"]["id"] for each in found] == [message_id]
        assert texts(office.client("ann"), id_prefix="msg_", limit=1) == ["one", "two"]
        # No one finds what is not theirs, and a mark or a time names no message.
        assert texts(office.client("dee"), id_prefix="msg_") == []
        assert texts(office.client("boss"), id_prefix="plan-7") == []
        assert texts(office.client(), id_prefix=ids[0].rsplit("_", 1)[1]) == []
        assert texts(office.client(), id_prefix=ids[0].split("_")[1]) == []
