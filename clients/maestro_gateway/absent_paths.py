"""Absent paths: calls of Maestro's own server that a post office does not have, and what to use in their place.

Rule: Maestro's clients ask for tasks, projects and documents too. Such a call is 404 in words, also where its last
part could be a session's id.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from .http.responses import plain_error

if TYPE_CHECKING:
    from typing import Any

# The path below the prefix; what is not kept here; what to use.
_ABSENT: Final = tuple(
    (re.compile(rf"(?:/api(?:/v1)?){path}(?:/.*)?"), what, use)
    for path, what, use in (
        (
            r"/sessions/(?:log-digests|[^/]+/(?:log-digest|logs))",
            "no logs of agents",
            "GET /api/sessions/ID/timeline has the session's own lines, and GET /api/messages what was said.",
        ),
        (
            r"/(?:sessions|tasks)/[^/]+/docs",
            "no documents",
            "Write the document's path into a message: POST /api/sessions/ID/messages.",
        ),
        (
            r"/sessions/[^/]+/(?:events|files)",
            "no list of changed files",
            "POST /api/sessions/ID/timeline adds a line of the session's own.",
        ),
        (
            r"/sessions/spawn",
            "no agents to start",
            "Start the agent; POST /api/sessions with parentSessionId registers it.",
        ),
        (
            r"/sessions/[^/]+/mode",
            "no mode that changes",
            "POST /api/sessions says it once: role, or metadata.mode.",
        ),
        (
            r"/sessions/[^/]+/modal",
            "no dialogs",
            "POST /api/sessions/operator/messages asks the person.",
        ),
        (r"/sessions/[^/]+/git", "no repositories", "Use git in the session's directory."),
        (
            r"/tasks",
            "no tasks",
            "A task is a name here: metadata.taskId of a message, and taskIds of a session.",
        ),
        (
            r"/projects",
            "no projects of their own",
            "A project is a name here: GET /api/sessions?projectId=NAME lists its sessions.",
        ),
        (
            r"/(?:teams|team-members)",
            "no teams",
            "A group is the address of several sessions: PUT /api/groups/NAME, then POST /api/messages to @NAME.",
        ),
        (
            r"/announce(?:ments)?",
            "no announcements of their own",
            "POST /api/messages with @project, @workers or @all as `to` sends to many.",
        ),
        (
            r"/master",
            "no view of the whole workspace",
            "GET /api/sessions and GET /api/presence show every project.",
        ),
        (
            r"/(?:spells|model-profiles|templates|skills|queues?)",
            "none of these",
            "They are a matter of Maestro's own server; /docs lists every call of this one.",
        ),
    )
)


def absent(path: str) -> dict[str, Any] | None:
    """The body of the error for a call that Maestro's own server has and this one has not; None for other paths."""
    for pattern, what, use in _ABSENT:
        if pattern.fullmatch(path):
            return plain_error(404, "NOT_FOUND", f"this is a post office, which has {what}. {use}", use)
    return None
