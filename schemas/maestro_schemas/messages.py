"""Messages: the documented Message, on every surface the same.

Rule: the field names are the seed's (camelCase), times are milliseconds since the epoch, and an absent field is
left out, never null. A message is immutable: a change of status makes a new one, so that the thread that files
it never sees what is not durable yet.
"""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Struct, UnsetType, field

from .vocabularies import MessageStatus, MessageType, Priority

PRIORITY_RANK: dict[str | None, int] = {"high": 0, "medium": 1, None: 1, "low": 2}


class Metadata(
    Struct, gc=False, frozen=True, omit_defaults=True, rename="camel", forbid_unknown_fields=True, kw_only=True
):
    """What a sender may say beside the text; closed: an unknown field is an error.

    `thread_id` is the id of the thread's first message and is set by the broker from `in_reply_to`. `data` is
    the sender's own JSON value (limit data_bytes_max).
    """

    task_id: str | None = None
    type: MessageType | None = None
    priority: Priority | None = None
    requires_ack: bool = False
    in_reply_to: str | None = None
    thread_id: str | None = None
    data: Any = None


# The one object of messages without any, so that "none" can be asked without comparing fields.
NO_METADATA = Metadata()


class Failure(Struct, frozen=True, rename="camel"):
    """Why a message became `failed`. No broker of this version makes one: it refuses what can't be delivered before
    it accepts it, and what it has accepted ends as delivered, expired or deleted."""

    code: str
    message: str


class Message(Struct, gc=False, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """One message. `seq` counts up by one per receiver from 1, without gaps.

    Unknown fields are ignored when read, so that an older broker can read what a newer one of the same data
    format wrote.
    """

    id: str
    sender: str = field(name="from")
    receiver: str = field(name="to")
    text: str = field(name="message")
    status: MessageStatus
    seq: int
    created_at: int
    offered_at: int | None = None
    offered_via: str | None = None
    delivered_at: int | None = None
    delivered_via: str | None = None
    read_at: int | None = None
    expires_at: int | None = None
    failure: Failure | None = None
    original_to: str | None = None
    metadata: Metadata | UnsetType = UNSET

    @property
    def meta(self) -> Metadata:
        """The metadata, empty where there is none."""
        return NO_METADATA if self.metadata is UNSET else self.metadata
