"""Corruption, end to end: a real broker on a damaged copy of a data directory.

Rule: the original's broker was killed before its first checkpoint, so the journal has every record. A copy is served
with the spool or without it, as after a power cut. A message is complete, or `stats.warnings` reports its loss and
the quarantine has the bytes.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import tempfile
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, Self

import pytest

from fault import disks
from fault.ledger import ALL_STATUSES
from fault.test_kill import seed_of_run
from maestro_broker.commit.local import segment
from maestro_broker.core.model import records
from maestro_broker.core.model.records import Accepted, Deleted
from maestro_broker.views.spool import Spool
from maestro_clients.client import Client
from maestro_schemas.errors import MaestroError
from maestro_schemas.messages import Message
from support.post_office import PostOffice, eventually, own_id, scratch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from maestro_schemas.documents import MessageDoc, OutgoingDoc

SEGMENT_BYTES = 1 << 16
BOXES = ["bob", "eve", "zoe"]
MESSAGES = 240
SAMPLES = int(os.environ.get("MAESTRO_SAMPLES", "24"))
_LOST = re.compile(r"the journal lost records? ([0-9]+)(?: to ([0-9]+))?")


class Original(NamedTuple):
    """The data directory of a killed broker, and the contents of its journal."""

    # The directory for copies.
    copies: str
    data: str
    # By LSN: the accepted messages, and the ids of the deleted ones.
    accepted: dict[int, Message]
    deleted: dict[int, str]

    def segments(self) -> list[str]:
        """The names of the segments that hold records, in order."""
        directory = os.path.join(self.data, "messages", "journal")
        names = sorted(name for name in os.listdir(directory) if segment.named_lsn(name))
        return [name for name in names if segment.used_bytes(segment.read(os.path.join(directory, name))) > 100]


def _fill(post_office: PostOffice) -> None:
    post_office.start(segment_bytes=SEGMENT_BYTES)
    post_office.sessions("ann", *BOXES)
    with post_office.client("ann") as ann, post_office.client() as operator:
        for start in range(0, MESSAGES, 12):
            outgoing: list[OutgoingDoc] = [
                {"id": own_id("ann", f"m{n}"), "to": BOXES[n % 3], "message": f"{n} " + "text " * (n * 7 % 260)}
                for n in range(start, start + 12)
            ]
            assert {result["status"] for result in ann.send_many(outgoing)} == {201}
        operator.confirm([own_id("ann", f"m{n}") for n in range(0, 30, 3)], "delivered", session="bob")
        operator.delete([own_id("ann", "m31"), own_id("ann", "m34")], session="eve")
        eventually(lambda: operator.stats()["filingBacklog"] == 0, "all is written to the spool")


@pytest.fixture(scope="module")
def copies() -> Iterator[str]:
    """A directory for many copies; in memory if possible."""
    if disks.missing_for_a_disk() is None:
        with disks.Disk(1 << 30) as disk:
            yield disk.path
    else:
        with tempfile.TemporaryDirectory(prefix="mm-") as path:
            yield path


@pytest.fixture(scope="module")
def original(copies: str) -> Iterator[Original]:
    """The original. Each test damages copies of it."""
    post_office = scratch(os.path.join(copies, "original"))
    try:
        _fill(post_office)
        journal = os.path.join(post_office.data, "messages", "journal")
        active = os.path.join(journal, max(name for name in os.listdir(journal) if segment.named_lsn(name)))
        eventually(lambda: list(segment.scan(segment.read(active), 0))[-1].body is None, "the journal is sealed")
        post_office.kill()
        assert not os.path.exists(os.path.join(post_office.data, "heads")), "a checkpoint was made meanwhile"
        made = Original(copies, post_office.data, {}, {})
        for name in made.segments():
            for entry in segment.scan(segment.read(os.path.join(journal, name)), 0):
                record = None if entry.body is None else records.decode(entry.body)
                if isinstance(record, Accepted):
                    made.accepted[entry.lsn] = record.message
                elif isinstance(record, Deleted):
                    made.deleted[entry.lsn] = record.id
        assert len(made.accepted) == MESSAGES
        assert len(made.segments()) > 2
        yield made
    finally:
        post_office.close()


class Copy:
    """A copy of the original; `serve` starts a broker on it. A context manager."""

    def __init__(self, original: Original, *, spool: bool) -> None:
        self._original = original
        self.data = tempfile.mkdtemp(dir=original.copies)
        os.rmdir(self.data)
        self.post_office = scratch(self.data)
        self.journal = os.path.join(self.data, "messages", "journal")
        if spool:
            shutil.copytree(original.data, self.data, symlinks=True)
        else:
            shutil.copytree(os.path.join(original.data, "messages", "journal"), self.journal)
            shutil.copy(os.path.join(original.data, "format"), self.data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.post_office.kill()
        self.post_office.close()
        shutil.rmtree(self.data)

    def path(self, name: str) -> str:
        """The path of a segment."""
        return os.path.join(self.journal, name)

    def serve(self) -> list[str]:
        """Start the broker, and read all mail. Returns the broker's warnings."""
        self.post_office.start(segment_bytes=SEGMENT_BYTES)
        self.mail = {message["id"]: message for box in BOXES for message in self._read(box)}
        return list(self.post_office.client().stats()["warnings"])

    def _read(self, box: str) -> list[MessageDoc]:
        with Client(self.post_office.router()) as operator:
            try:
                page = operator.inbox(session=box, since=0, status=ALL_STATUSES, limit=1_000)
            except MaestroError as error:
                assert error.code == "SESSION_NOT_FOUND"
                # The session's own record was damaged. Its mail is there when the session starts again.
                operator.start_session(box)
                page = operator.inbox(session=box, since=0, status=ALL_STATUSES, limit=1_000)
        assert not page["hasMore"]
        numbers = [message["seq"] for message in page["messages"]]
        assert numbers == sorted(set(numbers))
        return page["messages"]

    def missing(self) -> list[int]:
        """The LSNs of missing messages. Asserts that all others are as they were sent."""
        gone = []
        deleted = set(self._original.deleted.values())
        for lsn, message in self._original.accepted.items():
            found = self.mail.get(message.id)
            if found is not None:
                assert (found["message"], found["from"], found["seq"]) == (message.text, "ann", message.seq)
            elif message.id not in deleted:
                gone.append(lsn)
        assert self.mail.keys() <= {message.id for message in self._original.accepted.values()}
        return gone

    def quarantined(self) -> list[str]:
        """The names of the files in quarantine."""
        directory = os.path.join(self.data, "messages", "quarantine")
        return sorted(os.listdir(directory)) if os.path.isdir(directory) else []


def _reported_lost(warnings: list[str]) -> set[int]:
    """The LSNs that the warnings report as lost."""
    ranges = [_LOST.search(warning) for warning in warnings]
    return {lsn for one in ranges if one for lsn in range(int(one[1]), int(one[2] or one[1]) + 1)}


def test_corruption_served(original: Original, capsys: pytest.CaptureFixture[str]) -> None:
    """Bits are flipped and segments cut at random places; a broker starts on each copy."""
    seed = seed_of_run()
    chance = random.Random(seed)
    kinds: Counter[str] = Counter()
    for number in range(SAMPLES):
        spool = number % 2 == 0
        with Copy(original, spool=spool) as copy:
            name = chance.choice(original.segments())
            content = bytearray(segment.read(copy.path(name)))
            used = segment.used_bytes(bytes(content))
            flip = number % 4 < 2
            place = chance.randrange(used)
            if flip:
                bit = chance.randrange(8)
                content[place] ^= 1 << bit
                what = f"bit {bit} of byte {place} of {name}, spool {spool}"
            else:
                del content[place:]
                what = f"{name} cut at byte {place}, spool {spool}"
            with open(copy.path(name), "wb") as file:
                file.write(content)
            warnings = copy.serve()
            gone = copy.missing()
            lost = _reported_lost(warnings)
            assert not (spool and gone), f"{what}: mail in the spool is gone: {gone}"
            assert warnings or flip, f"{what}: no warning"
            if flip:
                assert set(gone) <= lost, f"{what}: {gone} are gone, and the warnings are {warnings}"
                assert len(lost) <= 1, f"{what}: one bit was flipped, and {lost} are lost"
                assert not lost or copy.quarantined(), f"{what}: the bytes are not in quarantine"
            kinds["flips" if flip else "cuts"] += 1
            kinds["lost and reported"] += len(gone)
    with capsys.disabled():
        print(
            f"\n  brokers on damaged journals: {kinds['flips']} flipped bits, {kinds['cuts']} cuts, "
            f"{kinds['lost and reported']} records lost and reported, 0 silently, 0 with the spool there; seed {seed}"
        )


@pytest.mark.parametrize("spool", [True, False])
def test_a_corruption_of_whole_segments(original: Original, capsys: pytest.CaptureFixture[str], spool: bool) -> None:
    """Each segment is deleted; and each is doubled, under a journal's file name and under a foreign name."""
    names = original.segments()
    lost_in_all = 0
    for index, name in enumerate(names):
        with Copy(original, spool=spool) as copy:
            os.unlink(copy.path(name))
            warnings = copy.serve()
            gone = copy.missing()
            lost_in_all += len(gone)
            last = index == len(names) - 1
            assert not (spool and gone), f"{name}: mail in the spool is gone: {gone}"
            assert set(gone) <= _reported_lost(warnings) or (last and not spool), warnings
            # Without spool and timeline, no file shows that a last segment existed: see docs/durability.md.
            assert warnings or (last and not spool)
        with Copy(original, spool=spool) as copy:
            shutil.copy(copy.path(name), copy.path(segment.file_name(900_000 + index)))
            shutil.copy(copy.path(name), copy.path(f"copy of {name}"))
            warnings = copy.serve()
            assert copy.missing() == []
            assert sum("second copy" in warning for warning in warnings) == 1
            assert sum("left alone" in warning for warning in warnings) == 1
            assert os.path.exists(copy.path(f"copy of {name}"))
            assert _reported_lost(warnings) == set()
    with capsys.disabled():
        there = "with" if spool else "without"
        print(f"\n  {len(names)} segments, each deleted, and doubled, {there} the spool: {lost_in_all} messages gone")


FOREIGN = {
    "messages/by-receiver/bob/notes.txt": b"mine",
    "messages/by-receiver/bob/m999.json": b'{"id": "m999"',
    "messages/by-receiver/bob/copy.json": None,
    "messages/by-receiver/not a session/x.json": b"{}",
    "messages/by-receiver/README": b"mine",
    "messages/by-sender/ann/m998.json": b"no link",
    "messages/by-sender/README": b"mine",
    "messages/journal/README": b"mine",
    "messages/journal/00000000000000000001.seg.bak": b"mine",
    "messages/journal/folder/file": b"mine",
    "sessions/notes.txt": b"mine",
    "sessions/stranger.json": b"[]",
    "outbox/README": b"mine",
    "outbox/ann/broken.json": b"{",
    "timeline/notes.txt": b"mine",
    "timeline/zz.jsonl": b"mine",
}


def test_corruption_by_foreign_files(original: Original, capsys: pytest.CaptureFixture[str]) -> None:
    """No mail is lost because of foreign files, none of them is destroyed, and misplaced ones are reported."""
    with Copy(original, spool=True) as copy:
        copy.post_office.start(segment_bytes=SEGMENT_BYTES)
        copy.post_office.stop()  # makes a checkpoint: from now on mailboxes are read from their folders
        contents = {}
        for path, content in FOREIGN.items():
            where = os.path.join(copy.data, path)
            os.makedirs(os.path.dirname(where), exist_ok=True)
            # None: a copy of a message under another message's name.
            m0 = os.path.join(copy.data, "messages", "by-receiver", "bob", f"{own_id('ann', 'm0')}.json")
            contents[path] = segment.read(m0) if content is None else content
            with open(where, "wb") as file:
                file.write(contents[path])
        warnings = copy.serve()
        assert copy.missing() == []
        with copy.post_office.client("ann") as ann:
            assert ann.send("bob", "and one more", message_id="m998")["status"] == 201
        operator = copy.post_office.client()
        eventually(lambda: operator.stats()["filingBacklog"] == 0, "all is written to the spool")
        assert operator.events(0, limit=1_000)["events"][0]["lsn"] == 1
        copy.post_office.stop()
        everything = [
            segment.read(os.path.join(folder, name))
            for folder, _, names in os.walk(copy.data)
            for name in names
            if os.path.isfile(os.path.join(folder, name))
        ]
        for path, content in contents.items():
            assert content in everything, f"{path} was destroyed"
        reported = " ".join(warnings)
        for name in ("notes.txt", "m999.json", "copy.json", "README", "folder", "stranger.json", "broken."):
            assert name in reported, f"{name} is misplaced, and was not reported"
    with capsys.disabled():
        print(f"\n  {len(FOREIGN)} foreign files: {len(warnings)} warnings, no mail lost, no file destroyed")


def test_corruption_of_a_filed_message(tmp_path: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each bit of a message's file is flipped: the message is the same, or it is reported and in quarantine. A file
    has no checksum, so its text, priority or time may change (docs/durability.md). Its receiver and id never
    change."""
    reports: list[str] = []
    spool = Spool(str(tmp_path), reports.append)
    message = Message(
        id="m1", sender="ann", receiver="bob", text="A text, a \u2603.", status="pending", seq=3, created_at=17
    )  # fmt: skip
    spool.write_message(message)
    path = os.path.join(str(tmp_path), "messages", "by-receiver", "bob", "m1.json")
    content = segment.read(path)
    outcomes: Counter[str] = Counter()
    for bit in range(len(content) * 8):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        with open(path, "wb") as file:
            file.write(flipped)
        before = len(reports)
        found = spool.read_message("bob", "m1")
        if found is None:
            assert len(reports) == before + 1, f"bit {bit}: the message is gone without a report"
            assert not os.path.exists(path)
            outcomes["reported"] += 1
            continue
        assert (found.id, found.receiver) == ("m1", "bob"), f"bit {bit}"
        outcomes["the same" if found == message else "changed"] += 1
    kept = os.listdir(os.path.join(str(tmp_path), "messages", "quarantine"))
    with capsys.disabled():
        print(f"\n  each of {len(content) * 8} bits of a message's file: {dict(outcomes)}")
    assert len(kept) == outcomes["reported"]
    assert outcomes["reported"] > outcomes["changed"] / 2
    assert json.loads(content)["id"] == "m1"


def test_a_corruption_of_a_served_file(original: Original, capsys: pytest.CaptureFixture[str]) -> None:
    """After a checkpoint, files of some messages are broken: the others are served, and these are reported and
    kept."""
    with Copy(original, spool=True) as copy:
        copy.post_office.start(segment_bytes=SEGMENT_BYTES)
        copy.post_office.stop()  # makes a checkpoint: from now on only the file has the message
        mailbox = os.path.join(copy.data, "messages", "by-receiver", "bob")
        m3, m6, m9 = (own_id("ann", key) for key in ("m3", "m6", "m9"))
        _damage(os.path.join(mailbox, f"{m3}.json"), lambda content: content[:40])
        _damage(os.path.join(mailbox, f"{m6}.json"), lambda content: b"")
        _damage(os.path.join(mailbox, f"{m9}.json"), lambda content: content.replace(b'"m9_', b'"m8_'))
        warnings = copy.serve()
        lost = {copy._original.accepted[lsn].id for lsn in copy.missing()}
        assert lost == {m3, m6, m9}
        for name in (m3, m6, m9):
            assert any(f"{name}.json" in warning for warning in warnings)
            assert f"bob--{name}.json" in copy.quarantined()
    with capsys.disabled():
        print("\n  3 files in the spool broken: 3 reported and kept, the others served")


def _damage(path: str, how: Callable[[bytes], bytes]) -> None:
    content = segment.read(path)
    with open(path, "wb") as file:
        file.write(how(content))
