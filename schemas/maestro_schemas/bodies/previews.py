"""Previews: the request and the reply of `preview`: who would get a message, before it is sent.

Rule: a preview uses the same expansion, roles and states as `send`, and changes nothing: no rate is counted. The
comment above a field is its description in the JSON Schemas.
"""

from __future__ import annotations

from msgspec import Struct

from maestro_schemas.messages import NO_METADATA, Audience, Metadata
from maestro_schemas.replies import RecipientResult
from maestro_schemas.requests import OnEnded, Request


class Preview(Request, frozen=True):
    """`preview`: who would get a message, and when."""

    # As in `send`.
    to: str | list[str]
    # As in `send`; it decides whether the message is quiet and whether it wakes.
    metadata: Metadata = NO_METADATA
    # As in `send`.
    on_ended: OnEnded | None = None


class PreviewReply(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """Who would get the message now. `send` expands the addresses again."""

    # One entry for each receiver; 201 for one that would take it, else the status of its refusal.
    recipients: tuple[RecipientResult, ...]
    accepted: int
    refused: int
    # The sender must confirm the number of receivers (`CONFIRM_FANOUT`).
    confirm: bool = False
    # Only if the addresses are a list or an audience.
    audience: Audience | None = None
