"""Races: several processes at once for one data directory, start, stop, outbox or mailbox. One of them gets it, or
each gets its share; nothing is lost or duplicated.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from fault.client_process import ClientProcess, text_of
from fault.ledger import Line, judge, read_mailbox
from maestro_clients.durable_send import send_or_queue
from maestro_clients.mailbox.watcher import Watcher
from maestro_clients.processes.broker_process import ensure, find
from maestro_clients.protocol.callers import Caller
from maestro_clients.protocol.new_ids import new_message_id
from maestro_runtime.outbox_dir import OutboxDir
from maestro_schemas.errors import MaestroError
from support.post_office import PostOffice, eventually, own_id, scratch

if TYPE_CHECKING:
    from pathlib import Path

    from maestro_clients.processes.broker_process import Endpoints

COMMAND_S = 60.0


def _seed() -> int:
    return int(os.environ.get("MAESTRO_SEED", "0")) or random.randrange(1, 1 << 31)


# --- for a data directory ------------------------------------------------------------------------------------


def _race_for_the_directory(post_office: PostOffice, rounds: int, capsys: pytest.CaptureFixture[str]) -> None:
    seed = _seed()
    chance = random.Random(seed)
    rivals = [post_office, PostOffice(post_office.root)]
    wins = [0, 0]
    for number in range(rounds):
        outcomes: list[Endpoints | MaestroError | None] = [None, None]

        def start(which: int, outcomes: list[Endpoints | MaestroError | None] = outcomes) -> None:
            try:
                outcomes[which] = rivals[which].start()
            except MaestroError as error:
                outcomes[which] = error

        threads = [threading.Thread(target=start, args=(which,)) for which in chance.sample([0, 1], 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        [winner] = [which for which in (0, 1) if not isinstance(outcomes[which], MaestroError)]
        refused = outcomes[1 - winner]
        assert isinstance(refused, MaestroError)
        assert refused.code == "DATA_DIR_LOCKED"
        wins[winner] += 1
        # The loser has not changed the winner's lock, sockets or address.
        endpoints = find(post_office.data)
        assert endpoints is not None
        assert endpoints == outcomes[winner]
        with post_office.client() as operator:
            if number == 0:
                operator.start_session("ann")
            assert operator.hello()["pid"] == endpoints.pid
        with post_office.client("ann") as ann:
            assert ann.send("ann", f"round {number}")["seq"] == number + 1
        if chance.random() < 0.5:
            rivals[winner].kill()
        else:
            rivals[winner].stop()
    with capsys.disabled():
        print(f"\n  {rounds} times two brokers for one directory: won {wins[0]} to {wins[1]}; seed {seed}")


def test_two_brokers_for_one_directory(post_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    """Exactly one serves. The other reports the winner's pid and changes nothing."""
    _race_for_the_directory(post_office, 6, capsys)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_two_brokers_for_one_directory_many_times(
    post_office: PostOffice, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same, many times."""
    _race_for_the_directory(post_office, 200, capsys)


def test_one_directory_by_two_names(open_office: PostOffice) -> None:
    """A symlink to the data directory is the same directory: one broker, one address."""
    link = os.path.join(open_office.root, "link")
    os.symlink(open_office.data, link)
    twin = PostOffice(open_office.root)
    twin.data = link
    twin.environ["MAESTRO_DATA_DIR"] = link
    with pytest.raises(MaestroError) as refused:
        twin.start()
    assert refused.value.code == "DATA_DIR_LOCKED"
    assert twin.router() == open_office.router()
    assert find(link) == find(open_office.data)


def test_two_directories_with_one_runtime_directory(open_office: PostOffice) -> None:
    """Two post offices run beside each other: they exchange nothing, and one continues when the other ends."""
    other = scratch()
    try:
        other.environ["MAESTRO_RUNTIME_DIR"] = open_office.runtime
        other.runtime = open_office.runtime
        other.start()
        other.sessions("ann", "bob")
        assert os.path.dirname(os.path.dirname(other.router())) == os.path.dirname(
            os.path.dirname(open_office.router())
        )
        for office, text in ((open_office, "to the first"), (other, "to the second")):
            with office.client("ann") as ann:
                ann.send("bob", text, message_id="same")
        for office, text in ((open_office, "to the first"), (other, "to the second")):
            with office.client() as operator:
                assert [message["message"] for message in read_mailbox(operator, "bob")] == [text]
        for end in (other.stop, other.kill):
            end()
            assert find(other.data) is None
            with open_office.client("ann") as ann:
                ann.send("bob", "still here")
            other.start()
            with other.client() as operator:
                assert len(read_mailbox(operator, "bob")) == 1
    finally:
        other.close()


# --- for a start and a stop ----------------------------------------------------------------------------------


def _maestro(post_office: PostOffice, *arguments: str, session: str = "") -> subprocess.Popen[bytes]:
    environ = {**post_office.environ, "MAESTRO_SESSION_ID": session}
    command = [sys.executable, "-m", "maestro_cli", *arguments]
    return subprocess.Popen(
        command, env=environ, cwd=post_office.root, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip


def _starts(post_office: PostOffice) -> int:
    """The number of brokers that have served this data directory."""
    with open(os.path.join(post_office.data, "logs", "broker.log"), encoding="utf-8") as file:
        return sum(" serves " in json.loads(line)["message"] for line in file)


def test_an_address_is_not_a_dead_brokers(open_office: PostOffice) -> None:
    """A killed broker leaves its address file, and the next one's sockets have the same paths. A client that finds a
    listening socket during the next start must find the new broker."""
    for _ in range(4):
        dead = find(open_office.data)
        assert dead is not None
        open_office.kill()
        open_office.begin()
        found = None
        while found is None:
            found = find(open_office.data)
        assert found == open_office.await_ready()
        assert found.epoch != dead.epoch


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_twenty_commands_start_one_broker(open_office: PostOffice, end: str) -> None:
    """All twenty succeed, with the one broker that one of them started."""
    {"stop": open_office.stop, "kill": open_office.kill}[end]()
    before = _starts(open_office)
    commands = []
    for number in range(20):
        if number % 4 == 3:
            commands.append(_maestro(open_office, "inbox", "--json", session="ann"))
        elif number % 4 == 2:
            commands.append(_maestro(open_office, "up", "--json"))
        else:
            words = ("session", "send", "--to", "bob", "--message", f"from {number}", "--json")
            commands.append(_maestro(open_office, *words, session="ann"))
    done = [(*command.communicate(timeout=COMMAND_S), command.returncode) for command in commands]
    assert [(err, code) for _, err, code in done] == [(b"", 0)] * 20
    answers = [json.loads(out) for out, _, _ in done]
    assert [answer["status"] for answer in answers if "status" in answer] == ["accepted"] * 10
    assert {answer["pid"] for answer in answers if "pid" in answer} == {open_office.pid}
    assert _starts(open_office) == before + 1
    with open_office.client() as operator:
        mail = read_mailbox(operator, "bob")
    assert sorted(message["id"] for message in mail) == sorted(answer["id"] for answer in answers if "id" in answer)
    assert [message["seq"] for message in mail] == list(range(1, 11))


class Burst(threading.Thread):
    """Sends messages one after another as a command does: to the broker, to one that it starts, or to the outbox."""

    def __init__(self, post_office: PostOffice, session: str, ending: threading.Event) -> None:
        super().__init__(name=session)
        self._post_office = post_office
        self._ending = ending
        self.lines: list[Line] = []
        self.queued: list[tuple[str, str]] = []
        self.failure: BaseException | None = None

    def run(self) -> None:
        office, count = self._post_office, 0
        try:
            while not self._ending.is_set():
                message_id = own_id(self.name, new_message_id())
                sent = send_or_queue(
                    office.data,
                    office.environ,
                    Caller(self.name),
                    {"id": message_id, "to": "bob", "message": text_of(message_id)},
                    autostart=True,
                )
                if sent.result is None:
                    self.queued.append((message_id, self.name))
                else:
                    seq = sent.result["seq"]
                    self.lines.append(Line(message_id, self.name, "bob", text_of(message_id), seq, count))
                count += 1
        except MaestroError as error:
            self.failure = error


def _down_during_a_burst(post_office: PostOffice, downs: int, capsys: pytest.CaptureFixture[str]) -> None:
    seed = _seed()
    chance = random.Random(seed)
    senders = [f"sender_{number}" for number in range(4)]
    post_office.environ["MAESTRO_PENDING_MAX"] = "1000000"  # for brokers that the senders start, too
    post_office.start()
    post_office.sessions("bob", *senders)
    ending = threading.Event()
    bursts = [Burst(post_office, session, ending) for session in senders]
    for burst in bursts:
        burst.start()
    stopped = 0
    for _ in range(downs):
        some = sum(len(burst.lines) for burst in bursts) + chance.randrange(1, 200)
        eventually(
            lambda some=some: sum(len(b.lines) for b in bursts) > some or any(b.failure for b in bursts),  # type: ignore[misc]
            "sends are accepted",
            30.0,
        )
        down = _maestro(post_office, "down", "--json")
        out, err = down.communicate(timeout=COMMAND_S)
        assert (down.returncode, err) == (0, b"")
        stopped += json.loads(out)["stopped"]
    ending.set()
    for burst in bursts:
        burst.join()
    assert [burst.failure for burst in bursts] == [None] * 4
    ensure(post_office.data, post_office.environ, autostart=True)
    lines = [line for burst in bursts for line in burst.lines]
    queued = dict(entry for burst in bursts for entry in burst.queued)
    with post_office.client() as operator:
        eventually(lambda: operator.drain_outbox()["waiting"] == 0, "the outbox is empty", 30.0)
        verdict = judge(operator, ["bob"], lines)
        mail = {message["id"]: message["from"] for message in read_mailbox(operator, "bob")}
    with capsys.disabled():
        print(
            f"\n  {stopped} brokers stopped under 4 senders: {verdict.acknowledged:,} acknowledged, {len(queued)} "
            f"queued, {len(verdict.lost)} lost, {len(verdict.duplicated)} duplicated; seed {seed}"
        )
    assert stopped == downs
    # A queued message may arrive after later ones that were not queued. All others keep their order.
    assert verdict.clean, verdict
    expected = {line.id: line.sender for line in lines} | queued
    assert mail == expected, "the mailbox has exactly what was acknowledged or queued"


def test_down_during_a_burst(post_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    """After `maestro down` the next send starts another broker. Every acknowledged message is there, once and in
    order. A send without a reply is repeated to the next broker, or reported as queued."""
    _down_during_a_burst(post_office, 4, capsys)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_down_a_hundred_times(post_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    """The same, many times."""
    _down_during_a_burst(post_office, 100, capsys)


# --- for an outbox -------------------------------------------------------------------------------------------


def _fill_the_outbox(post_office: PostOffice, each: int, capsys: pytest.CaptureFixture[str]) -> None:
    post_office.start(pending_max=1_000_000)
    senders = ["ann", "carl", "dora"]
    post_office.sessions("bob", *senders)
    queued: list[list[str]] = [[] for _ in range(2 * len(senders))]
    drains = 0

    def follow(filler: ClientProcess, ids: list[str]) -> None:
        ids += [message_id for [message_id] in filler.lines()]

    with contextlib.ExitStack() as stack, post_office.client(timeout_s=30.0) as operator:
        # Two processes for each session; each process's entries must keep their order.
        fillers = [
            stack.enter_context(
                ClientProcess(
                    post_office.environ, "queue", post_office.data, session, "bob", f"{session}-{part}", str(each)
                )
            )
            for session in senders
            for part in ("a", "b")
        ]
        threads = [threading.Thread(target=follow, args=pair) for pair in zip(fillers, queued, strict=True)]
        for thread in threads:
            thread.start()
        # The broker drains by itself every second. These requests make it drain while entries are added.
        while any(thread.is_alive() for thread in threads) or operator.drain_outbox()["waiting"]:
            drains += operator.drain_outbox()["sent"] > 0
        assert [filler.wait() for filler in fillers] == [0] * len(fillers)
        mail = read_mailbox(operator, "bob")
        stats = operator.stats()
    with capsys.disabled():
        print(f"\n  {len(fillers)} processes queued {len(mail):,} sends while {drains} drains took them")
    assert (stats["outbox"], stats["warnings"]) == ({"waiting": 0, "failed": 0}, [])
    assert [message["seq"] for message in mail] == list(range(1, each * len(fillers) + 1))
    assert all(message["message"] == text_of(message["id"]) for message in mail)
    for ids in queued:
        mine = set(ids)
        assert len(ids) == each
        assert [message["id"] for message in mail if message["id"] in mine] == ids


def test_the_outbox_is_filled_while_it_is_drained(
    post_office: PostOffice, capsys: pytest.CaptureFixture[str]
) -> None:
    """Six processes queue for three sessions: each entry becomes one message, in the order of its process."""
    _fill_the_outbox(post_office, 100, capsys)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_outbox_is_filled_for_long(post_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    """The same, with folders so large that one listing takes several system calls."""
    _fill_the_outbox(post_office, 2_000, capsys)


def test_a_growing_folder_is_read_without_gaps(tmp_path: Path) -> None:
    """No entry is sent before an older one. A single listing of a large, growing folder may show the newer one
    only."""
    folder = tmp_path / "ann"
    folder.mkdir()

    outbox = OutboxDir(str(tmp_path))
    count = 10_000
    with ClientProcess(os.environ, "fill", str(folder), str(count)) as client_process:
        assert next(client_process.lines()) == ["filling"]
        listings = 0
        found: list[str] = []
        while len(found) < count:
            found = [os.path.basename(path) for path in outbox.waiting_paths("ann")]
            listings += 1
            assert [int(name[:15]) for name in found] == list(range(len(found)))
        assert client_process.wait() == 0
    assert listings > 20, "the folder was not listed while it grew"


# --- for a mailbox -------------------------------------------------------------------------------------------


def test_four_readers_of_one_mailbox(open_office: PostOffice) -> None:
    """With leases, each message is shown by exactly one of them, and none is left out."""
    count = 400
    shown: list[list[str]] = [[] for _ in range(4)]
    failures: list[BaseException] = []
    all_shown = threading.Event()
    ready = threading.Barrier(5)

    def read(which: int) -> None:
        try:
            with Watcher(open_office.data, open_office.environ, Caller("bob"), lease_ms=10_000) as watcher:
                ready.wait(30.0)
                while not all_shown.is_set():
                    message = watcher.next_message(0.05)
                    if message is not None:
                        shown[which].append(message["id"])
                    if sum(map(len, shown)) >= count:
                        all_shown.set()
        except (MaestroError, threading.BrokenBarrierError) as error:
            failures.append(error)
            all_shown.set()

    threads = [threading.Thread(target=read, args=(which,)) for which in range(4)]
    for thread in threads:
        thread.start()
    ready.wait(30.0)
    ids = [own_id("ann", f"m{number}") for number in range(count)]
    with open_office.client("ann") as ann:
        # One at a time, so that the readers share many small pages; the last part makes a large page.
        for message_id in ids[: count // 2]:
            ann.send("bob", text_of(message_id), message_id=message_id)
        ann.send_many([{"id": i, "to": "bob", "message": text_of(i)} for i in ids[count // 2 :]])
    assert all_shown.wait(60.0)
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(message_id for part in shown for message_id in part) == sorted(ids)
    for part in shown:
        numbers = [int(message_id[1:].partition("_")[0]) for message_id in part]
        assert numbers == sorted(numbers)
    with open_office.client() as operator:
        assert operator.stats()["mailboxes"]["pending"] == 0


def test_a_reader_dies_with_a_lease(open_office: PostOffice) -> None:
    """Another reader gets the unconfirmed messages when the lease has expired, and not before. Confirmed messages are
    not shown again."""
    lease_s = 2.0
    ids = [own_id("ann", f"m{number}") for number in range(50)]
    with open_office.client("ann") as ann:
        ann.send_many([{"id": i, "to": "bob", "message": text_of(i)} for i in ids])
    before_lease_s = time.monotonic()
    with ClientProcess(
        open_office.environ, "take", open_office.data, "bob", str(int(lease_s * 1_000)), "5", "10"
    ) as client_process:
        lines = client_process.lines()
        taken = [next(lines)[0] for _ in range(15)]
        assert next(lines) == ["holding"]
        client_process.kill()
    assert taken == ids[:15]
    with Watcher(open_office.data, open_office.environ, Caller("bob")) as watcher:
        first = watcher.next_message(30.0)
        assert time.monotonic() - before_lease_s >= lease_s
        assert first is not None
        rest = [watcher.next_message(10.0) for _ in ids[6:]]
    assert [first["id"], *(message["id"] for message in rest if message)] == ids[5:]
