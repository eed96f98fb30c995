"""Ledger: what was acknowledged, kept outside the broker, and what the inboxes must hold by it.

Rule: a line is written when the answer has come, with the text that was sent; the judge reads the inboxes through
the broker and the spool through the file system, and compares both.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from maestro_clients.blocking import Client
    from maestro_schemas.documents import MessageDoc

ALL_STATUSES = ["pending", "delivered", "read", "failed", "expired"]


class Line(NamedTuple):
    """One acknowledged message. `order`: its place among its sender's sends, as they were made one after another."""

    id: str
    sender: str
    receiver: str
    text: str
    seq: int
    order: int


class Verdict(NamedTuple):
    """Counts of what must all be 0, and of what was looked at."""

    acknowledged: int
    found: int
    lost: list[str]
    duplicated: list[str]
    changed: list[str]
    gaps: list[str]
    out_of_order: list[str]

    @property
    def clean(self) -> bool:
        """Whether every promise held."""
        return not (self.lost or self.duplicated or self.changed or self.gaps or self.out_of_order)


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


def judge(operator: Client, receivers: list[str], lines: list[Line]) -> Verdict:
    """Compare the inboxes of `receivers` with the ledger."""
    lost, duplicated, changed, gaps, out_of_order = [], [], [], [], []
    expected = {line.id: line for line in lines}
    total = 0
    for receiver in receivers:
        mail = read_mailbox(operator, receiver)
        total += len(mail)
        seen: dict[str, MessageDoc] = {}
        for number, message in enumerate(mail, start=1):
            if message["id"] in seen:
                duplicated.append(message["id"])
            seen[message["id"]] = message
            if message["seq"] != number:
                gaps.append(f"{receiver}: {message['seq']} in place {number}")
        mine = [line for line in lines if line.receiver == receiver]
        for line in mine:
            found = seen.get(line.id)
            if found is None:
                lost.append(line.id)
            elif (found["message"], found["from"], found["seq"]) != (line.text, line.sender, line.seq):
                changed.append(line.id)
        for sender in {line.sender for line in mine}:
            sent = sorted((line for line in mine if line.sender == sender), key=lambda line: line.order)
            numbers = [line.seq for line in sent]
            if numbers != sorted(numbers):
                out_of_order.append(f"{sender} to {receiver}")
    assert len(expected) == len(lines), "the ledger itself names an id twice"
    return Verdict(len(lines), total, lost, duplicated, changed, gaps, out_of_order)


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
