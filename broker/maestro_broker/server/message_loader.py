"""Message loader: answers the reads of handlers that take a few files.

Rule: a read is answered at once, since it takes microseconds. Whole mailboxes are loaded in steps (`mailbox_loader`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maestro_schemas.errors import MaestroError
from maestro_schemas.names import is_id

if TYPE_CHECKING:
    from maestro_broker.core.model.reads import Read
    from maestro_broker.core.model.state import State
    from maestro_broker.views.spool import Spool


def load(state: State, spool: Spool, read: Read) -> Any:
    """Load what a read asks for into the state; the answer, where `Read` says that there is one. Raises OSError, and
    MaestroError INTERNAL for an id that would be no safe part of a path: no handler may let one through."""
    message_id = read.message_id.removesuffix("_") if read.kind == "names" else read.message_id
    if not is_id(message_id) or (read.session and not is_id(read.session)):
        raise MaestroError("INTERNAL", f"{read} has an id that is not well formed")
    match read.kind:
        case "file":
            _load_file(state, spool, read.session, read.message_id)
        case "sent":
            sent = spool.sent(read.session, read.message_id)
            for receiver in sent.receivers if sent is not None else ():
                _load_file(state, spool, receiver, read.message_id)
            return sent
        case "thread":
            return spool.answers(read.message_id)
        case "group":
            return spool.groups.mail(read.message_id)
        case "blob":
            return spool.blobs.touch(read.message_id)
        case "names":
            return spool.names_beginning_with(read.session, read.message_id)
        case _:
            raise AssertionError(f"{read} takes more than a few files")
    return None


def _load_file(state: State, spool: Spool, session: str, message_id: str) -> None:
    mailbox = state.mailboxes.get(session)
    if mailbox is not None and mailbox.remembers(message_id):
        return
    message = spool.read_message(session, message_id)
    if message is not None:
        state.load_message(message)
