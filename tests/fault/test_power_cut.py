"""Power cuts: a broker recovers from exactly the bytes that were on the disk at some moment of its work.

The data directory is on an ext4 image. SIGSTOP stops the broker, the image is copied, and another broker recovers
from the mounted copy. It must have everything that was acknowledged before the copy. The image does not have the page
cache, so bytes that were not synced are lost. The control is a broker whose syncs do nothing and succeed. It must
lose mail in the same comparison; otherwise the cuts prove nothing.
"""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from fault import disks, injection
from fault.ledger import Fates, Verdict, judge
from fault.load import RECEIVERS, Load, start_sessions
from fault.test_kill import seed_of_run
from maestro_schemas.errors import MaestroError
from support.post_office import eventually, own_id, scratch

if TYPE_CHECKING:
    from fault.ledger import Line
    from support.post_office import PostOffice

DISK_BYTES = 512 << 20
READ = RECEIVERS[:2]
# The sync calls of a broker. For the control they return success without a sync.
SYNCS = ("fdatasync", "fsync", "syncfs")
# The journal's segments are small, so that some cuts happen while it begins a new segment.
SETTINGS = {"segment_bytes": 1 << 18, "disk_reserve_bytes": 0}
DISK_CUTS = 5


class CutTotals(NamedTuple):
    """The totals of all cuts of a run."""

    cuts: int
    # Messages acknowledged before the cuts, and those of them that were lost.
    acknowledged: int
    lost: int
    # Confirmations and deletions that were lost.
    undone: int
    failures: list[str]


def _is_stopped(pid: int) -> bool:
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return file.read().rpartition(")")[2].split()[0] in ("T", "t")


def _recovered(image: str, lines: list[Line], fates: Fates) -> tuple[Verdict, list[str]]:
    """Start a broker on a copy of the disk. Returns the comparison and the broker's warnings. Raises MaestroError if
    it does not start."""
    with disks.Disk(image=image) as copy:
        second = scratch(f"{copy.path}/data")
        try:
            second.start(**SETTINGS)
            operator = second.client()
            known = {session["id"] for session in operator.sessions()}
            if not known.issuperset(RECEIVERS):
                raise MaestroError("SESSION_NOT_FOUND", "the sessions themselves are gone")
            return judge(operator, RECEIVERS, lines, fates=fates), operator.stats()["warnings"]
        finally:
            second.close()


def _add_cut(image: str, lines: list[Line], fates: Fates, totals: CutTotals) -> CutTotals:
    """Recover from a cut, and add the result to the totals."""
    lost, undone, failures = len(lines), 0, list(totals.failures)
    try:
        verdict, warnings = _recovered(image, lines, fates)
    except MaestroError as error:
        failures.append(str(error))
    else:
        lost, undone = len(verdict.lost), len(verdict.undone) + len(verdict.returned)
        if not verdict.clean or warnings:
            failures.append(f"{verdict._replace(unknown=[])} {warnings}"[:2_000])
    acknowledged = totals.acknowledged + len(lines)
    return CutTotals(totals.cuts + 1, acknowledged, totals.lost + lost, totals.undone + undone, failures)


def _cut_under_load(cuts: int, seed: int, launcher: list[str]) -> CutTotals:
    """Make `cuts` cuts at random times, with a new disk after each few."""
    chance = random.Random(seed)
    totals = CutTotals(0, 0, 0, 0, [])
    while totals.cuts < cuts:
        with disks.Disk(DISK_BYTES) as disk:
            post_office = scratch(f"{disk.path}/data")
            post_office.launcher = launcher
            try:
                post_office.start(**SETTINGS)
                start_sessions(post_office)
                totals = _cut_one_disk(post_office, disk, min(DISK_CUTS, cuts - totals.cuts), chance, totals)
            finally:
                post_office.close()
    return totals


def _cut_one_disk(
    post_office: PostOffice, disk: disks.Disk, cuts: int, chance: random.Random, totals: CutTotals
) -> CutTotals:
    lines: list[Line] = []
    fates = Fates(set(), set(), {})
    load: Load | None = None
    for _ in range(cuts):
        with Load(post_office, chance.randrange(1 << 30), read=READ, before=load) as load:
            current = load
            eventually(lambda: len(current.lines) > 100, "there is mail")  # noqa: B023 - called at once
            time.sleep(chance.uniform(0.0, 0.4))
            pid = post_office.pid
            post_office.pause()
            eventually(lambda: _is_stopped(pid), "the broker is stopped")  # noqa: B023
            image = disk.cut()
            # A reply that arrives while the broker is stopped was sent before.
            answered = (lines + load.lines, fates.plus(load.fates))
            post_office.resume()
        lines, fates = lines + load.lines, fates.plus(load.fates)
        totals = _add_cut(image, *answered, totals)
    return totals


def _prove(cuts: int, controls: int, capsys: pytest.CaptureFixture[str]) -> None:
    disks.require()
    injection.require_strace()
    seed = seed_of_run()
    totals = _cut_under_load(cuts, seed, [])
    without_syncs = injection.launcher(SYNCS, *(f"{call}:retval=0" for call in SYNCS))
    control = _cut_under_load(controls, seed, without_syncs)
    with capsys.disabled():
        print(
            f"\n  {totals.cuts} power cuts: {totals.acknowledged:,} acknowledged, {totals.lost} lost, "
            f"{totals.undone} confirms and deletions lost; "
            f"without syncs {control.lost:,} of {control.acknowledged:,} lost in "
            f"{control.cuts} cuts; seed {seed}"
        )
    assert totals.failures == []
    assert (totals.lost, totals.undone) == (0, 0)
    assert totals.acknowledged > 0
    assert control.lost > 0, "nothing was lost without syncs either, so the cuts prove nothing"


@pytest.mark.timeout(180)
def test_power_cuts(capsys: pytest.CaptureFixture[str]) -> None:
    """The short form, which every run includes."""
    _prove(2, 1, capsys)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_twenty_power_cuts(capsys: pytest.CaptureFixture[str]) -> None:
    """The form whose figure is in docs/durability.md."""
    _prove(20, 5, capsys)


@pytest.mark.timeout(120)
def test_old_mail_that_is_confirmed_outlives_a_cut(capsys: pytest.CaptureFixture[str]) -> None:
    """A message's file is rewritten at each confirmation, after the journal has deleted its record. On a file system
    that writes a new file's name before its bytes (ext4 with noauto_da_alloc), only the old file had the text."""
    disks.require()
    count = 40
    with disks.Disk(DISK_BYTES, options="loop,noauto_da_alloc") as disk:
        post_office = scratch(f"{disk.path}/data")
        try:
            post_office.start()
            post_office.sessions("ann", "bob")
            with post_office.client("ann") as client:
                client.send_many([{"id": f"m{n}", "to": "bob", "message": f"text {n}"} for n in range(count)])
            post_office.stop()  # makes a checkpoint
            post_office.start()
            with post_office.client("bob") as client:
                client.confirm([own_id("ann", f"m{n}") for n in range(count // 2)], "delivered")
                client.confirm([own_id("ann", f"m{count - 1}")], "read")
            operator = post_office.client()
            eventually(lambda: operator.stats()["filingBacklog"] == 0, "all is written to the spool")
            # Write the names without the bytes, as the kernel does by itself within five seconds.
            _commit_names(disk.path)
            pid = post_office.pid
            post_office.pause()
            eventually(lambda: _is_stopped(pid), "the broker is stopped")
            image = disk.cut()
            post_office.resume()
        finally:
            post_office.close()
        with disks.Disk(image=image, options="loop,noauto_da_alloc") as copy:
            second = scratch(f"{copy.path}/data")
            try:
                second.start()
                operator = second.client()
                mail = operator.inbox(session="bob", since=0, status=["pending", "delivered", "read"])["messages"]
                warnings = operator.stats()["warnings"]
            finally:
                second.close()
    with capsys.disabled():
        print(f"\n  old mail, confirmed, then a power cut: {len(mail)} of {count} messages there")
    assert [message["message"] for message in mail] == [f"text {n}" for n in range(count)]
    assert [message["status"] for message in mail].count("delivered") == count // 2
    assert warnings == []


def _commit_names(directory: str) -> None:
    """Make the file system commit its journal, by syncing an unrelated file."""
    fd = os.open(os.path.join(directory, "other"), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
