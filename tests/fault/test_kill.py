"""SIGKILL of the broker at random times under load: afterwards every acknowledged message is there, once and in
order.

A run prints its seed; MAESTRO_SEED repeats its choices. MAESTRO_KILLS sets the number of kills of the long form.
"""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING

import pytest

from fault.ledger import judge, read_mailbox, spool_ids
from fault.load import RECEIVERS, Load, start_sessions
from maestro_schemas.errors import MaestroError
from support.post_office import eventually

if TYPE_CHECKING:
    from maestro_clients.client import Client
    from support.post_office import PostOffice

KILLS_LONG = 1_000
MESSAGES_LONG = 1_000_000
# The kills of one stage of the long form. Its messages are compared and deleted at its end, which limits the memory.
STAGE_KILLS = 20
MAILBOXES_LONG = [f"to_{number}" for number in range(8)]


def seed_of_run() -> int:
    """MAESTRO_SEED, or a new one."""
    return int(os.environ.get("MAESTRO_SEED", "0")) or random.randrange(1, 1 << 31)


def kill_and_restart(post_office: PostOffice, chance: random.Random, lives_s: float) -> None:
    """One life of the broker: up to `lives_s` under load, then SIGKILL. One in eight is killed during recovery."""
    if chance.random() < 0.125:
        post_office.kill()
        post_office.begin()
        time.sleep(chance.uniform(0.0, 0.5))
    else:
        time.sleep(chance.uniform(0.0, lives_s))
    post_office.kill()
    post_office.start()


@pytest.mark.timeout(180)
def test_kills(fault_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    """The short form, which every run includes: mail is sent, confirmed and deleted while the broker is killed."""
    kills, seed = 10, seed_of_run()
    chance = random.Random(seed)
    fault_office.start()
    start_sessions(fault_office)
    with Load(fault_office, seed, read=RECEIVERS[:2]) as load:
        for _ in range(kills):
            kill_and_restart(fault_office, chance, 0.3)
    operator = fault_office.client()
    verdict = judge(operator, RECEIVERS, load.lines, fates=load.fates)
    eventually(lambda: operator.stats()["filingBacklog"] == 0, "all is written to the spool", 60.0)
    warnings = operator.stats()["warnings"]
    fault_office.stop()
    with capsys.disabled():
        print(
            f"\n  {kills} kills: {verdict.summary} ({load.repeated:,} acknowledged only at a repeat, "
            f"{len(load.fates.deleted):,} deleted, {len(verdict.returned)} of them back); seed {seed}"
        )
    assert verdict.clean, verdict
    assert verdict.unknown == [], "mail that no sender sent"
    assert verdict.acknowledged > 0
    assert load.fates.deleted
    assert warnings == []
    files = {message_id for receiver in RECEIVERS for message_id in spool_ids(fault_office.data, receiver)}
    expected = {line.id for line in load.lines} - load.fates.deleted
    assert files == expected, "the spool, read without the broker"


def _delete_all(post_office: PostOffice, receiver: str, kill: bool) -> int:
    """Delete all mail of a mailbox, with `kill` in the middle of it. Returns the last seq."""
    client: Client = post_office.client(timeout_s=5.0)
    mail = read_mailbox(client, receiver)
    ids = [message["id"] for message in mail]
    for start in range(0, len(ids), 256):
        while True:
            try:
                results = client.delete(ids[start : start + 256], session=receiver)
            except MaestroError as error:
                assert error.retryable, error
                continue
            assert all(result["status"] in (200, 404) for result in results)
            break
        if kill and start == 0:
            post_office.kill()
            post_office.start()
    client.close()
    return mail[-1]["seq"] if mail else 0


@pytest.mark.long
@pytest.mark.timeout(3_600)
def test_a_thousand_kills(fault_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    """The form whose figure is in docs/durability.md: a thousand kills, over a million acknowledged messages."""
    kills_wanted = int(os.environ.get("MAESTRO_KILLS", KILLS_LONG))
    messages_wanted = MESSAGES_LONG * kills_wanted // KILLS_LONG
    seed = seed_of_run()
    chance = random.Random(seed)
    began_s = time.monotonic()
    fault_office.environ["MAESTRO_PENDING_MAX"] = "1000000"
    fault_office.start()
    start_sessions(fault_office, MAILBOXES_LONG)
    kills = acknowledged = repeated = 0
    last: dict[str, int] = dict.fromkeys(MAILBOXES_LONG, 0)
    load: Load | None = None
    while kills < kills_wanted or acknowledged < messages_wanted:
        with Load(fault_office, seed + kills, receivers=MAILBOXES_LONG, round_max=64, before=load) as load:
            for _ in range(max(1, min(STAGE_KILLS, kills_wanted - kills) - 1)):
                kill_and_restart(fault_office, chance, 0.2)
                kills += 1
        operator = fault_office.client(timeout_s=60.0)
        verdict = judge(operator, MAILBOXES_LONG, load.lines, after=last)
        assert verdict.clean, (verdict, seed)
        assert verdict.unknown == [], (verdict, seed)
        acknowledged += verdict.acknowledged
        repeated += load.repeated
        for number, receiver in enumerate(MAILBOXES_LONG):
            last[receiver] = max(last[receiver], _delete_all(fault_office, receiver, kill=number == 0))
        kills += 1
        # An orderly stop makes a checkpoint, so that the journal's tail and each recovery stay short.
        fault_office.stop()
        fault_office.start()
        operator.close()
        with capsys.disabled():
            print(f"\r  {kills} kills, {acknowledged:,} acknowledged, {time.monotonic() - began_s:.0f} s ", end="")
    operator = fault_office.client(timeout_s=60.0)
    left = [message for receiver in MAILBOXES_LONG for message in read_mailbox(operator, receiver)]
    warnings = operator.stats()["warnings"]
    with capsys.disabled():
        print(
            f"\r  {kills:,} kills, {acknowledged:,} acknowledged ({repeated:,} of them only at a repeat), 0 lost, "
            f"0 duplicated, 0 out of order, {len(left)} back after deletion; seed {seed}"
        )
    assert left == []
    assert warnings == []
