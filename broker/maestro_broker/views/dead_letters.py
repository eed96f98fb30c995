"""Dead letters: messages that expired before they were delivered, or were refused for good, listed for their sender.

Rule: they are found by an index of their own, `<data>/dead-letters/`, which has the timeline's lines about these and
no others, in the timeline's format. A listing therefore costs as much as has expired, not as much as was sent,
and a replayed record is listed once. Messages that were deleted since, or removed after their retention, are left
out. The work of one call is bounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maestro_broker.core import authorization, visibility
from maestro_broker.core.model import records
from maestro_broker.core.model.records import Expired, Failed
from maestro_schemas.errors import OPERATOR_MAY, MaestroError
from maestro_schemas.limits import ATTACHMENT_BYTES_MAX
from maestro_schemas.replies import DeadReply

from .history.event_messages import message_of

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Iterator

    from maestro_broker.core.model.session_registry import SessionState
    from maestro_broker.core.model.state import Change, State
    from maestro_schemas.events import Event
    from maestro_schemas.messages import Message
    from maestro_schemas.requests import Dead

    from .spool import Spool
    from .timeline import Timeline

FOLDER = "dead-letters"

# Lines, and messages' files, read in one call: some 5 ms each. The next call continues.
_LINES_MAX = 3_000
_FILES_MAX = 100
_BYTES_A_CHARACTER = 4
_ENVELOPE_BYTES = 4_608


def page(
    state: State, spool: Spool, index: Timeline, unfiled: deque[Change], request: Dead, now_ms: int
) -> DeadReply:
    """One page, the newest death first. Raises MaestroError as `authorization.authenticate`, and INVALID,
    SESSION_NOT_FOUND, FORBIDDEN."""
    asking = authorization.authenticate(state, request.who, now_ms)
    sender = _sender(state, request, asking)
    limit = _FILES_MAX if request.limit is None else request.limit
    if limit < 1 or (request.before is not None and request.before < 1):
        raise MaestroError("INVALID", "limit and before are 1 or more", "See PROTOCOL.md, `dead`.")
    found: list[Message] = []
    before = state.lsn + 1 if request.before is None else request.before
    files = reply_bytes = 0
    for looked, (lsn, event) in enumerate(_newest_first(index, unfiled, request.before)):
        is_full = len(found) == limit or reply_bytes > state.limits.reply_bytes_max
        if is_full or looked == _LINES_MAX or files == _FILES_MAX:
            return DeadReply(found, True, before)  # noqa: FBT003
        before = lsn
        if event is None or sender not in (None, event.sender):
            continue
        files += 1
        message = message_of(state, spool, event)
        if message is None or message.status not in ("expired", "failed"):
            continue
        if visibility.sees_message(state, asking, message):
            found.append(message)
            reply_bytes += len(message.text) * _BYTES_A_CHARACTER + _ENVELOPE_BYTES
            reply_bytes += ATTACHMENT_BYTES_MAX * len(message.attachments)
    return DeadReply(found, False, before)  # noqa: FBT003


def _sender(state: State, request: Dead, asking: SessionState | None) -> str | None:
    """The sender whose dead letters are wanted; None for all senders."""
    if request.session is None:
        return None if asking is None else asking.session.id
    owner = state.sessions.resolve(request.session, authorization.session_of(asking), "SESSION_NOT_FOUND")
    if asking is not None and asking is not owner and asking.session.role != "orchestrator":
        raise MaestroError(
            "FORBIDDEN",
            f"{asking.session.id} may not see what {owner.session.id} has sent",
            "A session sees its own dead letters, an orchestrator also those within its project. " + OPERATOR_MAY,
        )
    return owner.session.id


def _newest_first(index: Timeline, unfiled: deque[Change], before: int | None) -> Iterator[tuple[int, Event | None]]:
    """LSNs with their events; None for other records, which occur only among the unfiled."""
    oldest: int | None = before
    for change in reversed(unfiled):
        if before is None or change.lsn < before:
            oldest = change.lsn
            record = change.record
            yield change.lsn, records.event(change.lsn, record) if isinstance(record, Expired | Failed) else None
    for event in index.read_back(oldest):
        yield event.lsn, event
