"""Group bodies: the fields of requests about groups; a part of `bodies`, with the same rule."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from maestro_schemas.limits import GROUP_MEMBERS_CEILING, PROJECT_CHARS_MAX

from .bodies import described


class GroupBody(Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """A group to make."""

    project_id: Annotated[
        str | None,
        described(
            "Its sessions may join. Default: the project of X-Session-ID; for the operator that of the members, if "
            "they are of one.",
            "docs",
            maxLength=PROJECT_CHARS_MAX,
        ),
    ] = None
    members: Annotated[
        list[str],
        described(
            "Ids or unique names of its first members, at most the broker's setting group_members_max.",
            maxItems=GROUP_MEMBERS_CEILING,
        ),
    ] = []


class GroupsQuery(Struct, frozen=True, rename="camel", kw_only=True):
    """Filters, and what is shown."""

    project_id: Annotated[str | None, described("Only groups of this project.")] = None
    members: Annotated[bool, described("true: each group has its members.")] = False
    limit: Annotated[int | None, described("As of the list of sessions.", minimum=1)] = None
    after: Annotated[str | None, described("From the `Link` of the page before.")] = None
