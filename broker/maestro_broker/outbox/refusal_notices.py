"""Refusal notices: what a sender reads of a message that waited in the outbox and was then refused for good.

Rule: a notice is in the post office's own voice, so it repeats nothing that its receiver did not prove to have
written. Any program of the user can put a file into the outbox; only the sender's token proves who wrote it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from maestro_schemas.names import ID_CHARS_MAX
from maestro_schemas.texts.visible_text import one_line

if TYPE_CHECKING:
    from maestro_schemas.errors import MaestroError
    from maestro_schemas.outbox_entry import OutboxEntry

_SHOWN_CHARS = 80


class RefusalNotice(NamedTuple):
    """A message of the post office; the same entry has the same key, so that a repeat after a crash makes one."""

    key: str
    text: str


def notice(entry: OutboxEntry, error: MaestroError, folder: str, message_id: str, *, proven: bool) -> RefusalNotice:
    """The notice for the session that the entry names. `folder`: where the entry is kept. `message_id`: the id that
    its message would have got. `proven`: whether it has that session's token."""
    if not proven:
        # Also the id is its writer's choice, and an id is long enough for a sentence.
        digest = hashlib.sha256(message_id.encode()).hexdigest()[:16]
        return RefusalNotice(
            f"refused_{digest}",
            f"A file in the outbox names you as its sender, and was refused ({error.code}). It does not have your "
            "session's token, which would prove that you wrote it. So nothing of it is shown here.\n"
            f"It is kept in {folder}. To see what it says: maestro message dead",
        )
    receiver = one_line(", ".join(entry.addresses)[:_SHOWN_CHARS])
    return RefusalNotice(
        f"refused_{message_id}"[:ID_CHARS_MAX],
        f"Your message {message_id} to {receiver} waited in the outbox and was then refused: {error.message} "
        f"({error.code}). {error.hint}\nIt is kept in {folder}; to send it again: maestro message retry {message_id}",
    )
