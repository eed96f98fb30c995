"""Group commands: the requests about groups; the second half of `commands`, with the same rule."""

from __future__ import annotations

from .reply_fields import given, only, whole

TYPE_CHECKING = False  # importing `typing` costs as much as a whole command of the fast path
if TYPE_CHECKING:
    from collections.abc import Sequence

    from maestro_schemas.documents import GroupDeletedDoc, GroupDoc, GroupReplyDoc, GroupsDoc

    from .callers import Caller
    from .commands import Request


def set_group(
    name: str,
    *,
    create: bool = False,
    project_id: str | None = None,
    add: Sequence[str] = (),
    remove: Sequence[str] = (),
    caller: Caller | None = None,
) -> Request[GroupReplyDoc]:
    """Make a group (`create`), or change its members: addresses to `add` and to `remove`. What is already so changes
    nothing, so the request can be repeated. The reply has the `group` as it is then, and what was `added` and
    `removed`. Raises MaestroError GROUP_NOT_FOUND, CONFLICT, FORBIDDEN, TOO_MANY, SESSION_NOT_FOUND."""
    body = given(
        name=name,
        create=create or None,
        projectId=project_id,
        add=list(add) or None,
        remove=list(remove) or None,
    )
    return "group.set", body, whole("group.set", "group", dict), caller


def delete_group(name: str, *, caller: Caller | None = None) -> Request[GroupDeletedDoc]:
    """Delete a group; the mail that was sent to it stays. Raises MaestroError GROUP_NOT_FOUND, FORBIDDEN."""
    return "group.delete", {"name": name}, whole("group.delete", "name", str), caller


def group(name: str, *, caller: Caller | None = None) -> Request[GroupDoc]:
    """A group with its members. Raises MaestroError GROUP_NOT_FOUND."""
    return "group.get", {"name": name}, only("group.get", "group", dict), caller


def group_page(
    *,
    project_id: str | None = None,
    members: bool = False,
    limit: int | None = None,
    after: str | None = None,
    caller: Caller | None = None,
) -> Request[GroupsDoc]:
    """A page of the groups, by name; with `members`, each with its members. `after`: `next` of the page before."""
    body = given(projectId=project_id, members=members or None, limit=limit, after=after)
    return "group.list", body, whole("group.list", "groups", list), caller
