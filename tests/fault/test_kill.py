"""SIGKILL of the broker at random moments under load: every acknowledged message is there after it, once, in order.

A run prints its seed; MAESTRO_SEED replays the choice of moments.
"""

from __future__ import annotations

import os
import random
import threading
import time
from typing import TYPE_CHECKING

import pytest

from fault.ledger import Line, judge, spool_ids
from maestro_clients.blocking import Client
from maestro_clients.callers import Caller
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from maestro_schemas.documents import OutgoingDoc
    from post_office import PostOffice

RECEIVERS = [f"to_{number}" for number in range(6)]
SENDERS = [f"from_{number}" for number in range(4)]
ROUND = 32


class Sender(threading.Thread):
    """Sends rounds of messages, each until it is answered, whatever happens to the broker in between."""

    def __init__(self, post_office: PostOffice, session: str, seed: int, stop: threading.Event) -> None:
        super().__init__(name=session)
        self._post_office = post_office
        self._session = session
        self._random = random.Random(seed)
        self._stop_event = stop
        self._made = 0
        self.lines: list[Line] = []
        self.repeated = 0
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Until stopped; the round under way is brought to its end."""
        try:
            while not self._stop_event.is_set():
                self._round()
        except BaseException as error:  # noqa: BLE001 - handed to the test, which fails by it
            self.failure = error

    def _round(self) -> None:
        outgoing: list[OutgoingDoc] = []
        for _ in range(self._random.randint(1, ROUND)):
            self._made += 1
            text = "x" * self._random.choice([1, 50, 500, 4_000]) + f" {self._session} {self._made}"
            receiver = self._random.choice(RECEIVERS)
            outgoing.append({"id": f"{self._session}-{self._made}", "to": receiver, "message": text})
        waiting = {item["id"]: item for item in outgoing}
        orders = {item["id"]: number for number, item in enumerate(outgoing)}
        while waiting:
            try:
                # A fresh client each time, since the one before may have lost its broker; the ids stay.
                with Client(self._post_office.router(), Caller(self._session), timeout_s=2.0) as client:
                    for result in client.send_many(list(waiting.values())):
                        assert result["status"] in (200, 201), result
                        item = waiting.pop(result["id"])
                        self.repeated += result["status"] == 200
                        order = self._made - len(outgoing) + orders[result["id"]]
                        self.lines.append(
                            Line(item["id"], self._session, item["to"], item["message"], result["seq"], order)
                        )
            except MaestroError as error:
                if not error.retryable:
                    raise
                self._stop_event.wait(0.01)


def _kill_under_load(post_office: PostOffice, kills: int, capsys: pytest.CaptureFixture[str]) -> None:
    seed = int(os.environ.get("MAESTRO_SEED", "0")) or random.randrange(1, 1 << 31)
    chance = random.Random(seed)
    post_office.start()
    with post_office.client() as operator:
        for session in [*SENDERS, *RECEIVERS]:
            operator.start_session(session, role="orchestrator")
    stop = threading.Event()
    senders = [Sender(post_office, session, seed + number, stop) for number, session in enumerate(SENDERS)]
    for sender in senders:
        sender.start()
    for _ in range(kills):
        time.sleep(chance.uniform(0.0, 0.4))
        post_office.kill()
        post_office.start()
    time.sleep(0.3)
    stop.set()
    for sender in senders:
        sender.join(60.0)
        assert not sender.is_alive()
        if sender.failure is not None:
            raise sender.failure
    lines = [line for sender in senders for line in sender.lines]
    with post_office.client() as operator:
        verdict = judge(operator, RECEIVERS, lines)
        while (stats := operator.stats())["filingBacklog"]:
            time.sleep(0.05)
    post_office.stop()
    repeated = sum(sender.repeated for sender in senders)
    with capsys.disabled():
        print(
            f"\n  {kills} kills, {verdict.acknowledged:,} acknowledged ({repeated:,} of them only at a repeat), "
            f"{len(verdict.lost)} lost, {len(verdict.duplicated)} duplicated, "
            f"{len(verdict.out_of_order)} out of order; seed {seed}"
        )
    assert verdict.clean, verdict
    assert verdict.acknowledged > 0
    assert stats["warnings"] == []
    files = {message_id for receiver in RECEIVERS for message_id in spool_ids(post_office.data, receiver)}
    assert files >= {line.id for line in lines}, "the spool, read with plain file calls, lacks acknowledged mail"


@pytest.mark.timeout(180)
def test_kills(post_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    """The short form, for every run."""
    _kill_under_load(post_office, 10, capsys)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_fifty_kills(post_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    """The figure that the issue names."""
    _kill_under_load(post_office, 50, capsys)
