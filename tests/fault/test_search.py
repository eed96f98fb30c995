"""The search index while its process and the broker are killed in the middle of indexing: it is exact afterwards."""

from __future__ import annotations

import os
import random
import signal
import time
from typing import TYPE_CHECKING, Any

from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from support.post_office import PostOffice

MESSAGES = 1_500
ROUNDS = 8
ENOUGH_S = 60.0


def fill(office: PostOffice, first: int) -> None:
    with office.client("ann") as ann:
        outgoing: list[Any] = [
            {"id": f"m{number}", "to": "bob", "message": f"cart n{number}"}
            for number in range(first, first + MESSAGES)
        ]
        results = list(ann.pipeline(outgoing, batch=64, in_flight=128))
    assert not any("error" in result for result in results)


def whole(office: PostOffice, count: int) -> dict[str, Any]:
    """The answer once the index has read everything."""
    until_s = time.monotonic() + ENOUGH_S
    while time.monotonic() < until_s:
        with office.client() as person:
            try:
                found: dict[str, Any] = dict(person.search("cart", limit=200))
            except MaestroError as error:
                assert error.code == "INDEX_UNAVAILABLE", error
                continue
        if found["index"]["upTo"] == found["index"]["head"]:
            assert found["total"] == count
            return found
    raise AssertionError("the index was not whole in time")


def index_pid(broker: int) -> int | None:
    """The process of the index of a broker."""
    with open(f"/proc/{broker}/task/{broker}/children", encoding="ascii") as file:
        for pid in file.read().split():
            with open(f"/proc/{pid}/cmdline", "rb") as words:
                if b"maestro_broker.index" in words.read().split(b"\0"):
                    return int(pid)
    return None


def test_killed_in_the_middle_of_indexing(post_office: PostOffice) -> None:
    """The process at random moments, and every third time the broker: nothing is missing, and nothing there twice."""
    chance = random.Random(5)
    broker = post_office.start(pending_max=100_000).pid
    post_office.sessions("ann", "bob")
    fill(post_office, 0)
    for turn in range(ROUNDS):
        with post_office.client() as person:
            if turn % 2 == 0:
                person.rebuild_index()
            else:
                person.search("cart", limit=1)
        time.sleep(chance.random() * 0.2)
        if turn % 3 == 2:
            post_office.kill()
            broker = post_office.start(pending_max=100_000).pid
        elif (pid := index_pid(broker)) is not None:
            os.kill(pid, signal.SIGKILL)
    fill(post_office, MESSAGES)
    whole(post_office, 2 * MESSAGES)
    with post_office.client() as person:
        seen: list[int] = []
        before = None
        while True:
            page = person.search("cart", limit=200, before=before)
            seen += [hit["lsn"] for hit in page["hits"]]
            if not page["hasMore"]:
                break
            before = page["before"]
        assert len(seen) == len(set(seen)) == 2 * MESSAGES
        for number in (0, 7, MESSAGES, 2 * MESSAGES - 1):
            assert [hit["message"]["message"] for hit in person.search(f"n{number}")["hits"]] == [f"cart n{number}"]
