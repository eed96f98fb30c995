"""Documented words: what the clients that Maestro ships call a role, a kind of mail, and a priority; and how a mail
becomes a message.

Rule: the message's text is the subject, an empty line and the text of the mail, so that every other reader sees it
all. What only these clients read is in `metadata.data.mail`.
"""

from __future__ import annotations

from maestro_schemas.texts.visible_text import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Final

# By the mode, or the role, of a session. A coordinated coordinator has a coordinator above it and workers below, and
# writes to both.
ROLES: Final = {
    "worker": "worker",
    "execute": "worker",
    "coordinated-worker": "worker",
    "coordinator": "orchestrator",
    "coordinate": "orchestrator",
    "coordinated-coordinator": "orchestrator",
    "orchestrator": "orchestrator",
}
# By the type of a mail: the field of its body that has the text.
TEXT_FIELDS: Final = {
    "assignment": "instructions",
    "query": "question",
    "response": "answer",
    "directive": "details",
    "status_update": "message",
    "notification": "message",
}
TYPES: Final = {
    "assignment": "request",
    "query": "request",
    "response": "response",
    "directive": "command",
    "status_update": "notification",
    "notification": "notification",
}
PRIORITIES: Final = {"critical": "high", "high": "high", "normal": "medium", "low": "low"}
SEAM: Final = "\n\n"
# What these clients write for the id of no mail.
_NONE: Final = "null"


def mail_message(
    kind: str,
    subject: str,
    body: Mapping[str, Any],
    *,
    priority: str | None = None,
    project_id: str | None = None,
    reply_to: str | None = None,
) -> tuple[str, dict[str, Any]]:
    """The text and the metadata of a mail's message. `body`: the text under the name of its type, and further
    fields."""
    rest = dict(body)
    field = TEXT_FIELDS[kind]
    given = rest.get(field)
    # Both as the broker keeps them, so that the place between them is known.
    first, text = clean(subject), clean(given) if isinstance(given, str) else ""
    mail: dict[str, Any] = {"type": kind, "subject": subject}
    has_text = bool(text) and not text.isspace()
    if has_text:
        del rest[field]
        mail["textAt"] = len(first) + len(SEAM)
    if rest:
        mail["body"] = rest
    given_too = {"priority": priority, "projectId": project_id}
    mail |= {name: value for name, value in given_too.items() if value is not None}
    metadata: dict[str, Any] = {"type": TYPES[kind], "data": {"mail": mail}}
    if priority is not None:
        metadata["priority"] = PRIORITIES[priority]
    if kind == "query":
        metadata["requiresResponse"] = True
    if reply_to and reply_to != _NONE:
        metadata["inReplyTo"] = reply_to
    return f"{first}{SEAM}{text}" if has_text else first, metadata


def notice_message(message: str, detail: str | None) -> tuple[str, dict[str, Any]]:
    """The text and the metadata of a notification with a short and a long form."""
    text = f"{message}{SEAM}{detail}" if detail else message
    return text, {"data": {"messageChars": len(message)}}
