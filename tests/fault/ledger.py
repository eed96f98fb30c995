"""Ledger: the acknowledged messages, recorded outside the broker, and their comparison with the inboxes.

Rule: an entry is recorded when the reply has arrived, with the text that was sent. `judge` reads the inboxes through
the broker; `spool_ids` reads the spool through the file system.
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
    """One acknowledged message."""

    id: str
    sender: str
    receiver: str
    text: str
    # 0 if the reply was that the message is deleted already.
    seq: int
    # Its number among its sender's messages, in the order of sending.
    order: int


class Fates(NamedTuple):
    """What readers have done with messages."""

    # Ids whose confirmation, or deletion, was acknowledged.
    delivered: set[str]
    deleted: set[str]
    # Ids whose deletion was requested, with or without a reply -> (receiver, seq).
    asked: dict[str, tuple[str, int]]

    def plus(self, more: Fates) -> Fates:
        """The union of both."""
        return Fates(self.delivered | more.delivered, self.deleted | more.deleted, self.asked | more.asked)


class Verdict(NamedTuple):
    """The result of a comparison: two counts, and lists that must all be empty."""

    # Messages in the ledger, and messages in the mailboxes.
    acknowledged: int
    found: int
    lost: list[str]
    duplicated: list[str]
    # Another text, sender or seq than in the ledger.
    changed: list[str]
    # Mailboxes with missing or repeated seqs.
    gaps: list[str]
    out_of_order: list[str]
    # Deleted, and in the mailbox again.
    returned: list[str]
    # Confirmed, and pending again.
    undone: list[str]
    # In a mailbox and not in the ledger; correct only while replies are outstanding.
    unknown: list[str]

    @property
    def clean(self) -> bool:
        """Whether every acknowledgement was kept."""
        wrong = [self.lost, self.duplicated, self.changed, self.gaps, self.out_of_order, self.returned, self.undone]
        return not any(wrong)

    @property
    def summary(self) -> str:
        """The figures, on one line."""
        return (
            f"{self.acknowledged:,} acknowledged, {len(self.lost)} lost, {len(self.duplicated)} duplicated, "
            f"{len(self.out_of_order)} out of order"
        )


def read_mailbox(operator: Client, session: str) -> list[MessageDoc]:
    """All messages of a session, read page by page."""
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

    `after`: the last seq of each receiver that an earlier comparison has covered; that mail was deleted afterwards.
    """
    fates = fates or Fates(set(), set(), {})
    verdict = Verdict(len(lines), 0, [], [], [], [], [], [], [], [])
    total = 0
    by_receiver: dict[str, list[Line]] = {receiver: [] for receiver in receivers}
    for line in lines:
        by_receiver[line.receiver].append(line)
    for receiver, its_lines in by_receiver.items():
        first = (after or {}).get(receiver, 0) + 1
        mail = read_mailbox(operator, receiver)
        total += len(mail)
        _compare(mail, {line.id: line for line in its_lines}, fates, verdict)
        taken = [message["seq"] for message in mail]
        if taken != sorted(set(taken)):
            verdict.gaps.append(f"{receiver}: a seq is repeated or out of order")
        known = {*taken, *(seq for to, seq in fates.asked.values() if to == receiver)}
        if known != set(range(first, first + len(known))):
            missing = sorted(set(range(first, max(known, default=0) + 1)) ^ known)
            verdict.gaps.append(f"{receiver}: {missing[:10]}")
        by_sender: dict[str, list[Line]] = {}
        for line in sorted(its_lines, key=lambda line: line.order):
            by_sender.setdefault(line.sender, []).append(line)
        for sender, sent in by_sender.items():
            numbers = [line.seq for line in sent if line.seq]
            if numbers != sorted(numbers):
                verdict.out_of_order.append(f"{sender} to {receiver}")
    assert len({line.id for line in lines}) == len(lines), "the ledger has an id twice"
    return verdict._replace(found=total)


def _compare(mail: list[MessageDoc], expected: dict[str, Line], fates: Fates, verdict: Verdict) -> None:
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
    """The message files of a mailbox, by id, read without the broker."""
    directory = os.path.join(data, "messages", "by-receiver", receiver)
    found = {}
    for name in os.listdir(directory):
        if name.endswith(".json"):
            with open(os.path.join(directory, name), encoding="utf-8") as file:
                document = json.load(file)
            found[document["id"]] = document
    return found
