"""Groups over HTTP.

Rule: a caller that names no session is the operator, as in all calls. A list has no members unless they are asked
for; every other answer has them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from maestro_gateway.http.identity import caller_of
from maestro_gateway.http.responses import answer, next_page, nothing

from .messages import client_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from .group_bodies import GroupBody, GroupsQuery


async def listed(request: Request, *, query: GroupsQuery) -> Response:
    """A page of the groups, by name: a bare array."""
    page = await client_of(request).group_page(
        project_id=query.project_id or None,
        members=query.members,
        limit=query.limit,
        after=query.after or None,
        caller=caller_of(request),
    )
    return answer(page["groups"], headers=next_page(request, "after", page.get("next")))


async def one(request: Request) -> Response:
    """One group with its members. The name may have the `@` of the address."""
    return answer(await client_of(request).group(request.path_params["group"], caller=caller_of(request)))


async def make(request: Request, *, body: GroupBody) -> Response:
    """Make a group: 201. The same again, by the same caller, is 200; another group of that name is a conflict. The
    members of a group that exists are changed one by one, below `/members`."""
    reply = await client_of(request).set_group(
        request.path_params["group"],
        create=True,
        project_id=body.project_id or None,
        add=body.members,
        caller=caller_of(request),
    )
    group = reply["group"]
    if reply.get("created"):
        return answer(group, 201, {"Location": f"/api/groups/{quote(group['name'])}"})
    return answer(group)


async def delete(request: Request) -> Response:
    """Delete a group: 204. The mail that was sent to it stays."""
    await client_of(request).delete_group(request.path_params["group"], caller=caller_of(request))
    return nothing()


async def add(request: Request) -> Response:
    """Make a session a member; the group as it is then. A session adds itself in its own project, an orchestrator
    everywhere; others are added by the group's creator, by orchestrators of its project and by the operator."""
    group, session = request.path_params["group"], request.path_params["session"]
    reply = await client_of(request).set_group(group, add=[session], caller=caller_of(request))
    return answer(reply["group"])


async def remove(request: Request) -> Response:
    """Take a member out; the group as it is then. A session may always leave; the rest is as for adding."""
    group, session = request.path_params["group"], request.path_params["session"]
    reply = await client_of(request).set_group(group, remove=[session], caller=caller_of(request))
    return answer(reply["group"])
