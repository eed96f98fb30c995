"""Letters: the mail of Maestro's mail generation as messages, and messages as such mail.

Rule: the message's text is the subject, an empty line and the text of the mail, so that every other reader sees it
all. What these clients read beside it is in `metadata.data.mail`, and is shown again as it came. A message of another
program is shown as a mail of the type that comes nearest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from msgspec import UNSET

from maestro_schemas.texts.visible_text import clean

from .mail_bodies import Letter

if TYPE_CHECKING:
    from maestro_schemas.documents import MessageDoc

    from .mail_bodies import LetterBody, MailPriority, MailType

# The field of a mail's body that has the text.
_TEXT_FIELDS: Final = {
    "assignment": "instructions",
    "query": "question",
    "response": "answer",
    "directive": "details",
    "status_update": "message",
    "notification": "message",
}
_TYPES: Final = {
    "assignment": "request",
    "query": "request",
    "response": "response",
    "directive": "command",
    "status_update": "notification",
    "notification": "notification",
}
_PRIORITIES: Final = {"critical": "high", "high": "high", "normal": "medium", "low": "low"}
# Of a message of another program.
_MAIL_TYPES: Final = {"request": "query", "response": "response", "command": "directive"}
_MAIL_PRIORITIES: Final = {"high": "high", "low": "low"}
_RANKS: Final = {"critical": 0, "high": 1, "normal": 2, "low": 3}
_SUBJECT_CHARS_MAX: Final = 80
_SEAM: Final = "\n\n"
# What these clients write for the id of no mail.
_NONE: Final = "null"


def composed(letter: LetterBody) -> tuple[str, dict[str, Any]]:
    """The text and the metadata of a mail's message."""
    rest = dict(letter.body or {})
    field = _TEXT_FIELDS[letter.type]
    given = rest.get(field)
    # Both as the broker keeps them, so that the place between them is known.
    subject, text = clean(letter.subject), clean(given) if isinstance(given, str) else ""
    mail: dict[str, Any] = {"type": letter.type, "subject": letter.subject}
    if text and not text.isspace():
        del rest[field]
        mail["textAt"] = len(subject) + len(_SEAM)
    if rest:
        mail["body"] = rest
    given_too = {"priority": letter.priority, "projectId": letter.project_id}
    mail |= {name: value for name, value in given_too.items() if value is not None}
    metadata: dict[str, Any] = {"type": _TYPES[letter.type], "data": {"mail": mail}}
    if letter.priority is not None:
        metadata["priority"] = _PRIORITIES[letter.priority]
    if letter.type == "query":
        metadata["requiresResponse"] = True
    if letter.reply_to_mail_id and letter.reply_to_mail_id != _NONE:
        metadata["inReplyTo"] = letter.reply_to_mail_id
    return f"{subject}{_SEAM}{text}" if "textAt" in mail else subject, metadata


def shown(message: MessageDoc, project: str) -> Letter:
    """A message as a mail. `project`: the sender's, where the message names none."""
    metadata: dict[str, Any] = dict(message.get("metadata", {}))
    data = metadata.get("data")
    found = data.get("mail") if isinstance(data, dict) else None
    mail = found if isinstance(found, dict) else {}
    kind, subject, body, priority = _parts(message["message"], metadata, mail)
    named = mail.get("projectId")
    return Letter(
        id=message["id"],
        project_id=named if isinstance(named, str) else project,
        from_session_id=message["from"],
        to_session_id=message["to"],
        reply_to_mail_id=metadata.get("inReplyTo"),
        type=kind,
        subject=subject,
        body=body,
        created_at=message["createdAt"],
        thread_id=metadata.get("threadId") or message["id"],
        priority=UNSET if priority is None else priority,
    )


def rank(letter: Letter) -> tuple[int, int]:
    """The place of a mail in an inbox: by priority, then the newest first."""
    return _RANKS["normal" if letter.priority is UNSET else letter.priority], -letter.created_at


def _parts(
    text: str, metadata: dict[str, Any], mail: dict[str, Any]
) -> tuple[MailType, str, dict[str, Any], MailPriority | None]:
    """The type, subject, body and priority. Any sender may have written `mail`, so no field of it is trusted."""
    kind, subject, rest, at = (mail.get(name) for name in ("type", "subject", "body", "textAt"))
    if not isinstance(kind, str) or kind not in _TEXT_FIELDS or not isinstance(subject, str):
        kind = _MAIL_TYPES.get(metadata.get("type", ""), "notification")
        given = _MAIL_PRIORITIES.get(metadata.get("priority", ""))
        first = text.strip().partition("\n")[0][:_SUBJECT_CHARS_MAX]
        return cast("MailType", kind), first, {_TEXT_FIELDS[kind]: text}, cast("MailPriority | None", given)
    body = dict(rest) if isinstance(rest, dict) else {}
    if isinstance(at, int) and at >= len(_SEAM) and text[at - len(_SEAM) : at] == _SEAM:
        body = {_TEXT_FIELDS[kind]: text[at:], **body}
    priority = mail.get("priority")
    is_known = isinstance(priority, str) and priority in _RANKS
    return cast("MailType", kind), subject, body, cast("MailPriority", priority) if is_known else None
