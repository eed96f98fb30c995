"""Spool writer: a reader that opens each path the moment it appears reads a whole message."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from maestro_broker.core.model.checkpoint import Checkpoint
from maestro_broker.core.model.records import Accepted, Delivery
from maestro_broker.core.model.state import Change
from maestro_broker.files import new_files
from maestro_broker.views.spool import Spool
from maestro_broker.views.spool_writer import SpoolWriter
from maestro_broker.views.timeline import Timeline
from maestro_schemas.messages import Message
from support.journals import open_journal

if TYPE_CHECKING:
    from pathlib import Path

COUNT = 400
# Longer than a page, so that a write that is seen half done would be seen.
TEXT = "x" * 9_000
# Waits for each path in turn, in a loop without a pause, and opens it at once. Its output: what it saw of each.
READER = """
import json, os, sys
for path in sys.stdin.read().split():
    while True:
        try:
            fd = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue
        break
    content = os.read(fd, 1 << 16)
    os.close(fd)
    try:
        whole = content.endswith(b"\\n") and json.loads(content)["id"] + ".json" == os.path.basename(path)
    except ValueError:
        whole = False
    print(json.dumps([len(content), whole]), flush=True)
"""


class Reader:
    """A process that reads files as they appear."""

    def __init__(self, paths: list[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-c", READER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdin is not None
        self._process.stdin.write("\n".join(paths))
        self._process.stdin.close()

    def next(self) -> tuple[int, bool]:
        """Of the next file: the bytes that it saw, and whether they were the whole message."""
        assert self._process.stdout is not None
        length, is_whole = json.loads(self._process.stdout.readline())
        return length, is_whole

    def end(self) -> None:
        """Wait until it has ended by itself."""
        assert self._process.stdout is not None
        self._process.stdout.close()
        assert self._process.wait(60) == 0


class Scene:
    """A spool writer, whose thread runs, and the journal that it releases."""

    def __init__(self, data: str) -> None:
        self.data = data
        self.journal, _ = open_journal(os.path.join(data, "journal"))
        self.spool = Spool(data, lambda _: None)
        self.writer = SpoolWriter(
            data,
            0,
            spool=self.spool,
            timeline=Timeline(os.path.join(data, "timeline")),
            dead_letters=Timeline(os.path.join(data, "dead-letters")),
            log=self.journal,
            start=Checkpoint(),
            recovered_lsn=0,
        )

    def path(self, folder: str, session: str, number: int) -> str:
        """The path of a message's file or link."""
        return os.path.join(self.data, "messages", folder, session, f"m{number}.json")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A new one."""
    return Scene(str(tmp_path))


def _accepted(number: int) -> Change:
    message = Message(
        id=f"m{number}", sender="ann", receiver="bob", text=TEXT, status="pending", seq=number, created_at=number
    )
    return Change(number, Accepted(message), message)


@pytest.mark.parametrize("way", ["nameless", "renamed"])
def test_no_reader_sees_a_part_of_a_file(scene: Scene, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """By the mailbox's path and by the sender's link; also where a file system has no files without a name."""
    if way == "renamed":
        monkeypatch.setattr(new_files, "_NAMELESS", 0)
        scene = Scene(scene.data + "/renamed")
    numbers = range(1, COUNT + 1)
    readers = [
        Reader([scene.path(folder, session, number) for number in numbers])
        for folder, session in (("by-receiver", "bob"), ("by-sender", "ann"))
    ]
    scene.writer.start()
    for number in numbers:
        scene.writer.put([_accepted(number)])
    seen = [[reader.next() for _ in numbers] for reader in readers]
    assert scene.writer.stop(30.0)
    for reader in readers:
        reader.end()
    for each in seen:
        assert all(is_whole for _, is_whole in each), [length for length, is_whole in each if not is_whole]
    assert os.listdir(os.path.dirname(scene.path("by-receiver", "bob", 1))).count("m1.json") == 1
    assert scene.writer.failure is None


def test_the_reader_would_see_a_part(tmp_path: Path) -> None:
    """An empty file, and one that is half written, are no whole message to it."""
    paths = [str(tmp_path / f"m{number}.json") for number in (1, 2, 3)]
    reader = Reader(paths)
    for path, content in zip(paths, (b"", b'{"id":"m2", "te', b'{"id":"m3"}\n'), strict=True):
        (tmp_path / "aside").write_bytes(content)
        os.rename(tmp_path / "aside", path)
    assert [reader.next() for _ in paths] == [(0, False), (15, False), (12, True)]
    reader.end()


def test_a_replay_replaces_what_a_power_cut_has_torn(scene: Scene) -> None:
    """A name may survive without its content. The journal has the message, and the file is written again: a mailbox's
    file, and the sender's list."""
    os.makedirs(os.path.dirname(scene.path("by-receiver", "bob", 1)))
    for number, torn in ((1, b""), (2, b'{"id":"m2", "te')):
        with open(scene.path("by-receiver", "bob", number), "wb") as file:
            file.write(torn)
    os.makedirs(os.path.dirname(scene.path("by-sender", "ann", 3)))
    with open(scene.path("by-sender", "ann", 3), "wb"):
        pass
    several = _accepted(3)
    assert isinstance(several.record, Accepted)
    record = replace(several.record, more=(Delivery("cyd", 1),))
    scene.writer.start()
    scene.writer.put([_accepted(1), _accepted(2), Change(3, record, several.message, record.copies())])
    assert scene.writer.stop(30.0)
    assert scene.spool.sent("ann", "m3") == record.sent_file()
    for number in (1, 2):
        found = scene.spool.read_message("bob", f"m{number}")
        assert found is not None
        assert found.text == TEXT
