"""Dispatch: from an arrival to the reply that its peer gets.

Rule: each request is admitted, decoded, authorised and carried out here, and nowhere else. A reply is only made here;
it is sent after the commit of everything that it may report.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

import msgspec

from maestro_broker.attachments.blob_handlers import BlobUnfinishedError
from maestro_broker.core import commands, key_authorization
from maestro_broker.index.orders import IndexOrder
from maestro_broker.transport.listener import OutgoingReply
from maestro_runtime import places
from maestro_schemas.commands import decode_request
from maestro_schemas.errors import FatalError, MaestroError

from . import message_loader
from .admission import request_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maestro_broker.attachments.blob_handlers import BlobHandlers
    from maestro_broker.commit.disk_admission import DiskAdmission
    from maestro_broker.core.commands import Handler
    from maestro_broker.core.context import RequestContext
    from maestro_broker.core.model.reads import Read
    from maestro_broker.core.model.state import State
    from maestro_broker.transport.curve_listener import CurveListener
    from maestro_broker.transport.listener import IncomingRequest
    from maestro_broker.views.spool import Spool
    from maestro_schemas.requests import Request

    from .admission import Admission
    from .mailbox_loader import MailboxLoader
    from .metrics import BrokerMetrics
    from .searching.index_process import IndexProcess, LateReply

_log = logging.getLogger(__name__)

# What UTF-8 can't encode: a byte of a path, as Python has it in a text, or half of a pair.
_NO_UNICODE = re.compile("[\ud800-\udfff]")
_encode = msgspec.msgpack.Encoder().encode


def _encoded(reply: Any) -> bytes:
    """The bytes of a reply or of an error's body.

    A path may have bytes that are no UTF-8; they are escaped. Raises MaestroError INTERNAL for a reply that can't be
    sent at all: that is the fault of this request alone, and what it changed is committed like any other change.
    """
    try:
        return _encode(reply)
    except UnicodeEncodeError:
        return _encoded(_escaped(msgspec.to_builtins(reply)))
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        _log.exception("a reply can't be encoded")
        raise MaestroError(
            "INTERNAL",
            f"the broker carried out the command, and can't send its reply: {type(error).__name__}",
            "Please report it, with logs/broker.log in the broker's data directory.",
        ) from None


def _unreadable(error: OSError) -> MaestroError:
    """The answer of a request whose files can't be read: it has changed nothing, since handlers read before they
    change."""
    _log.error("a request could not be carried out: %s", error)
    what, hint = (
        "the broker can't read what the request needs",
        "logs/broker.log in the data directory has the error.",
    )
    return places.refusal("INTERNAL", what, error, hint)


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return _NO_UNICODE.sub(lambda found: places.shown(found[0]), value)
    if isinstance(value, dict):
        return {_escaped(key): _escaped(item) for key, item in value.items()}
    return [_escaped(item) for item in value] if isinstance(value, list | tuple) else value


class _MailboxNotLoadedError(Exception):
    """The request must wait until this session's mailbox is in memory."""

    def __init__(self, session: str) -> None:
        super().__init__(session)
        self.session = session


class Dispatch:
    """Carries out requests; `handlers`: one for each command."""

    def __init__(
        self,
        handlers: Mapping[type[Request], Handler],
        *,
        state: State,
        spool: Spool,
        loader: MailboxLoader,
        blobs: BlobHandlers,
        admission: Admission,
        disk: DiskAdmission,
        curve: CurveListener | None,
        metrics: BrokerMetrics,
        index: IndexProcess,
    ) -> None:
        self._index = index
        self._handlers = handlers
        self._state = state
        self._spool = spool
        self._loader = loader
        self._blobs = blobs
        self._admission = admission
        self._disk = disk
        self._curve = curve
        self._metrics = metrics

    def late(self, reply: LateReply) -> OutgoingReply:
        """The reply to a request that has waited for the index."""
        arrival, body = reply
        if isinstance(body, MaestroError):
            self._metrics.refused(body.code)
            return OutgoingReply(arrival.peer, request_id(arrival), str(body.status).encode(), _encoded(body.body()))
        return OutgoingReply(arrival.peer, request_id(arrival), b"200", _encoded(body))

    def answer(self, arrival: IncomingRequest, context: RequestContext) -> OutgoingReply | None:
        """Carry out an arrival; its reply, or an error as one. None if it waits: for a mailbox, a file, or the index.
        Raises FatalError."""
        try:
            name, body = self._admission.admit(arrival)
            request = decode_request(name, body)
            if arrival.public is not None and self._curve is not None:
                key = self._curve.authenticate(arrival.public, context.now_ms)
                request = key_authorization.check(self._state, key, request)
                context = context._replace(key=key.name, is_limited=not key.operator)
            # As `execute`, without its call.
            full = self._disk.admit(request, len(body))
            if full is not None and context.back_pressure is None:
                context = context._replace(back_pressure=full)
            reply = commands.execute(self._handlers[type(request)], self._state, request, context, self._load)
            if type(reply) is IndexOrder:
                self._index.ask(arrival, reply)
                return None
            encoded = _encoded(reply)
            self._metrics.answered(reply)
            return OutgoingReply(arrival.peer, arrival.frames[1], b"200", encoded)
        except _MailboxNotLoadedError as missing:
            self._loader.wait(missing.session, arrival)
            return None
        except BlobUnfinishedError as unfinished:
            self._blobs.wait(unfinished.upload, arrival)
            return None
        except FatalError:
            raise  # no answer: the broker ends, and the client repeats the request
        except (MaestroError, OSError) as error:
            refusal = _unreadable(error) if isinstance(error, OSError) else error
            self._metrics.refused(refusal.code)
            status, encoded = str(refusal.status).encode(), _encoded(refusal.body())
        return OutgoingReply(arrival.peer, request_id(arrival), status, encoded)

    def execute(self, request: Request, context: RequestContext, body_bytes: int) -> Any:
        """Carry out a request, if the disk has space for its records; the reply's body. Raises MaestroError."""
        full = self._disk.admit(request, body_bytes)
        if full is not None and context.back_pressure is None:
            context = context._replace(back_pressure=full)
        return commands.execute(self._handlers[type(request)], self._state, request, context, self._load)

    def _load(self, read: Read, now_ms: int) -> Any:
        if read.kind in ("pending", "mailbox"):
            if not self._loader.is_loaded(self._state, read, now_ms):
                raise _MailboxNotLoadedError(read.session)
            return None
        return message_loader.load(self._state, self._spool, read)
