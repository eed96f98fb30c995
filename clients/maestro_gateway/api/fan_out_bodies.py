"""Fan-out bodies: the request of a send to several, and the query of a receipt.

Rule: as in `bodies`.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from maestro_schemas.names import ID_PATTERN

from .bodies import SendBody, described


class FanOutBody(SendBody, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """A message, to one or to several."""

    to: Annotated[
        str | list[str],
        described(
            "A session id, a unique name, `parent`, `operator`, an audience (@all, @workers, @orchestrators, "
            "@project, @project:NAME, @children, @GROUP), or a list of at most 32 of these.",
            ["ann", "bob"],
            "@workers",
        ),
    ]
    # Without an example: those of the page are sent one after the other, and this is another message.
    id: Annotated[
        str | None, described("An id of your own, so that a repeat is the same send.", pattern=ID_PATTERN)
    ] = None
    confirm: Annotated[
        bool, described("Send it although an audience comes to many sessions (409 CONFIRM_FANOUT without it).")
    ] = False


class ReceiptQuery(Struct, frozen=True, kw_only=True):
    """Which part of the receipt."""

    receiver: Annotated[str | None, described("Only the line of this receiver, by its id.")] = None
