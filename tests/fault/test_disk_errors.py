"""Disk errors: a failed write or sync ends the broker, and only that; a full disk refuses sends, and only those."""

from __future__ import annotations

import os
import random
import resource
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from fault import disks, injection
from fault.ledger import Line, judge
from fault.load import RECEIVERS, Load, enrol
from fault.test_kill import seed_of_run
from maestro_broker.commit.local import segment
from maestro_clients.processes.broker_process import find
from maestro_schemas.errors import MaestroError
from support.post_office import eventually, scratch

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Iterator

    from maestro_clients.client import Client
    from maestro_schemas.documents import OutgoingDoc
    from support.post_office import PostOffice

SEGMENT_BYTES = 1 << 16
LIFE_S = 0.8
# A call, the error that it gives once, and whether the broker may go on after it.
FAULTS = [
    ("pwrite64", "EIO", False),
    ("fdatasync", "EIO", False),
    ("fsync", "EIO", False),
    ("rename", "EIO", False),
    ("symlink", "EIO", False),
    ("pwrite64", "ENOSPC", True),
    ("openat", "ENOSPC", True),
    ("rename", "ENOSPC", True),
]


def _live(post_office: PostOffice, sigterm: signal.Signals) -> str:
    """One life; `start` where it did not come to serve, else its exit status."""
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
    enrol(post_office)
    ends = {"start": 0, "0": 0, "1": 0}
    hits = 0
    with Load(post_office, seed, read=RECEIVERS[:2], round_max=8, pause_s=0.02) as load:
        eventually(lambda: len(load.lines) > 300, "there is mail")
        post_office.kill()
        first, last = injection.calls_of_a_start(post_office, [call for call, _, _ in FAULTS])
        for call, error, may_go_on in FAULTS:
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
                assert hit or end == "0", f"{call} {error} {when} never came, and the broker ended with {end}"
                assert not hit or may_go_on or end in ("1", "start"), f"{call} {error} {when} was passed over"
            # A checkpoint: the tail must not grow from life to life until new mail is refused.
            post_office.launcher = []
            post_office.start(segment_bytes=SEGMENT_BYTES)
            with post_office.client() as operator:
                eventually(lambda operator=operator: operator.stats()["filingBacklog"] < 100, "filed", 60.0)  # type: ignore[misc]
            post_office.stop()
        post_office.launcher = []
        post_office.start()
    operator = post_office.client()
    verdict = judge(operator, RECEIVERS, load.lines, fates=load.fates)
    warnings = operator.stats()["warnings"]
    with capsys.disabled():
        print(
            f"\n  {hits} failed calls: {ends['start']} ended a start, {ends['1']} a broker at work, the others were "
            f"survived or did not come; {verdict.summary}; seed {seed}"
        )
    assert verdict.clean, verdict
    assert verdict.unknown == [], "mail that nobody sent"
    assert warnings == [], "a failing broker damaged what it had written"
    assert ends["1"], "no failure ended a broker at work"


@pytest.mark.timeout(180)
def test_the_nth_call_fails(fault_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    """The short form, for every run. That a request under way is not answered is the senders' to see: an answer
    that is an error for good would end them."""
    _sweep(fault_office, 1, capsys)


@pytest.mark.long
@pytest.mark.timeout(1_800)
def test_many_calls_fail(fault_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    """More numbers of each call."""
    _sweep(fault_office, 15, capsys)


# --- a full disk --------------------------------------------------------------------------------------------


class Small(NamedTuple):
    """A small file system, and how a broker is to be set on it."""

    path: str
    settings: dict[str, int]


# The reserve is a segment: as large as a burst of deletions of all that a disk of this size holds.
@pytest.fixture(params=["a tmpfs of 1 MiB", "an ext4 of 8 MiB"])
def small(request: pytest.FixtureRequest) -> Iterator[Small]:
    """An empty one."""
    disks.require()
    if request.param.startswith("a tmpfs"):
        with disks.tmpfs(1 << 20) as path:
            yield Small(path, {"segment_bytes": 1 << 16, "disk_reserve_bytes": 128 << 10})
    else:
        with disks.Disk(8 << 20) as disk:
            yield Small(disk.path, {"segment_bytes": 1 << 19, "disk_reserve_bytes": 512 << 10})


def _send_until_refused(client: Client, lines: list[Line], start: int) -> tuple[int, str]:
    """Send until a message is refused; the number of the next one, and the code. What was accepted is in `lines`."""
    number = start
    while True:
        outgoing: list[OutgoingDoc] = [
            {"id": f"m{number + i}", "to": "bob", "message": f"{number + i} " + "x" * 1_500} for i in range(8)
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
    lines.append(Line(f"m{number}", "ann", "bob", text, result["seq"], number))
    return True


def _deletes(client: Client, ids: list[str]) -> bool:
    try:
        return {result["status"] for result in client.delete(ids)} == {200}
    except MaestroError as error:
        assert error.code == "STORAGE_FULL"
        return False


def test_a_disk_that_fills(small: Small, capsys: pytest.CaptureFixture[str]) -> None:
    """Sends are refused; reads, confirms and deletions go on; whoever makes room, be it by deleting mail alone, has
    a post office that takes mail again without a restart."""
    post_office = scratch(os.path.join(small.path, "data"))
    lines: list[Line] = []
    try:
        ballast = os.path.join(small.path, "ballast")
        with open(ballast, "wb") as file:
            # What the journal has to have free for ordinary mail, and some for the files that are also waiting.
            file.write(bytes(small.settings["segment_bytes"] + small.settings["disk_reserve_bytes"] + (192 << 10)))
        post_office.start(**small.settings)
        post_office.sessions("ann", "bob")
        reserve = os.path.join(post_office.data, "messages", "journal", "reserve")
        eventually(lambda: os.path.exists(reserve), "the journal has made its reserve")
        ann, bob, operator = post_office.client("ann"), post_office.client("bob"), post_office.client()
        number, code = _send_until_refused(ann, lines, 0)
        assert code == "STORAGE_FULL"
        first = len(lines)
        # Somebody else takes the rest, to the last byte.
        disks.fill(os.path.join(small.path, "other"))
        while _sends_again(ann, lines, number):  # small ones, into what the journal has set aside
            number += 1
        page = bob.inbox(limit=20)["messages"]
        assert [message["id"] for message in page] == [line.id for line in lines[:20]]
        results = bob.confirm([line.id for line in lines[:20]], "delivered")
        assert [result["status"] for result in results] == [200] * 20
        gone = [line.id for line in lines[10:20]]
        assert [result["status"] for result in bob.delete(gone)] == [200] * 10
        assert bob.message(lines[0].id)["status"] == "delivered"
        # Refusals that would leave a line in the audit have no room for it, and are refusals all the same.
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
        # Room from outside.
        os.unlink(os.path.join(small.path, "other"))
        os.unlink(ballast)
        eventually(lambda: _sends_again(ann, lines, number), "sending goes on once there is room", 20.0)
        # Room from inside: the post office alone has filled the disk, and nobody helps.
        number, code = _send_until_refused(ann, lines, number + 1)
        assert code == "STORAGE_FULL"
        more = [line.id for line in lines[20:]]
        gone += more
        for start in range(0, len(more), 25):
            batch = more[start : start + 25]
            # In a burst they may use up the reserve, until what they free can be written to.
            eventually(lambda batch=batch: _deletes(bob, batch), "deletions go on", 30.0)  # type: ignore[misc]
        eventually(lambda: _sends_again(ann, lines, number), "sending goes on once mail was deleted", 30.0)
        eventually(lambda: operator.stats()["filingBacklog"] == 0, "all is filed", 30.0)
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
            f"0 lost, sending went on twice"
        )


def test_a_start_on_a_full_disk(small: Small, capsys: pytest.CaptureFixture[str]) -> None:
    """It says so, typed; with room it serves again what was accepted."""
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
    assert [one for one in warnings if "room" not in one] == []


def test_a_first_start_on_a_full_disk(small: Small) -> None:
    """It is refused, typed, and is fine once there is room."""
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
    """RLIMIT_FSIZE: the kernel takes a part of a record and refuses the rest. The broker ends; a part is no mail."""
    lines: list[Line] = []
    short = 0
    for part in (1, 33, 34, 35, 300, 700):
        post_office.start()
        post_office.sessions("ann", "bob")
        ann = post_office.client("ann", timeout_s=5.0)
        number = len(lines) + short
        text = f"{number} " + "x" * 700
        result = ann.send("bob", text, message_id=f"m{number}")
        lines.append(Line(f"m{number}", "ann", "bob", text, result["seq"], number))
        directory = os.path.join(post_office.data, "messages", "journal")
        active = os.path.join(directory, max(name for name in os.listdir(directory) if segment.named_lsn(name)))
        content = segment.read(active)
        records = [entry for entry in segment.scan(content, 0) if entry.body is not None]
        limit = records[-1].end + part
        # A running broker's: at its start it could not even have made its segments.
        resource.prlimit(post_office.pid, resource.RLIMIT_FSIZE, (limit, limit))
        with pytest.raises(MaestroError) as refused:
            ann.send("bob", text, message_id=f"short{number}")
        assert refused.value.code in ("BROKER_UNREACHABLE", "TIMEOUT"), "not an answer"
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
