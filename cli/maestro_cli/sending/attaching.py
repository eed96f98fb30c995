"""Attaching: the files of `--attach`, opened and read before anything is sent.

Rule: imported only where a file is attached. Without a broker the shipped limits hold, until one judges the message.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from maestro_clients.attachments import file_sends
from maestro_clients.attachments.outgoing_files import FileBounds, attach, folders_of, read
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import OPERATOR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maestro_cli.context import CommandContext
    from maestro_clients.attachments.outgoing_files import OutgoingFile
    from maestro_schemas.documents import OutgoingDoc

_STANDARD_INPUT = "-"


def add(context: CommandContext, outgoing: OutgoingDoc, paths: Sequence[str]) -> list[OutgoingFile]:
    """Read the files, and let the message name them. Raises MaestroError as `outgoing_files.read`."""
    if _STANDARD_INPUT in paths:
        raise MaestroError(
            "ATTACHMENT_UNUSABLE",
            "standard input can't be attached: it has no name and no size",
            "Nothing was sent. Write it to a file, and attach that. For a text: --file -",
        )
    files = read([os.path.expanduser(path) for path in paths], _bounds(context))
    attach(outgoing, files)
    return files


def _bounds(context: CommandContext) -> FileBounds:
    """From the broker, where one answers."""
    try:
        client = context.open_client()
        if client is not None:
            with client:
                return client.carry_out(file_sends.bounds(is_remote=context.is_remote, speaker=context.caller))
    except MaestroError as error:
        if error.kind == "client":
            raise
    leaves = context.is_remote and context.own_session not in (None, OPERATOR)
    return FileBounds.of(None, folders_of(None) if leaves else None)
