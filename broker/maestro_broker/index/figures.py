"""Figures: what `analytics` says of the messages of a time.

Rule: derived from the rows at each request; nothing is counted for it elsewhere. Only deliveries that the caller may
see are in it. Medians are by the nearest rank, so each is a time that occurred.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import msgspec

from maestro_schemas.bodies.archive import (
    AnswerTimes,
    NamedCount,
    Outcome,
    Pair,
    Route,
    Series,
    SessionFigures,
    Times,
    Unanswered,
    Volume,
)
from maestro_schemas.names import AUDIENCE_SIGIL, SYSTEM_SENDER

from .conditions import visible
from .search import ArchivePage
from .snippets import of_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .orders import IndexOrder, Scope
    from .store import IndexStore

_LIST_MAX = 100
_BARS_MAX = 1_000

_encode = msgspec.msgpack.Encoder().encode


def analytics(store: IndexStore, order: IndexOrder) -> ArchivePage:
    """All figures of an order."""
    values: dict[str, Any] = {"since": order.since, "until": order.until}
    seen = visible(order.scope, values)
    rows = store.run(
        "SELECT m.lsn, m.at, m.sender, m.audience, m.is_request, d.receiver, d.status, d.offered, d.delivered, "
        "d.read, d.deleted, d.answered, d.via FROM m JOIN d ON d.lsn = m.lsn "
        f"WHERE m.at >= :since AND m.at < :until AND m.failed = 0 AND {seen} ORDER BY m.lsn, d.n",
        values,
    )
    tally = _Tally()
    for row in rows:
        tally.add(*row)
    refusals = _refusals(store, order.scope, values)
    unanswered = store.run(
        "SELECT m.id, m.sender, d.receiver, m.at, m.text FROM m JOIN d ON d.lsn = m.lsn "
        "WHERE m.at >= :since AND m.at < :until AND m.failed = 0 AND m.is_request = 1 AND d.answered IS NULL AND "
        f"d.gone = 0 AND {seen} ORDER BY m.lsn, d.n LIMIT {_LIST_MAX}",
        values,
    ).fetchall()
    fields = tally.fields(sum(each.count for each in refusals))
    fields |= {
        "since": order.since,
        "until": order.until,
        "unanswered": [
            Unanswered(id=message_id, sender=sender, to=to, at=at, text=of_text(text, ())[0])
            for message_id, sender, to, at, text in unanswered
        ],
        "series": _series(tally.times, order),
        "bucketMs": order.bucket_ms,
        "refusals": refusals[:_LIST_MAX],
    }
    mentioned = {session for row in unanswered for session in row[1:3]}
    mentioned |= {name for each in refusals[:_LIST_MAX] for name in (each.sender, each.to) if name}
    mentioned |= {session for route in fields["routes"] for session in (route.sender, route.to)}
    mentioned |= {session for pair in fields["pairs"] for session in (pair.first, pair.second)}
    mentioned |= {each.session for each in fields["sessions"]}
    return ArchivePage({name: msgspec.Raw(_encode(value)) for name, value in fields.items()}, tuple(mentioned))


class _Tally:
    """Counts deliveries, which come in the order of their messages."""

    def __init__(self) -> None:
        self.last_lsn = 0
        # When each message was accepted, and how many deliveries it has.
        self.times: list[tuple[int, int]] = []
        self.fan_outs = self.deliveries = 0
        self.outcome: Counter[str] = Counter()
        self.steps: dict[str, list[int]] = {name: [] for name in ("offered", "delivered", "read", "answered")}
        self.requests = self.requests_answered = 0
        self.route_messages: dict[tuple[str, str], set[int]] = defaultdict(set)
        self.route_deliveries: Counter[tuple[str, str]] = Counter()
        self.pair_deliveries: Counter[tuple[str, str]] = Counter()
        self.pair_answers: dict[tuple[str, str], list[int]] = defaultdict(list)
        self.via: Counter[str] = Counter()
        self.sessions: dict[str, Counter[str]] = defaultdict(Counter)

    def add(
        self,
        lsn: int,
        at: int,
        sender: str,
        audience: str,
        is_request: int,
        receiver: str,
        status: str,
        offered: int | None,
        delivered: int | None,
        read: int | None,
        deleted: int | None,
        answered: int | None,
        via: str,
    ) -> None:
        """Count one delivery."""
        if lsn != self.last_lsn:
            self.times.append((at, 0))
            self.sessions[sender]["sent"] += 1
            self.last_lsn = lsn
        count = self.times[-1][1] + 1
        self.times[-1] = (at, count)
        self.fan_outs += count == 2
        self.deliveries += 1
        for name, moment in (("offered", offered), ("delivered", delivered), ("read", read), ("answered", answered)):
            if moment is not None:
                self.steps[name].append(moment - at)
                self.outcome[name] += 1
        if delivered is None:
            kind = "deleted_unread" if deleted is not None else "expired" if status == "expired" else "pending"
            self.outcome[kind] += 1
        if via:
            self.via[via] += 1
        own, other = self.sessions[receiver], (sender, receiver)
        own["received"] += 1
        own["read"] += read is not None
        if is_request:
            self.requests += 1
            own["requests"] += 1
            if answered is not None:
                self.requests_answered += 1
                own["answered"] += 1
        addresses = audience.split()
        is_audience = len(addresses) == 1 and addresses[0].startswith(AUDIENCE_SIGIL)
        route = (sender, addresses[0] if is_audience else receiver)
        self.route_messages[route].add(lsn)
        self.route_deliveries[route] += 1
        if SYSTEM_SENDER not in other and sender != receiver:
            self.pair_deliveries[other] += 1
            if answered is not None:
                self.pair_answers[min(other), max(other)].append(answered - at)

    def fields(self, refused: int) -> dict[str, Any]:
        """The fields of the reply that follow from the deliveries."""
        outcome = self.outcome
        ended = self.deliveries - outcome["pending"]
        routes = sorted(self.route_deliveries.items(), key=lambda item: (-item[1], item[0]))[:_LIST_MAX]
        return {
            "volume": Volume(sent=len(self.times), deliveries=self.deliveries, fan_outs=self.fan_outs),
            "outcome": Outcome(
                delivered=outcome["delivered"],
                read=outcome["read"],
                answered=outcome["answered"],
                pending=outcome["pending"],
                expired=outcome["expired"],
                deleted_unread=outcome["deleted_unread"],
                refused=refused,
                delivery_success_rate=outcome["delivered"] / ended if ended else None,
            ),
            "times": AnswerTimes(**{name: _times(found) for name, found in self.steps.items()}),
            "requests": self.requests,
            "requestsAnswered": self.requests_answered,
            "routes": [
                Route(sender=sender, to=to, messages=len(self.route_messages[sender, to]), deliveries=count)
                for (sender, to), count in routes
            ],
            "pairs": self._pairs(),
            "via": [NamedCount(name=name, count=count) for name, count in self.via.most_common(_LIST_MAX)],
            "sessions": [
                SessionFigures(
                    session=session,
                    sent=own["sent"],
                    received=own["received"],
                    read=own["read"],
                    answered=own["answered"],
                    requests=own["requests"],
                )
                for session, own in sorted(
                    self.sessions.items(), key=lambda item: (-item[1]["sent"] - item[1]["received"], item[0])
                )[:_LIST_MAX]
            ],
        }

    def _pairs(self) -> list[Pair]:
        both = {(min(pair), max(pair)) for pair in self.pair_deliveries}
        found = []
        for first, second in both:
            answers = self.pair_answers.get((first, second))
            found.append(
                Pair(
                    first=first,
                    second=second,
                    forth=self.pair_deliveries[first, second],
                    back=self.pair_deliveries[second, first],
                    mean_answer_ms=None if not answers else round(sum(answers) / len(answers)),
                )
            )
        return sorted(found, key=lambda pair: (-pair.forth - pair.back, pair.first, pair.second))[:_LIST_MAX]


def _times(found: Sequence[int]) -> Times:
    if not found:
        return Times(count=0)
    ordered = sorted(found)
    return Times(
        count=len(ordered),
        p50_ms=_rank(ordered, 0.5),
        p90_ms=_rank(ordered, 0.9),
        max_ms=ordered[-1],
        mean_ms=round(sum(ordered) / len(ordered)),
    )


def _rank(ordered: Sequence[int], part: float) -> int:
    """The smallest value that at least this part of the values does not exceed."""
    return ordered[max(0, -int(-len(ordered) * part // 1) - 1)]


def _series(times: Sequence[tuple[int, int]], order: IndexOrder) -> list[Series]:
    """A bar for each bucket, also for those without messages; the newest, if they are too many."""
    length, shift = order.bucket_ms, order.utc_offset_minutes * 60_000
    first = (order.since + shift) // length
    last = (order.until - 1 + shift) // length
    if last - first >= _BARS_MAX and times:
        first = max(first, (times[0][0] + shift) // length)
    first = max(first, last - _BARS_MAX + 1)
    bars = {number: [0, 0] for number in range(first, last + 1)}
    for at, deliveries in times:
        bar = bars.get((at + shift) // length)
        if bar is not None:
            bar[0] += 1
            bar[1] += deliveries
    return [Series(at=number * length - shift, sent=bar[0], deliveries=bar[1]) for number, bar in bars.items()]


def _refusals(store: IndexStore, scope: Scope, values: dict[str, Any]) -> list[NamedCount]:
    """Why mail was refused. A refusal concerns its sender alone."""
    seen = []
    if scope.reader is not None:
        own = " OR sender IN (SELECT value FROM json_each(:project))" if scope.project else ""
        seen.append(f"(sender = :reader{own})")
    if scope.owner is not None:
        seen.append("sender = :owner")
    if scope.party_of is not None:
        seen.append("sender IN (SELECT value FROM json_each(:party_of))")
    rows = store.run(
        "SELECT code, sender, receiver, count(*) FROM r WHERE at >= :since AND at < :until "
        f"AND {' AND '.join(seen) or '1'} GROUP BY code, sender, receiver ORDER BY 4 DESC, 1, 2, 3",
        values,
    )
    return [
        NamedCount(name=code, count=count, sender=sender or None, to=receiver or None)
        for code, sender, receiver, count in rows
    ]
