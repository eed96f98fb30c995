"""Who sent an id, by the links of the senders."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from maestro_broker.migration import sent_ids
from maestro_broker.migration.sent_ids import Sent, SentIds
from support.format_1 import Format1

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_an_id_is_found_for_each_of_its_senders(tmp_path: Path) -> None:
    """Also that of a deleted message."""
    old = Format1(str(tmp_path / "data"))
    for number in range(300):
        old.mail(f"m{number}", f"s{number % 7}", "ann")
    old.mail("m5", "eve", "ben", deleted=True)
    found = SentIds(os.path.join(old.messages, "by-sender"))
    assert found.count == 301
    assert sorted(found.find("m5")) == [Sent("eve", "ben"), Sent("s5", "ann")]
    assert found.find("m299") == [Sent("s5", "ann")]
    assert found.find("never") == []
    assert found.has("s5", "m5")
    assert not found.has("s6", "m5")


def test_the_links_decide_between_names_of_one_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = Format1(str(tmp_path / "data"))
    for name in ("a", "b", "c"):
        old.mail(name, f"s{name}", "ann")
    monkeypatch.setattr(sent_ids, "_HASH_MASK", 0)
    found = SentIds(os.path.join(old.messages, "by-sender"))
    assert [found.find(name) for name in ("a", "b", "c", "d")] == [[Sent(f"s{name}", "ann")] for name in "abc"] + [[]]


def test_what_is_no_link_to_a_message_is_none(tmp_path: Path) -> None:
    old = Format1(str(tmp_path / "data"))
    old.mail("a", "ann", "ben")
    folder = os.path.join(old.messages, "by-sender", "ann")
    for name, target in (
        ("else.json", "../../by-receiver/ben/a.json"),
        ("up.json", "../../by-receiver/../up.json"),
        ("far.json", "/etc/far.json"),
        ("note.txt", "../../by-receiver/ben/note.txt"),
    ):
        os.symlink(target, os.path.join(folder, name))
    old.write("messages/by-sender/ann/file.json", b"{}")
    old.write("messages/by-sender/README", b"")
    found = SentIds(os.path.join(old.messages, "by-sender"))
    assert [found.find(name) for name in ("else", "up", "far", "file")] == [[], [], [], []]
    assert found.find("a") == [Sent("ann", "ben")]
