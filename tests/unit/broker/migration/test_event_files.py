"""Lines that can't be read, and files that are no day."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from maestro_broker.migration import format_2
from maestro_broker.migration.progress import Progress
from support.format_1 import Format1

if TYPE_CHECKING:
    from pathlib import Path


def test_lines_that_are_no_event_stay_as_they_are(tmp_path: Path) -> None:
    old = Format1(str(tmp_path / "data"))
    lines = [b'{"id":\n', b'["id":5]\n', b'["id",{"id":5}]\n', b'{"lsn":1,"at":1,"event":"head"}\n', b"\xff\n"]
    old.write("timeline/2026-11-01.jsonl", b"".join(lines))
    old.event("message.accepted", **{"id": "x", "from": "ann", "to": "ben"})
    os.mkdir(os.path.join(old.data, "timeline", "2026-11-02.jsonl"))
    os.rmdir(os.path.join(old.data, "dead-letters"))
    with Progress(old.data, 1) as progress:
        format_2.run(old.data, progress)
    with open(os.path.join(old.data, "timeline", "2026-11-01.jsonl"), "rb") as file:
        assert file.readlines() == lines
    assert os.path.isdir(os.path.join(old.data, "timeline", "2026-11-02.jsonl"))
    assert os.listdir(os.path.join(old.data, "dead-letters")) == []
