"""Group text: how groups and their members are shown to people, and as JSON.

Rule: a name is a token or stands in quotes, as everywhere. The JSON of a change always has each of its fields.
"""

from __future__ import annotations

from maestro_clients.texts.ages import age, moment
from maestro_clients.texts.fence import named

from .tables import Column, table
from .wrapping import fitted, wrapped

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from maestro_schemas.documents import GroupDoc, GroupReplyDoc, MemberDoc

_COLUMNS = (
    Column("NAME", least=10),
    Column("PROJECT", 2),
    Column("MEMBERS", right=True),
    Column("ACTIVE", 1, right=True),
    Column("MADE BY", 4),
    Column("CHANGED", 3),
)
_MEMBER_COLUMNS = (
    Column("ID", 2, least=12),
    Column("NAME"),
    Column("ROLE", 4),
    Column("JOINED", 3),
    Column("STATE", 1, least=14, wraps=True),
)
_INDENT = "  "
# Where a line for each group has room.
_WIDTH_MIN = 20


def change_json(reply: GroupReplyDoc) -> dict[str, Any]:
    """What `--json` prints of a change."""
    return {"created": False, "added": [], "removed": [], **reply}


def labels(group: GroupDoc, sessions: Iterable[str]) -> str:
    """The sessions, by name where it is known and one word."""
    names = {member["session"]: member.get("name") for member in group.get("members", [])}
    return ", ".join(_label(session, names.get(session)) for session in sessions) or "none"


def members_count(group: GroupDoc) -> str:
    """`3 members`, with how many of them have ended."""
    size, ended = group["size"], group["size"] - group["active"]
    count = "no member" if not size else f"{size:,} member{'s' if size > 1 else ''}"
    return f"{count}, {ended:,} of them ended" if ended else count


def group_table(groups: list[GroupDoc], now_ms: int, width: int | None, *, members: bool) -> list[str]:
    """A line for each group; with `members`, lines below it with its members. `width`: the terminal's; None for no
    bound."""
    width = width and max(width, _WIDTH_MIN)
    rows = [
        (
            f"@{group['name']}",
            named(group["projectId"]),
            f"{group['size']:,}",
            f"{group['active']:,}",
            _label(group["creator"], group.get("creatorName")),
            age(group["changedAt"], now_ms),
        )
        for group in groups
    ]
    lines = table(_COLUMNS, rows, width)
    if not members:
        return lines
    shown = lines[:1]
    for line, group in zip(lines[1:], groups, strict=True):
        who = labels(group, (each["session"] for each in group.get("members", [])))
        shown += [line, *wrapped(_INDENT + who, width)]
    return shown


def group_lines(group: GroupDoc, now_ms: int, width: int | None) -> list[str]:
    """One group, with its members. `width`: the terminal's; None for no bound."""
    made, changed = group["createdAt"], group["changedAt"]
    maker = _label(group["creator"], group.get("creatorName"))
    lines = [
        f"@{group['name']}  project {named(group['projectId'])}  {members_count(group)}",
        f"  made    {moment(made, now_ms)}, {age(made, now_ms)}, by {maker}",
    ]
    if changed != made:
        lines.append(f"  changed {moment(changed, now_ms)}, {age(changed, now_ms)}")
    members = group.get("members", [])
    if members:
        rows = [_member_row(member, now_ms) for member in members]
        lines = fitted(lines, width)
        lines += [_INDENT + line for line in table(_MEMBER_COLUMNS, rows, width and width - len(_INDENT))]
    return lines


def _member_row(member: MemberDoc, now_ms: int) -> tuple[str, ...]:
    return (
        member["session"],
        named(member.get("name", "-")),
        member.get("role", "-"),
        age(member["joinedAt"], now_ms),
        "active" if member["active"] else "ended: it gets nothing until it is started again",
    )


def _label(session: str, name: str | None) -> str:
    return named(name) if name is not None and named(name) == name else named(session)
