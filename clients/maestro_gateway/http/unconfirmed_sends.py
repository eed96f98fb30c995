"""Unconfirmed sends: those of clients without keys whose answer may not have arrived.

Rule: such a client repeats a POST that got a 5xx or no answer. A repeat (same sender, receiver and content within ten
seconds) gets the first message's id, and with it the first answer, but only while it is not known whether the first
answer arrived. Otherwise the same text twice is two messages.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from maestro_clients.protocol.new_ids import new_message_id

_REPEAT_S = 10.0


class UnconfirmedSend(NamedTuple):
    """A send whose answer may not have arrived."""

    message_id: str
    # By `time.monotonic`.
    until_s: float


class UnconfirmedSends:
    """The unconfirmed sends of the last ten seconds, by sender, receiver and content."""

    def __init__(self) -> None:
        self._by_content: dict[bytes, UnconfirmedSend] = {}

    def id_for(self, sender: str, receiver: str, content: str, now_s: float) -> tuple[bytes, str]:
        """The key of a send, and its message id: that of the send that it repeats, or a new one. The send is
        unconfirmed from now on, until it is `settled`."""
        self._forget_old(now_s)
        key = hashlib.sha256(f"{sender}\n{receiver}\n{content}".encode("utf-8", "surrogatepass")).digest()
        known = self._by_content.get(key)
        message_id = known.message_id if known is not None else new_message_id()
        self._by_content[key] = UnconfirmedSend(message_id, now_s + _REPEAT_S)
        return key, message_id

    def settled(self, key: bytes) -> None:
        """The answer has arrived, or the send was refused: the same text is a new message from now on."""
        self._by_content.pop(key, None)

    def _forget_old(self, now_s: float) -> None:
        for key in [key for key, send in self._by_content.items() if send.until_s <= now_s]:
            del self._by_content[key]
