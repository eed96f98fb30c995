"""Dispatch: a fault of one request is that request's own answer."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from maestro_broker.attachments.blob_handlers import BlobHandlers
from maestro_broker.commit.disk_admission import DiskAdmission
from maestro_broker.core.context import RequestContext
from maestro_broker.core.model.checkpoint import Checkpoint
from maestro_broker.core.model.state import State
from maestro_broker.server.admission import Admission
from maestro_broker.server.dispatch import Dispatch
from maestro_broker.server.mailbox_loader import MailboxLoader
from maestro_broker.server.metrics import BrokerMetrics
from maestro_broker.server.searching.index_process import IndexProcess
from maestro_broker.transport.listener import IncomingRequest
from maestro_broker.views.spool import Spool
from maestro_schemas import PROTOCOL_HEADER, requests
from maestro_schemas.errors import FatalError, MaestroError
from maestro_schemas.limits import Limits
from maestro_schemas.replies import StatsReply
from support.journals import open_journal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW = RequestContext(1_000, frozenset(), None)
LONE = os.fsdecode(b"/d\xff")


def answers(tmp_path: Path, handler: Callable[..., Any]) -> tuple[bytes, Any]:
    """The status and the body that a request for the status gets from a handler."""
    data = str(tmp_path)
    spool = Spool(data, lambda _: None)
    journal, _ = open_journal(str(tmp_path / "journal"))
    state = State(Limits(), Checkpoint())
    blobs = BlobHandlers(data, spool.blobs, Limits())
    try:
        dispatch = Dispatch(
            {requests.Stats: handler},
            state=state,
            spool=spool,
            loader=MailboxLoader(spool),
            blobs=blobs,
            admission=Admission(1 << 20),
            disk=DiskAdmission(data, journal, 64),
            curve=None,
            metrics=BrokerMetrics(),
            index=IndexProcess(data, state),
        )
        frames = [PROTOCOL_HEADER, b"1", b"stats", msgspec.msgpack.encode({})]
        reply = dispatch.answer(IncomingRequest("peer", os.getuid(), frames), NOW)
    finally:
        journal.close()
        blobs.close()
    assert reply is not None
    return reply.status, msgspec.msgpack.decode(reply.body)


def test_a_path_in_a_reply_is_escaped(tmp_path: Path) -> None:
    status, body = answers(tmp_path, lambda *_: StatsReply({"dataDir": LONE, "list": [LONE, 1], LONE: "line\n"}))
    assert status == b"200"
    assert body["stats"] == {"dataDir": "/d\\xff", "list": ["/d\\xff", 1], "/d\\xff": "line\n"}


def test_half_of_a_pair_in_a_reply_is_escaped(tmp_path: Path) -> None:
    _, body = answers(tmp_path, lambda *_: StatsReply({"text": "a\ud800b"}))
    assert body["stats"] == {"text": "a\\ud800b"}


def test_a_path_in_an_error_is_escaped(tmp_path: Path) -> None:
    def refuse(*_: object) -> None:
        raise MaestroError("STORAGE_FULL", f"the disk of {LONE} is full", f"Free {LONE}.")

    status, body = answers(tmp_path, refuse)
    assert (status, body["code"]) == (b"503", "STORAGE_FULL")
    assert body["message"] == "the disk of /d\\xff is full"


@pytest.mark.parametrize("value", [object(), 1 << 70, {1: {2, 3}, "x": lambda: 0}])
def test_a_reply_that_cannot_be_sent_is_an_internal_error(tmp_path: Path, value: object) -> None:
    status, body = answers(tmp_path, lambda *_: StatsReply({"value": value}))
    assert (status, body["code"]) == (b"500", "INTERNAL")
    assert "carried out the command, and can't send its reply" in body["message"]


def test_a_reply_without_end_is_an_internal_error(tmp_path: Path) -> None:
    endless: dict[str, Any] = {}
    endless["again"] = endless
    status, body = answers(tmp_path, lambda *_: StatsReply(endless))
    assert (status, body["code"]) == (b"500", "INTERNAL")


def test_a_file_that_cannot_be_read_is_an_internal_error_with_the_path(tmp_path: Path) -> None:
    def read(*_: object) -> None:
        os.listdir(os.path.join(tmp_path, "journal", "x", "y"))

    status, body = answers(tmp_path, read)
    assert (status, body["code"]) == (b"500", "INTERNAL")
    assert f"{tmp_path}/journal/x" in body["message"]


def test_a_fatal_error_is_no_answer(tmp_path: Path) -> None:
    def fail(*_: object) -> None:
        raise FatalError("JOURNAL_FAILED", "the log failed")

    with pytest.raises(FatalError):
        answers(tmp_path, fail)
