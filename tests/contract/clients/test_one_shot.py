"""The fast path's client at a peer that takes requests and does not answer."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

import pytest
import zmq

from maestro_clients.channel.one_shot import OneShotConnection
from maestro_clients.one_shot_client import OneShotClient
from maestro_schemas import NOT_REPEATABLE
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def silent_router() -> Iterator[tuple[str, zmq.Socket[bytes]]]:
    """The path of a socket whose owner reads requests and never answers, and the owner's socket."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory, zmq.Context() as context:
        path = os.path.join(directory, "router")
        with context.socket(zmq.ROUTER) as router:
            router.bind(f"ipc://{path}")
            yield path, router


def _received(router: zmq.Socket[bytes]) -> list[bytes]:
    """The commands that have arrived."""
    found = []
    while router.poll(100):
        found.append(router.recv_multipart()[3])
    return found


@pytest.mark.parametrize("command", NOT_REPEATABLE)
def test_a_command_that_may_act_twice_is_sent_once(
    silent_router: tuple[str, zmq.Socket[bytes]], command: str
) -> None:
    path, router = silent_router
    with OneShotClient(OneShotConnection(path), {}, timeout_s=0.2) as client, pytest.raises(MaestroError) as raised:
        client.call(command, {})
    assert raised.value.code == "TIMEOUT"
    assert _received(router) == [command.encode()]


def test_any_other_command_is_asked_again(silent_router: tuple[str, zmq.Socket[bytes]]) -> None:
    path, router = silent_router
    with OneShotClient(OneShotConnection(path), {}, timeout_s=0.2) as client, pytest.raises(MaestroError) as raised:
        client.call("hello", {})
    assert raised.value.code == "TIMEOUT"
    assert set(_received(router)[1:]) == {b"hello"}


def test_a_request_that_was_never_sent_takes_the_usual_way(silent_router: tuple[str, zmq.Socket[bytes]]) -> None:
    """Nothing can act twice where nothing arrived: a body that is too large for the fast path."""
    path, router = silent_router
    with OneShotClient(OneShotConnection(path), {}, timeout_s=0.2) as client, pytest.raises(MaestroError):
        client.call("session.touch", {"note": {"text": "x" * 20_000}})
    # With a body of this size the usual client asks for the broker's limit first.
    assert set(_received(router)) == {b"hello"}
