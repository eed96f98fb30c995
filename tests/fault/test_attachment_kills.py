"""SIGKILL at each write and sync of a file's way: a part, the last part, the message, its links, and the collection.

Rule: after each kill the same work is done again. Then each accepted message has its files, each file is stored once,
and nothing is left that no message names, once it is old.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from fault.kill_points import KillPoint, KillSweep
from fault.test_kill import seed_of_run
from maestro_broker.views.verify import SpoolVerifier
from support import attached
from support.attached import beside, blob, blobs, described, digest_of, get, put, send
from support.post_office import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.post_office import PostOffice

CONTENT = random.Random(17).randbytes(300_000)
NAMED = described(CONTENT, "big.bin")
RECEIVERS = ["bob", "cyd", "dee"]
HOURS_S = 7_200


def _send_files(office: PostOffice) -> dict[str, Any]:
    """Put a file in three parts, and send it to three receivers under two ids."""
    with office.client("ann", timeout_s=5.0) as ann:
        put(ann, CONTENT, part_bytes=100_000)
        results = [send(ann, RECEIVERS, NAMED, key=key) for key in ("one", "two")]
        assert all(result["status"] in (200, 201) for result in results), results
        return {"ids": [result["id"] for result in results]}


def _sweep_files(office: PostOffice) -> dict[str, Any]:
    """A round of the sweep over what is old."""
    with office.client(timeout_s=5.0) as operator:
        number = operator.prune()["round"]
        eventually(lambda: operator.prune(number=number)["done"], "the round is over")
        return {"round": number}


def _whole(office: PostOffice, answer: dict[str, Any]) -> None:
    """The messages have their files, now and when all is filed."""
    with office.client() as operator:
        for name in RECEIVERS:
            for message_id in answer["ids"]:
                with open(beside(office, name, message_id, "big.bin"), "rb") as file:
                    assert file.read() == CONTENT
        assert get(operator, answer["ids"][0], "big.bin") == CONTENT
        eventually(lambda: operator.stats()["filingBacklog"] == 0, "all is filed")
        assert operator.stats()["attachments"]["files"] == 1
    assert os.stat(blob(office, digest_of(CONTENT))).st_nlink == 1 + 2 * len(RECEIVERS), "it is stored once"
    office.stop()
    _sound(office)
    assert os.listdir(os.path.join(attached.store(office), "parts")) == []
    assert blobs(office) == [digest_of(CONTENT)]


def _sound(office: PostOffice) -> None:
    lines: list[dict[str, Any]] = []
    SpoolVerifier(office.data, lines.append, is_served=False).run()
    assert [line for line in lines if "finding" in line and not line["harmless"]] == []


def _each(
    office: PostOffice,
    work: Callable[[PostOffice], dict[str, Any]],
    judge: Callable[[PostOffice, dict[str, Any]], None],
    most: int | None,
) -> Counter[str]:
    sweep = KillSweep(office, work)
    found = sweep.points()
    chance = random.Random(seed_of_run())
    chosen = found if most is None else _spread(found, most, chance)
    ends: Counter[str] = Counter()
    for point in chosen:
        ends[sweep.kill_at(point).place] += 1
        judge(office, work(office))
    return ends


def _spread(found: list[KillPoint], most: int, chance: random.Random) -> list[KillPoint]:
    """Some of each kind of call."""
    kinds = {point.call for point in found}
    some = [[point for point in found if point.call == kind] for kind in sorted(kinds)]
    return [point for points in some for point in chance.sample(points, min(most, len(points)))]


def _sending(office: PostOffice, most: int | None, capsys: pytest.CaptureFixture[str]) -> None:
    office.start()
    office.sessions("ann", *RECEIVERS)
    office.stop()
    ends = _each(office, _send_files, _whole, most)
    with capsys.disabled():
        print(f"\n  files: killed at {dict(ends)}")
    assert ends["work"], "no kill hit the put or the send"
    assert ends["filing"], "no kill hit the files behind it"


@pytest.mark.timeout(600)
def test_kill_at_a_step_of_a_file(fault_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    """The short form: a few of each call."""
    _sending(fault_office, 2, capsys)


@pytest.mark.long
@pytest.mark.timeout(3_600)
def test_kill_at_every_step_of_a_file(fault_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    """Each of them."""
    _sending(fault_office, None, capsys)


@pytest.mark.timeout(600)
def test_kill_at_a_step_of_the_collection(fault_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    """What no message names is gone after it, and what one names is there."""
    office = fault_office
    office.start()
    office.sessions("ann", *RECEIVERS)
    answer = _send_files(office)
    with office.client("ann") as ann:
        put(ann, b"no message names this")
        ann.blob_put(digest_of(b"unfinished"), len(b"unfinished"), 0, b"unf")
    with office.client() as operator:
        eventually(lambda: operator.stats()["filingBacklog"] == 0, "all is filed")
    office.stop()
    os.makedirs(beside(office, "bob", "msg_gone"), 0o700)
    then_s = time.time() - HOURS_S
    for directory, folders, names in os.walk(attached.store(office)):
        for name in (*folders, *names):
            os.utime(os.path.join(directory, name), (then_s, then_s))
    os.utime(beside(office, "bob", "msg_gone"), (then_s, then_s))

    def judge(office: PostOffice, _: dict[str, Any]) -> None:
        for name in RECEIVERS:
            for message_id in answer["ids"]:
                with open(beside(office, name, message_id, "big.bin"), "rb") as file:
                    assert file.read() == CONTENT
        # The copy of the directory for this life made copies of the links, so no blob has one.
        assert blobs(office) == []
        assert os.listdir(os.path.join(attached.store(office), "parts")) == []
        assert not os.path.exists(beside(office, "bob", "msg_gone"))
        with office.client("bob") as bob:
            assert get(bob, answer["ids"][0], "big.bin") == CONTENT
            assert bob.stats()["attachments"]["bytes"] == 0
        office.stop()
        _sound(office)

    ends = _each(office, _sweep_files, judge, 3)
    with capsys.disabled():
        print(f"\n  collection: killed at {dict(ends)}")
    assert ends["work"], "no kill hit the sweep"
