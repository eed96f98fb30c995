"""Sizes: the broker's limit of a request, checked before the request is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from maestro_schemas.documents import HelloDoc


def wire_bytes_max(answer: HelloDoc) -> int:
    """The broker's limit of a body in bytes, from its `hello`."""
    from maestro_schemas.limits import Limits

    return answer["limits"].get("wire_bytes_max", Limits().wire_bytes_max)


def check_size(size: int, limit: int) -> None:
    """Raises MaestroError FRAME_TOO_LARGE, with both numbers."""
    if size > limit:
        raise MaestroError(
            "FRAME_TOO_LARGE",
            f"the request's body is {size:,} bytes, and the limit is {limit:,}",
            "Send fewer messages at a time, or less in one.",
            limit=limit,
            actual=size,
        )
