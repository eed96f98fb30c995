"""Session shape: a session in the documented form, with every documented field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maestro_schemas.documents import SessionDoc


def shown(session: SessionDoc) -> dict[str, Any]:
    """The session, with null or an empty value where it has none."""
    return {
        "name": None,
        "parentSessionId": None,
        "taskIds": [],
        "completedAt": None,
        "metadata": {},
        "timeline": [],
        "needsInput": {"active": False},
        **session,
    }
