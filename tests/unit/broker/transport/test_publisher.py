"""Publisher: tested with libzmq's SUB."""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING

import pytest
import zmq

from maestro_broker.transport.publisher import Publisher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class PublisherScene:
    """A publisher and one subscriber."""

    def __init__(self, address: str) -> None:
        self.context = zmq.Context()
        made = self.context.socket(zmq.XPUB)
        made.setsockopt(zmq.XPUB_VERBOSE, 1)
        made.bind(address)
        self.publisher = Publisher(made)
        self.subscriber = self.context.socket(zmq.SUB)
        self.subscriber.connect(address)

    def is_readable(self, wait_s: float = 0.0) -> bool:
        """Whether the publisher's descriptor is."""
        return bool(select.select([self.publisher.fd], [], [], wait_s)[0])

    def subscribe(self, topic: str) -> None:
        """Returns when the subscription has arrived at the publisher's socket, which has not looked yet."""
        list(self.publisher.subscriptions())
        self.subscriber.subscribe(topic)
        self.until(lambda: self.is_readable(0.01))

    def until(self, holds: Callable[[], bool]) -> None:
        give_up_s = time.monotonic() + 10.0
        while not holds():
            assert time.monotonic() < give_up_s

    def close(self) -> None:
        self.subscriber.close(0)
        self.publisher.socket.close(0)
        self.context.term()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[PublisherScene]:
    made = PublisherScene(f"ipc://{tmp_path / 's'}")
    # The connection itself comes with a signal of its own.
    made.subscriber.subscribe("first|")
    made.until(lambda: "first|" in list(made.publisher.subscriptions()))
    yield made
    made.close()


def test_the_descriptor_reports_a_subscription(scene: PublisherScene) -> None:
    scene.subscribe("ann|")
    assert not scene.publisher.has_taken_in(), "nothing was sent, so the descriptor says all"
    assert list(scene.publisher.subscriptions()) == ["ann|"]
    assert scene.publisher.topics == {"first|", "ann|"}
    assert not scene.is_readable()


def test_a_subscription_that_a_notice_takes_in_is_not_lost(scene: PublisherScene) -> None:
    """While it sends, libzmq takes in what has come, and its descriptor is silent about it from then on."""
    scene.subscribe("ann|")

    def is_silent() -> bool:
        scene.publisher.publish("bob|", b"")
        return not scene.is_readable()

    scene.until(is_silent)
    assert scene.publisher.has_taken_in()
    assert list(scene.publisher.subscriptions()) == ["ann|"]
    assert not scene.publisher.has_taken_in(), "it was asked, and nothing was sent since"


def test_a_notice_without_a_new_subscription_leaves_nothing_to_take(scene: PublisherScene) -> None:
    scene.publisher.publish("first|", b"body")
    assert not scene.publisher.has_taken_in()
    assert scene.subscriber.recv_multipart() == [b"first|", b"body"]
