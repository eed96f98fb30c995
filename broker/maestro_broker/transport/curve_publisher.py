"""CURVE publisher: notices for peers on other machines, each subscription checked against its peer's key."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import zmq

from .publisher import Publisher

if TYPE_CHECKING:
    from collections.abc import Callable


class CurvePublisher(Publisher):
    """The XPUB is in manual mode: a subscription takes effect only if we apply it."""

    def __init__(self, socket: zmq.Socket[bytes], may_subscribe: Callable[[str, str], bool]) -> None:
        """`may_subscribe(public_key, topic)` decides."""
        super().__init__(socket)
        self._may_subscribe = may_subscribe
        # Subscriptions per topic: those that were applied, and those that were refused.
        self._applied: Counter[str] = Counter()
        self._denied: Counter[str] = Counter()
        self.refused_topics = 0

    def replace_socket(self, socket: zmq.Socket[bytes]) -> None:
        """Close the socket, with all subscriptions, and use another."""
        self.socket.close(0)
        self.socket = socket
        self._has_sent = False
        self._applied.clear()
        self._denied.clear()
        self.clear()

    def _subscribe(self, topic: str, frame: zmq.Frame) -> bool:
        if not self._may_subscribe(public_key(frame), topic):
            self.refused_topics += 1
            self._denied[topic] += 1
            return False
        # libzmq applies it to the peer of the frame that was received last.
        self.socket.setsockopt(zmq.SUBSCRIBE, frame.bytes[1:])
        self._applied[topic] += 1
        return True

    def _unsubscribe(self, topic: str, frame: zmq.Frame) -> bool:
        if public_key(frame):
            # A peer that is still there. One that is gone takes its subscriptions with it.
            self.socket.setsockopt(zmq.UNSUBSCRIBE, frame.bytes[1:])
        # libzmq does not say which peer is gone. A denied subscription is counted down first, so that an authorised
        # subscriber never loses its topic.
        for counter in (self._denied, self._applied):
            if topic in counter:
                counter[topic] -= 1
                if not counter[topic]:
                    del counter[topic]
                    return counter is self._applied
                return False
        return False


def public_key(frame: zmq.Frame) -> str:
    """The public key with which the peer made its handshake; empty if the frame carries none."""
    try:
        return str(frame.get("User-Id"))
    except zmq.ZMQError:
        return ""
