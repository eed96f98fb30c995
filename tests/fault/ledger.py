"""Ledger: what was acknowledged, kept outside the broker, and what the inboxes must hold by it.

Rule: a line is written when the answer has come, with the text that was sent; the judge reads the inboxes through
the broker and the spool through the file system, and compares both.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maestro_clients.client import Client
    from maestro_schemas.documents import MessageDoc

ALL_STATUSES = ["pending", "delivered", "read", "failed", "expired"]


class Line(NamedTuple):
    """One acknowledged message. `order`: its place among its sender's sends, as they were made one after another.
    `seq` is 0 where the answer was that it is deleted by now."""

    id: str
    sender: str
    receiver: str
    text: str
    seq: int
    order: int


class Fates(NamedTuple):
    """What readers did. `delivered`, `deleted`: ids for which that was acknowledged. `asked`: what a deletion was
    asked for, whether or not an answer came: id to (receiver, seq)."""

    delivered: set[str]
    deleted: set[str]
    asked: dict[str, tuple[str, int]]

    def plus(self, more: Fates) -> Fates:
        """Both together."""
        return Fates(self.delivered | more.delivered, self.deleted | more.deleted, self.asked | more.asked)


class Verdict(NamedTuple):
    """Counts of what was looked at, and lists of what must all be empty.

    `returned`: deleted, and there again. `undone`: confirmed, and pending again. `unknown`: in a mailbox and not in
    the ledger, which is right only while answers are still to come.
    """

    acknowledged: int
    found: int
    lost: list[str]
    duplicated: list[str]
    changed: list[str]
    gaps: list[str]
    out_of_order: list[str]
    returned: list[str]
    undone: list[str]
    unknown: list[str]

    @property
    def clean(self) -> bool:
        """Whether every promise held, as far as answers were given."""
        wrong = [self.lost, self.duplicated, self.changed, self.gaps, self.out_of_order, self.returned, self.undone]
        return not any(wrong)

    @property
    def summary(self) -> str:
        """One line of figures."""
        return (
            f"{self.acknowledged:,} acknowledged, {len(self.lost)} lost, {len(self.duplicated)} duplicated, "
            f"{len(self.out_of_order)} out of order"
        )


def read_mailbox(operator: Client, session: str) -> list[MessageDoc]:
    """All mail of a session, page by page."""
    found: list[MessageDoc] = []
    since = 0
    while True:
        page = operator.inbox(session=session, since=since, status=ALL_STATUSES)
        found += page["messages"]
        since = page["upTo"]
        if not page["hasMore"]:
            return found


def judge(
    operator: Client,
    receivers: list[str],
    lines: list[Line],
    *,
    fates: Fates | None = None,
    after: Mapping[str, int] | None = None,
) -> Verdict:
    """Compare the inboxes of `receivers` with the ledger.

    `after`: per receiver, the last seq that an earlier judgement accounted for (and whose mail was then deleted).
    """
    fates = fates or Fates(set(), set(), {})
    verdict = Verdict(len(lines), 0, [], [], [], [], [], [], [], [])
    total = 0
    by_receiver: dict[str, list[Line]] = {receiver: [] for receiver in receivers}
    for line in lines:
        by_receiver[line.receiver].append(line)
    for receiver, mine in by_receiver.items():
        first = (after or {}).get(receiver, 0) + 1
        mail = read_mailbox(operator, receiver)
        total += len(mail)
        _look_at(mail, {line.id: line for line in mine}, fates, verdict)
        taken = [message["seq"] for message in mail]
        if taken != sorted(set(taken)):
            verdict.gaps.append(f"{receiver}: numbers stand twice or not in order")
        known = {*taken, *(seq for to, seq in fates.asked.values() if to == receiver)}
        if known != set(range(first, first + len(known))):
            missing = sorted(set(range(first, max(known, default=0) + 1)) ^ known)
            verdict.gaps.append(f"{receiver}: {missing[:10]}")
        by_sender: dict[str, list[Line]] = {}
        for line in sorted(mine, key=lambda line: line.order):
            by_sender.setdefault(line.sender, []).append(line)
        for sender, sent in by_sender.items():
            numbers = [line.seq for line in sent if line.seq]
            if numbers != sorted(numbers):
                verdict.out_of_order.append(f"{sender} to {receiver}")
    assert len({line.id for line in lines}) == len(lines), "the ledger itself names an id twice"
    return verdict._replace(found=total)


def _look_at(mail: list[MessageDoc], expected: dict[str, Line], fates: Fates, verdict: Verdict) -> None:
    seen: set[str] = set()
    for message in mail:
        message_id = message["id"]
        if message_id in seen:
            verdict.duplicated.append(message_id)
        seen.add(message_id)
        line = expected.get(message_id)
        if line is None:
            verdict.unknown.append(message_id)
        elif (message["message"], message["from"], message["seq"]) != (line.text, line.sender, line.seq):
            verdict.changed.append(message_id)
        if message_id in fates.deleted:
            verdict.returned.append(message_id)
        if message_id in fates.delivered and message["status"] == "pending":
            verdict.undone.append(message_id)
    there = seen | fates.asked.keys()
    verdict.lost.extend(message_id for message_id in expected if message_id not in there)


def spool_ids(data: str, receiver: str) -> dict[str, dict[str, object]]:
    """The files of a mailbox, by id, read as anybody would."""
    directory = os.path.join(data, "messages", "by-receiver", receiver)
    found = {}
    for name in os.listdir(directory):
        if name.endswith(".json"):
            with open(os.path.join(directory, name), encoding="utf-8") as file:
                document = json.load(file)
            found[document["id"]] = document
    return found
