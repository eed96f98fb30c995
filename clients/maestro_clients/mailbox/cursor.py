"""Mail cursor: the position of one watcher in one mailbox.

Rule: sans-IO. Notices, pages and results come in; the next request comes out; `now_s` is any steady clock. No message
of the mailbox is missed, and none is taken twice:

- `since` of the next page is the last page's `upTo`: every message up to there was in hand, or no longer exists.
  Mail under another reader's lease keeps `upTo` back, so it is asked for again when that lease ends.
- Notices are hints: one with a seq that no page has reached makes a page due. A lost notice costs time and no mail,
  since a page is asked for every LOOK_EVERY_S anyway.
- A taken message is remembered until the broker has confirmed it, so that it is skipped when it is offered again (the
  lease expired, the broker restarted). Confirmed mail is never offered again: no status moves back.
- The messages in hand are dropped and asked for again when half of the lease is over, so that their consumer has the
  other half to show them.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from maestro_schemas.errors import CODES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maestro_schemas.documents import EventDoc, InboxDoc, ItemResultDoc, MessageDoc

LOOK_EVERY_S = 5.0
CONFIRM_EVERY_S = 1.0
CONFIRM_COUNT = 64
PAGE_MESSAGES = 256
# The wait after "not now", or after a page without a new message.
AGAIN_S = 0.25
# Added to the end of another reader's lease, so that the request is not a moment too early.
_LEASE_SLACK_S = 0.01

_EVERY_STATUS = ("pending", "delivered", "read", "failed", "expired")


class MailCursor:
    """`reader`: lease the fetched messages under this id, for `lease_ms`; None only looks, at every status.

    `since`: the seq after which to begin. `confirm_max`: ids in one confirmation. `hold_quiet`: leave quiet mail in
    the mailbox, without a lease, until other mail is there.
    """

    def __init__(
        self,
        session: str,
        *,
        since: int = 0,
        reader: str | None = None,
        lease_ms: int = 0,
        confirm_max: int = CONFIRM_COUNT,
        hold_quiet: bool = False,
    ) -> None:
        self._session = session
        self._hold_quiet = hold_quiet
        self._reader = reader
        self._lease_ms = lease_ms
        self._confirm_max = max(1, min(confirm_max, PAGE_MESSAGES))
        self._cursor = since
        self._head = since
        self._noticed = 0
        self._behind = True
        self._look_s = 0.0
        self._fetch_after_s = 0.0
        self._asked_s = 0.0
        self._hand: deque[MessageDoc] = deque()
        self._renew_s = float("inf")
        # Whether the page in hand arrived within its lease, and no message of it was taken.
        self._is_new_page = False
        self._shown: dict[str, int] = {}
        self._current: str | None = None
        self._surfaced: deque[str] = deque()
        self._oldest_s = 0.0
        self._confirming: list[str] = []
        self._confirm_after_s = 0.0

    # --- notices -------------------------------------------------------------------------------------------

    def notice(self, event: EventDoc) -> None:
        """An event, perhaps of this mailbox."""
        seq = event.get("seq", 0)
        if event["event"] == "head":
            # A lower seq than the known one: another mailbox under the same name. The page will show it.
            self._behind |= seq != self._head
            self._noticed = max(self._noticed, seq)
        elif event["event"] == "message.accepted" and event.get("to") == self._session:
            self._behind |= seq > self._head
            self._noticed = max(self._noticed, seq)

    def reconnected(self) -> None:
        """The broker may have restarted, and has then forgotten the leases: ask again for every unconfirmed
        message."""
        seqs = [message["seq"] for message in self._hand]
        seqs += self._shown.values()
        self._cursor = min([self._cursor, *(seq - 1 for seq in seqs)])
        self._hand.clear()
        self._behind = True
        self._fetch_after_s = self._confirm_after_s = 0.0

    # --- pages ---------------------------------------------------------------------------------------------

    def fetch_due(self, now_s: float) -> bool:
        """Whether a page is due; the caller knows whether one is on its way already."""
        return not self._hand and now_s >= self.next_look_s()

    def next_look_s(self) -> float:
        """When the next page is due, with no message in hand and if no notice arrives before."""
        return max(self._fetch_after_s, 0.0 if self._behind else self._look_s)

    @property
    def caught_up(self) -> bool:
        """Whether no further message is known."""
        return not self._hand and not self._behind

    def request(self, now_s: float) -> dict[str, Any]:
        """The fields of the `inbox` request for the next page."""
        self._asked_s = now_s
        self._noticed = 0
        body: dict[str, Any] = {"session": self._session, "since": self._cursor, "limit": PAGE_MESSAGES}
        if self._hold_quiet:
            body["holdQuiet"] = True
        if self._reader is None:
            return {**body, "status": _EVERY_STATUS}
        return {**body, "status": ("pending",), "leaseMs": self._lease_ms, "reader": self._reader}

    def page(self, reply: InboxDoc, now_s: float) -> None:
        """The reply to the last request."""
        self._head = reply["headSeq"]
        if self._head < self._cursor:
            # A seq never decreases: this is another data directory, and all that is remembered is of the old one.
            self._cursor = 0
            self._shown.clear()
            self._surfaced.clear()
            self._behind = True
            return
        self._hand.extend(message for message in reply["messages"] if message["id"] not in self._shown)
        if self._reader is not None:
            self._renew_s = self._asked_s + self._lease_ms / 2000
            self._is_new_page = now_s < self._asked_s + self._lease_ms / 1000
        if not self._hand and reply["hasMore"] and reply["upTo"] == self._cursor:
            # Every message waits for its confirmation, behind another reader's lease: do not ask again at once.
            self._fetch_after_s = now_s + AGAIN_S
        self._cursor = reply["upTo"]
        self._behind = reply["hasMore"] or self._noticed > self._head
        lease_ends_s = reply.get("leaseEndsInMs", 1000 * LOOK_EVERY_S) / 1000 + _LEASE_SLACK_S
        self._look_s = now_s + min(lease_ends_s, LOOK_EVERY_S)

    def fetch_failed(self, now_s: float, after_s: float) -> None:
        """There was no page; ask again after `after_s`."""
        self._behind = True
        self._fetch_after_s = now_s + after_s

    # --- messages ------------------------------------------------------------------------------------------

    def take(self, now_s: float) -> MessageDoc | None:
        """The next message in hand; it is the consumer's from now on."""
        # One message of a page that arrived within its lease is taken even so, else a short lease would block all.
        if self._hand and now_s >= self._renew_s and not self._is_new_page:
            # Back, never forward: another reader's lease may hold the cursor back already.
            self._cursor = min(self._cursor, self._hand[0]["seq"] - 1)
            self._hand.clear()
            self._behind = True
        if not self._hand:
            return None
        message = self._hand.popleft()
        self._is_new_page = False
        if self._reader is not None:
            self._shown[message["id"]] = message["seq"]
            self._current = message["id"]
        return message

    def came_back(self, now_s: float) -> None:
        """The consumer has surfaced the message that it took last."""
        if self._current is not None:
            if not self._surfaced:
                self._oldest_s = now_s
            self._surfaced.append(self._current)
            self._current = None

    def give_back(self) -> dict[str, Any] | None:
        """The request that ends the lease of the messages that were not surfaced; None where there are none."""
        seqs = [message["seq"] for message in self._hand]
        if self._current is not None:
            seqs.append(self._shown[self._current])
        if self._reader is None or not seqs:
            return None
        # The same read again, for a millisecond.
        return {
            "session": self._session,
            "since": min(seqs) - 1,
            "limit": len(seqs),
            "status": ("pending",),
            "leaseMs": 1,
            "reader": self._reader,
        }

    # --- confirmations -------------------------------------------------------------------------------------

    @property
    def unconfirmed(self) -> int:
        """The number of surfaced messages that the broker has not confirmed."""
        return len(self._surfaced) + len(self._confirming)

    def confirm_due(self, now_s: float, *, idle: bool) -> list[str]:
        """The ids to confirm now, or none. `idle`: the consumer waits, so a later batch would not be larger."""
        full = len(self._surfaced) >= min(CONFIRM_COUNT, self._confirm_max)
        old = now_s - self._oldest_s >= CONFIRM_EVERY_S
        if self._confirming or not self._surfaced or now_s < self._confirm_after_s or not (idle or full or old):
            return []
        count = min(len(self._surfaced), self._confirm_max)
        self._confirming = [self._surfaced.popleft() for _ in range(count)]
        self._oldest_s = now_s
        return self._confirming

    def next_confirm_s(self) -> float:
        """When `confirm_due` may have something for an idle consumer; infinity while a confirmation is under way."""
        return self._confirm_after_s if self._surfaced and not self._confirming else float("inf")

    def confirmed(self, results: Sequence[ItemResultDoc], now_s: float) -> None:
        """The results of the confirmation under way.

        An id that is refused for good (deleted or expired meanwhile) is no longer pending either, and forgotten. One
        that is refused for now is tried again.
        """
        again = {result["id"] for result in results if "error" in result and _is_retryable(result["error"]["code"])}
        for message_id in self._confirming:
            if message_id not in again:
                self._shown.pop(message_id, None)
        self._confirming = [message_id for message_id in self._confirming if message_id in again]
        if self._confirming:
            self.confirm_failed(now_s, AGAIN_S)

    def confirm_failed(self, now_s: float, after_s: float) -> None:
        """There was no reply; try again after `after_s`."""
        self._surfaced.extendleft(reversed(self._confirming))
        self._confirming = []
        self._confirm_after_s = now_s + after_s


def _is_retryable(code: str) -> bool:
    return code in CODES and CODES[code][1]
