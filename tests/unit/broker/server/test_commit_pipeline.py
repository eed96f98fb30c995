"""Commit pipeline: nothing is reported before the log says that it is durable, however late that is."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from maestro_broker.commit.disk_admission import DiskAdmission
from maestro_broker.core import commands
from maestro_broker.core.context import RequestContext
from maestro_broker.core.model.checkpoint import Checkpoint
from maestro_broker.core.model.reads import Read
from maestro_broker.core.model.state import State
from maestro_broker.outbox.drain import OutboxDrainer
from maestro_broker.server import message_loader
from maestro_broker.server.commit_pipeline import CommitPipeline
from maestro_broker.server.mailbox_loader import MailboxLoader
from maestro_broker.server.metrics import BrokerMetrics
from maestro_broker.server.waking.wake_task import WakeTask
from maestro_broker.transport.listener import OutgoingReply
from maestro_broker.views.signs.session_signs import SessionSigns
from maestro_broker.views.spool import Spool
from maestro_broker.views.spool_writer import SpoolWriter
from maestro_broker.views.timeline import Timeline
from maestro_broker.views.write_behind import WriteBehindQueue
from maestro_broker.waking.waker import Waker
from maestro_runtime import paths
from maestro_runtime.outbox_dir import OutboxDir
from maestro_schemas import outbox_entry
from maestro_schemas.errors import FatalError
from maestro_schemas.limits import Limits
from maestro_schemas.names import mark_of
from maestro_schemas.outbox_entry import OutboxEntry
from maestro_schemas.requests import Confirm, Identity, Inbox, Outgoing, Request, Send, SessionStart
from support.journals import open_journal
from support.late_log import LateLog

if TYPE_CHECKING:
    from pathlib import Path

ANN, BOB = Identity("ann"), Identity("bob")


class Listener:
    """Writes down what leaves the broker, and whether bob's marker was there at that moment."""

    def __init__(self, marker: str) -> None:
        self._marker = marker
        self.topics = {""}
        self.notices = self
        self.left: list[tuple[str, bool]] = []

    def reply(self, peer: Any, *_: bytes) -> None:
        self.left.append((peer, os.path.exists(self._marker)))

    def publish(self, topic: str, _body: bytes) -> None:
        self.left.append((topic, os.path.exists(self._marker)))

    def flush(self) -> None:
        pass

    def wants(self, _party: str) -> bool:
        return True


class Post:
    """The broker between its sockets and its log, which is late."""

    def __init__(self, data: str) -> None:
        self.is_over = False
        self.state = State(Limits(rate_limit=0), Checkpoint())
        self.marker = os.path.join(paths.receiver_dir(data, "bob"), ".pending")
        self.listener = Listener(self.marker)
        journal, _ = open_journal(os.path.join(data, "journal"))
        self.log = LateLog(journal)
        self.outbox_path = os.path.join(data, "outbox")
        self.outbox = OutboxDrainer(
            OutboxDir(self.outbox_path),
            send=lambda request, _context: self.do(request),
            notify_sender=lambda *_: True,
            report=lambda _: None,
            take_in=lambda *_: True,
        )
        spool = self.spool = Spool(data, lambda _: None)
        writer = SpoolWriter(
            data,
            0,
            spool=spool,
            timeline=Timeline(os.path.join(data, "timeline")),
            dead_letters=Timeline(os.path.join(data, "dead-letters")),
            log=self.log,
            start=Checkpoint(),
            recovered_lsn=0,
        )
        self.queue = WriteBehindQueue(writer, 1 << 20)
        self.metrics = BrokerMetrics()
        self.disk = DiskAdmission(data, self.log, 64)
        self.wakes = WakeTask(
            files=spool.wake_files,
            state=self.state,
            signs=SessionSigns(data),
            topics=self.listener.topics,
            loader=MailboxLoader(spool),
            waker=Waker(data, {}),
            unseen=lambda: None,
        )
        self.pipeline = self.new_pipeline()
        for name in ("ann", "bob"):
            self.do(SessionStart(id=name))
        self.pipeline.submit()
        self.log.until_lsn = self.state.lsn
        self.pipeline.report()
        self.listener.left.clear()

    def new_pipeline(self) -> CommitPipeline:
        listeners: list[Any] = [self.listener]
        return CommitPipeline(
            state=self.state,
            log=self.log,
            disk=self.disk,
            spool=self.spool,
            outbox=self.outbox,
            queue=self.queue,
            metrics=self.metrics,
            listeners=listeners,
            topics=self.listener.topics,
            may_report=self.may_report,
            wakes=self.wakes,
        )

    def crowd(self) -> list[str]:
        """Sessions that are enough for the markers' own thread."""
        names = [f"s{number}" for number in range(8)]
        for name in names:
            self.do(SessionStart(id=name))
        self.pipeline.submit()
        self.log.until_lsn = 1_000
        self.pipeline.report()
        self.listener.left.clear()
        return names

    def is_marked(self, session: str) -> bool:
        return self.spool.markers.has(session)

    def may_report(self) -> None:
        if self.is_over:
            raise FatalError("DATA_DIR_UNUSABLE", "the directory was replaced")

    def do(self, request: Request) -> Any:
        def load(read: Read, _now_ms: int) -> Any:
            return message_loader.load(self.state, self.spool, read)

        handler = commands.HANDLERS[type(request)]
        return commands.execute(handler, self.state, request, RequestContext(1), load)

    def answer(self, name: str, request: Request) -> Any:
        """Carry a request out and submit its batch; `name` is the peer's."""
        reply = self.do(request)
        listener: Any = self.listener
        self.pipeline.answer(listener, OutgoingReply(name, b"1", b"200", b""))
        self.pipeline.submit()
        return reply

    def seal_is_due(self) -> bool:
        return self.pipeline.seal_is_due

    def peers(self) -> list[str]:
        return [name for name, _ in self.listener.left if "|" not in name]


@pytest.fixture
def post(tmp_path: Path) -> Post:
    return Post(str(tmp_path))


def _send(message_id: str) -> Send:
    return Send(messages=[Outgoing(id=message_id, to="bob", text="x")], who=ANN)


def _send_to(message_id: str, to: list[str]) -> Send:
    return Send(messages=[Outgoing(id=message_id, to=to, text="x")], who=ANN)


def _no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_nothing_leaves_before_it_is_durable(post: Post) -> None:
    before = post.pipeline.committed_lsn
    post.answer("send", _send("m1"))
    # The mailbox has the message already, so that a reader's answer must wait as well; and a new subscriber's head.
    assert post.answer("inbox", Inbox(who=BOB)).count == 1
    listener: Any = post.listener
    post.pipeline.greet(listener, "bob|", 1)
    post.pipeline.submit()
    for _ in range(3):
        post.pipeline.report()
    assert post.pipeline
    assert post.listener.left == []
    assert not os.path.exists(post.marker)
    assert [change.lsn for change in post.queue.unfiled][-1] == before
    assert post.metrics.messages()["accepted"] == 0
    assert post.pipeline.committed_lsn == before

    post.log.until_lsn = post.state.lsn
    post.pipeline.report()
    assert not post.pipeline
    assert post.listener.left[0] == ("send", True), "the marker comes before the answer"
    assert [name for name, _ in post.listener.left] == [
        "send", "bob|message.accepted", "ann|message.accepted", "inbox", "bob|head",
    ]  # fmt: skip
    assert [change.lsn for change in post.queue.unfiled][-1] == post.pipeline.committed_lsn == post.state.lsn


def test_many_new_markers_are_set_during_the_commit(post: Post) -> None:
    """They may be there before their mail is durable; an answer that takes one away keeps its place in the order."""
    crowd = post.crowd()
    post.log.until_lsn = before = post.state.lsn
    post.answer("several", _send_to("m1", ["bob", *crowd]))
    assert post.listener.left == []
    assert all(map(post.is_marked, ["bob", *crowd]))
    post.answer("confirm", Confirm(who=BOB, ids=[f"m1_{mark_of('ann')}"], kind="delivered"))
    post.answer("more", _send_to("m2", ["bob", *crowd]))
    for lsn, marked in ((before + 1, True), (before + 2, False), (before + 3, True)):
        post.log.until_lsn = lsn
        post.pipeline.report()
        assert post.is_marked("bob") == marked, lsn
    assert post.peers() == ["several", "confirm", "more"]
    assert all(map(post.is_marked, crowd))


def test_a_marker_without_space_is_set_later(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one message to many, of one to a single session, and what a start could not set. The mail is accepted."""
    crowd = post.crowd()
    monkeypatch.setattr(os, "link", _no_space)
    for name, request in (("several", _send_to("m1", crowd)), ("one", _send("m2"))):
        post.answer(name, request)
    assert post.peers() == ["several", "one"]
    post.pipeline.write_markers()
    assert not any(map(post.is_marked, ["bob", *crowd]))
    post.answer("read", Confirm(who=Identity(crowd[0]), ids=[f"m1_{mark_of('ann')}"], kind="delivered"))
    monkeypatch.undo()
    post.pipeline.write_markers()
    assert not post.is_marked(crowd[0])
    assert all(map(post.is_marked, ["bob", *crowd[1:]]))
    for session in crowd:
        post.spool.markers.remove(session)
        post.state.mailbox(session).marked = False
    later = post.new_pipeline()
    later.write_markers()
    assert [post.is_marked(session) for session in crowd] == [False, *[True] * (len(crowd) - 1)]


def test_a_commit_that_fails_waits_for_the_markers(post: Post) -> None:
    """So that no thread is at work while the broker ends."""
    crowd = post.crowd()
    post.log.close()
    with pytest.raises(FatalError):
        post.answer("several", _send_to("m1", crowd))
    assert post.listener.left == []
    assert all(map(post.is_marked, crowd)), "a marker too early is corrected by the next start"


def test_batches_are_reported_in_order_and_each_when_it_is_durable(post: Post) -> None:
    post.answer("first", _send("m1"))
    first_lsn = post.state.lsn
    post.answer("confirm", Confirm(who=BOB, ids=[f"m1_{mark_of('ann')}"], kind="delivered"))
    post.answer("second", _send("m2"))
    post.log.until_lsn = first_lsn
    post.pipeline.report()
    assert post.peers() == ["first"]
    assert os.path.exists(post.marker), "the marker says what the first batch made so, not what came later"
    post.log.until_lsn = post.state.lsn - 1
    post.pipeline.report()
    assert post.peers() == ["first", "confirm"]
    assert not os.path.exists(post.marker)
    post.log.until_lsn = post.state.lsn
    post.pipeline.report()
    assert post.peers() == ["first", "confirm", "second"]
    assert os.path.exists(post.marker)


def test_an_outbox_entry_stays_until_its_message_is_durable(post: Post) -> None:
    entry = OutboxEntry(1, "ann", None, {"id": "m1", "to": "bob", "message": "x"})
    path = os.path.join(post.outbox_path, "ann", outbox_entry.file_name(entry))
    os.mkdir(os.path.dirname(path))
    with open(path, "wb") as file:
        file.write(outbox_entry.encode(entry))
    assert post.outbox.drain(RequestContext(1)) == 1
    post.pipeline.submit()
    assert post.outbox.drain(RequestContext(1)) == 0, "it is not sent a second time meanwhile"
    assert os.path.exists(path)
    post.log.until_lsn = post.state.lsn
    post.pipeline.report()
    assert not os.path.exists(path)
    assert post.outbox.drain(RequestContext(1)) == 0


def test_an_idle_log_is_sealed_only_when_nothing_waits(post: Post) -> None:
    post.answer("send", _send("m1"))
    post.pipeline.seal()
    assert post.seal_is_due()
    post.log.until_lsn = post.state.lsn
    post.pipeline.report()
    assert post.seal_is_due()
    post.pipeline.seal()
    assert not post.seal_is_due()
    assert not post.pipeline.submit(), "there is nothing left to submit"


def test_a_log_that_fails_reports_nothing(post: Post) -> None:
    post.log.failure = FatalError("JOURNAL_FAILED", "the disk is broken")
    with pytest.raises(FatalError):
        post.answer("send", _send("m1"))
    assert post.listener.left == []
    assert not os.path.exists(post.marker)


def test_a_broker_that_has_lost_its_place_reports_nothing(post: Post) -> None:
    """The batch is durable, in a directory that may be another broker's by now."""
    post.log.until_lsn = 100
    post.is_over = True
    with pytest.raises(FatalError):
        post.answer("send", _send("m1"))
    assert post.listener.left == []
    assert not os.path.exists(post.marker)
