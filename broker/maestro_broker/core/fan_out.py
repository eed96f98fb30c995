"""Fan-out: what acceptance does with more than one receiver.

Rule: the state of a receiver (a full mailbox, the loop guard, an ended session) refuses the message for that receiver
alone. If all refuse, nothing is accepted, and the first refusal is the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET

from maestro_schemas.errors import MaestroError
from maestro_schemas.messages import Audience
from maestro_schemas.replies import RecipientResult, SendResult

from . import presence
from .model.records import Accepted, Delivery, Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maestro_schemas.messages import Message, Metadata

    from .context import RequestContext
    from .model.state import State
    from .recipients import Recipient

    # A session that was addressed, and why it gets no message.
    Refused = tuple[str, MaestroError]


def judged(
    state: State,
    sender: str,
    recipients: Sequence[Recipient],
    refusals: Sequence[Refused],
    text: str,
    metadata: Metadata,
    now_ms: int,
) -> tuple[tuple[Recipient, ...], tuple[Refused, ...]]:
    """The recipients that take the message, and all that refuse it. Raises the first refusal if none takes it."""
    limits = state.limits
    takers: list[Recipient] = []
    refused = list(refusals)
    for recipient in recipients:
        receiver, pending = recipient.mailbox.session, recipient.mailbox.pending
        refusal = None
        # Without a rate limit there is no loop guard either.
        if limits.rate_limit:
            refusal = state.pair(sender, receiver).refusal(sender, receiver, text, metadata, now_ms, limits)
        if refusal is None and pending >= limits.pending_max:
            refusal = _full(receiver, pending, limits.pending_max)
        if refusal is None:
            takers.append(recipient)
        else:
            refused.append((receiver, refusal))
    if not takers:
        raise refused[0][1]
    return tuple(takers), tuple(refused)


def audience(to: Sequence[str], takers: Sequence[Recipient], refusals: Sequence[Refused]) -> Audience:
    """To whom a message was addressed by a list."""
    return Audience(tuple(to), len(takers) + len(refusals))


def record(message: Message, takers: Sequence[Recipient], refusals: Sequence[Refused]) -> Accepted:
    """The record of a message with several deliveries; `message` is the first."""
    more = (Delivery(taker.mailbox.session, taker.mailbox.head_seq + 1, taker.original_to) for taker in takers[1:])
    return Accepted(message, tuple(more), tuple(Refusal(to, error.code) for to, error in refusals))


def result(
    context: RequestContext,
    accepted: Accepted,
    takers: Sequence[Recipient],
    refusals: Sequence[Refused],
    *,
    whole: bool,
) -> SendResult:
    """The outcome of a message with several deliveries."""
    message = accepted.message
    return SendResult(
        id=message.id,
        status=201,
        created_at=message.created_at,
        expires_at=message.expires_at,
        chars_removed=message.chars_removed,
        thread_id=message.meta.thread_id,
        audience=message.audience,
        accepted=len(takers),
        refused=len(refusals),
        recipients=_recipients(context, accepted, takers, refusals),
        message=message if whole else UNSET,
    )


def _recipients(
    context: RequestContext,
    record: Accepted,
    takers: Sequence[Recipient],
    refusals: Sequence[Refused],
) -> tuple[RecipientResult, ...]:
    numbers = (record.message.seq, *(delivery.seq for delivery in record.more))
    return (
        *(
            RecipientResult(
                to=taker.mailbox.session,
                status=201,
                original_to=taker.original_to,
                seq=seq,
                state="pending",
                reach=reach,
                presence=seen,
            )
            for taker, seq in zip(takers, numbers, strict=True)
            for reach, seen in [presence.at_send(context, taker.session)]
        ),
        *(RecipientResult(to=to, status=error.status, error=error.body()) for to, error in refusals),
    )


def _full(receiver: str, pending: int, pending_max: int) -> MaestroError:
    return MaestroError(
        "MAILBOX_FULL",
        f"the mailbox of {receiver} holds {pending:,} undelivered messages, and the limit is {pending_max:,}",
        "It takes mail again when its owner has read some.",
        retry_after_s=5.0,
        limit=pending_max,
        actual=pending + 1,
    )
