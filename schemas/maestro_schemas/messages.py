"""Messages: the Message document, the same on every surface (wire, files, HTTP, JSON output).

Rule: field names are camelCase, times are milliseconds since the epoch, and an absent field is left out, never null.
A Message is immutable: a change of status makes a new object. The spool writer, a thread of its own, therefore never
sees a state that is not durable yet. The comment above a field is its description in the JSON Schemas.
"""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Struct, UnsetType, field

from .names import AUDIENCE_SIGIL, group_of
from .vocabularies import MessageStatus, MessageType, Priority

PRIORITY_RANK: dict[str | None, int] = {"high": 0, "medium": 1, None: 1, "low": 2}


class Metadata(
    Struct, gc=False, frozen=True, omit_defaults=True, rename="camel", forbid_unknown_fields=True, kw_only=True
):
    """What a sender may say besides the text. An unknown field is an error."""

    # The sender's own name for the task that the message belongs to.
    task_id: str | None = None
    type: MessageType | None = None
    # Absent means medium.
    priority: Priority | None = None
    # The sender asks the receiver to acknowledge the message (`maestro message read`).
    requires_ack: bool = False
    # The sender asks the receiver for an answer.
    requires_response: bool = False
    # The id of the message that this one answers.
    in_reply_to: str | None = None
    # The id of the thread's first message. The broker sets it from `in_reply_to`.
    thread_id: str | None = None
    # Any JSON value of the sender's (limit data_bytes_max).
    data: Any = None


# One shared empty object: the broker recognises "no metadata" by identity instead of comparing fields.
NO_METADATA = Metadata()


class Failure(Struct, frozen=True, rename="camel"):
    """Why a message became `failed`: it waited in an outbox and was then refused for good."""

    # An error code.
    code: str
    message: str


class Audience(Struct, gc=False, frozen=True, omit_defaults=True, rename="camel"):
    """To whom a message was addressed that several may receive. Who they are is for the sender to know."""

    # The addresses as the sender gave them.
    to: tuple[str, ...]
    # The number of receivers, with those that refused.
    size: int


class Attachment(Struct, gc=False, frozen=True, omit_defaults=True, rename="camel"):
    """A file that belongs to a message."""

    # The last component of the sender's path.
    name: str
    # Bytes.
    size: int
    # A media type, by the name: a hint.
    type: str
    # The digest of the content in hex.
    sha256: str


class Message(Struct, gc=False, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """One message, as its sender and its receiver see it.

    A reader ignores unknown fields, so that an older broker can read what a newer one of the same data format wrote.
    """

    # The sender's key, `_` and the sender's mark: it names one message in the whole post office.
    id: str
    # The sender's session id, or `maestro` for messages of the broker itself.
    sender: str = field(name="from")
    # The receiver's session id.
    receiver: str = field(name="to")
    text: str = field(name="message")
    status: MessageStatus
    # The message's number in its mailbox: 1, 2, 3 and so on, without gaps.
    seq: int
    # When the broker accepted it, ms.
    created_at: int
    # When its id was first shown to the receiver, ms.
    offered_at: int | None = None
    # What showed its id, such as `hook:claude-code:Stop`.
    offered_via: str | None = None
    # When its whole text was written to the receiver, ms.
    delivered_at: int | None = None
    # What wrote its text, such as `cli`.
    delivered_via: str | None = None
    # What had woken the receiver's agent for the turn that showed it, such as `claude-code:FileChanged`.
    woken_by: str | None = None
    # When the receiver acknowledged it, ms.
    read_at: int | None = None
    # When it expires unless it is delivered before, ms.
    expires_at: int | None = None
    failure: Failure | None = None
    # The receiver that the sender named, where the broker redirected the message to another.
    original_to: str | None = None
    # How many characters the broker took out of the text, since a reader can't see them or they steer a terminal.
    chars_removed: int = 0
    # Only if the sender gave a list of addresses.
    audience: Audience | None = None
    attachments: tuple[Attachment, ...] = ()
    metadata: Metadata | UnsetType = UNSET

    @property
    def meta(self) -> Metadata:
        """The metadata; `NO_METADATA` where the message has none."""
        return NO_METADATA if self.metadata is UNSET else self.metadata

    @property
    def groups(self) -> tuple[str, ...]:
        """The names of the groups that it was addressed to."""
        addresses = self.audience.to if self.audience is not None else ()
        return tuple(dict.fromkeys(name for name in map(group_of, addresses) if name is not None))

    @property
    def is_quiet(self) -> bool:
        """Whether it went to several sessions and asks nothing of them: it is shown with the next mail, and neither
        holds a turn's end open nor wakes an agent."""
        audience = self.audience
        if audience is None or (audience.size < 2 and not audience.to[0].startswith(AUDIENCE_SIGIL)):
            return False
        meta = self.meta
        asks = meta.type in ("request", "command", "response") or meta.priority == "high"
        return not (asks or meta.requires_ack or meta.requires_response)

    @property
    def wakes(self) -> bool:
        """Whether the broker may wake its receiver's idle agent for it."""
        return self.meta.priority != "low" and not self.is_quiet
