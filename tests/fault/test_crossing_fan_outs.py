"""Messages of several processes to overlapping crowds, while the broker is killed: one order in all mailboxes."""

from __future__ import annotations

import random
import threading
from itertools import combinations, pairwise
from typing import TYPE_CHECKING

import pytest

from fault.client_process import ClientProcess
from fault.ledger import read_mailbox
from fault.test_kill import kill_and_restart, seed_of_run
from support.post_office import eventually

if TYPE_CHECKING:
    from support.post_office import PostOffice

CROWD = [f"crowd_{number}" for number in range(24)]
# Half of the crowd is in another project.
ELSEWHERE = CROWD[12:]
ADDRESSES = ("@workers", "@project:elsewhere,@project:here", ",".join(CROWD[6:18]), "@project:elsewhere,crowd_0")
SENDERS = [f"lead_{number}" for number in range(len(ADDRESSES))]


class Lines:
    """What one process has printed; read by a thread, so that no process waits for its reader."""

    def __init__(self, process: ClientProcess) -> None:
        self.found: list[list[str]] = []
        self._process = process
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        self.found.extend(self._process.lines())

    def wait(self) -> None:
        self._thread.join(120.0)
        assert self._process.wait() == 0


def _cross(office: PostOffice, count: int, kills: int, capsys: pytest.CaptureFixture[str]) -> None:
    seed = seed_of_run()
    chance = random.Random(seed)
    office.environ |= {"MAESTRO_PENDING_MAX": "1000000", "MAESTRO_FANOUT_MAX": "256"}
    office.start()
    for session in CROWD:
        office.session(session, project="elsewhere" if session in ELSEWHERE else "here")
    for session in SENDERS:
        office.session(session, role="orchestrator")
    processes = [
        ClientProcess(office.environ, "fan-out", office.router(), sender, to, sender, str(count))
        for sender, to in zip(SENDERS, ADDRESSES, strict=True)
    ]
    lines = [Lines(process) for process in processes]
    try:
        eventually(lambda: all(each.found for each in lines), "all send", 60.0)
        for _ in range(kills):
            kill_and_restart(office, chance, 0.3)
        for each in lines:
            each.wait()
    finally:
        for process in processes:
            with process:
                pass
    operator = office.client(timeout_s=60.0)
    mail = {session: [each["id"] for each in read_mailbox(operator, session)] for session in CROWD}
    repeated = 0
    reported: dict[str, list[str]] = {session: [] for session in CROWD}
    for each in lines:
        assert len(each.found) == count
        for message_id, _, requests, *reached in each.found:
            repeated += int(requests) > 1
            for receiver, seq in (one.split("=") for one in reached):
                assert mail[receiver][int(seq) - 1] == message_id, "an answer was taken back"
                reported[receiver].append(message_id)
    for session, ids in mail.items():
        assert sorted(ids) == sorted(reported[session]), f"lost or doubled at {session}"
    crossings = _crossings(mail)
    with capsys.disabled():
        print(
            f"\n  {len(SENDERS)} processes, {count} messages each, {kills} kills: "
            f"{sum(map(len, mail.values())):,} deliveries in {len(CROWD)} mailboxes, {repeated} messages repeated, "
            f"{crossings:,} crossings in two mailboxes, all in one order; seed {seed}"
        )
    assert crossings > count, "the messages did not cross"


def _crossings(mail: dict[str, list[str]]) -> int:
    """How often, in what two mailboxes have in common, another sender follows; it is the same in both."""
    found = 0
    for one, other in combinations(mail, 2):
        both = set(mail[one]) & set(mail[other])
        order = [message_id for message_id in mail[one] if message_id in both]
        assert order == [message_id for message_id in mail[other] if message_id in both], (one, other)
        found += sum(first.partition("-")[0] != second.partition("-")[0] for first, second in pairwise(order))
    return found


@pytest.mark.timeout(180)
def test_crossing_messages_come_in_one_order(fault_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    """The short form, which every run includes."""
    _cross(fault_office, 150, 3, capsys)


@pytest.mark.long
@pytest.mark.timeout(1_800)
def test_many_crossing_messages(fault_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    """More of them, and more kills."""
    _cross(fault_office, 4_000, 40, capsys)
