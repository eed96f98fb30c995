"""Blob handlers: the commands `blob.stat`, `blob.put` and `blob.get`.

Rule: the signature is that of the core's handlers; none of them changes the state. The last part of a blob is
answered when another thread has made it whole: until then the request waits, as one does whose mailbox is not loaded.
"""

from __future__ import annotations

import contextlib
import logging
import os
from typing import TYPE_CHECKING, Any

from maestro_broker.core import authorization
from maestro_broker.core.sending import attached
from maestro_broker.files import disk
from maestro_schemas.bodies.attachments import BlobGet, BlobPartReply, BlobPut, BlobReply, BlobStat
from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import BLOB_PART_BYTES_MAX
from maestro_schemas.names import OPERATOR

from . import blob_store
from .blob_finisher import BlobFinisher, Upload

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maestro_broker.core.commands import Handler
    from maestro_broker.core.context import RequestContext
    from maestro_broker.core.model.reads import Reads
    from maestro_broker.core.model.session_registry import SessionState
    from maestro_broker.core.model.state import State
    from maestro_broker.transport.listener import IncomingRequest
    from maestro_schemas.limits import Limits
    from maestro_schemas.messages import Attachment, Message
    from maestro_schemas.requests import Request

    from .blob_store import BlobStore


_log = logging.getLogger(__name__)

# In place of a caller's session, for files of an outbox; no id has a plus.
_QUEUED = "+outbox"
# Of one caller, at once.
UPLOADS_MAX = 64
UNREADABLE_SUFFIX = ".unreadable"


class BlobUnfinishedError(Exception):
    """The request must wait until this upload is whole."""

    def __init__(self, upload: Upload) -> None:
        super().__init__(upload.sha256)
        self.upload = upload


class BlobHandlers:
    """The handlers, and the requests that wait."""

    def __init__(self, data: str, store: BlobStore, limits: Limits) -> None:
        self._data = data
        self._store = store
        self._limits = limits
        self._finisher = BlobFinisher(store)
        self._waiting: dict[Upload, list[IncomingRequest]] = {}
        # While those are answered that waited for it.
        self._failed: dict[Upload, MaestroError] = {}
        # The path of each queued file that is taken in.
        self._queued: dict[Upload, str] = {}
        # Requests may come: the main loop must wait for no file.
        self.is_serving = False

    def table(self) -> dict[type[Request], Handler]:
        """The handler of each command."""
        return {BlobStat: self.stat, BlobPut: self.put, BlobGet: self.get}

    # --- requests that wait ------------------------------------------------------------------------------

    @property
    def fd(self) -> int:
        """Readable when some of them need wait no longer."""
        return self._finisher.fd

    def wait(self, upload: Upload, arrival: IncomingRequest) -> None:
        """Keep a request until the upload is finished."""
        self._waiting[upload].append(arrival)

    def finished(self) -> Iterator[IncomingRequest]:
        """The requests that can be answered now."""
        for upload, error in self._finisher.outcomes():
            path = self._queued.pop(upload, None)
            if error is not None and path is not None:
                self._is_put_aside(path, upload, error)
            elif error is not None:
                self._failed[upload] = error if isinstance(error, MaestroError) else self._explained(error)
            yield from self._waiting.pop(upload, ())
            self._failed.pop(upload, None)

    def close(self) -> None:
        """End the thread."""
        self._finisher.close()

    # --- the commands ------------------------------------------------------------------------------------

    def stat(self, state: State, request: BlobStat, context: RequestContext) -> BlobReply:
        """Raises MaestroError as `authorization.authenticate`, and INVALID, ATTACHMENT_TOO_LARGE, BLOB_MISMATCH."""
        asking = authorization.authenticate(state, request.who, context.now_ms)
        attached.check_digest(request.sha256)
        attached.check_size(request.size, state.limits)
        path = self._store.part_path(request.sha256, request.size, _caller(asking))
        whole = self._whole(Upload(path, request.sha256, request.size))
        if whole is not None:
            return whole
        return BlobReply(sha256=request.sha256, held=self._store.part_bytes(path) or 0, whole=False)

    def put(self, state: State, request: BlobPut, context: RequestContext) -> BlobReply:
        """Raises MaestroError as `stat`, and STORAGE_FULL."""
        asking = authorization.authenticate(state, request.who, context.now_ms)
        attached.check_digest(request.sha256)
        attached.check_size(request.size, state.limits)
        _check_part(request)
        path = self._store.part_path(request.sha256, request.size, _caller(asking))
        upload = Upload(path, request.sha256, request.size)
        whole = self._whole(upload)
        if whole is not None:
            return whole
        if upload in self._failed:
            raise self._failed[upload]
        if upload in self._waiting:
            raise BlobUnfinishedError(upload)
        held = self._held(upload, request)
        if held < request.size:
            return BlobReply(sha256=request.sha256, held=held, whole=False)
        self._waiting[upload] = []
        self._finisher.begin(upload)
        raise BlobUnfinishedError(upload)

    def get(self, state: State, request: BlobGet, context: RequestContext) -> Reads[BlobPartReply]:
        """Raises MaestroError as `authorization.find_message`, and INVALID, MESSAGE_NOT_FOUND, BLOB_NOT_FOUND."""
        limit = BLOB_PART_BYTES_MAX if request.limit is None else request.limit
        if request.offset < 0 or not 0 < limit <= BLOB_PART_BYTES_MAX:
            raise MaestroError(
                "INVALID",
                f"a part can't begin at {request.offset:,} and have {limit:,} bytes",
                f"Begin at 0 or more, and ask for 1 to {BLOB_PART_BYTES_MAX:,} bytes.",
                limit=BLOB_PART_BYTES_MAX,
                actual=limit,
            )
        asking = authorization.authenticate(state, request.who, context.now_ms)
        message = yield from _message(state, asking, request.id)
        attachment = _named(message, request.name)
        folder = self._store.folder(message.receiver, message.id)
        data = self._store.read(attachment, folder, request.offset, limit)
        if data is None:
            raise MaestroError(
                "BLOB_NOT_FOUND",
                f"the file {attachment.name} of message {message.id} is not in the post office any more",
                "`maestro spool verify` says what is missing. Its sender may send it again.",
            )
        return BlobPartReply(sha256=attachment.sha256, size=attachment.size, offset=request.offset, data=data)

    # --- queued files ------------------------------------------------------------------------------------

    def take_in(self, path: str, attachment: Attachment) -> bool:
        """Take a file of an outbox in, if it is there and the post office does not have it; false while another
        thread does that, or while there is no room. A file that can't be taken in is put aside, and the send then
        says that it is missing."""
        sha256, size = attachment.sha256, attachment.size
        if not attached.is_digest(sha256) or not 0 <= size <= self._limits.attachment_bytes_max:
            return True
        if self._store.touch(sha256) is not None:
            return True
        upload = Upload(self._store.part_path(sha256, size, _QUEUED), sha256, size)
        if upload in self._waiting or self._store.size.total_bytes + size > self._limits.attachments_total_bytes_max:
            return False
        try:
            self._store.begin_with(path, upload.path)
            if self.is_serving:
                self._waiting[upload] = []
                self._queued[upload] = path
                self._finisher.begin(upload)
                return False
            self._store.adopt(upload.path, sha256, size)
        except FileNotFoundError:
            return True
        except (MaestroError, OSError) as error:
            return self._is_put_aside(path, upload, error)
        return True

    def await_queued(self) -> None:
        """Raises BlobUnfinishedError while a file of an outbox is taken in."""
        for upload in self._queued:
            raise BlobUnfinishedError(upload)

    def _is_put_aside(self, path: str, upload: Upload, error: MaestroError | OSError) -> bool:
        """Rename a queued file that can't be taken in; false where the disk is full, and it may be tried again."""
        self._store.drop_part(upload.path)
        if isinstance(error, OSError) and error.errno in disk.FULL:
            return False
        _log.warning("the queued file %s can't be taken in: %s", path, error)
        with contextlib.suppress(FileNotFoundError):
            os.rename(path, path + UNREADABLE_SUFFIX)
        return True

    def _whole(self, upload: Upload) -> BlobReply | None:
        sha256, size = upload.sha256, upload.size
        found = self._store.touch(sha256)
        if found is None:
            return None
        if found != size:
            raise MaestroError(
                "BLOB_MISMATCH",
                f"the file {sha256} has {found:,} bytes, not {size:,}",
                "Give the size of the content that has this digest.",
                actual=size,
            )
        if upload not in self._waiting:
            # Another caller has finished the same file, so what this one has begun is needed no longer.
            self._store.drop_part(upload.path)
        return BlobReply(sha256=sha256, held=size, whole=True)

    def _held(self, upload: Upload, request: BlobPut) -> int:
        """How much is there of the upload, with this part."""
        held = self._store.part_bytes(upload.path)
        fresh = request.data[max(0, (held or 0) - request.offset) :]
        if request.offset > (held or 0) or (not fresh and (held is not None or upload.size)):
            return held or 0
        if held is None:
            self._check_uploads(upload)
        wanted = self._store.size.total_bytes + upload.size - (held or 0)
        most = self._limits.attachments_total_bytes_max
        if wanted > most:
            raise blob_store.storage_full(most, wanted)
        try:
            self._store.append(upload.path, held or 0, fresh)
        except OSError as error:
            raise self._explained(error) from None
        return (held or 0) + len(fresh)

    def _check_uploads(self, upload: Upload) -> None:
        """Raises TOO_MANY: a begun upload takes a file, however small it is."""
        begun = self._store.uploads_of(upload.path.rpartition(".")[2])
        if begun >= UPLOADS_MAX:
            raise MaestroError(
                "TOO_MANY",
                f"{begun} uploads of this caller are not finished, and the limit is {UPLOADS_MAX}",
                "Finish them. What gets no part for an hour is removed.",
                retry_after_s=60.0,
                limit=UPLOADS_MAX,
                actual=begun + 1,
            )

    def _explained(self, error: OSError) -> MaestroError:
        full = blob_store.no_space(error, self._data)
        return full or MaestroError(
            "INTERNAL", f"the file can't be written: {error}", "logs/broker.log in the data directory has the error."
        )


def _caller(asking: SessionState | None) -> str:
    return OPERATOR if asking is None else asking.session.id


def _check_part(request: BlobPut) -> None:
    if len(request.data) > BLOB_PART_BYTES_MAX:
        raise MaestroError(
            "INVALID",
            f"a part has {len(request.data):,} bytes, and the limit is {BLOB_PART_BYTES_MAX:,}",
            "Put the file in smaller parts.",
            limit=BLOB_PART_BYTES_MAX,
            actual=len(request.data),
        )
    end = request.offset + len(request.data)
    if request.offset < 0 or end > request.size:
        raise MaestroError(
            "INVALID",
            f"bytes {request.offset:,} to {end:,} are no part of a file of {request.size:,} bytes",
            "Put parts within the size that was given.",
            limit=request.size,
            actual=end,
        )


def _message(state: State, asking: SessionState | None, message_id: str) -> Reads[Message]:
    """The message that the caller means, if it may see it. All its deliveries have the same files, so of several the
    operator need name none."""
    try:
        message = yield from authorization.find_message(state, asking, message_id)
    except MaestroError as error:
        receivers: Any = (error.details or {}).get("receivers")
        if error.code != "AMBIGUOUS_ID" or not receivers:
            raise
        message = yield from authorization.find_message(state, asking, message_id, receivers[0])
    if message is None:
        missing = yield from authorization.no_message(state, asking, message_id)
        raise missing
    return message


def _named(message: Message, name: str) -> Attachment:
    found = next((each for each in message.attachments if each.name == name), None)
    if found is not None:
        return found
    names = ", ".join(each.name for each in message.attachments)
    raise MaestroError(
        "BLOB_NOT_FOUND",
        f"message {message.id} has no file of that name",
        f"It has {names}." if names else "It has no files.",
    )
