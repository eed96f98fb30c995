"""Mail and links that are not as a broker writes them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from maestro_broker.core.model import checkpoint
from maestro_broker.migration import format_2
from maestro_broker.migration.progress import Progress
from maestro_schemas.names import mark_of
from support.format_1 import Format1

if TYPE_CHECKING:
    from pathlib import Path

ANN = mark_of("ann")


@pytest.fixture
def old(tmp_path: Path) -> Format1:
    made = Format1(str(tmp_path / "data"))
    made.session("ann", "ben")
    return made


def run(old: Format1) -> None:
    with Progress(old.data, 1) as progress:
        format_2.run(old.data, progress)


def test_foreign_files_move_along(old: Format1) -> None:
    """A person's notes are where they were, and a message of another name waits for the start's judgement."""
    old.write("messages/by-receiver/README", b"a person wrote this")
    old.write("messages/by-sender/ann/README", b"this too")
    old.write("messages/by-sender/README", b"and this")
    old.write("timeline/notes.txt", b"and that")
    old.write("messages/by-receiver/ben/other.json", b'{"id":"x","from":"ann","to":"ben"}')
    old.write("messages/by-receiver/ben/strange.json", b'{"id":"strange","from":5,"to":"ben"}')
    os.mkdir(os.path.join(old.messages, "by-receiver", "ben", "folder.json"))
    run(old)
    for below in (
        "messages/by-receiver/README",
        "messages/by-sender/ann/README",
        "messages/by-sender/README",
        "timeline/notes.txt",
        "messages/by-receiver/ben/other.json",
        "messages/by-receiver/ben/strange.json",
        "messages/by-receiver/ben/folder.json",
    ):
        assert os.path.exists(os.path.join(old.data, below)), below


def test_a_foreign_file_takes_the_place_of_no_message(old: Format1) -> None:
    old.write(f"messages/by-receiver/ben/x_{ANN}.json", b"what a person wrote")
    old.mail("x", "ann", "ben")
    run(old)
    folder = os.path.join(old.messages, "by-receiver", "ben")
    contents = set()
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), "rb") as file:
            contents.add(file.read()[:12])
    assert contents == {b"what a perso", b'{"id":"x_' + ANN[:3].encode()}


def test_a_long_message_is_whole(old: Format1) -> None:
    text = "ä" * 200_000
    old.mail("long", "ann", "ben", message=text)
    run(old)
    with open(os.path.join(old.messages, "by-receiver", "ben", f"long_{ANN}.json"), encoding="utf-8") as file:
        assert text in file.read()


def test_a_receiver_that_was_forgotten_leaves_the_senders_tombstone(old: Format1) -> None:
    """It still says that the id was used."""
    old.link("by-sender", "ann", "x", "forgotten")
    old.link("by-thread", "root", "answer", "forgotten")
    run(old)
    path = os.path.join(old.messages, "by-sender", "ann", f"x_{ANN}.json")
    assert os.readlink(path) == f"../../to/{mark_of('forgotten')}/x_{ANN}.json"
    assert os.listdir(os.path.join(old.messages, "by-thread")) == [], "no sender is known"


def test_links_keep_their_time(old: Format1) -> None:
    """By it the sweep knows when a tombstone is old."""
    old.mail("x", "ann", "ben", deleted=True)
    os.utime(os.path.join(old.messages, "by-sender", "ann", "x.json"), ns=(5, 5), follow_symlinks=False)
    run(old)
    assert os.lstat(os.path.join(old.messages, "by-sender", "ann", f"x_{ANN}.json")).st_mtime_ns == 5


@pytest.mark.parametrize("heads", ["whole", "torn", "missing"])
def test_a_time_that_an_id_has_only_with_a_mark_is_known_to_the_checkpoint(old: Format1, heads: str) -> None:
    """Else a repeat of that send would be taken for a new message. Without a checkpoint every id is looked up."""
    for name in ("msg_7", "msg_5"):
        old.mail(name, "ann", "ben")
    old.mail("msg_9", "eve", "ben")
    if heads == "whole":
        old.heads(3, {"ann": {"sent_ms": 3}, "ben": {"sent_ms": 0}, "lead": {}})
    elif heads == "torn":
        old.write("heads", b"torn")
    old.segment(4, [])
    run(old)
    if heads == "whole":
        with open(os.path.join(old.data, "heads"), "rb") as file:
            found = checkpoint.decode(file.read())
        assert (found.lsn, found.mailboxes["ann"].sent_ms, found.mailboxes["ben"].sent_ms) == (3, 7, 0)
    assert os.path.exists(os.path.join(old.data, "heads")) == (heads != "missing")
