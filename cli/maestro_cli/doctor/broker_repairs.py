"""Broker repairs: a damaged search index, and mail in the outbox that a running broker may take.

Rule: no broker is started for them. The index is derived from the mail, so that nothing is lost with it.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from maestro_clients.outbox import outbox_files

from . import index_checks
from .findings import Repair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maestro_cli.context import CommandContext


def index(context: CommandContext) -> Iterator[Repair]:
    """The search index, where its file is no sound database; that of a running broker looks after itself."""
    path = index_checks.index_file(context.data)
    if context.is_remote or path is None or context.running() is not None or index_checks.damage(path) is None:
        return
    what = f"remove {path}: it is damaged, and the next search makes it again"
    yield Repair("search index", what, partial(_drop, path))


def outbox(context: CommandContext) -> Iterator[Repair]:
    """Messages that wait although a broker runs."""
    waiting = sum(entry.failure is None for _, entry in outbox_files.entries(context.data))
    if waiting and context.running() is not None:
        yield Repair("outbox", f"send the messages that wait in the outbox ({waiting:,})", partial(_send, context))


def _drop(path: str) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        if os.path.lexists(path + suffix):
            os.unlink(path + suffix)


def _send(context: CommandContext) -> None:
    if context.is_remote:
        from maestro_clients.outbox.remote_drain import drain

        broker = context.running()
        if broker is not None:
            drain(context.data, broker.router, 10.0)
        return
    with context.as_operator().client() as client:
        client.drain_outbox()
