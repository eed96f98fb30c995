"""What a message costs, in counts that are equal on every machine: a rise is a regression or is intended.

Rule: BOUNDS has each number with its parts; a count may be a tenth above it. `just bench` measures seconds.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from bench import core_counts, warm
from fault.injection import require_strace
from maestro_clients.protocol.new_ids import new_message_id
from maestro_schemas.limits import Limits
from support.post_office import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maestro_schemas.documents import OutgoingDoc
    from support.post_office import PostOffice

TEXT = "x" * 512
ALONE = 200
BATCHES = 16
BATCH = 64
PIPELINED = 640
IN_FLIGHT = 64
# What the main loop does to files; waiting for requests depends on the time.
ON_FILES = (
    "openat",
    "newfstatat",
    "readlink",
    "access",
    "link",
    "linkat",
    "unlink",
    "rename",
    "pwrite64",
    "fdatasync",
)
CROWD = [f"crowd_{number}" for number in range(64)]

# Name -> (recorded count, its parts). A count is per message unless its comment says otherwise.
BOUNDS: dict[str, tuple[float, str]] = {
    # The broker's own Python, by bench/core_counts.py: decode, decide, encode record, notice and reply, and count.
    "send calls": (67, "one message a request; C's functions count as well"),
    "send lines": (172, "the same in lines, for a loop that calls nothing"),
    "batch calls": (58, "64 messages a request: the request's own share is gone"),
    "batch lines": (138, "the same in lines"),
    "push calls": (194, "a send, the watcher's inbox for it, and the confirm"),
    "push lines": (514, "the same in lines"),
    "refused calls": (68, "64 messages a request to an unknown receiver, which is looked up once a request"),
    "refused lines": (159, "the same in lines; it was 30,000 in a post office of 2,000 sessions"),
    # In sends, whose own bounds are above: 64 single sends would be 64. (A send takes the short way since, a fan-out
    # can't: it was 16.2 and 19.3 of the longer sends.)
    "fan-out calls": (21.2, "one message to a group of 64, with 64 events"),
    "fan-out lines": (27.5, "the same in lines"),
    # By bench/warm.py: the main loop's whole turn, with 64 requests of one message each, and what was filed since.
    "turn calls": (87, "wait, receive, decode, decide, write, reply, forget what was filed, look what else is due"),
    "turn lines": (225, "the same in lines"),
    "limited turn calls": (96, "the same with the default rate limit and loop guard"),
    "limited turn lines": (245, "the same in lines"),
    # The same with one request: nearly all of it is the turn's own.
    "lone turn calls": (201, "what a client pays that waits for each reply"),
    "lone turn lines": (507, "the same in lines"),
    # Of a client that sends a list of single messages, 64 in flight.
    "client calls": (55, "request, id, encode; up to eight go out by one system call"),
    "client lines": (105, "the same in lines"),
    "client system calls": (0.34, "an eighth of a send; a wait and a recv for eight replies at the worst"),
    # System calls of the main loop, one message a request and one request at a time. futex calls are not counted,
    # because they depend on which thread was first.
    "alone: journal writes": (1, "one pwrite"),
    "alone: journal syncs": (1, "one fdatasync, before the answer"),
    "alone: loop's other calls": (
        5.3,
        "an epoll_wait, a recv, a send; two looks, at the segment's name and at the lock; libzmq is not asked",
    ),
    # Of 64 messages a request, per request.
    "batch: journal syncs": (1, "a request's messages are one batch"),
    "batch: all calls of the loop": (10.2, "in all; 64 requests one by one would take 450"),
    # Of 64 requests in flight, per batch.
    "pipelined: journal syncs": (1, "one sync makes all requests durable that have arrived"),
    # Of one message to 64 empty mailboxes.
    "fan-out: journal syncs": (1, "one record"),
    "fan-out: files of the loop": (18, "two requests, perhaps a seal and a look into the outbox: none a receiver"),
    "fan-out: markers": (64, "a link each; a file each would take openat and close, and an inode"),
    # The spool writer, per message.
    "filed: files made": (1, "openat, of a file without a name"),
    "filed: names given": (1, "linkat; a temporary name and a rename would be two changes of the folder"),
    "filed: links": (1, "symlinkat, the sender's"),
    "filed: renames": (0.02, "of sessions and checkpoints alone"),
    "filed: all calls": (5.2, "with write, close, and the timeline of each chunk"),
}
RISE = 1.1


class Call(NamedTuple):
    """One system call: its thread, its name, and its arguments and result in strace's notation."""

    thread: str
    name: str
    rest: str


def check(**counts: float) -> None:
    """Each count is at most a tenth above the number recorded under its name in BOUNDS."""
    print(json.dumps(counts))
    worse = []
    for name, count in counts.items():
        recorded, why = BOUNDS[name]
        if count > recorded * RISE:
            worse.append(f"{name}: {count:.4g}, recorded {recorded:g} ({why}), {count / recorded - 1:+.0%}")
    assert not worse, (
        f"a message costs more than it did: {'; '.join(worse)}. Find what rose (`python tests/bench/core_counts.py` "
        "prints the Python counts, `strace -f -c` the calls) and take it back. Where the rise is on purpose, write "
        "the new number into BOUNDS in this file, with its reason, and say in the commit "
        "what it buys and in which figure of `just bench` that shows."
    )


def test_python_of_the_core() -> None:
    """Bounds the calls and lines of a message, which are equal in a post office that is 1,000 times as large."""
    # A process of its own has no coverage hooks, which would be counted.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    script = core_counts.__file__
    done = subprocess.run(
        [sys.executable, script], env=environ, capture_output=True, text=True, timeout=60, check=True
    )
    counts = json.loads(done.stdout)
    check(**counts["small"])
    assert counts["large"] == counts["small"], "the cost of a message depends on the number of other messages"


def test_python_of_a_turn() -> None:
    """Bounds what the main loop does for a message in all, without and with the limits that are the default."""
    default = str(Limits().rate_limit)
    limited = warm.asked("--count", "--rate-limit", default)
    lone = warm.asked("--count", "--depth", "1")
    check(
        **warm.asked("--count"),
        **{f"limited {name}": count for name, count in limited.items()},
        **{f"lone {name}": count for name, count in lone.items()},
    )


def test_python_of_a_client(post_office: PostOffice) -> None:
    """Bounds what a client does for each message of a list."""
    post_office.start(pending_max=1_000_000)
    check(**warm.asked("--count", "--client", post_office.router()))


def test_system_calls(post_office: PostOffice) -> None:
    """Bounds those of the main loop and of the spool writer, for single messages, batches, and requests in flight."""
    require_strace()
    log = os.path.join(post_office.root, "calls")
    post_office.launcher = ["strace", "-D", "-f", "-qq", "-s", "200", "-o", log]
    post_office.start()
    post_office.sessions("ann", "bob")
    ann = post_office.client("ann")

    def new(count: int) -> list[OutgoingDoc]:
        return [{"id": new_message_id(), "to": "bob", "message": TEXT} for _ in range(count)]

    ann.send_many(new(BATCH))  # the first use of each path costs more
    sent = BATCH
    commits = []
    for part in ("alone", "batch", "pipelined", "end"):
        post_office.session(f"mark_{part}")
        commits.append(ann.stats()["commit"]["count"])
        if part == "alone":
            for _ in range(ALONE):
                ann.send("bob", TEXT)
            sent += ALONE
        elif part == "batch":
            for _ in range(BATCHES):
                assert all(result["status"] == 201 for result in ann.send_many(new(BATCH)))
            sent += BATCHES * BATCH
        elif part == "pipelined":
            results = ann.pipeline(new(PIPELINED), in_flight=IN_FLIGHT)
            assert all(result["status"] == 201 for result in results)
            sent += PIPELINED
    eventually(lambda: ann.stats()["filingBacklog"] == 0, "everything is filed")
    post_office.stop()
    # strace ends after the broker.
    eventually(lambda: "exit_group(" in _tail(log), "the log of the calls is whole")

    calls = list(_calls(log))
    loop = calls[0].thread
    marks = [
        next(at for at, call in enumerate(calls) if call.thread == loop and _is_record_of(call, f"mark_{part}"))
        for part in ("alone", "batch", "pipelined", "end")
    ]
    alone, batch, pipelined = (calls[begin:end] for begin, end in pairwise(marks))
    spool_writer = next(call.thread for call in calls if call.name == "linkat" and '"by-receiver/' in call.rest)
    batches = commits[3] - commits[2] - 1  # without the commit of the mark itself
    assert loop != spool_writer
    others = {call.thread for call in alone} - {loop, spool_writer}
    assert not others, "a send between two clients of this machine wakes no other thread"

    counts = _of(alone, loop)
    writes, syncs = counts.pop("pwrite64"), counts.pop("fdatasync")
    in_batch, in_flight, filed = _of(batch, loop), _of(pipelined, loop), _of(calls, spool_writer)
    check(
        **{
            "alone: journal writes": (writes - 1) / ALONE,
            "alone: journal syncs": (syncs - 1) / ALONE,
            "alone: loop's other calls": counts.total() / ALONE,
            "batch: journal syncs": (in_batch["fdatasync"] - 1) / BATCHES,
            "batch: all calls of the loop": in_batch.total() / BATCHES,
            "pipelined: journal syncs": (in_flight["fdatasync"] - 1) / batches,
            "filed: files made": filed["openat"] / sent,
            "filed: names given": filed["linkat"] / sent,
            "filed: links": filed["symlinkat"] / sent,
            "filed: renames": filed["rename"] / sent,
            "filed: all calls": filed.total() / sent,
        }
    )
    # The size of a batch depends on the speed of the clients and of the disk, but it is more than one message.
    assert batches <= PIPELINED / 4, f"{PIPELINED} messages, {IN_FLIGHT} in flight, made {batches} batches"
    assert in_flight.total() / PIPELINED < _of(alone, loop).total() / ALONE / 4, "a batch saves no calls"


def test_system_calls_of_a_fan_out(post_office: PostOffice) -> None:
    """The markers of 64 empty mailboxes are links, which the main loop does not make itself; all are there before
    the answer."""
    require_strace()
    log = os.path.join(post_office.root, "calls")
    post_office.launcher = ["strace", "-D", "-f", "-qq", "-s", "200", "-o", log]
    post_office.environ["MAESTRO_FANOUT_MAX"] = "256"
    post_office.start()
    post_office.sessions("lead", "first")
    for session in CROWD:
        post_office.session(session, project="crowd")
    post_office.session("lead", role="orchestrator")
    lead = post_office.client("lead")
    eventually(lambda: lead.stats()["filingBacklog"] == 0, "the mailboxes' folders are there")
    lead.send("first", TEXT)  # the first marker makes the file that all are links to
    operator = post_office.client()
    operator.start_session("mark_begin")
    outgoing = {"id": "to-all", "to": "@project:crowd", "message": TEXT, "confirm": True}
    reply: Any = lead.call("send", {"messages": [outgoing]})
    assert reply["results"][0]["accepted"] == len(CROWD)
    operator.start_session("mark_end")
    post_office.stop()
    eventually(lambda: "exit_group(" in _tail(log), "the log of the calls is whole")

    calls = list(_calls(log))
    loop = calls[0].thread
    begin, end = (
        next(at for at, call in enumerate(calls) if call.thread == loop and _is_record_of(call, f"mark_{part}"))
        for part in ("begin", "end")
    )
    part = calls[begin:end]
    links = [at for at, call in enumerate(part) if call.name in ("link", "linkat") and "/.pending" in call.rest]
    assert all(part[at].thread != loop for at in links)
    counts = _of(part, loop)
    check(
        **{
            "fan-out: journal syncs": counts["fdatasync"] - 1,
            "fan-out: files of the loop": sum(counts[name] for name in ON_FILES),
            "fan-out: markers": len(links),
        }
    )
    answer = next(at for at, call in enumerate(part) if call.name.startswith("send") and "to-all" in call.rest)
    assert links[-1] < answer


def test_a_rise_is_seen() -> None:
    """A rise of a tenth passes. A rise of a fifth fails, with the numbers and the next step."""
    recorded, _ = BOUNDS["send calls"]
    check(**{"send calls": recorded * 1.09})
    with pytest.raises(
        AssertionError, match=r"send calls: [0-9.]+, recorded [0-9.]+ .* \+20%.*write the new number into BOUNDS"
    ):
        check(**{"send calls": recorded * 1.2})


def _tail(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()[-2_000:]


def _calls(path: str) -> Iterator[Call]:
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            found = re.match(r"(\d+) +(\w+)\((.*)", line)
            if found:
                yield Call(*found.groups())


def _is_record_of(call: Call, session: str) -> bool:
    return call.name == "pwrite64" and session in call.rest


def _of(calls: list[Call], thread: str) -> Counter[str]:
    """How often the thread made each call. Calls to wait for another thread or for memory vary, so they are left
    out."""
    chance = ("futex", "mmap", "munmap", "brk", "mprotect", "madvise")
    return Counter(call.name for call in calls if call.thread == thread and call.name not in chance)
