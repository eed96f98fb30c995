"""Fan-out: what acceptance does with more than one receiver.

Rule: the state of a receiver (a full mailbox, the loop guard, an ended session) refuses the message for that receiver
alone. If all refuse, nothing is accepted, and the first refusal is the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET, to_builtins

from maestro_broker.core import presence
from maestro_broker.core.model.records import Accepted, Delivery, Refusal
from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import PAIR_WINDOW_MS
from maestro_schemas.messages import Audience
from maestro_schemas.names import group_of
from maestro_schemas.replies import RecipientResult, SendResult
from maestro_schemas.texts.visible_text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maestro_broker.core.context import RequestContext
    from maestro_broker.core.model.count_window import CountWindow
    from maestro_broker.core.model.state import State
    from maestro_schemas.messages import Message, Metadata
    from maestro_schemas.requests import Outgoing

    from .recipients import Recipient

    # A session that was addressed, and why it gets no message.
    Refused = tuple[str, MaestroError]


# How many receivers an error names.
_NAMED_MAX = 10


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
    takers, refused = judge(state, sender, recipients, refusals, text, metadata, now_ms)
    if not takers:
        raise refused[0][1]
    return takers, refused


def judge(
    state: State,
    sender: str,
    recipients: Sequence[Recipient],
    refusals: Sequence[Refused],
    text: str,
    metadata: Metadata,
    now_ms: int,
) -> tuple[tuple[Recipient, ...], tuple[Refused, ...]]:
    """As `judged`, also where none takes it."""
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
    return tuple(takers), tuple(refused)


def check_confirmed(
    state: State, context: RequestContext, outgoing: Outgoing, recipients: Sequence[Recipient], unchosen: int
) -> None:
    """Raises CONFIRM_FANOUT if a wide audience comes to more sessions than a sender may address unawares.

    Status mail of a few agents to all wakes each of them, so the sender sees first whom it reaches.
    """
    most = state.limits.fanout_confirm
    if outgoing.confirm or not needs_confirmation(state, unchosen):
        return
    said = outgoing.to if isinstance(outgoing.to, str) else ", ".join(outgoing.to)
    names = [one.session.session.name or one.session.session.id for one in recipients]
    shown = ", ".join(one_line(name) for name in names[:_NAMED_MAX])
    more = f" and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
    raise MaestroError(
        "CONFIRM_FANOUT",
        f"{one_line(said)[:80]} comes to {len(recipients)} sessions ({shown}{more}), and above {most} the sender "
        "confirms that first; nothing was sent",
        "Send it with `--yes`, or name those whom it concerns.",
        http_hint='Send it again with "confirm": true in the body, or name those whom it concerns.',
        limit=most,
        actual=unchosen,
        details={
            "receivers": [
                {
                    "session": one.session.session.id,
                    "name": one.session.session.name,
                    "presence": to_builtins(presence.of(context, one.session)),
                }
                for one in recipients
            ]
        },
    )


def needs_confirmation(state: State, unchosen: int) -> bool:
    """Whether a wide audience of a session comes to more than it may address unawares."""
    return unchosen > state.limits.fanout_confirm


def check_frequency(
    state: State, sender: str, outgoing: Outgoing, thread_id: str, deliveries: int, now_ms: int
) -> list[tuple[CountWindow, int]]:
    """The windows that this fan-out counts in, each with its count, once it is accepted.

    Raises LOOP_GUARD if its thread or its group had too many fan-outs, RATE_LIMITED if its sender made too many
    deliveries by fan-outs.
    """
    limits = state.limits
    if not limits.rate_limit:
        return []  # without a rate limit there is no loop guard either
    addresses = [outgoing.to] if isinstance(outgoing.to, str) else outgoing.to
    # Each once. The name of a session is no group, and counts in no window of all senders.
    groups = dict.fromkeys(address for address in addresses if group_of(address) is not None)
    counted = []
    for key, what in [(thread_id, f"the thread of {thread_id}"), *((group, group) for group in groups)]:
        window = state.fan_outs(key)
        wait_ms = window.wait_ms(now_ms, 1, limits.group_limit)
        if wait_ms:
            raise MaestroError(
                "LOOP_GUARD",
                f"{one_line(what)[:80]} had {window.total} messages to several sessions in the last "
                f"{PAIR_WINDOW_MS // 60_000} minutes, and the limit is {limits.group_limit}",
                f"Write to the session that it concerns. The next one is taken in {_seconds(wait_ms)} s.",
                retry_after_s=wait_ms / 1000,
                limit=limits.group_limit,
                actual=window.total + 1,
            )
        counted.append((window, 1))
    budget = state.fan_out_budget(sender)
    wait_ms = budget.wait_ms(now_ms, deliveries, limits.fanout_limit)
    if wait_ms:
        raise MaestroError(
            "RATE_LIMITED",
            f"messages of this session to several receivers made {budget.total} deliveries in the last minute; with "
            f"these {deliveries} it would be {budget.total + deliveries}, and the limit is {limits.fanout_limit}",
            f"Send again in {_seconds(wait_ms)} s, or write to fewer. The limit is MAESTRO_FANOUT_LIMIT of the "
            "broker.",
            retry_after_s=wait_ms / 1000,
            limit=limits.fanout_limit,
            actual=budget.total + deliveries,
        )
    return [*counted, (budget, deliveries)]


def audience(to: str | Sequence[str], takers: Sequence[Recipient], refusals: Sequence[Refused]) -> Audience:
    """To whom a message was addressed by a list."""
    return Audience((to,) if isinstance(to, str) else tuple(to), len(takers) + len(refusals))


def record(message: Message, takers: Sequence[Recipient], refusals: Sequence[Refused]) -> Accepted:
    """The record of a message with several deliveries; `message` is the first."""
    more = (Delivery(taker.mailbox.session, taker.mailbox.head_seq + 1, taker.original_to) for taker in takers[1:])
    return Accepted(message, tuple(more), tuple(Refusal(to, error.code) for to, error in refusals))


def result(
    state: State,
    context: RequestContext,
    accepted: Accepted,
    takers: Sequence[Recipient],
    refusals: Sequence[Refused],
    *,
    whole: bool,
) -> SendResult:
    """The outcome of a message with several deliveries that is accepted now."""
    receivers = _recipients(state, context, accepted, takers, refusals)
    return outcome(accepted.message, 201, receivers, len(refusals), whole=whole)


def outcome(
    message: Message, status: int, receivers: tuple[RecipientResult, ...], refused: int, *, whole: bool
) -> SendResult:
    """The outcome of a message with several deliveries, accepted now or before; `refused` of `receivers` did not take
    it."""
    return SendResult(
        id=message.id,
        status=status,
        created_at=message.created_at,
        expires_at=message.expires_at,
        chars_removed=message.chars_removed,
        thread_id=message.meta.thread_id,
        audience=message.audience,
        accepted=len(receivers) - refused,
        refused=refused,
        recipients=receivers,
        message=message if whole else UNSET,
    )


def _recipients(
    state: State,
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
                name=taker.session.session.name,
                status=201,
                original_to=taker.original_to,
                seq=seq,
                state="pending",
                reach=reach,
                presence=seen,
            )
            for taker, seq in zip(takers, numbers, strict=True)
            for reach, seen in [presence.at_send(context, taker.session, record.message)]
        ),
        *(
            RecipientResult(to=to, name=state.sessions.name_of(to), status=error.status, error=error.body())
            for to, error in refusals
        ),
    )


def _seconds(wait_ms: int) -> int:
    return max(1, round(wait_ms / 1000 + 0.5))


def _full(receiver: str, pending: int, pending_max: int) -> MaestroError:
    return MaestroError(
        "MAILBOX_FULL",
        f"the mailbox of {receiver} holds {pending:,} undelivered messages, and the limit is {pending_max:,}",
        "It takes mail again when its owner has read some.",
        retry_after_s=5.0,
        limit=pending_max,
        actual=pending + 1,
    )
