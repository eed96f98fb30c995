"""Group retention: groups follow the sessions in them.

Rule: a session that is forgotten leaves its groups first. A group without an active member goes when its last change,
and the last sign of life of each member, are older than the retention of its project.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from maestro_broker.core.model.records import GroupChanged, GroupDeleted
from maestro_schemas.limits import DELIVERY_BYTES_MAX
from maestro_schemas.names import OPERATOR, SYSTEM_SENDER

if TYPE_CHECKING:
    from maestro_broker.core.model.state import State
    from maestro_schemas.groups import Group


def record_bytes(state: State, session: str) -> int:
    """What the records of `take_out` take in the log at most."""
    return sum(DELIVERY_BYTES_MAX * (1 + len(group.members)) for group in _groups_of(state, session))


def take_out(state: State, session: str, now_ms: int) -> None:
    """Take a session that will be forgotten out of its groups. A later session under its id has no right to them, so
    those that it made become the operator's. `changed_at` stays: the time of an abandoned group goes on."""
    for group in _groups_of(state, session):
        members = tuple(member for member in group.members if member.session != session)
        left = (session,) if len(members) < len(group.members) else ()
        creator = OPERATOR if group.creator == session else group.creator
        changed = replace(group, members=members, creator=creator)
        state.apply(GroupChanged(now_ms, SYSTEM_SENDER, changed, left=left), None)


def is_over(state: State, group: Group, keeps_ms: int, now_ms: int) -> bool:
    """Whether the group has had no active member for `keeps_ms`."""
    last_ms = max(group.created_at, group.changed_at)
    for member in group.members:
        found = state.sessions.get(member.session)
        if found is None:
            continue
        if found.active:
            return False
        last_ms = max(last_ms, found.session.completed_at or 0, found.last_activity_ms)
    return last_ms + keeps_ms <= now_ms


def delete(state: State, group: Group, now_ms: int) -> None:
    """Delete a group whose time is over."""
    members = tuple(member.session for member in group.members)
    state.apply(GroupDeleted(now_ms, SYSTEM_SENDER, group.name, group.project_id, members), None)


def _groups_of(state: State, session: str) -> list[Group]:
    """The groups that it is in, or has made."""
    return [
        group
        for group in state.groups.values()
        if group.creator == session or any(member.session == session for member in group.members)
    ]
