"""Soak: half an hour at 500 messages a second, with expiry, deletions, restarts, kills and sweeps.

`just fault --long` runs the long form; every run includes the short one. MAESTRO_SOAK_S sets the length of the long
form, and MAESTRO_SEED repeats its choices.
"""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING

import pytest

from fault.soak import Auditor, Names, PacedSender, Sample, SoakReader, sample, slope_per_hour
from support.post_office import eventually

if TYPE_CHECKING:
    from support.post_office import PostOffice

RATE_PER_S = 500
SENDERS = 5
READERS = 4
RECEIVERS = 40
AWAY = 4


def _seed() -> int:
    return int(os.environ.get("MAESTRO_SEED") or random.SystemRandom().randrange(1 << 31))


@pytest.mark.timeout(240)
def test_a_short_soak(fault_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    """Long enough for a restart, a kill, and a sweep of the first messages."""
    _soak(fault_office, 12.0, 2, 0.5, capsys, retention="6s")


@pytest.mark.long
@pytest.mark.timeout(4_000)
def test_a_long_soak(fault_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    """The form whose figure is in docs/durability.md."""
    samples = _soak(fault_office, float(os.environ.get("MAESTRO_SOAK_S", "1800")), 11, 5.0, capsys, retention="60s")
    # The last life takes half of the time. A leak shows as growth from its middle third to its last third. (Lives are
    # not compared with each other: the memory of a start depends on how much mail was not yet in the spool when the
    # previous broker was killed.)
    life = [one for one in samples if one.life == samples[-1].life]
    third = len(life) // 3
    for name in ("resident_kib", "descriptors", "threads", "files", "disk_kib"):
        middle = sum(getattr(one, name) for one in life[third : 2 * third]) / third
        last = sum(getattr(one, name) for one in life[-third:]) / third
        assert last <= 1.15 * middle, f"{name} grows: {middle:.0f}, then {last:.0f}"


def _soak(
    office: PostOffice,
    seconds: float,
    restarts: int,
    every_s: float,
    capsys: pytest.CaptureFixture[str],
    *,
    retention: str,
) -> list[Sample]:
    seed = _seed()
    settings: dict[str, str | int] = {"retention": retention, "pending_max": 100_000}
    names = Names(
        [f"from_{number}" for number in range(SENDERS)],
        [f"to_{number}" for number in range(RECEIVERS)],
        [f"away_{number}" for number in range(AWAY)],
    )
    office.start(**settings)
    for session in names.senders:
        office.session(session, role="orchestrator")
    office.sessions(*names.receivers, *names.away)
    rate_per_s = RATE_PER_S / SENDERS
    senders = [
        PacedSender(office, name, seed + i, rate_per_s=rate_per_s, names=names)
        for i, name in enumerate(names.senders)
    ]
    # The senders' mailboxes too: they get reports of expired mail.
    mailboxes = [*names.receivers, *names.senders]
    readers = [SoakReader(office, mailboxes[number::READERS], seed) for number in range(READERS)]
    auditor = Auditor(office)
    parties = [*senders, *readers, auditor]
    for party in parties:
        party.start()
    began_s = time.monotonic()
    samples: list[Sample] = []
    restarted = 0
    while (passed_s := time.monotonic() - began_s) < seconds:
        # All restarts are in the first half, so that one broker runs for the whole second half.
        if restarted < restarts and passed_s > seconds / 2 * (restarted + 1) / restarts:
            restarted += 1
            if restarted % 2:
                office.kill()
            else:
                office.stop()
            office.start(**settings)
        samples.append(sample(office, began_s, restarted))
        time.sleep(every_s)
    for sender in senders:
        sender.stop()
    for sender in senders:
        sender.join(60)
    accepted = {name: to for sender in senders for name, to in sender.accepted.items()}
    to_readers = {name for name, to in accepted.items() if to in names.receivers}
    counts = auditor.counts
    eventually(lambda: to_readers <= counts["message.delivered"].keys(), "all is delivered", 60.0)
    away = accepted.keys() - to_readers
    eventually(lambda: away <= counts["message.expired"].keys(), "all unread mail has expired", 60.0)
    with office.client() as operator:
        swept = operator.stats()["sweep"]
    with capsys.disabled():
        _print_figures(samples, len(accepted), len(away), seed, swept)
    ended_s = time.monotonic()
    eventually(lambda: sample(office, began_s, restarted).files < 500, "the retention removes all files", 300.0)
    for party in (*readers, auditor):
        party.stop()
    for party in (*readers, auditor):
        party.join(60)
    assert [party.failure for party in parties if party.failure is not None] == []
    with capsys.disabled():
        print(f"  {time.monotonic() - ended_s:.0f} s later the retention has removed all files")
    ours = {name: count for name, count in counts["message.accepted"].items() if name in accepted}
    assert ours == dict.fromkeys(accepted, 1), f"each is accepted once (seed {seed})"
    for event in ("message.delivered", "message.expired"):
        twice = [name for name, count in counts[event].items() if count > 1]
        assert twice == [], f"{event} more than once (seed {seed})"
    assert not to_readers & counts["message.expired"].keys()
    assert not away & counts["message.delivered"].keys()
    for reader in readers:
        for mailbox, seen in reader.seen.items():
            assert [seq for seq, _ in seen] == sorted(seq for seq, _ in seen), f"{mailbox} out of order (seed {seed})"
    _judge_growth(samples)
    return samples


def _judge_growth(samples: list[Sample]) -> None:
    """Check each life of the broker for growth, without its first third."""
    for life in {one.life for one in samples}:
        warm = [one for one in samples if one.life == life]
        warm = warm[len(warm) // 3 :]
        if len(warm) < 3:
            continue
        descriptors = [one.descriptors for one in warm]
        assert max(descriptors) - min(descriptors) <= 4, descriptors
        assert max(one.threads for one in warm) == min(one.threads for one in warm)
        assert max(one.resident_kib for one in warm) < 200 << 10


def _print_figures(samples: list[Sample], accepted: int, expired: int, seed: int, swept: object) -> None:
    print(f"\nsoak: {accepted:,} accepted, {expired:,} of them expired, none lost or duplicated (seed {seed})")
    print("  life  samples  resident MiB (slope/h)  descriptors (slope/h)  threads  files, most  disk MiB, most")
    for life in sorted({one.life for one in samples}):
        of_life = [one for one in samples if one.life == life]
        warm = of_life[len(of_life) // 3 :]
        resident = slope_per_hour([(one.at_s, one.resident_kib / 1024) for one in warm])
        descriptors = slope_per_hour([(one.at_s, one.descriptors) for one in warm])
        print(
            f"  {life:>4}  {len(of_life):>7}  {warm[-1].resident_kib / 1024:>12.1f} ({resident:+.1f})"
            f"  {warm[-1].descriptors:>11} ({descriptors:+.1f})  {warm[-1].threads:>7}"
            f"  {max(one.files for one in of_life):>11,}  {max(one.disk_kib for one in of_life) / 1024:>14,.0f}"
        )
    print(f"  the last sweep: {swept}")
