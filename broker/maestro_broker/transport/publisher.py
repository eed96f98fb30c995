"""Publisher: the XPUB socket of notices, and the topics that its subscribers hold.

Rule: topics are prefixes, as libzmq matches them: `<session>/` is all of one session's notices, the empty topic is
every notice.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import zmq

from maestro_schemas.events import TOPIC_SEPARATOR

if TYPE_CHECKING:
    from collections.abc import Iterator

_SUBSCRIBE = b"\x01"
_UNSUBSCRIBE = b"\x00"


class Publisher:
    """The notices of one listener."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self.socket = socket
        self._has_sent = False
        self.topics: set[str] = set()  # that have a subscriber
        # Those that got their first subscriber, or lost their last one, since `take_changed`.
        self._changed: set[str] = set()
        # Those of `topics` that are neither one session's nor every notice: only these need a comparison each.
        self._partial: set[str] = set()

    @property
    def fd(self) -> int:
        """Readable when a subscription has arrived; see also `has_taken_in`."""
        return int(self.socket.getsockopt(zmq.FD))

    def has_taken_in(self) -> bool:
        """Whether a subscription has arrived that `fd` does not report, because a notice was sent meanwhile: libzmq
        then sees to both. Ask before each wait."""
        if not self._has_sent:
            return False
        self._has_sent = False
        return has_arrived(self.socket)

    def publish(self, topic: str, body: bytes) -> None:
        """Send a notice to the subscribers of its topic; drop it for those that do not read."""
        self._has_sent = True
        with contextlib.suppress(zmq.Again):
            self.socket.send_multipart((topic.encode(), body), zmq.NOBLOCK)

    def wants(self, session: str) -> bool:
        """Whether a topic has a subscriber that this session's notices could match."""
        topics = self.topics
        if not topics:
            return False
        own = f"{session}{TOPIC_SEPARATOR}"
        return own in topics or "" in topics or any(own.startswith(t) or t.startswith(own) for t in self._partial)

    def subscriptions(self) -> Iterator[str]:
        """Yield each topic that was subscribed to since the last call."""
        while True:
            try:
                frame = self.socket.recv(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            raw = frame.bytes
            topic = raw[1:].decode("utf-8", "replace")
            if raw[:1] == _SUBSCRIBE:
                if self._subscribe(topic, frame):
                    if topic not in self.topics:
                        self._changed.add(topic)
                    self.topics.add(topic)
                    if topic and not topic.endswith(TOPIC_SEPARATOR):
                        self._partial.add(topic)
                    yield topic
            elif raw[:1] == _UNSUBSCRIBE and self._unsubscribe(topic, frame):
                self._changed.add(topic)
                self.topics.discard(topic)
                self._partial.discard(topic)

    def take_changed(self) -> set[str]:
        """The topics that got their first subscriber, or lost their last one, since the last call."""
        if not self._changed:
            return self._changed
        changed, self._changed = self._changed, set()
        return changed

    def clear(self) -> None:
        """No topic has a subscriber any more."""
        self._changed |= self.topics
        self.topics.clear()
        self._partial.clear()

    def _subscribe(self, _topic: str, _frame: zmq.Frame) -> bool:
        """Whether the subscription takes effect."""
        return True

    def _unsubscribe(self, _topic: str, _frame: zmq.Frame) -> bool:
        """Whether the topic has no subscriber any more. libzmq reports only the last one that leaves."""
        return True


def has_arrived(socket: zmq.Socket[bytes]) -> bool:
    """Whether there is something to receive. A socket's descriptor reports only what came since it was used last."""
    return bool(int(socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN)
