"""SIGKILL in place of each write and sync that changes of groups make; each change is repeated after it.

Rule: an acknowledged change is there after the kill, and the one under way is there or is not. After the repeat the
groups, their events and their links are what they are without a kill.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from fault import injection
from fault.test_kill import seed_of_run
from maestro_broker.views.verify import SpoolVerifier
from maestro_schemas.errors import MaestroError
from support.post_office import eventually, own_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from maestro_clients.client import Client
    from support.post_office import PostOffice

    Step = Callable[[Client], object]

CALLS = (
    "pwrite64",
    "fdatasync",
    "fsync",
    "syncfs",
    "write",
    "rename",
    "linkat",
    "symlinkat",
    "unlink",
    "mkdir",
    "rmdir",
)


def _to_group(client: Client, key: str) -> None:
    outgoing: Any = {"id": key, "to": "@reviews", "message": f"text of {key}"}
    [result] = client.send_many([outgoing])
    if "error" in result:
        raise MaestroError.from_body(result["error"])
    assert (result["status"], [each["to"] for each in result["recipients"]]) in ((200, SENT[key]), (201, SENT[key]))


# What a message's list of receivers must be, whenever it is asked for.
SENT = {"first": ["bob", "cyd"], "second": ["cyd", "ann"]}
# Every kind of change; the groups that it leaves, each with its members.
STEPS: list[tuple[Step, dict[str, list[str]]]] = [
    (lambda lead: lead.set_group("reviews", create=True, add=["bob", "cyd"]), {"reviews": ["bob", "cyd"]}),
    (lambda lead: _to_group(lead, "first"), {"reviews": ["bob", "cyd"]}),
    (lambda lead: lead.set_group("docs", create=True, add=["cyd"]), {"docs": ["cyd"], "reviews": ["bob", "cyd"]}),
    (lambda lead: lead.set_group("reviews", add=["ann"]), {"docs": ["cyd"], "reviews": ["bob", "cyd", "ann"]}),
    (lambda lead: lead.set_group("reviews", remove=["bob"]), {"docs": ["cyd"], "reviews": ["cyd", "ann"]}),
    (lambda lead: _to_group(lead, "second"), {"docs": ["cyd"], "reviews": ["cyd", "ann"]}),
    (lambda lead: lead.delete_group("docs"), {"reviews": ["cyd", "ann"]}),
]


def _groups(client: Client) -> dict[str, list[str]]:
    return {group["name"]: [each["session"] for each in group["members"]] for group in client.groups(members=True)}


def _prepare(office: PostOffice) -> str:
    """A copy of a data directory with the sessions, for each run."""
    office.start()
    office.session("lead", role="orchestrator")
    office.sessions("ann", "bob", "cyd")
    office.stop()
    kept = f"{office.root}/kept"
    shutil.copytree(office.data, kept, symlinks=True)
    return kept


def _numbers(office: PostOffice, kept: str) -> dict[str, list[int]]:
    """Of each call, the numbers from the first change to the end of the stop, in any thread."""
    log = os.path.join(office.root, "calls")
    office.launcher = injection.launcher(CALLS, log=log)
    _restore(office, kept)
    office.start()
    before = _counted(log)
    client = office.client("lead")
    for step, _ in STEPS:
        step(client)
    client.close()
    office.stop()
    office.launcher = []
    after = _counted(log)
    found: dict[str, set[int]] = {}
    for (thread, call), count in after.items():
        found.setdefault(call, set()).update(range(before[thread, call] + 1, count + 1))
    return {call: sorted(numbers) for call, numbers in found.items()}


def _counted(log: str) -> Counter[tuple[str, str]]:
    return Counter((thread, call) for thread, call, _ in injection.logged(log))


def _restore(office: PostOffice, kept: str) -> None:
    for name in os.listdir(office.data):
        path = os.path.join(office.data, name)
        shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
    shutil.copytree(kept, office.data, symlinks=True, dirs_exist_ok=True)


def _run(office: PostOffice, call: str, number: int) -> str:
    """All steps, with one kill, and a repeat of the step that it hit; where it hit."""
    office.launcher = injection.kill_at(call, number)
    office.begin()
    office.launcher = []
    place = "never"
    before: dict[str, list[str]] = {}
    try:
        office.await_ready()
    except MaestroError:
        place = "start"
        office.start()
    client = office.client("lead", timeout_s=5.0)
    for step, after in STEPS:
        try:
            step(client)
        except MaestroError as error:
            assert error.kind == "unreachable", error
            place = "change"
            assert office.wait_end() == -signal.SIGKILL
            client.close()
            office.start()
            client = office.client("lead")
            assert _groups(client) in (before, after), (call, number)
            if "docs" not in after and "docs" not in _groups(client) and "docs" in before:
                # A repeated deletion finds nothing to delete.
                before = after
                continue
            step(client)
        before = after
    client.close()
    return place if place != "never" else _stopped(office)


def _stopped(office: PostOffice) -> str:
    """Stop a broker that no change has killed; it may be killed behind the last answer."""
    try:
        office.send_signal(signal.SIGTERM)
    except ProcessLookupError:
        pass
    return "never" if office.wait_end() == 0 else "behind"


def _judge(office: PostOffice, place: str) -> None:
    """The groups, the mail, the events and the links are what they must be."""
    if place in ("never", "behind"):
        office.start()
    operator = office.client()
    eventually(lambda: operator.stats()["filingBacklog"] == 0, "all is filed")
    assert _groups(operator) == STEPS[-1][1]
    changes = operator.events(0, events=["group"])["events"]
    assert [(event["event"], event["group"], event.get("joined"), event.get("left")) for event in changes] == [
        ("group.changed", "reviews", ["bob", "cyd"], None),
        ("group.changed", "docs", ["cyd"], None),
        ("group.changed", "reviews", ["ann"], None),
        ("group.changed", "reviews", None, ["bob"]),
        ("group.deleted", "docs", None, None),
    ], "nothing is lost, and nothing was done twice"
    for session, keys in (("bob", ["first"]), ("cyd", ["first", "second"]), ("ann", ["second"])):
        found = operator.inbox(session=session)["messages"]
        assert [(message["id"], message["seq"]) for message in found] == [
            (own_id("lead", key), number) for number, key in enumerate(keys, 1)
        ]
    office.stop()
    assert sorted(os.listdir(os.path.join(office.data, "messages", "by-group"))) == ["reviews"]
    links = sorted(os.listdir(os.path.join(office.data, "messages", "by-group", "reviews")))
    assert links == sorted(f"{own_id('lead', key)}.json" for key in SENT)
    assert os.listdir(os.path.join(office.data, "groups")) == ["reviews.json"]
    lines: list[dict[str, Any]] = []
    SpoolVerifier(office.data, lines.append, is_served=False).run()
    assert [line for line in lines if "finding" in line and not line["harmless"]] == []


def _sweep(office: PostOffice, each: int | None, capsys: pytest.CaptureFixture[str]) -> None:
    injection.require_strace()
    seed = seed_of_run()
    chance = random.Random(seed)
    kept = _prepare(office)
    found = _numbers(office, kept)
    ends: Counter[str] = Counter()
    for call, number in _chosen(found, each, chance):
        _restore(office, kept)
        place = _run(office, call, number)
        _judge(office, place)
        ends[place] += 1
    places = ", ".join(f"{count} {place}" for place, count in sorted(ends.items()))
    with capsys.disabled():
        kinds = ", ".join(f"{len(numbers)} {call}" for call, numbers in found.items())
        print(f"\n  groups: {sum(ends.values())} of the calls ({kinds}), killed at: {places}; seed {seed}")
    assert ends["change"], "no kill hit a change"
    assert ends["behind"], "no kill hit the files behind a change"


def _chosen(found: dict[str, list[int]], each: int | None, chance: random.Random) -> Iterator[tuple[str, int]]:
    for call, numbers in found.items():
        some = numbers if each is None else sorted(chance.sample(numbers, min(each, len(numbers))))
        yield from ((call, number) for number in some)


@pytest.mark.timeout(300)
def test_kill_at_a_write_of_a_group(fault_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    """The short form: a few of each call."""
    _sweep(fault_office, 3, capsys)


@pytest.mark.long
@pytest.mark.timeout(3_600)
def test_kill_at_every_write_of_a_group(fault_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    """Each of them."""
    _sweep(fault_office, None, capsys)
