"""SIGKILL at each write and sync of one message to 64 sessions, and a repeat of its id after each."""

from __future__ import annotations

import os
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from fault.kill_points import KillPoint, KillSweep
from fault.ledger import read_mailbox
from fault.test_kill import seed_of_run
from support.post_office import own_id

if TYPE_CHECKING:
    from support.post_office import PostOffice

CROWD = [f"to_{number}" for number in range(64)]
# These have mail already, which they were not offered; the mailboxes of the others are empty and have no marker.
EARLIER = CROWD[:32]
ENDED = "ended"
ID = own_id("lead", "stop")
MESSAGE = {"id": "stop", "to": ["@workers", ENDED], "message": "Stop, main is red.", "confirm": True}
SETTINGS = {"MAESTRO_SEGMENT_BYTES": "262144", "MAESTRO_FANOUT_MAX": "100"}


def _send(office: PostOffice) -> dict[str, Any]:
    with office.client("lead", timeout_s=5.0) as lead:
        reply: Any = lead.call("send", {"messages": [MESSAGE]})
    [result] = reply["results"]
    return dict(result)


def _prepare(office: PostOffice) -> None:
    office.environ |= SETTINGS
    office.start()
    office.session("lead", role="orchestrator")
    office.sessions(*CROWD, ENDED)
    lead = office.client("lead")
    for session in EARLIER:
        lead.send(session, "earlier")
    office.client().end_session(ENDED)
    office.stop()


def _numbers(office: PostOffice, sessions: list[str]) -> dict[str, dict[str, int]]:
    """By session, the numbers of its mail by id."""
    with office.client(timeout_s=30.0) as operator:
        mail = {session: read_mailbox(operator, session) for session in sessions}
    return {session: {each["id"]: each["seq"] for each in messages} for session, messages in mail.items()}


def _frozen(result: dict[str, Any]) -> dict[str, Any]:
    """By receiver, its number, or why it has none."""
    return {each["to"]: each.get("seq") or each["error"]["code"] for each in result["recipients"]}


def _change(office: PostOffice, number: int) -> list[str]:
    """What may happen between a crash and a repeat; returns the sessions that the address means now."""
    now = list(CROWD)
    with office.client() as operator:
        if number % 3 == 1:
            operator.end_session(CROWD[5])
            now.remove(CROWD[5])
        elif number % 3 == 2:
            operator.start_session(CROWD[7], name="another-name")
            operator.start_session("newcomer")
            now.append("newcomer")
    return now


def _judge(office: PostOffice, answer: dict[str, Any] | None, number: int) -> bool:
    """Check everything that was promised after a crash; whether the message had been accepted before it."""
    before = {session: ids[ID] for session, ids in _numbers(office, CROWD).items() if ID in ids}
    assert len(before) in (0, len(CROWD)), "all deliveries are durable, or none"
    if answer is not None:
        assert answer["status"] == 201
        assert _frozen(answer) == {**before, ENDED: "RECEIVER_ENDED"}, "an answer was taken back"
    for session in before:
        assert os.path.exists(os.path.join(office.data, "messages", "by-receiver", session, ".pending")), session
    now = _change(office, number)
    first, second = _send(office), _send(office)
    if before:
        assert first["status"] == 200
        assert _frozen(first) == {**before, ENDED: "RECEIVER_ENDED"}, "the list is frozen"
    else:
        assert first["status"] == 201
        assert set(_frozen(first)) == {*now, ENDED}
    assert second["status"] == 200
    assert _frozen(second) == _frozen(first)
    everywhere = [*CROWD, "newcomer"] if "newcomer" in now else CROWD
    for session, ids in _numbers(office, everywhere).items():
        assert sorted(ids.values()) == list(range(1, len(ids) + 1)), f"a gap in the mailbox of {session}"
        assert len(ids) == (session in EARLIER) + (session in _frozen(first)), session
    with office.client() as operator:
        assert operator.stats()["warnings"] == []
    return bool(before)


def _sweep(office: PostOffice, count: int | None, capsys: pytest.CaptureFixture[str]) -> None:
    seed = seed_of_run()
    chance = random.Random(seed)
    _prepare(office)
    sweep = KillSweep(office, _send)
    points = sweep.points()
    calls = Counter(point.call for point in points)
    # A marker for each mailbox without mail; a file for each receiver, written and then named.
    assert calls["link"] >= len(CROWD) - len(EARLIER), calls
    assert min(calls["write"], calls["linkat"]) >= len(CROWD), calls
    chosen = points if count is None else _some(points, count, chance)
    places: Counter[str] = Counter()
    accepted = 0
    for number, point in enumerate(chosen):
        killed = sweep.kill_at(point)
        try:
            accepted += _judge(office, killed.answer, number)
        except AssertionError as error:
            raise AssertionError(f"killed at {point} ({killed.place}), seed {seed}: {error}") from error
        places[killed.place] += 1
        office.kill()
    where = ", ".join(f"{number} in {place}" for place, number in sorted(places.items()))
    with capsys.disabled():
        print(
            f"\n  {len(chosen)} of {len(points)} writes and syncs of a message to {len(CROWD)} killed ({where}): "
            f"{accepted} times it was accepted before, 0 lost, 0 doubled, no gap; seed {seed}"
        )
    assert places["work"], "no kill came before the answer"
    assert places["filing"], "no kill came after the answer"


def _some(points: list[KillPoint], count: int, chance: random.Random) -> list[KillPoint]:
    """The commit, and of each call some, the rare ones first."""
    by_call: dict[str, list[KillPoint]] = {}
    for point in points:
        by_call.setdefault(point.call, []).append(point)
    for those in by_call.values():
        chance.shuffle(those)
    found = [point for point in points if point.call in ("pwrite64", "fdatasync")][:2]
    while len(found) < min(count, len(points)):
        for those in by_call.values():
            if those and those[-1] not in found:
                found.append(those[-1])
            del those[-1:]
    return found[:count]


@pytest.mark.timeout(180)
def test_some_kills_of_one_message_to_many(fault_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    """The short form, which every run includes."""
    _sweep(fault_office, 12, capsys)


@pytest.mark.long
@pytest.mark.timeout(3_600)
def test_all_kills_of_one_message_to_many(fault_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    """Every write and sync."""
    _sweep(fault_office, None, capsys)
