"""Follow: whole records of the timeline, each once, whatever is being written."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from maestro_broker.core.model import records
from maestro_broker.core.model.records import Accepted, Delivery, Refused
from maestro_broker.index.follow import TimelineFollower
from maestro_broker.views.timeline import Timeline
from maestro_schemas.messages import Message

if TYPE_CHECKING:
    from pathlib import Path

DAY_MS = 86_400_000


def lsns(follower: TimelineFollower) -> list[int]:
    found = []
    while more := follower.records():
        found += [record[0].lsn for record in more]
    return found


def refusal(at: int) -> Refused:
    return Refused(at, "CONFLICT", "ann")


def test_days_and_what_comes_later(tmp_path: Path) -> None:
    folder = str(tmp_path)
    follower = TimelineFollower(folder, 0)
    assert follower.records() == []
    timeline = Timeline(folder)
    for lsn in range(1, 5):
        timeline.append(records.events(lsn, refusal(lsn * DAY_MS)))
    assert lsns(follower) == [1, 2, 3, 4]
    timeline.append(records.events(5, refusal(4 * DAY_MS + 1)))
    timeline.append(records.events(6, refusal(9 * DAY_MS)))
    assert lsns(follower) == [5, 6]
    assert lsns(follower) == []
    for after in range(7):
        assert lsns(TimelineFollower(folder, after)) == list(range(after + 1, 7))
    follower.close()
    timeline.close()


def test_a_record_is_read_when_it_is_whole(tmp_path: Path) -> None:
    """Its lines, and the bytes of a line, may come one by one."""
    folder = str(tmp_path)
    message = Message(id="m", sender="ann", receiver="bob", text="x", status="pending", seq=1, created_at=5)
    other = tmp_path / "other"
    timeline = Timeline(str(other))
    timeline.append(records.events(1, Accepted(message, (Delivery("cid", 1), Delivery("dee", 1)))))
    timeline.append(records.events(2, refusal(6)))
    timeline.close()
    [name] = os.listdir(other)
    whole = (other / name).read_bytes()
    follower = TimelineFollower(folder, 0)
    seen = []
    with open(os.path.join(folder, name), "wb", buffering=0) as file:
        for at in range(0, len(whole), 7):
            file.write(whole[at : at + 7])
            seen += [[event.receiver for event in record] for record in follower.records()]
    assert seen == [["bob", "cid", "dee"], [None]]
    follower.close()


def test_a_line_that_can_not_be_read_is_passed_over(tmp_path: Path) -> None:
    timeline = Timeline(str(tmp_path))
    for lsn in (1, 2, 3):
        timeline.append(records.events(lsn, refusal(lsn)))
    timeline.close()
    [name] = os.listdir(tmp_path)
    lines = (tmp_path / name).read_bytes().splitlines(keepends=True)
    (tmp_path / name).write_bytes(lines[0] + b"{garbage\n" + lines[2])
    assert lsns(TimelineFollower(str(tmp_path), 0)) == [1, 3]


def test_the_oldest_record(tmp_path: Path) -> None:
    follower = TimelineFollower(str(tmp_path), 0)
    assert follower.first_lsn() is None
    timeline = Timeline(str(tmp_path))
    timeline.append(records.events(4, refusal(1)))
    assert follower.first_lsn() == 4
    timeline.close()
