"""SIGKILL at each write and sync of changes of groups: a change is whole or absent, and none is taken back."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from fault.kill_points import KillSweep
from fault.test_kill import seed_of_run
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from support.post_office import PostOffice

CROWD = [f"to_{number}" for number in range(20)]
# The requests, and by name the members of all groups before the first one and after each.
STEPS: list[tuple[str, dict[str, Any]]] = [
    ("group.set", {"name": "team", "create": True, "projectId": "default", "add": CROWD[:18]}),
    ("group.set", {"name": "team", "add": CROWD[18:], "remove": CROWD[:2]}),
    ("group.delete", {"name": "old"}),
    ("group.set", {"name": "old", "create": True, "projectId": "default", "add": CROWD[:1]}),
]
STATES: list[dict[str, list[str]]] = [
    {"old": CROWD},
    {"old": CROWD, "team": CROWD[:18]},
    {"old": CROWD, "team": CROWD[2:]},
    {"team": CROWD[2:]},
    {"old": CROWD[:1], "team": CROWD[2:]},
]


class Changes:
    """The work of one life; `answered`: how many requests have an answer."""

    def __init__(self) -> None:
        self.answered = 0

    def __call__(self, office: PostOffice) -> dict[str, Any]:
        self.answered = 0
        with office.client(timeout_s=5.0) as operator:
            for command, body in STEPS:
                operator.call(command, body)
                self.answered += 1
        return {}


def _groups(office: PostOffice) -> dict[str, list[str]]:
    with office.client() as operator:
        reply: Any = operator.call("group.list", {"members": True})
    return {group["name"]: [each["session"] for each in group["members"]] for group in reply["groups"]}


def _judge(office: PostOffice, answered: int) -> None:
    found = _groups(office)
    assert found in STATES, found
    # One that has no answer may have been carried out.
    done = STATES.index(found)
    assert answered <= done <= answered + 1, f"{answered} requests had an answer, {done} were carried out"
    with office.client() as operator:
        for command, body in STEPS[done:]:
            operator.call(command, body)
        if done == len(STEPS):
            operator.call(*STEPS[-1])  # a repeat
        assert operator.stats()["warnings"] == []
    office.kill()
    office.start()
    assert _groups(office) == STATES[-1]


def _sweep(office: PostOffice, count: int | None, capsys: pytest.CaptureFixture[str]) -> None:
    seed = seed_of_run()
    office.start()
    office.sessions(*CROWD)
    with office.client() as operator:
        operator.call("group.set", {"name": "old", "create": True, "projectId": "default", "add": CROWD})
    office.stop()
    changes = Changes()
    sweep = KillSweep(office, changes)
    points = sweep.points()
    chosen = points if count is None else sorted(random.Random(seed).sample(points, count))
    # Each request is one write and one sync of the journal: those are always among them.
    chosen += [point for point in points if point.call == "fdatasync" and point not in chosen][: len(STEPS)]
    places: Counter[str] = Counter()
    for point in chosen:
        killed = sweep.kill_at(point)
        try:
            _judge(office, 0 if killed.place == "recovery" else changes.answered)
        except (AssertionError, MaestroError) as error:
            raise AssertionError(f"killed at {point} ({killed.place}), seed {seed}: {error}") from error
        places[killed.place] += 1
        office.kill()
    where = ", ".join(f"{number} in {place}" for place, number in sorted(places.items()))
    with capsys.disabled():
        print(
            f"\n  {len(chosen)} of {len(points)} writes and syncs of changes of groups killed ({where}); seed {seed}"
        )
    assert places["work"], "no kill came before an answer"


@pytest.mark.timeout(180)
def test_some_kills_of_changes_of_groups(fault_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    """The short form, which every run includes."""
    _sweep(fault_office, 4, capsys)


@pytest.mark.long
@pytest.mark.timeout(3_600)
def test_all_kills_of_changes_of_groups(fault_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    """Every write and sync."""
    _sweep(fault_office, None, capsys)
