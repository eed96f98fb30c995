"""Sent list: the sender's file of a message with several deliveries.

Rule: `by-sender/<session>/<id>.json` (0400) is never rewritten: each delivery's own file has its status. It has no
text, so that deleting a message leaves none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct, field

from maestro_broker.core.model.records import SentFile

if TYPE_CHECKING:
    from maestro_broker.core.model.records import Accepted


class ListedDelivery(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """One delivery in a sender's list."""

    to: str
    seq: int
    original_to: str | None = None


class ListedRefusal(Struct, frozen=True):
    """One refusal in a sender's list."""

    to: str
    # An error code.
    code: str


class SentList(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """The file's content."""

    id: str
    sender: str = field(name="from")
    # The addresses as the sender gave them.
    to: tuple[str, ...]
    # When the broker accepted it, ms.
    created_at: int
    deliveries: tuple[ListedDelivery, ...]
    refused: tuple[ListedRefusal, ...] = ()

    @classmethod
    def of(cls, record: Accepted) -> SentList:
        """The list of an accepted message."""
        message = record.message
        return cls(
            id=message.id,
            sender=message.sender,
            to=message.audience.to if message.audience is not None else (message.receiver,),
            created_at=message.created_at,
            deliveries=(
                ListedDelivery(message.receiver, message.seq, message.original_to),
                *(ListedDelivery(each.receiver, each.seq, each.original_to) for each in record.more),
            ),
            refused=tuple(ListedRefusal(each.receiver, each.code) for each in record.refused),
        )

    def sent_file(self) -> SentFile:
        """What it says of the message."""
        return SentFile(
            tuple((each.to, each.original_to) for each in self.deliveries),
            tuple((each.to, each.code) for each in self.refused),
        )


DECODER = msgspec.json.Decoder(SentList)
