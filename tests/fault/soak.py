"""Soak: a post office under load for a long time, and its use of memory, descriptors and disk.

Rule: the timeline shows for every message that it was accepted once, and then delivered or expired once. A seed
decides receivers and lifetimes, but not the times of events.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from fault.load import Party
from maestro_clients.protocol.callers import Caller
from maestro_schemas.errors import MaestroError
from support.post_office import own_id

if TYPE_CHECKING:
    from maestro_schemas.documents import OutgoingDoc
    from support.post_office import PostOffice

_ROUND_MESSAGES = 10
_EVENTS_MAX = 1_000
_EVENTS_PAUSE_S = 0.2
_TTL_MS = 1_500
_LEASE_MS = 4_000
# The operator, so that one connection serves many mailboxes.
_OPERATOR = Caller()


class Sample(NamedTuple):
    """One measurement of the broker and its files."""

    at_s: float
    # The number of the broker process: each restart begins another one.
    life: int
    resident_kib: int
    descriptors: int
    threads: int
    files: int
    disk_kib: int


class PacedSender(Party):
    """Sends `rate_per_s` messages, a tenth of them with a short TTL to sessions that never read."""

    def __init__(self, post_office: PostOffice, session: str, seed: int, *, rate_per_s: float, names: Names) -> None:
        super().__init__(post_office, session, seed)
        self._pause_s = _ROUND_MESSAGES / rate_per_s
        self._names = names
        self._due_s = time.monotonic()
        self.accepted: dict[str, str] = {}
        self._made = 0

    def _round(self) -> None:
        waiting: dict[str, OutgoingDoc] = {}
        for _ in range(_ROUND_MESSAGES):
            self._made += 1
            message_id = own_id(self._session, f"{self._session}-{self._made}")
            away = self._random.random() < 0.1
            to = self._random.choice(self._names.away if away else self._names.receivers)
            text = "x" * self._random.randint(100, 600)
            waiting[message_id] = {"id": message_id, "to": to, "message": text}
            if away:
                waiting[message_id]["ttlMs"] = _TTL_MS
        while waiting:
            try:
                results = self._open().send_many(list(waiting.values()))
            except MaestroError as error:
                if not self._again(error):
                    return
                continue
            for result in results:
                if "error" in result:
                    refused = MaestroError.from_body(result["error"])
                    if not refused.retryable:
                        raise refused
                    continue
                self.accepted[result["id"]] = str(waiting.pop(result["id"])["to"])
            if waiting and self._giving_up.wait(0.05):
                return
        self._due_s += self._pause_s
        late_s = time.monotonic() - self._due_s
        if late_s < 0:
            self._stopping.wait(-late_s)


class SoakReader(Party):
    """Reads some mailboxes in turn under a lease, confirms all messages and deletes a fifth."""

    def __init__(self, post_office: PostOffice, mailboxes: list[str], seed: int) -> None:
        super().__init__(post_office, mailboxes[0], seed)
        self._mailboxes = mailboxes
        self.seen: dict[str, list[tuple[int, str]]] = {name: [] for name in mailboxes}
        self.found_last_round = 0

    def _round(self) -> None:
        found = 0
        for mailbox in self._mailboxes:
            try:
                found += self._read(mailbox)
            except MaestroError as error:
                if not self._again(error):
                    return
        self.found_last_round = found
        self._stopping.wait(0.02)

    def _read(self, mailbox: str) -> int:
        client = self._open()
        page = client.inbox(session=mailbox, limit=200, lease_ms=_LEASE_MS, reader=self._session, caller=_OPERATOR)
        ids = [message["id"] for message in page["messages"]]
        if not ids:
            return 0
        client.confirm(ids, "delivered", session=mailbox, via="soak", caller=_OPERATOR)
        self.seen[mailbox] += [(message["seq"], message["id"]) for message in page["messages"]]
        gone = [message_id for message_id in ids if self._random.random() < 0.2]
        if gone:
            client.delete(gone, session=mailbox, caller=_OPERATOR)
        return len(ids)


class Names(NamedTuple):
    """The sessions."""

    senders: list[str]
    receivers: list[str]
    # Sessions that never read.
    away: list[str]


class Auditor(Party):
    """Reads the timeline from its beginning, and counts the events of each message."""

    def __init__(self, post_office: PostOffice) -> None:
        super().__init__(post_office, "auditor", 0)
        self._after = 0
        self.counts: dict[str, dict[str, int]] = {
            f"message.{kind}": {} for kind in ("accepted", "delivered", "expired", "deleted")
        }
        self.caught_up = threading.Event()

    def _round(self) -> None:
        try:
            reply = self._open().events(self._after, limit=_EVENTS_MAX, caller=_OPERATOR)
        except MaestroError as error:
            self._again(error)
            return
        for event in reply["events"]:
            counted = self.counts.get(event["event"])
            if counted is not None:
                counted[str(event["id"])] = counted.get(str(event["id"]), 0) + 1
        self._after = reply["upTo"]
        if not reply["hasMore"]:
            self.caught_up.set()
            self._stopping.wait(_EVENTS_PAUSE_S)


def sample(post_office: PostOffice, began_s: float, life: int) -> Sample:
    """Measure the broker's process and the files of its mail."""
    pid = post_office.pid
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        status = dict(line.split(":", 1) for line in file)
    files = kib = 0
    for directory, _, names in os.walk(os.path.join(post_office.data, "messages")):
        files += len(names)
        for name in names:
            try:
                kib += os.lstat(os.path.join(directory, name)).st_blocks // 2
            except FileNotFoundError:
                continue
    return Sample(
        time.monotonic() - began_s,
        life,
        int(status["VmRSS"].split()[0]),
        len(os.listdir(f"/proc/{pid}/fd")),
        int(status["Threads"]),
        files,
        kib,
    )


def slope_per_hour(points: list[tuple[float, float]]) -> float:
    """The slope per hour of (seconds, value), by least squares; 0 for fewer than two points."""
    if len(points) < 2:
        return 0.0
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    square = sum((x - mean_x) ** 2 for x, _ in points)
    return 3600 * sum((x - mean_x) * (y - mean_y) for x, y in points) / square if square else 0.0
