"""File sends: what a client's `send` does where files are given by their paths.

Rule: sans-IO, as `uploads`. Both kinds of clients read the files between `bounds` and `sent`, each in its own way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from maestro_clients.protocol import commands
from maestro_schemas.names import OPERATOR

from . import uploads
from .outgoing_files import FileBounds, folders_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from os import PathLike

    from maestro_clients.protocol.callers import Caller
    from maestro_schemas.documents import AttachmentDoc, SendResultDoc

    from .outgoing_files import OutgoingFile
    from .uploads import Requests


class GivenFiles(NamedTuple):
    """The argument `attachments`, as the paths and the documents in it."""

    paths: list[str | PathLike[str]]
    documents: list[AttachmentDoc]

    @classmethod
    def of(cls, given: Sequence[str | PathLike[str] | AttachmentDoc]) -> GivenFiles:
        """Sort them."""
        found = cls([], [])
        for each in given:
            if isinstance(each, dict):
                found.documents.append(each)
            else:
                found.paths.append(each)
        return found


def bounds(*, is_remote: bool, speaker: Caller, caller: Caller | None = None) -> Requests[FileBounds]:
    """What the files of a message must keep to. `speaker`: for whom the client speaks, and `caller` for whom this one
    request does, where that is another. A session's file leaves the machine only from below its own directory."""
    limits = (yield commands.hello(caller=caller))["limits"]
    session = (caller or speaker).session
    if not is_remote or session in (None, OPERATOR):
        return FileBounds.of(limits)
    cwd = (yield commands.session(caller=caller)).get("cwd")
    return FileBounds.of(limits, folders_of(cwd))


def sent(
    prepare: Callable[..., commands.Request[SendResultDoc]],
    arguments: tuple[Any, ...],
    named: Mapping[str, Any],
    given: GivenFiles,
    files: Sequence[OutgoingFile],
) -> Requests[SendResultDoc]:
    """Put the files, and send the message that names them and the documents. `arguments`, `named`: those of the
    call."""
    documents = [*given.documents, *(file.document() for file in files)]
    request = prepare(*arguments, **{**named, "attachments": documents})
    return (yield from uploads.sent(request, files, caller=named.get("caller")))
