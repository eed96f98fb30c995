"""Sweep walk: which files are old enough, by their own time and by their content's."""

from __future__ import annotations

import os
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest

from maestro_broker.core.model.checkpoint import Checkpoint
from maestro_broker.core.model.state import State
from maestro_broker.core.retention import RetentionPolicy
from maestro_broker.views.retention_view import RetentionView
from maestro_broker.views.spool import Spool
from maestro_broker.views.sweep_walk import Findings, Round, SweepWalk
from maestro_schemas.limits import Limits
from maestro_schemas.messages import Failure, Message
from maestro_schemas.names import mark_of

if TYPE_CHECKING:
    from pathlib import Path

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
LIMITS = Limits(retention_ms=8 * DAY_MS, read_retention_ms=DAY_MS)


class Folder:
    """The spool of a data directory, with a clock of its own ahead of the files."""

    def __init__(self, data: str) -> None:
        self.data = data
        self.spool = Spool(data, lambda _: None)
        self.state = State(LIMITS, Checkpoint())
        self.now_ms = time.time_ns() // 1_000_000
        os.makedirs(os.path.join(data, "outbox"))

    def write(self, name: str, status: Any, age_ms: int, **times: Any) -> None:
        """Write a message's file, as old as the message, or, of one that expires now, as the spool writes it."""
        created = self.now_ms - age_ms
        message = Message(
            id=name, sender="ann", receiver="bob", text="x", status=status, seq=1, created_at=created, **times
        )
        if status == "expired":
            self.spool.rewrite_messages([message]) if name.endswith("2") else self.spool.write_message(message)
            return
        self.spool.write_message(message)
        os.utime(self.path(name), (created / 1000, created / 1000))

    def fail(self, name: str, age_ms: int, file_age_ms: int) -> None:
        """Write a failed message."""
        message = Message(
            id=f"{name}_{mark_of('ann')}",
            sender="ann",
            receiver="ghost",
            text="x",
            status="failed",
            seq=0,
            created_at=self.now_ms - age_ms,
            failure=Failure("RECEIVER_NOT_FOUND", "gone"),
        )
        self.spool.write_failed(message)
        then_s = (self.now_ms - file_age_ms) / 1000
        os.utime(os.path.join(self.data, "messages", "by-sender", "ann", f"{message.id}.json"), (then_s, then_s))

    def failed(self) -> list[str]:
        """The keys of the failed messages that are left."""
        folder = os.path.join(self.data, "messages", "by-sender", "ann")
        return sorted(name.partition("_")[0] for name in os.listdir(folder)) if os.path.isdir(folder) else []

    def path(self, name: str) -> str:
        return os.path.join(self.data, "messages", "by-receiver", "bob", f"{name}.json")

    def walk(self, after_ms: int = 0, older_than_ms: int | None = None) -> list[str]:
        """A whole round some time later; the files that are left."""
        walk = SweepWalk(
            self.data,
            spool=self.spool,
            timelines=(),
            retention_view=RetentionView(self.state, RetentionPolicy.of(LIMITS, {})),
            now_ms=lambda: self.now_ms + after_ms,
            count=lambda _kind, _number: None,
            findings=Findings(deque(), deque(), deque(), deque()),
            task=Round(1, dry_run=False, older_than_ms=older_than_ms),
        )
        for _ in walk.steps():
            pass
        folder = os.path.dirname(self.path("m"))
        return sorted(name.removesuffix(".json") for name in os.listdir(folder)) if os.path.isdir(folder) else []


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(str(tmp_path))


@pytest.mark.parametrize("name", ["m1", "m2"])
def test_expired_mail_goes_at_the_end_of_its_retention(folder: Folder, name: str) -> None:
    """Its file is new at its expiry, and goes an eighth of the retention later, not a whole one. (By each of the two
    ways in which a file is written.)"""
    folder.write(name, "expired", 8 * DAY_MS)
    assert folder.walk() == [name]
    assert folder.walk(DAY_MS - HOUR_MS) == [name]
    assert folder.walk(DAY_MS + HOUR_MS) == []


def test_mail_whose_own_life_was_short_stays_for_its_retention(folder: Folder) -> None:
    folder.write("m1", "expired", 2 * DAY_MS, expires_at=folder.now_ms - DAY_MS)
    assert folder.walk(6 * DAY_MS - HOUR_MS) == ["m1"]
    assert folder.walk(6 * DAY_MS) == []


def test_mail_whose_own_life_was_the_retention_does_not_stay_for_two(folder: Folder) -> None:
    folder.write("m1", "expired", 8 * DAY_MS, expires_at=folder.now_ms)
    assert folder.walk(DAY_MS + HOUR_MS) == []


def test_read_mail_has_its_own_retention(folder: Folder) -> None:
    for name, status in (("read", "read"), ("delivered", "delivered"), ("pending", "pending")):
        folder.write(name, status, 2 * DAY_MS)
    assert folder.walk() == ["delivered", "pending"]
    assert folder.walk(6 * DAY_MS) == ["pending"], "which only the core may let expire"


def test_a_failed_message_goes_after_the_retention_of_its_sender(folder: Folder) -> None:
    """Both by its file's time and by its own; an age that a person gives is for it too."""
    for name, age_ms, file_age_ms in (("old", 9, 9), ("touched", 9, 1), ("new", 1, 9)):
        folder.fail(name, age_ms * DAY_MS, file_age_ms * DAY_MS)
    folder.walk()
    assert folder.failed() == ["new", "touched"]
    folder.walk(older_than_ms=DAY_MS // 2)
    assert folder.failed() == []


def test_an_age_that_a_person_gives_is_for_all_final_mail(folder: Folder) -> None:
    folder.write("read", "read", HOUR_MS)
    folder.write("m1", "expired", HOUR_MS)
    folder.write("pending", "pending", HOUR_MS)
    assert folder.walk(older_than_ms=2 * HOUR_MS) == ["m1", "pending", "read"]
    assert folder.walk(older_than_ms=HOUR_MS // 2) == ["pending"]


def test_a_wake_file_keeps_no_folder_of_a_session_that_is_gone(folder: Folder) -> None:
    """A hook makes the folder before its session is there, and a broker that was killed leaves the file."""
    mailbox = os.path.dirname(folder.path("m"))
    os.makedirs(mailbox)
    with open(os.path.join(mailbox, ".wake"), "w", encoding="utf-8"):
        pass
    folder.walk()
    assert not os.path.exists(mailbox)
