"""Event messages: the message that an event is about, as it is now."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from maestro_broker.core.model.state import State
    from maestro_broker.views.spool import Spool
    from maestro_schemas.events import Event
    from maestro_schemas.messages import Message


def message_of(state: State, spool: Spool, event: Event) -> Message | None:
    """The delivery that the event names, or the failed message; None if it was deleted, or removed after its
    retention. An id may be used again then, so the number must be the same."""
    if event.id is None or event.sender is None:
        return None
    if event.receiver is None:
        filed = None if state.is_unfiled(event.id) else spool.sent(event.sender, event.id)
        sent = state.sent(event.id, filed)
        return sent.file.failed if sent is not None else None
    mailbox = state.mailboxes.get(event.receiver)
    if mailbox is not None and mailbox.remembers(event.id):
        entry = mailbox.get(event.id)
        message = entry.message if entry is not None else None
    else:
        message = spool.read_message(event.receiver, event.id)
    is_same = message is not None and (message.seq, message.sender) == (event.seq, event.sender)
    return message if is_same else None
