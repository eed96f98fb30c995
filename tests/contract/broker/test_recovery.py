"""Recovery and the spool writer, with a real broker and real damage."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from maestro_clients.processes.broker_process import find
from maestro_schemas.errors import MaestroError
from support import components
from support.post_office import eventually, own_id

if TYPE_CHECKING:
    from support.post_office import PostOffice


def _fill(post_office: PostOffice, count: int, prefix: str = "m") -> None:
    with post_office.client("ann") as client:
        for result in client.pipeline(
            {"id": f"{prefix}{number}", "to": "bob", "message": f"text {number}"} for number in range(count)
        ):
            assert result["status"] == 201


def _seqs(post_office: PostOffice) -> list[int]:
    with post_office.client() as operator:
        return [message["seq"] for message in operator.inbox(session="bob", since=0)["messages"]]


@pytest.mark.parametrize("damage", ["broken", "gone"])
def test_a_lost_checkpoint_is_counted_again(open_office: PostOffice, damage: str) -> None:
    """The broker warns of it. Sequence numbers go on where they were, and deleted mail counts."""
    _fill(open_office, 20)
    with open_office.client() as operator:
        operator.delete([own_id("ann", "m18"), own_id("ann", "m19")], session="bob")
        operator.confirm([own_id("ann", "m0")], "delivered", session="bob")
        operator.confirm([own_id("ann", "m1")], "offered", session="bob")
    open_office.stop()
    open_office.start()  # a new segment, so that the next checkpoint releases the first one
    with open_office.client("ann") as client:
        client.send("bob", "one more")
    open_office.stop()
    heads = os.path.join(open_office.data, "heads")
    assert os.path.getsize(heads) > 0
    if damage == "gone":
        os.unlink(heads)
    else:
        with open(heads, "r+b") as file:
            file.write(b"\xff\xff\xff\xff")
    open_office.start()
    with open_office.client() as operator:
        assert "counted again" in " ".join(operator.stats()["warnings"])
    assert _seqs(open_office) == [*range(2, 19), 21]
    with open_office.client("ann") as client:
        assert client.send("bob", "next")["seq"] == 22


def test_the_whole_spool_can_be_made_again_from_the_journal(open_office: PostOffice) -> None:
    """Before the first checkpoint the journal has everything: files, links, timeline and sessions are restored."""
    _fill(open_office, 50)
    open_office.kill()
    for name in ("messages/by-receiver", "messages/by-sender", "timeline", "sessions"):
        shutil.rmtree(os.path.join(open_office.data, name))
    open_office.start()
    assert _seqs(open_office) == list(range(1, 51))
    mailbox = os.path.join(open_office.data, "messages", "by-receiver", "bob")
    eventually(
        lambda: len([name for name in os.listdir(mailbox) if name.endswith(".json")]) == 50,
        "all files are back",
        20.0,
    )
    with open_office.client() as operator:
        eventually(lambda: operator.stats()["filingBacklog"] == 0, "everything is filed", 20.0)
        assert [event["lsn"] for event in operator.events(0)["events"]] == list(range(1, 53))


def _journal(post_office: PostOffice) -> list[str]:
    directory = os.path.join(post_office.data, "messages", "journal")
    return sorted(os.path.join(directory, name) for name in os.listdir(directory) if name.endswith(".seg"))


@pytest.mark.parametrize("more_is_gone", [[], ["heads"], ["heads", "timeline"]])
def test_a_journal_that_lost_its_end_hides_no_mail(open_office: PostOffice, more_is_gone: list[str]) -> None:
    """Filed mail is complete and served, and no sequence number is given twice, although the journal has no record of
    it."""
    _fill(open_office, 10)
    with open_office.client() as operator:
        eventually(lambda: operator.stats()["filingBacklog"] == 0, "all is filed")
        operator.delete([own_id("ann", "m9")], session="bob")
        eventually(lambda: operator.stats()["filingBacklog"] == 0, "all is filed")
    open_office.kill()
    for path in _journal(open_office):
        os.unlink(path)
    for name in more_is_gone:
        path = os.path.join(open_office.data, name)
        if os.path.isdir(path):
            shutil.rmtree(path)
        elif os.path.exists(path):
            os.unlink(path)
    open_office.start()
    with open_office.client("ann") as client:
        seq = client.send("bob", "one more")["seq"]
    # Only the timeline knows the number of a deleted message.
    assert seq == (10 if "timeline" in more_is_gone else 11)
    assert _seqs(open_office) == [*range(1, 10), seq]
    with open_office.client() as operator:
        assert operator.stats()["warnings"] != []


def test_a_recovered_tail_is_soon_behind_a_checkpoint(open_office: PostOffice) -> None:
    """Otherwise a broker that is killed repeatedly would file the same tail each time."""
    _fill(open_office, 50)
    open_office.kill()
    assert not os.path.exists(os.path.join(open_office.data, "heads"))
    open_office.start()
    with open_office.client() as operator:
        head = operator.hello()["headLsn"]
        eventually(lambda: operator.stats()["checkpointLsn"] >= head, "there is a checkpoint", 5.0)


def test_session_files_torn_by_a_power_cut_are_restored(open_office: PostOffice) -> None:
    """The journal still has their sessions. A torn file whose session it does not have is quarantined."""
    open_office.kill()
    sessions = os.path.join(open_office.data, "sessions")
    for name in ("ann.json", "eve.json"):
        with open(os.path.join(sessions, name), "w", encoding="utf-8"):
            pass
    open_office.start()
    with open_office.client() as operator:
        [warning] = operator.stats()["warnings"]
        assert "eve.json" in warning
        eventually(lambda: operator.stats()["filingBacklog"] == 0, "all is filed")
    with open(os.path.join(sessions, "ann.json"), encoding="utf-8") as file:
        assert json.load(file)["session"]["id"] == "ann"


def test_a_foreign_file_is_put_away_and_reported(open_office: PostOffice) -> None:
    """A broken message is reported as missing, and the others are served."""
    _fill(open_office, 3)
    open_office.stop()
    mailbox = os.path.join(open_office.data, "messages", "by-receiver", "bob")
    with open(os.path.join(mailbox, "notes.txt"), "w", encoding="utf-8") as file:
        file.write("mine")
    with open(os.path.join(mailbox, f"{own_id('ann', 'm1')}.json"), "w", encoding="utf-8") as file:
        file.write("{")
    open_office.start()
    assert _seqs(open_office) == [1, 3]
    with open_office.client() as operator:
        eventually(lambda: len(operator.stats()["warnings"]) == 3, "all three are reported", 20.0)
        warnings = " ".join(operator.stats()["warnings"])
    for part in ("notes.txt", f"{own_id('ann', 'm1')}.json", "did not fit its files"):
        assert part in warnings
    assert len(os.listdir(os.path.join(open_office.data, "messages", "quarantine"))) == 2


def test_expiry_is_published_and_survives(open_office: PostOffice) -> None:
    """A message whose TTL ends while no broker runs expires at the next start."""
    with open_office.client("ann") as client:
        client.send("bob", "short", message_id="m1", ttl_ms=150)
        expires_ms = client.send("bob", "shorter", message_id="m2", ttl_ms=3_000)["expiresAt"]
        eventually(lambda: client.message("m1")["status"] == "expired", "the message is expired", 20.0)
    open_office.kill()
    eventually(lambda: time.time_ns() // 1_000_000 > expires_ms, "the TTL of the second one is over", 20.0)
    open_office.start()
    with open_office.client("ann") as client:
        eventually(lambda: client.message("m2")["status"] == "expired", "the message is expired", 20.0)
        names = [event["event"] for event in client.events(0)["events"]]
    assert names.count("message.expired") == 2
    assert _seqs(open_office) == []


def test_idle_mailboxes_leave_memory_and_come_back(post_office: PostOffice) -> None:
    """A read after the eviction finds the same mail."""
    post_office.start(mailbox_idle_ms=100)
    post_office.sessions("ann", "bob")
    _fill(post_office, 20)
    with post_office.client() as operator:
        eventually(lambda: operator.stats()["mailboxes"]["loaded"] == 0, "the mailbox has left memory", 20.0)
    assert _seqs(post_office) == list(range(1, 21))


def test_the_spool_writer_waits_for_space_and_goes_on(post_office: PostOffice) -> None:
    """While the spool can't be written, sends are accepted up to the backlog's limit, then refused with BUSY. Nothing
    is lost."""
    post_office.start(filing_backlog_bytes_max=300_000)
    post_office.sessions("ann", "bob")
    _fill(post_office, 1, "first")
    with post_office.client() as operator:
        eventually(lambda: operator.stats()["filingBacklog"] == 0, "everything is filed", 20.0)
    mounted = _tiny_mount(os.path.join(post_office.data, "messages", "by-receiver", "bob"))
    try:
        codes = []
        with post_office.client("ann") as client:
            for number in range(60):
                try:
                    client.send("bob", "x" * 9_000, message_id=f"m{number}")
                except MaestroError as error:
                    codes.append(error.code)
                    break
        assert codes == ["BUSY"]
        with post_office.client() as operator:
            assert "space on the disk" in " ".join(operator.stats()["warnings"])
    finally:
        subprocess.run(["umount", "-l", mounted], check=True)
    with post_office.client() as operator:
        eventually(lambda: operator.stats()["filingBacklog"] == 0, "everything is filed", 20.0)
    assert len(_seqs(post_office)) >= 30


def _tiny_mount(directory: str) -> str:
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tiny", directory], check=False, capture_output=True
    )
    if done.returncode:
        components.missing(f"mounting a small file system takes root: {done.stderr!r}")
    return directory


def test_a_failed_write_of_the_journal_ends_the_broker(open_office: PostOffice) -> None:
    """It exits with an error and a non-zero code. The request in flight gets no answer, and accepted mail is kept."""
    components.require_tools("strace")
    _fill(open_office, 5)
    found = find(open_office.data)
    assert found is not None
    tracer = subprocess.Popen(
        ["strace", "-f", "-p", str(found.pid), "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert tracer.stderr is not None
        assert "attached" in tracer.stderr.readline()
        with open_office.client("ann", timeout_s=3.0) as client, pytest.raises(MaestroError) as caught:
            client.send("bob", "never durable", message_id="lost")
        assert caught.value.code in ("BROKER_UNREACHABLE", "TIMEOUT")
    finally:
        tracer.terminate()
        tracer.communicate(timeout=20)
    log = os.path.join(open_office.data, "logs", "broker.log")
    with open(log, encoding="utf-8") as file:
        last = [json.loads(line) for line in file][-1]
    assert last["level"] == "critical"
    assert "JOURNAL_FAILED" in last["message"]
    open_office.kill()
    open_office.start()
    assert _seqs(open_office)[:5] == [1, 2, 3, 4, 5]


def test_the_command_line_of_the_broker(post_office: PostOffice) -> None:
    """Errors are printed to standard error with the next step, and the exit code is 1. --foreground logs; SIGINT
    stops it."""
    base = [sys.executable, "-m", "maestro_broker", "--data-dir", post_office.data]
    for arguments, part in ((["--set", "rate_limit"], "NAME=VALUE"), (["--set", "nonsense=1"], "nonsense")):
        bad = subprocess.run(
            base + arguments, env=post_office.environ, capture_output=True, text=True, check=False, timeout=30
        )
        assert bad.returncode == 1
        assert part in bad.stderr
        assert "next:" in bad.stderr
    process = subprocess.Popen([*base, "--foreground"], env=post_office.environ, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        assert "serves" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=20)
    finally:
        process.kill()
    assert "broker stopped" in rest
    assert process.returncode == 0
