"""Group commands: make, change, delete and find groups.

Rule: a member is a session id; an address is resolved when the request is carried out. A request for what is already
so changes nothing and is no error, so that each can be repeated. One record has the whole group.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from msgspec import UNSET
from msgspec.structs import replace

from maestro_broker.core import authorization, validation
from maestro_broker.core.model.records import GroupChanged, GroupDeleted
from maestro_broker.core.sessions import session_rights
from maestro_schemas.errors import MaestroError
from maestro_schemas.groups import Group, GroupMember
from maestro_schemas.limits import check_number
from maestro_schemas.names import AUDIENCE_SIGIL, DEFAULT_PROJECT, is_group_name, plain_name
from maestro_schemas.replies import GroupDeletedReply, GroupReply, GroupShown, GroupsReply, MemberShown
from maestro_schemas.texts.near_words import guess
from maestro_schemas.texts.visible_text import one_line

from . import group_rights

if TYPE_CHECKING:
    from collections.abc import Iterable

    from maestro_broker.core.context import RequestContext
    from maestro_broker.core.model.session_registry import SessionState
    from maestro_broker.core.model.state import State
    from maestro_schemas.requests import GroupDelete, GroupGet, GroupList, GroupSet

# Groups that an unknown name is compared with, and how many an error names.
_COMPARED_MAX = 200
_NAMED_MAX = 10
_SHOWN_CHARS = 80
# The bytes of a group in a reply beside its members, and those of a member, about.
_GROUP_BYTES = 256
_MEMBER_BYTES = 192


def set_group(state: State, request: GroupSet, context: RequestContext) -> GroupReply:
    """Make a group or change its members; the group as it is then.

    Raises MaestroError GROUP_NOT_FOUND, CONFLICT (another group has the name), INVALID, TOO_MANY, RATE_LIMITED,
    SESSION_NOT_FOUND, AMBIGUOUS_NAME, and as `group_rights` does.
    """
    now_ms = context.now_ms
    asking = authorization.authenticate(state, request.who, now_ms)
    most = state.limits.group_members_max
    validation.check_many(len(request.add) + len(request.remove), "members", most)
    name = _plain(request.name)
    before = state.groups.get(name)
    added = dict.fromkeys(_resolved(state, asking, address) for address in request.add)
    if request.create:
        _check_new_name(name)
        group = _made(asking, request, name, before, added, now_ms)
    elif before is None:
        raise _no_group(state, name)
    elif request.project_id is not None:
        raise MaestroError(
            "INVALID", "projectId is for a group that is made", "A group stays in its project: make another."
        )
    else:
        group = before
    members = {member.session for member in group.members}
    for each in added:
        if each.session.id not in members:
            group_rights.check_add(asking, group, each)
    joined = [each.session.id for each in added]
    left = _leaving(state, asking, request, group)
    both = next((session for session in joined if session in left), None)
    if both is not None:
        raise MaestroError("INVALID", f"{both} was to be added and taken out", "Name it once.")
    joined = [session for session in joined if session not in members]
    if request.create and before is not None:
        # A repeat after others have changed the group must not undo what they did.
        if joined or left:
            raise _conflict(before, f"its members are others ({', '.join(joined or left)})")
        return GroupReply(_shown(state, before, members=True))
    if before is not None and not joined and not left:
        return GroupReply(_shown(state, before, members=True))
    kept = tuple(member for member in group.members if member.session not in left)
    members_now = kept + tuple(GroupMember(each, now_ms) for each in joined)
    group = replace(group, members=members_now, changed_at=0 if before is None else now_ms)
    _check_counts(state, group, is_new=before is None)
    _admit(state, context, asking)
    state.apply(GroupChanged(now_ms, group_rights.caller_id(asking), group, tuple(joined), tuple(left)), None)
    return GroupReply(
        _shown(state, group, members=True), created=before is None, added=tuple(joined), removed=tuple(left)
    )


def delete(state: State, request: GroupDelete, context: RequestContext) -> GroupDeletedReply:
    """Delete a group; the mail that was sent to it stays. Raises MaestroError GROUP_NOT_FOUND, FORBIDDEN,
    SESSION_ENDED, RATE_LIMITED."""
    asking = authorization.authenticate(state, request.who, context.now_ms)
    group = _named(state, request.name)
    group_rights.check_delete(asking, group)
    _admit(state, context, asking)
    members = tuple(member.session for member in group.members)
    by = group_rights.caller_id(asking)
    state.apply(GroupDeleted(context.now_ms, by, group.name, group.project_id, members), None)
    return GroupDeletedReply(group.name, len(members))


def get(state: State, request: GroupGet, context: RequestContext) -> GroupReply:
    """Return one group. Raises MaestroError GROUP_NOT_FOUND."""
    authorization.authenticate(state, request.who, context.now_ms)
    return GroupReply(_shown(state, _named(state, request.name), members=True))


def list_groups(state: State, request: GroupList, context: RequestContext) -> GroupsReply:
    """Return a page of the groups. Raises MaestroError INVALID."""
    authorization.authenticate(state, request.who, context.now_ms)
    most = state.limits.sessions_reply_max
    limit = most if request.limit is None else request.limit
    check_number("limit", limit, 1, most)
    project = None if request.project_id is None else plain_name(request.project_id)
    shown: list[GroupShown] = []
    size = 0
    for name in sorted(state.groups):
        group = state.groups[name]
        if (request.after is not None and name <= request.after) or project not in (None, group.project_id):
            continue
        if len(shown) == min(limit, most) or size > state.limits.reply_bytes_max:
            return GroupsReply(shown, shown[-1].name)
        shown.append(_shown(state, group, members=request.members))
        size += _GROUP_BYTES + _MEMBER_BYTES * len(group.members) * request.members
    return GroupsReply(shown)


def _made(
    asking: SessionState | None,
    request: GroupSet,
    name: str,
    before: Group | None,
    added: Iterable[SessionState],
    now_ms: int,
) -> Group:
    """The group that a request makes, without members yet; or the one that it has made before."""
    if request.project_id is not None:
        project = validation.project_id(request.project_id)
    elif asking is not None:
        project = asking.session.project_id
    else:
        # The operator has no project, and nearly always means that of the members.
        projects = {each.session.project_id for each in added if each.session.project_id}
        project = projects.pop() if len(projects) == 1 else DEFAULT_PROJECT
    group_rights.check_create(asking, project)
    creator = group_rights.caller_id(asking)
    if before is None:
        return Group(name=name, project_id=project, creator=creator, created_at=now_ms)
    if before.creator != creator:
        raise _conflict(before, f"{before.creator} has made it")
    if before.project_id != project:
        raise _conflict(before, f"it is of project {before.project_id}")
    return before


def _leaving(state: State, asking: SessionState | None, request: GroupSet, group: Group) -> list[str]:
    """The members to take out, each once."""
    members = [member.session for member in group.members]
    meant = dict.fromkeys(_member_meant(state, asking, address, members) for address in request.remove)
    found = [session for session in meant if session in members]
    for session in found:
        group_rights.check_remove(asking, group, session)
    return found


def _member_meant(state: State, asking: SessionState | None, address: str, members: list[str]) -> str:
    """The session that an address means; a member that has ended comes before a session that is no member and has
    taken over its name."""
    if address in members:
        return address
    found = _resolved(state, asking, address).session
    if found.id not in members:
        name = plain_name(address)
        known = (state.sessions.get(session) for session in members)
        named = [each.session.id for each in known if each is not None and each.session.name == name]
        if named:
            return named[-1]
    return found.id


def _resolved(state: State, asking: SessionState | None, address: str) -> SessionState:
    return state.sessions.resolve(address, authorization.session_of(asking), "SESSION_NOT_FOUND")


def _check_new_name(name: str) -> None:
    if not is_group_name(name):
        raise MaestroError(
            "INVALID",
            f"a group can't be called {one_line(name)[:_SHOWN_CHARS]!r}",
            "Use 1 to 32 of a-z, 0-9 and -, beginning with a letter or a digit, and no word that is an address, such "
            "as all, workers or project.",
            limit=32,
            actual=len(name),
        )


def _check_counts(state: State, group: Group, *, is_new: bool) -> None:
    most, count = state.limits.group_members_max, len(group.members)
    if count > most:
        raise MaestroError(
            "TOO_MANY",
            f"@{group.name} would have {count:,} members, and the limit is {most:,}",
            "Make another group. The limit is MAESTRO_GROUP_MEMBERS_MAX of the broker.",
            limit=most,
            actual=count,
        )
    groups = len(state.groups) + is_new
    if is_new and groups > state.limits.groups_max:
        raise MaestroError(
            "TOO_MANY",
            f"it would be group {groups:,}, and the limit is {state.limits.groups_max:,}",
            "`maestro group list` shows them; delete one, or raise MAESTRO_GROUPS_MAX of the broker.",
            limit=state.limits.groups_max,
            actual=groups,
        )


def _admit(state: State, context: RequestContext, asking: SessionState | None) -> None:
    """Raises the error of back-pressure, and RATE_LIMITED for a session that changes too much."""
    if context.back_pressure is not None:
        raise context.back_pressure
    if asking is not None:
        session_rights.count_change(state, context, asking)


def _conflict(group: Group, why: str) -> MaestroError:
    return MaestroError(
        "CONFLICT",
        f"there is a group @{group.name} already: {why}",
        f"To change it: maestro group add {group.name} MEMBER, or group join {group.name}. Else choose another name.",
    )


def _plain(name: str) -> str:
    """A group's name as groups are stored; it may be given as the address that it is."""
    return name.removeprefix(AUDIENCE_SIGIL)


def _named(state: State, name: str) -> Group:
    group = state.groups.get(_plain(name))
    if group is None:
        raise _no_group(state, _plain(name))
    return group


def _no_group(state: State, name: str) -> MaestroError:
    known = list(islice(reversed(state.groups), _COMPARED_MAX))
    near = guess(name, known, most=3)
    here = sorted(known)[:_NAMED_MAX]
    more = len(state.groups) - len(here)
    rest = f", and {more:,} more: `maestro group list`" if more else ""
    groups = f"Groups: {', '.join(here)}{rest}." if here else "There are none: `maestro group create NAME` makes one."
    return MaestroError("GROUP_NOT_FOUND", f"there is no group {one_line(name)[:_SHOWN_CHARS]!r}", f"{near}{groups}")


def _shown(state: State, group: Group, *, members: bool) -> GroupShown:
    listed = tuple(_members_shown(state, group.members))
    return GroupShown(
        name=group.name,
        project_id=group.project_id,
        creator=group.creator,
        creator_name=state.sessions.name_of(group.creator),
        created_at=group.created_at,
        changed_at=group.changed_at or group.created_at,
        size=len(group.members),
        active=sum(member.active for member in listed),
        members=listed if members else UNSET,
    )


def _members_shown(state: State, members: Iterable[GroupMember]) -> Iterable[MemberShown]:
    for member in members:
        # None only if its file was lost: a session leaves its groups before it is forgotten.
        found = state.sessions.get(member.session)
        yield MemberShown(
            session=member.session,
            name=found.session.name if found is not None else None,
            role=found.session.role if found is not None else None,
            joined_at=member.joined_at,
            active=found is not None and found.active,
        )
