"""Letters: the mail of Maestro's mail generation as messages, and messages as such mail.

Rule: `documented_words` has how a mail becomes a message. What these clients read beside its text is in
`metadata.data.mail`, and is shown again as it came. A message of another program is shown as a mail of the type that
comes nearest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from msgspec import UNSET

from maestro_clients.protocol.documented_words import SEAM, TEXT_FIELDS, mail_message

from .mail_bodies import Letter

if TYPE_CHECKING:
    from maestro_schemas.documents import MessageDoc

    from .mail_bodies import LetterBody, MailPriority, MailType

# Of a message of another program.
_MAIL_TYPES: Final = {"request": "query", "response": "response", "command": "directive"}
_MAIL_PRIORITIES: Final = {"high": "high", "low": "low"}
_RANKS: Final = {"critical": 0, "high": 1, "normal": 2, "low": 3}
_SUBJECT_CHARS_MAX: Final = 80


def composed(letter: LetterBody) -> tuple[str, dict[str, Any]]:
    """The text and the metadata of a mail's message."""
    return mail_message(
        letter.type,
        letter.subject,
        letter.body or {},
        priority=letter.priority,
        project_id=letter.project_id,
        reply_to=letter.reply_to_mail_id,
    )


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
    if not isinstance(kind, str) or kind not in TEXT_FIELDS or not isinstance(subject, str):
        kind = _MAIL_TYPES.get(metadata.get("type", ""), "notification")
        given = _MAIL_PRIORITIES.get(metadata.get("priority", ""))
        first = text.strip().partition("\n")[0][:_SUBJECT_CHARS_MAX]
        return cast("MailType", kind), first, {TEXT_FIELDS[kind]: text}, cast("MailPriority | None", given)
    body = dict(rest) if isinstance(rest, dict) else {}
    if isinstance(at, int) and at >= len(SEAM) and text[at - len(SEAM) : at] == SEAM:
        body = {TEXT_FIELDS[kind]: text[at:], **body}
    priority = mail.get("priority")
    is_known = isinstance(priority, str) and priority in _RANKS
    return cast("MailType", kind), subject, body, cast("MailPriority", priority) if is_known else None
