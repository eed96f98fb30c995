"""The wake task with real files of an agent's signs, a real mailbox, and a clock that a test moves."""

from __future__ import annotations

import errno
import os
import select
from typing import TYPE_CHECKING, Any

import pytest

from maestro_broker.core import commands
from maestro_broker.core.context import RequestContext
from maestro_broker.core.model.checkpoint import Checkpoint
from maestro_broker.core.model.state import State
from maestro_broker.core.waking.wake_table import WakeTable
from maestro_broker.core.waking.wakeable import TOUCH_MS
from maestro_broker.files.wake_files import WakeFiles
from maestro_broker.server import message_loader
from maestro_broker.server.mailbox_loader import MailboxLoader
from maestro_broker.server.waking.wake_task import WakeTask
from maestro_broker.views.signs.session_signs import SessionSigns
from maestro_broker.views.spool import Spool
from maestro_broker.waking.waker import Waker
from maestro_runtime import hook_state
from maestro_runtime.hook_state import HookState
from maestro_runtime.process_identity import pid_start
from maestro_schemas.limits import Limits
from maestro_schemas.requests import Identity, Outgoing, Request, Send, SessionEnd, SessionStart, SessionTouch
from maestro_schemas.texts.waking import CLAUDE_CODE, CODEX, not_installed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from maestro_broker.core.model.reads import Read

BOB = Identity("bob")


class Disk(WakeFiles):
    """Wake files on a disk that may fail."""

    fails: int | None = None

    def make(self, session: str, content: str) -> None:
        if self.fails is not None:
            raise OSError(self.fails, os.strerror(self.fails))
        super().make(session, content)

    def remove(self, session: str) -> bool:
        if self.fails is not None:
            raise OSError(self.fails, os.strerror(self.fails))
        return super().remove(session)


class Desk:
    """The broker around the task, without sockets and without a commit log."""

    def __init__(self, data: str) -> None:
        self.data = data
        self.now_ms = 10_000
        self.unseen: str | None = None
        self.state = State(Limits(rate_limit=0), Checkpoint())
        self.spool = Spool(data, lambda _: None)
        self.files = Disk(os.path.join(data, "messages"))
        self.waker = Waker(data, {})
        self.task = WakeTask(
            files=self.files,
            state=self.state,
            signs=SessionSigns(data),
            topics=frozenset(),
            loader=MailboxLoader(self.spool),
            waker=self.waker,
            unseen=lambda: self.unseen,
        )
        self.count = 0
        self.do(SessionStart(id="ann"))
        agent = {"agent": "claude-code", "pid": os.getpid(), "pid_start": pid_start(os.getpid())}
        self.do(SessionStart(id="bob", **agent))  # type: ignore[arg-type]
        os.makedirs(os.path.dirname(self.files.path("bob")), exist_ok=True)
        path = hook_state.path(data, "bob")
        hook_state.write(path, HookState("idle", "Stop", "claude-code", os.getpid(), pid_start(os.getpid())))
        os.utime(path, (10, 10))
        self.now_ms = 20_000

    def do(self, request: Request) -> None:
        """One request, its commit, and what the presence watch reports."""
        context = RequestContext(self.now_ms)

        def load(read: Read, _now_ms: int) -> Any:
            return message_loader.load(self.state, self.spool, read)

        commands.execute(commands.HANDLERS[type(request)], self.state, request, context, load)
        changes = self.state.take_changes()
        if self.task:
            self.task.committed(changes)
        for session in self.state.sessions.take_changed():
            self.task.changed(session)

    def mail(self) -> None:
        self.count += 1
        self.do(Send(who=Identity("ann"), messages=[Outgoing(id=f"m{self.count}", to="bob", text="hello")]))

    def turn(self) -> str | None:
        """One turn; what the wake file says after it."""
        while self.task.next_ms is not None and self.task.next_ms <= self.now_ms:
            self.task.turn(self.now_ms)
        try:
            with open(self.files.path("bob"), encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def reason(self) -> str | None:
        found = self.state.sessions.get("bob")
        assert found is not None
        wake = self.task.state(found, self.now_ms)
        return None if wake is None else wake.reason


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(str(tmp_path))
    yield made
    made.waker.close()


def test_where_no_session_can_be_woken_nothing_is_due(desk: Desk) -> None:
    desk.mail()
    assert not desk.task
    assert (desk.task.next_ms, desk.turn(), desk.reason()) == (None, None, not_installed("claude-code"))


def test_mail_from_before_counts_and_the_end_removes_the_file(desk: Desk) -> None:
    desk.mail()
    desk.do(SessionTouch(who=BOB, wake_by=CLAUDE_CODE))
    assert desk.turn() == "idle\n"
    assert desk.task.next_ms == desk.now_ms + TOUCH_MS
    first_ns = os.stat(desk.files.path("bob")).st_mtime_ns
    desk.now_ms += TOUCH_MS
    assert desk.turn() == "idle\n"
    assert os.stat(desk.files.path("bob")).st_mtime_ns > first_ns
    desk.do(SessionEnd(who=BOB))
    assert desk.turn() is None


def test_a_session_that_ends_before_its_mailbox_was_looked_at(desk: Desk) -> None:
    desk.mail()
    desk.do(SessionTouch(who=BOB, wake_by=CLAUDE_CODE))
    assert desk.task.next_ms == 0
    desk.do(SessionEnd(who=BOB))
    assert desk.turn() is None
    assert not desk.task


@pytest.mark.parametrize(
    ("number", "again_ms"), [(errno.ENOSPC, 1_000), (errno.EDQUOT, 1_000), (errno.EROFS, 60_000)]
)
def test_a_file_that_could_not_be_made_is_tried_again(desk: Desk, number: int, again_ms: int) -> None:
    desk.do(SessionTouch(who=BOB, wake_by=CLAUDE_CODE))
    desk.files.fails = number
    desk.mail()
    assert desk.turn() is None
    assert desk.reason() == f"its wake file could not be made: {os.strerror(number)}"
    assert desk.task.next_ms == desk.now_ms + again_ms
    desk.now_ms += again_ms
    assert desk.turn() is None
    desk.files.fails = None
    desk.now_ms += again_ms
    assert desk.turn() == "idle\n"
    assert desk.reason() is None
    assert desk.task.stats()["failed"] == 2


def test_a_file_that_can_not_be_removed_harms_nothing(desk: Desk) -> None:
    desk.do(SessionTouch(who=BOB, wake_by=CLAUDE_CODE))
    desk.mail()
    assert desk.turn() == "idle\n"
    desk.files.fails = errno.EROFS
    desk.do(SessionTouch(who=BOB, wake_by=""))
    assert desk.turn() == "idle\n"
    assert not desk.task


def test_where_signs_are_not_noticed_no_agent_is_woken(desk: Desk) -> None:
    desk.unseen = "changes of agents' states are not noticed: no inotify"
    desk.mail()
    desk.do(SessionTouch(who=BOB, wake_by=CLAUDE_CODE))
    assert (desk.turn(), desk.task.next_ms, desk.reason()) == (None, None, desk.unseen)
    desk.unseen = None
    assert desk.turn() == "idle\n"


def test_a_wake_that_the_broker_can_not_carry_out(desk: Desk) -> None:
    """No hook has left the facts that a command needs."""
    desk.do(SessionTouch(who=BOB, wake_by=CODEX))
    desk.mail()
    desk.turn()
    assert desk.task.fd is not None
    assert select.select([desk.task.fd], [], [], 20.0)[0]
    desk.task.collect()
    assert desk.turn() is None
    assert desk.reason() is not None
    found = desk.state.sessions.get("bob")
    assert found is not None
    shown = desk.task.state(found, desk.now_ms)
    assert shown is not None
    assert (shown.state, shown.by) == ("unanswered", CODEX)


@pytest.mark.parametrize("part", ["committed", "put", "drop", "due", "step", "state", "failed"])
def test_a_defect_ends_the_waking_and_never_the_broker(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, part: str
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("a defect")

    desk.do(SessionTouch(who=BOB, wake_by=CODEX))
    monkeypatch.setattr(WakeTable, part, broken)
    desk.mail()
    desk.turn()
    if part == "failed":
        assert desk.task.fd is not None
        assert select.select([desk.task.fd], [], [], 20.0)[0]
        desk.task.collect()
    if part == "drop":
        desk.do(SessionTouch(who=BOB, wake_by=""))
        desk.do(SessionTouch(who=BOB, wake_by=CODEX))
    if part == "put":
        desk.do(SessionTouch(who=BOB, cwd="/elsewhere"))
    assert "the next start of the broker" in str(desk.reason())
    assert "a defect" in caplog.text
    assert not desk.task
    # What happens afterwards is not looked at.
    desk.mail()
    desk.task.collect()
    desk.turn()
    assert desk.task.next_ms is None
