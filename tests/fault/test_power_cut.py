"""Power cuts: what the disk has of a broker that was stopped in the middle of its work is all there ever was.

The data directory is on an ext4 image; the broker is stopped by SIGSTOP, the image copied, the copy mounted and
recovered by another broker, which must have everything that was acknowledged before the copy was made. The page
cache is not in the image, so what was not synced is lost. The control, a broker whose syncs do nothing and succeed,
must lose mail by the same judgement: otherwise the cuts prove nothing.
"""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from fault import disks, injection
from fault.ledger import Fates, Verdict, judge
from fault.load import RECEIVERS, Load, enrol
from fault.test_kill import seed_of_run
from maestro_schemas.errors import MaestroError
from support.post_office import eventually, scratch

if TYPE_CHECKING:
    from fault.ledger import Line
    from support.post_office import PostOffice

DISK_BYTES = 512 << 20
READ = RECEIVERS[:2]
# The syncs that a broker makes, and the lie that the control's are told.
SYNCS = ("fdatasync", "fsync", "syncfs")
# A life on one disk: the journal's segments are small, so that some cuts fall into a change of segments.
SETTINGS = {"segment_bytes": 1 << 18, "disk_reserve_bytes": 0}
CUTS_A_DISK = 5


class Tally(NamedTuple):
    """Over all cuts of a run: what was acknowledged when they came, and what of it was gone."""

    cuts: int
    acknowledged: int
    lost: int
    undone: int
    failures: list[str]


def _is_stopped(pid: int) -> bool:
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return file.read().rpartition(")")[2].split()[0] in ("T", "t")


def _recovered(image: str, lines: list[Line], fates: Fates) -> tuple[Verdict, list[str]]:
    """What a broker finds on a copy of the disk, and its warnings. Raises MaestroError where it does not start."""
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


def _weigh(image: str, lines: list[Line], fates: Fates, tally: Tally) -> Tally:
    """Recover from a cut, and add what was found."""
    lost, undone, failures = len(lines), 0, list(tally.failures)
    try:
        verdict, warnings = _recovered(image, lines, fates)
    except MaestroError as error:
        failures.append(str(error))
    else:
        lost, undone = len(verdict.lost), len(verdict.undone) + len(verdict.returned)
        if not verdict.clean or warnings:
            failures.append(f"{verdict._replace(unknown=[])} {warnings}"[:2_000])
    return Tally(tally.cuts + 1, tally.acknowledged + len(lines), tally.lost + lost, tally.undone + undone, failures)


def _cut_under_load(cuts: int, seed: int, launcher: list[str]) -> Tally:
    """So many cuts at random moments, a new disk for every few."""
    chance = random.Random(seed)
    tally = Tally(0, 0, 0, 0, [])
    while tally.cuts < cuts:
        with disks.Disk(DISK_BYTES) as disk:
            post_office = scratch(f"{disk.path}/data")
            post_office.launcher = launcher
            try:
                post_office.start(**SETTINGS)
                enrol(post_office)
                tally = _cut_one_disk(post_office, disk, min(CUTS_A_DISK, cuts - tally.cuts), chance, tally)
            finally:
                post_office.close()
    return tally


def _cut_one_disk(post_office: PostOffice, disk: disks.Disk, cuts: int, chance: random.Random, tally: Tally) -> Tally:
    lines: list[Line] = []
    fates = Fates(set(), set(), {})
    load: Load | None = None
    for _ in range(cuts):
        with Load(post_office, chance.randrange(1 << 30), read=READ, before=load) as load:
            current = load
            eventually(lambda: len(current.lines) > 100, "there is mail")  # noqa: B023 - called here
            time.sleep(chance.uniform(0.0, 0.4))
            pid = post_office.pid
            post_office.pause()
            eventually(lambda: _is_stopped(pid), "the broker is stopped")  # noqa: B023
            image = disk.cut()
            # An answer that came while the broker stood still was sent before.
            answered = (lines + load.lines, fates.plus(load.fates))
            post_office.resume()
        lines, fates = lines + load.lines, fates.plus(load.fates)
        tally = _weigh(image, *answered, tally)
    return tally


def _prove(cuts: int, controls: int, capsys: pytest.CaptureFixture[str]) -> None:
    disks.require()
    injection.require_strace()
    seed = seed_of_run()
    tally = _cut_under_load(cuts, seed, [])
    lie = injection.launcher(SYNCS, *(f"{call}:retval=0" for call in SYNCS))
    control = _cut_under_load(controls, seed, lie)
    with capsys.disabled():
        print(
            f"\n  {tally.cuts} power cuts: {tally.acknowledged:,} acknowledged, {tally.lost} lost, {tally.undone} "
            f"confirms and deletions lost; without syncs {control.lost:,} of {control.acknowledged:,} lost in "
            f"{control.cuts} cuts; seed {seed}"
        )
    assert tally.failures == []
    assert (tally.lost, tally.undone) == (0, 0)
    assert tally.acknowledged > 0
    assert control.lost > 0, "without syncs nothing was lost either: the cuts prove nothing"


@pytest.mark.timeout(180)
def test_power_cuts(capsys: pytest.CaptureFixture[str]) -> None:
    """The short form, for every run."""
    _prove(2, 1, capsys)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_twenty_power_cuts(capsys: pytest.CaptureFixture[str]) -> None:
    """The figure that the issue names."""
    _prove(20, 5, capsys)


@pytest.mark.timeout(120)
def test_old_mail_that_is_confirmed_outlives_a_cut(capsys: pytest.CaptureFixture[str]) -> None:
    """Mail whose text the journal has let go of is rewritten at each confirmation. On a file system that does not
    write a new file's bytes before its name (ext4 does, unless told not to), the old file was all there was."""
    disks.require()
    count = 40
    with disks.Disk(DISK_BYTES, options="loop,noauto_da_alloc") as disk:
        post_office = scratch(f"{disk.path}/data")
        try:
            post_office.start()
            post_office.sessions("ann", "bob")
            with post_office.client("ann") as client:
                client.send_many([{"id": f"m{n}", "to": "bob", "message": f"text {n}"} for n in range(count)])
            post_office.stop()  # a checkpoint
            post_office.start()
            with post_office.client("bob") as client:
                client.confirm([f"m{n}" for n in range(count // 2)], "delivered")
                client.confirm([f"m{count - 1}"], "read")
            operator = post_office.client()
            eventually(lambda: operator.stats()["filingBacklog"] == 0, "all is filed")
            # What the kernel would do by itself within five seconds: the names, without the bytes.
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
    """Have the file system commit its journal, by syncing a file that has nothing to do with anything."""
    fd = os.open(os.path.join(directory, "other"), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
