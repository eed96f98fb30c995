"""The migration of a data directory: killed at any time, cut off from its power, and a million files.

Rule: the directory is one of format 1, written file by file. Each test ends with a broker that serves it, and with
`spool verify`, which finds nothing.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from fault import disks, injection
from fault.test_kill import seed_of_run
from maestro_clients.processes.broker_process import find
from maestro_runtime.traces import update_file
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import canonical_id, mark_of
from support.format_1 import Format1
from support.post_office import eventually, scratch

if TYPE_CHECKING:
    from support.post_office import PostOffice

SESSIONS = 40
MESSAGES = 4_000
KILLS = 12
CUTS = 4
DISK_BYTES = 512 << 20
SETTINGS: dict[str, str | int] = {"retention": "36500d", "segment_bytes": 1 << 18, "disk_reserve_bytes": 0}
# Each has a file and its sender's link; each tenth has one in its thread too: a million files.
MANY = 480_000
WAIT_S = 3_000.0
# For the control they return success without a sync.
SYNCS = ("fdatasync", "fsync", "syncfs")
# `msg`, the time, nine digits and the mark.
NEW_PARTS = 4


def _old_and_new(post_office: PostOffice) -> set[str]:
    """The paths of all messages below `messages`, as they are to be."""
    top = os.path.join(post_office.data, "messages", "by-sender")
    return {
        f"by-receiver/{os.readlink(entry.path).split('/')[3]}/{_new_id(sender, entry.name)}"
        for sender in os.listdir(top)
        for entry in os.scandir(os.path.join(top, sender))
    }


def _new_id(sender: str, name: str) -> str:
    return canonical_id(name.removesuffix(".json"), mark_of(sender)) + ".json"


def _verified(post_office: PostOffice, wanted: set[str]) -> None:
    """A broker serves all of it, and nothing is wrong in the files."""
    post_office.start(**SETTINGS)
    assert post_office.client().stats()["warnings"] == []
    post_office.stop()
    messages = os.path.join(post_office.data, "messages")
    found = {
        f"by-receiver/{receiver}/{name}"
        for receiver in os.listdir(os.path.join(messages, "by-receiver"))
        for name in os.listdir(os.path.join(messages, "by-receiver", receiver))
        if name.endswith(".json")
    }
    assert found == wanted
    command = [sys.executable, "-m", "maestro_cli", "spool", "verify"]
    done = subprocess.run(command, env=post_office.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _await_begin(post_office: PostOffice) -> None:
    eventually(lambda: _is_begun(post_office) or find(post_office.data) is not None, "it begins", 20.0)


def _is_begun(post_office: PostOffice) -> bool:
    return update_file.read(post_office.data) is not None


@pytest.mark.timeout(240)
def test_killed_while_it_runs(fault_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    """Each start goes on where the last one was killed."""
    chance = random.Random(seed := seed_of_run())
    Format1(fault_office.data).fill(MESSAGES, SESSIONS)
    wanted = _old_and_new(fault_office)
    during = 0
    for _ in range(KILLS):
        fault_office.begin(**SETTINGS)
        _await_begin(fault_office)
        time.sleep(chance.random() * 0.15)
        during += _is_begun(fault_office)
        fault_office.send_signal(signal.SIGKILL)
        fault_office.wait_end()
    _verified(fault_office, wanted)
    with capsys.disabled():
        print(f"\n  killed {KILLS} times, {during} of them during the migration; seed {seed}")
    assert during


@pytest.mark.timeout(300)
def test_a_power_cut_takes_no_message(capsys: pytest.CaptureFixture[str]) -> None:
    """The image of the disk lacks what was not synced. A broker finishes the migration on its copy."""
    disks.require()
    chance = random.Random(seed := seed_of_run())
    during = 0
    for number in range(CUTS):
        with disks.Disk(DISK_BYTES) as disk:
            first = scratch(f"{disk.path}/data")
            try:
                Format1(first.data).fill(MESSAGES, SESSIONS)
                wanted = _old_and_new(first)
                os.sync()
                first.begin(**SETTINGS)
                _await_begin(first)
                time.sleep(number * 0.1 + chance.random() * 0.1)
                during += _is_begun(first)
                first.send_signal(signal.SIGSTOP)
                image = disk.cut()
                first.send_signal(signal.SIGKILL)
                first.wait_end()
            finally:
                first.close()
        with disks.Disk(image=image) as copy:
            second = scratch(f"{copy.path}/data")
            try:
                _verified(second, wanted)
            finally:
                second.close()
    with capsys.disabled():
        print(f"\n  {CUTS} power cuts, {during} of them during the migration; seed {seed}")
    assert during


@pytest.mark.timeout(300)
def test_without_syncs_a_power_cut_takes_messages() -> None:
    """The control: the same comparison finds the loss where every sync does nothing and succeeds."""
    disks.require()
    injection.require_strace()
    with disks.Disk(DISK_BYTES, options="loop,commit=1") as disk:
        office = scratch(f"{disk.path}/data")
        try:
            Format1(office.data).fill(MESSAGES, SESSIONS)
            os.sync()
            office.launcher = injection.launcher(SYNCS, *(f"{call}:retval=0" for call in SYNCS))
            office.begin(**SETTINGS)
            eventually(lambda: find(office.data) is not None, "it serves", 120.0)
            eventually(lambda: _lost_by_a_cut(office, disk) > 0, "a cut takes messages", 60.0)
        finally:
            office.close()


def _lost_by_a_cut(post_office: PostOffice, disk: disks.Disk) -> int:
    """How many messages are in no whole file on a copy of the disk."""
    post_office.pause()
    image = disk.cut()
    post_office.resume()
    with disks.Disk(image=image) as copy:
        messages = os.path.join(copy.path, "data", "data", "messages")
        whole = {
            name.removesuffix(".json").rpartition("_")[0] if len(name.split("_")) == NEW_PARTS else name[:-5]
            for top in ("by-receiver", "format-2/by-receiver")
            for folder, _, names in os.walk(os.path.join(messages, top))
            for name in names
            if name.endswith(".json") and os.path.getsize(os.path.join(folder, name))
        }
    return MESSAGES - len(whole)


@pytest.mark.timeout(300)
def test_a_full_disk_stops_it_and_the_next_start_goes_on() -> None:
    """The start is refused with the words for it, as often as it takes."""
    disks.require()
    with disks.Disk(DISK_BYTES) as disk:
        office = scratch(f"{disk.path}/data")
        try:
            Format1(office.data).fill(MESSAGES, SESSIONS)
            wanted = _old_and_new(office)
            filler = os.path.join(disk.path, "filler")
            disks.fill(filler)
            for _ in range(2):
                with pytest.raises(MaestroError) as caught:
                    office.start(**SETTINGS)
                assert caught.value.code == "STORAGE_FULL"
                # Enough for a part of it.
                os.truncate(filler, os.path.getsize(filler) - (4 << 20))
            os.unlink(filler)
            _verified(office, wanted)
        finally:
            office.close()


@pytest.mark.long
@pytest.mark.timeout(7_200)
def test_a_million_files(fault_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    """Time and memory are printed; what is asserted is that all is there, and that memory stays small."""
    Format1(fault_office.data).fill(MANY, 1_000)
    empty_kib = _peak_of_an_empty_broker()
    began_s = time.monotonic()
    fault_office.begin(**SETTINGS)
    pid = _pid(fault_office)
    peak_kib, cpu_s, last = 0, 0.0, ""
    while find(fault_office.data) is None:
        assert time.monotonic() - began_s < WAIT_S, last
        says = update_file.read(fault_office.data)
        if says is not None:
            peak_kib, cpu_s, last = _peak_kib(pid), _cpu_s(pid), says
        time.sleep(0.1)
    took_s = time.monotonic() - began_s
    served_kib = _peak_kib(pid)
    stats = fault_office.client().stats()
    each_bytes = (peak_kib - empty_kib) * 1024 / MANY
    with capsys.disabled():
        print(
            f"\n  {MANY:,} messages: {took_s:.0f} s, {took_s / MANY * 1e6:.0f} us each, of which the processor "
            f"{cpu_s / MANY * 1e6:.0f}\n  at the end: {last}\n  peak {peak_kib / 1024:.0f} MiB during the migration, "
            f"{served_kib / 1024:.0f} until it served, an empty broker {empty_kib / 1024:.0f}: "
            f"{each_bytes:.0f} bytes a message"
        )
    assert stats["warnings"] == []
    text = "Report 1: all tests pass, and two remarks are in the review."
    sent = fault_office.client("w7").send("w14", text, message_id="msg_1700000000001_000000001")
    assert (sent["status"], sent["state"]) == (200, "delivered")
    assert each_bytes < 150


def _pid(post_office: PostOffice) -> int:
    assert post_office._process is not None
    return post_office._process.pid


def _peak_kib(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("VmHWM")), 0)
    except OSError:
        return 0


def _cpu_s(pid: int) -> float:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak_of_an_empty_broker() -> int:
    empty = scratch()
    try:
        empty.start(**SETTINGS)
        return _peak_kib(empty.pid)
    finally:
        empty.close()
