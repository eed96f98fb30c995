"""Disk errors: a failed write or sync ends the broker, without damage; a full disk makes it refuse sends only."""

from __future__ import annotations

import os
import random
import resource
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from fault import disks, injection
from fault.ledger import Line, judge
from fault.load import RECEIVERS, Load, start_sessions
from fault.test_kill import seed_of_run
from maestro_broker.commit.local import segment
from maestro_clients.processes.broker_process import find
from maestro_schemas.errors import MaestroError
from support.post_office import eventually, own_id, scratch

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Iterator

    from maestro_clients.client import Client
    from maestro_schemas.documents import OutgoingDoc
    from support.post_office import PostOffice

SEGMENT_BYTES = 1 << 16
LIFE_S = 0.8
# A call, the error that it returns once, and whether the broker may continue after it.
FAULTS = [
    ("pwrite64", "EIO", False),
    ("fdatasync", "EIO", False),
    ("fsync", "EIO", False),
    ("rename", "EIO", False),
    ("linkat", "EIO", False),
    ("symlinkat", "EIO", False),
    ("pwrite64", "ENOSPC", True),
    ("openat", "ENOSPC", True),
    ("rename", "ENOSPC", True),
    ("linkat", "ENOSPC", True),
]


def _live(post_office: PostOffice, sigterm: signal.Signals) -> str:
    """One life of the broker. Returns `start` if it never served, else its exit status."""
    post_office.begin(segment_bytes=SEGMENT_BYTES)
    try:
        post_office.await_ready()
    except MaestroError:
        assert post_office.ended == 1
        return "start"
    until_s = time.monotonic() + LIFE_S
    while find(post_office.data) is not None:
        if time.monotonic() > until_s:
            post_office.send_signal(sigterm)
            break
        time.sleep(0.01)
    return str(post_office.wait_end())


def _sweep(post_office: PostOffice, each: int, capsys: pytest.CaptureFixture[str]) -> None:
    from signal import SIGTERM

    injection.require_strace()
    seed = seed_of_run()
    chance = random.Random(seed)
    log = os.path.join(post_office.root, "trace")
    post_office.start(segment_bytes=SEGMENT_BYTES)
    start_sessions(post_office)
    ends = {"start": 0, "0": 0, "1": 0}
    hits = 0
    with Load(post_office, seed, read=RECEIVERS[:2], round_max=8, pause_s=0.02) as load:
        eventually(lambda: len(load.lines) > 300, "there is mail")
        post_office.kill()
        first, last = injection.calls_of_a_start(post_office, [call for call, _, _ in FAULTS])
        for call, error, may_continue in FAULTS:
            for number in range(each):
                low, high = first.get(call, 1), last.get(call, 0)
                in_start = number % 3 == 2 and high > 0
                when = chance.randint(low, high) if in_start else high + chance.randint(1, 15)
                post_office.launcher = injection.fail_at(call, error, str(when), log=log)
                end = _live(post_office, SIGTERM)
                ends[end] += 1
                with open(log, encoding="utf-8", errors="replace") as file:
                    hit = "(INJECTED)" in file.read()
                hits += hit
                assert hit or end == "0", f"{call} {error} {when} was never reached, and the broker ended with {end}"
                assert not hit or may_continue or end in ("1", "start"), f"{call} {error} {when} was ignored"
            # Make a checkpoint: otherwise the journal's tail grows with each life until new mail is refused.
            post_office.launcher = []
            post_office.start(segment_bytes=SEGMENT_BYTES)
            with post_office.client() as operator:
                eventually(lambda operator=operator: operator.stats()["filingBacklog"] < 100, "written", 60.0)  # type: ignore[misc]
            post_office.stop()
        post_office.launcher = []
        post_office.start()
    operator = post_office.client()
    verdict = judge(operator, RECEIVERS, load.lines, fates=load.fates)
    warnings = operator.stats()["warnings"]
    with capsys.disabled():
        print(
            f"\n  {hits} failed calls: {ends['start']} ended a start, {ends['1']} a running broker, the others were "
            f"survived or not reached; {verdict.summary}; seed {seed}"
        )
    assert verdict.clean, verdict
    assert verdict.unknown == [], "mail that no sender sent"
    assert warnings == [], "a failing broker damaged what it had written"
    assert ends["1"], "no failure ended a running broker"


@pytest.mark.timeout(180)
def test_the_nth_call_fails(fault_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    """The short form, which every run includes. The senders check that a request in flight gets no reply: a reply
    with a permanent error would end them."""
    _sweep(fault_office, 1, capsys)


@pytest.mark.long
@pytest.mark.timeout(1_800)
def test_many_calls_fail(fault_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    """More numbers of each call."""
    _sweep(fault_office, 15, capsys)


# --- a full disk --------------------------------------------------------------------------------------------


class Small(NamedTuple):
    """A small file system, and the settings of a broker on it."""

    path: str
    settings: dict[str, int]


# The reserve is one segment, which is enough to delete all the mail that such a disk holds in one burst.
@pytest.fixture(params=["a tmpfs of 1 MiB", "an ext4 of 8 MiB"])
def small(request: pytest.FixtureRequest) -> Iterator[Small]:
    """An empty file system."""
    disks.require()
    if request.param.startswith("a tmpfs"):
        with disks.tmpfs(1 << 20) as path:
            yield Small(path, {"segment_bytes": 1 << 16, "disk_reserve_bytes": 128 << 10})
    else:
        with disks.Disk(8 << 20) as disk:
            yield Small(disk.path, {"segment_bytes": 1 << 19, "disk_reserve_bytes": 512 << 10})


def _send_until_refused(client: Client, lines: list[Line], start: int) -> tuple[int, str]:
    """Send until a message is refused. Returns the next number and the error code; adds accepted messages to
    `lines`."""
    number = start
    while True:
        outgoing: list[OutgoingDoc] = [
            {"id": own_id("ann", f"m{number + i}"), "to": "bob", "message": f"{number + i} " + "x" * 1_500}
            for i in range(8)
        ]
        for item, result in zip(outgoing, client.send_many(outgoing), strict=True):
            if "error" in result:
                return number, result["error"]["code"]
            lines.append(Line(item["id"], "ann", "bob", item["message"], result["seq"], number))
            number += 1


def _sends_again(client: Client, lines: list[Line], number: int) -> bool:
    text = f"{number} again"
    try:
        result = client.send("bob", text, message_id=f"m{number}")
    except MaestroError as error:
        assert error.code == "STORAGE_FULL"
        return False
    lines.append(Line(result["id"], "ann", "bob", text, result["seq"], number))
    return True


def _deletes(client: Client, ids: list[str]) -> bool:
    try:
        return {result["status"] for result in client.delete(ids)} == {200}
    except MaestroError as error:
        assert error.code == "STORAGE_FULL"
        return False


def test_a_disk_that_fills(small: Small, capsys: pytest.CaptureFixture[str]) -> None:
    """Sends are refused; reads, confirms and deletions continue. Once space is free, also through deletions alone,
    the broker accepts mail again without a restart."""
    post_office = scratch(os.path.join(small.path, "data"))
    lines: list[Line] = []
    try:
        ballast = os.path.join(small.path, "ballast")
        with open(ballast, "wb") as file:
            # The space that the journal needs for ordinary mail, and some for spool files that are not written yet.
            file.write(bytes(small.settings["segment_bytes"] + small.settings["disk_reserve_bytes"] + (192 << 10)))
        post_office.start(**small.settings)
        post_office.sessions("ann", "bob")
        reserve = os.path.join(post_office.data, "messages", "journal", "reserve")
        eventually(lambda: os.path.exists(reserve), "the journal has made its reserve")
        ann, bob, operator = post_office.client("ann"), post_office.client("bob"), post_office.client()
        number, code = _send_until_refused(ann, lines, 0)
        assert code == "STORAGE_FULL"
        first = len(lines)
        # Another program takes the rest, to the last byte.
        disks.fill(os.path.join(small.path, "other"))
        while _sends_again(ann, lines, number):  # small messages, which fit into the journal's prepared segment
            number += 1
        page = bob.inbox(limit=20)["messages"]
        assert [message["id"] for message in page] == [line.id for line in lines[:20]]
        results = bob.confirm([line.id for line in lines[:20]], "delivered")
        assert [result["status"] for result in results] == [200] * 20
        gone = [line.id for line in lines[10:20]]
        assert [result["status"] for result in bob.delete(gone)] == [200] * 10
        assert bob.message(lines[0].id)["status"] == "delivered"
        # A refusal that would be recorded in the timeline has no space there, and is still a refusal.
        ghost = post_office.client("ghost")
        asks: list[Callable[[], object]] = [
            lambda: ghost.message(lines[0].id),
            lambda: ghost.thread(lines[0].id),
            lambda: ghost.delete([lines[0].id]),
            lambda: ghost.confirm([lines[0].id], "read"),
        ]
        for ask in asks * 50:
            with pytest.raises(MaestroError, match="there is no session"):
                ask()
        # Another program frees space.
        os.unlink(os.path.join(small.path, "other"))
        os.unlink(ballast)
        eventually(lambda: _sends_again(ann, lines, number), "sends are accepted once there is space", 20.0)
        # The post office alone has filled the disk, and only deletions free space.
        number, code = _send_until_refused(ann, lines, number + 1)
        assert code == "STORAGE_FULL"
        more = [line.id for line in lines[20:]]
        gone += more
        for start in range(0, len(more), 25):
            batch = more[start : start + 25]
            # A burst may use up the reserve, until the space that it frees is available.
            eventually(lambda batch=batch: _deletes(bob, batch), "deletions continue", 30.0)  # type: ignore[misc]
        eventually(lambda: _sends_again(ann, lines, number), "sends are accepted once mail was deleted", 30.0)
        eventually(lambda: operator.stats()["filingBacklog"] == 0, "all is written to the spool", 30.0)
        for _ in range(2):
            mail = operator.inbox(session="bob", since=0, status=["pending", "delivered"])["messages"]
            left = [line for line in lines if line.id not in gone]
            assert [(m["id"], m["seq"], m["message"]) for m in mail] == [
                (line.id, line.seq, line.text) for line in left
            ]
            assert [m["status"] for m in mail[:10]] == ["delivered"] * 10
            post_office.stop()
            post_office.start(**small.settings)
    finally:
        post_office.close()
    with capsys.disabled():
        print(
            f"\n  a disk that fills: {first} and then {len(lines) - first} messages accepted, {len(gone)} deleted, "
            f"0 lost, sends were accepted again twice"
        )


def test_a_start_on_a_full_disk(small: Small, capsys: pytest.CaptureFixture[str]) -> None:
    """The error is typed. Once there is space, the broker serves all accepted mail."""
    post_office = scratch(os.path.join(small.path, "data"))
    lines: list[Line] = []
    outcome = "serves"
    ballast = os.path.join(small.path, "ballast")
    with open(ballast, "wb") as file:
        file.write(bytes(384 << 10))
    try:
        post_office.start(**small.settings)
        post_office.sessions("ann", "bob")
        _send_until_refused(post_office.client("ann"), lines, 0)
        post_office.kill()
        disks.fill(os.path.join(small.path, "other"))
        try:
            post_office.start(**small.settings)
        except MaestroError as error:
            outcome = error.code
            assert error.code == "STORAGE_FULL"
        else:
            assert len(post_office.client("bob").inbox()["messages"]) > 0
        post_office.kill()
        os.unlink(os.path.join(small.path, "other"))
        os.unlink(ballast)
        post_office.start(**small.settings)
        verdict = judge(post_office.client(), ["bob"], lines)
        warnings = [one for one in post_office.client().stats()["warnings"] if "tmpfs" not in one]
    finally:
        post_office.close()
    with capsys.disabled():
        print(f"\n  a start on a full disk: {outcome}; {verdict.summary}")
    assert verdict.clean, verdict
    assert [one for one in warnings if "waits for space" not in one] == []


def test_a_first_start_on_a_full_disk(small: Small) -> None:
    """It fails with a typed error, and succeeds once there is space."""
    disks.fill(os.path.join(small.path, "other"))
    post_office = scratch(os.path.join(small.path, "data"))
    try:
        with pytest.raises(MaestroError) as refused:
            post_office.start(**small.settings)
        assert refused.value.code in ("STORAGE_FULL", "DATA_DIR_UNUSABLE")
        os.unlink(os.path.join(small.path, "other"))
        post_office.start(**small.settings)
        post_office.session("ann")
    finally:
        post_office.close()


def test_a_write_that_is_cut_short(post_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    """RLIMIT_FSIZE: the kernel writes a part of a record and refuses the rest. The broker ends; the part is not
    mail."""
    lines: list[Line] = []
    short = 0
    for part in (1, 33, 34, 35, 300, 700):
        post_office.start()
        post_office.sessions("ann", "bob")
        ann = post_office.client("ann", timeout_s=5.0)
        number = len(lines) + short
        text = f"{number} " + "x" * 700
        result = ann.send("bob", text, message_id=f"m{number}")
        lines.append(Line(result["id"], "ann", "bob", text, result["seq"], number))
        directory = os.path.join(post_office.data, "messages", "journal")
        active = os.path.join(directory, max(name for name in os.listdir(directory) if segment.named_lsn(name)))
        content = segment.read(active)
        records = [entry for entry in segment.scan(content, 0) if entry.body is not None]
        limit = records[-1].end + part
        # Set it for a running broker: with it, a start could not create its segments.
        resource.prlimit(post_office.pid, resource.RLIMIT_FSIZE, (limit, limit))
        with pytest.raises(MaestroError) as refused:
            ann.send("bob", text, message_id=f"short{number}")
        assert refused.value.code in ("BROKER_UNREACHABLE", "TIMEOUT"), "not a reply"
        assert post_office.wait_end() == 1
        short += 1
    post_office.start()
    operator = post_office.client()
    verdict = judge(operator, ["bob"], lines)
    warnings = operator.stats()["warnings"]
    with capsys.disabled():
        print(f"\n  {short} writes cut short: {verdict.summary}, {len(verdict.unknown)} of the short ones there")
    assert verdict.clean, verdict
    assert verdict.unknown == []
    assert warnings == []
