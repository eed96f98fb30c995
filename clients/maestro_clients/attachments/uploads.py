"""Uploads: puts files into the post office, and then sends the message that names them.

Rule: sans-IO. An upload is a generator of requests: its driver, blocking or asynchronous, sends each and gives back
what the reply means, or throws its MaestroError. The broker is asked first what it holds, so no byte is sent twice. A
repeat continues where the one before has ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from maestro_clients.protocol import blob_commands
from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import BLOB_PART_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from maestro_clients.protocol.callers import Caller
    from maestro_clients.protocol.commands import Request

    from .outgoing_files import OutgoingFile

    T = TypeVar("T")
    Requests = Generator[Request[Any], Any, T]


def put(files: Sequence[OutgoingFile], *, caller: Caller | None = None) -> Requests[None]:
    """Put the files that the post office does not hold. Raises MaestroError, such as ATTACHMENT_TOO_LARGE or
    STORAGE_FULL."""
    for file in {file.sha256: file for file in files}.values():
        yield from put_parts(file.sha256, len(file.content), file.part, caller=caller)


def put_parts(
    sha256: str, size: int, part: Callable[[int, int], bytes], *, caller: Caller | None = None
) -> Requests[None]:
    """Put one blob, from where the post office holds it. `part`: from an offset and a count to these bytes."""
    held = yield blob_commands.blob_stat(sha256, size, caller=caller)
    while not held["whole"]:
        offset = held["held"]
        piece = part(offset, BLOB_PART_BYTES_MAX)
        held = yield blob_commands.blob_put(sha256, size, offset, piece, caller=caller)
        if not held["whole"] and held["held"] <= offset:
            raise MaestroError("INTERNAL", "the broker took a part of a file and does not hold it", "Try again.")


def sent(send: Request[T], files: Sequence[OutgoingFile], *, caller: Caller | None = None) -> Requests[T]:
    """Put the files, then send. A file that nothing named may be gone before the message comes: it is put again, and
    the message is sent again under the same id."""
    yield from put(files, caller=caller)
    result: T
    try:
        result = yield send
    except MaestroError as error:
        if error.code != "BLOB_NOT_FOUND":
            raise
        yield from put(files, caller=caller)
        result = yield send
    return result
