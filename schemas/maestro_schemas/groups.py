"""Groups: durable lists of sessions that a message can be addressed to.

Rule: a member is a session id. A session that has ended stays a member and gets no mail of the group meanwhile.
"""

from __future__ import annotations

from msgspec import Struct


class GroupMember(Struct, frozen=True, omit_defaults=True, rename="camel"):
    """One member."""

    # A session id.
    session: str
    # When it joined, ms.
    joined_at: int


class Group(Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True):
    """One group; the file `groups/<name>.json` (0600)."""

    name: str
    # The sessions of this project may join.
    project_id: str
    # The session that made it, or `operator`; after that session was forgotten, `operator`.
    creator: str
    # When it was made, ms.
    created_at: int
    # When a request last changed its members, ms; 0: not since it was made.
    changed_at: int = 0
    members: tuple[GroupMember, ...] = ()
