"""Handlers: the commands that concern the broker itself or its files, and not the core.

Rule: the signature is that of the core's handlers. Only `outbox.drain` changes the state: it sends the outbox's
messages.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from maestro_broker.core import authorization, commands
from maestro_broker.views import dead_letters
from maestro_broker.views.history import conversations
from maestro_schemas import PROTOCOL_VERSION, __version__, requests
from maestro_schemas.bodies import archive
from maestro_schemas.errors import MaestroError
from maestro_schemas.replies import (
    DeadReply,
    DrainReply,
    EventsReply,
    HelloReply,
    MessagesReply,
    PruneReply,
    ShutdownReply,
    StatsReply,
)

from . import event_replay
from .admission import BROKER_IS_OLDER, CLIENT_IS_OLDER
from .searching import orders_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from maestro_broker.attachments.blob_handlers import BlobHandlers
    from maestro_broker.core.commands import Handler
    from maestro_broker.core.context import RequestContext
    from maestro_broker.core.model.state import State
    from maestro_broker.index.orders import IndexOrder
    from maestro_broker.views.spool import Spool
    from maestro_broker.views.timeline import Timeline

    from .expiry_task import ExpiryTask
    from .status import Status


class ServerHandlers(NamedTuple):
    """What the handlers need."""

    status: Status
    spool: Spool
    timeline: Timeline
    expired: Timeline
    expiry: ExpiryTask
    blobs: BlobHandlers
    # Ends the broker after the current turn.
    stop: Callable[[], None]

    def table(self) -> dict[type[requests.Request], Handler]:
        """A handler for each command of the protocol, the core's included."""
        return {
            **commands.HANDLERS,
            **self.blobs.table(),
            requests.Hello: self.hello,
            requests.Events: self.events,
            requests.Dead: self.dead,
            requests.Messages: self.messages,
            archive.Search: self.archive,
            archive.Threads: self.archive,
            archive.Analytics: self.archive,
            archive.IndexRebuild: self.archive,
            requests.Stats: self.stats,
            requests.OutboxDrain: self.drain_outbox,
            requests.Prune: self.prune,
            requests.Shutdown: self.shutdown,
        }

    def hello(self, _state: State, request: requests.Hello, _context: RequestContext) -> HelloReply:
        """Raises MaestroError UNSUPPORTED_PROTOCOL if the ranges of versions do not overlap."""
        if not request.protocol_min <= PROTOCOL_VERSION <= request.protocol_max:
            raise MaestroError(
                "UNSUPPORTED_PROTOCOL",
                f"this broker ({__version__}) speaks protocol {PROTOCOL_VERSION}, the client "
                f"{request.protocol_min} to {request.protocol_max}",
                CLIENT_IS_OLDER if request.protocol_max < PROTOCOL_VERSION else BROKER_IS_OLDER,
            )
        options = self.status.options
        return HelloReply(
            protocol_min=PROTOCOL_VERSION,
            protocol_max=PROTOCOL_VERSION,
            version=__version__,
            epoch=self.status.epoch,
            pid=os.getpid(),
            head_lsn=self.status.pipeline.committed_lsn,
            data_dir=options.data,
            limits={name: value for name, value in options.limits._asdict().items() if isinstance(value, int)},
        )

    def events(self, state: State, request: requests.Events, context: RequestContext) -> EventsReply:
        """Raises MaestroError as `event_replay.events`."""
        asking = authorization.authenticate(state, request.who, context.now_ms)
        unfiled, head = self.status.queue.unfiled, self.status.pipeline.committed_lsn
        return event_replay.events(state, self.timeline, unfiled, request, asking, head)

    def dead(self, state: State, request: requests.Dead, context: RequestContext) -> DeadReply:
        """Raises MaestroError as `dead_letters.page`."""
        unfiled = self.status.queue.unfiled
        return dead_letters.page(state, self.spool, self.expired, unfiled, request, context.now_ms)

    def messages(self, state: State, request: requests.Messages, context: RequestContext) -> MessagesReply:
        """Raises MaestroError as `conversations.page`."""
        unfiled, head = self.status.queue.unfiled, self.status.pipeline.committed_lsn
        return conversations.page(
            state, self.spool, self.timeline, unfiled, request, head=head, now_ms=context.now_ms
        )

    def archive(self, state: State, request: Any, context: RequestContext) -> IndexOrder:
        """The order that the index answers later. Raises MaestroError as `orders_of.order_of`."""
        return orders_of.order_of(state, request, head=self.status.pipeline.committed_lsn, now_ms=context.now_ms)

    def stats(self, _state: State, _request: requests.Stats, context: RequestContext) -> StatsReply:
        """Return the document of `maestro status`."""
        return StatsReply(self.status.document(context.now_ms))

    def drain_outbox(self, _state: State, _request: requests.OutboxDrain, context: RequestContext) -> DrainReply:
        """Send what the outbox holds, once its files are taken in."""
        self.status.outbox.take_files_in(context.now_ms)
        self.blobs.await_queued()
        return self.status.outbox.drain_now(context)

    def prune(self, _state: State, request: requests.Prune, _context: RequestContext) -> PruneReply:
        """Raises MaestroError INVALID, BUSY."""
        return self.expiry.prune(request)

    def shutdown(self, state: State, request: requests.Shutdown, context: RequestContext) -> ShutdownReply:
        """Stop after this turn, in which the reply is sent."""
        authorization.authenticate(state, request.who, context.now_ms)
        self.stop()
        return ShutdownReply(os.getpid())
