"""The owner of the other end of a loopback connection: both ways to ask the kernel."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
from typing import TYPE_CHECKING

import pytest

from maestro_gateway.http.peers import Peers
from support import components

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")

OTHER_UID = 65_534


@pytest.fixture(params=["sock_diag", "proc"])
def peers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Peers]:
    """Each of the ways."""
    if request.param == "proc":
        monkeypatch.delattr(socket, "AF_NETLINK")
    made = Peers()
    if made.source != request.param:
        pytest.skip(f"this kernel tells by {made.source}, not by {request.param}")
    yield made
    made.close()


@contextlib.contextmanager
def connection(family: int, host: str, to: str) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends, the client's first. `host`: the address to listen on; `to`: the address to connect to."""
    with socket.socket(family) as listener:
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        try:
            listener.bind((host, 0))
        except OSError as error:
            pytest.skip(f"no {host} here: {error}")
        listener.listen()
        with socket.create_connection((to, listener.getsockname()[1])) as asking:
            here, _ = listener.accept()
            with here:
                yield asking, here


WAYS = [
    (socket.AF_INET, "127.0.0.1", "127.0.0.1"),
    (socket.AF_INET, "127.0.0.2", "127.0.0.2"),
    (socket.AF_INET6, "::1", "::1"),
    (socket.AF_INET6, "::", "127.0.0.1"),
]


@pytest.mark.parametrize(("family", "host", "to"), WAYS)
def test_a_connection_of_the_own_user_is_not_foreign(peers: Peers, family: int, host: str, to: str) -> None:
    with connection(family, host, to) as (_, here):
        assert not peers.is_foreign(here.getpeername()[:2], here.getsockname()[:2])


@pytest.mark.parametrize(("family", "host", "to"), WAYS)
def test_another_users_is(peers: Peers, family: int, host: str, to: str) -> None:
    components.require_root("giving a socket to another user")
    with connection(family, host, to) as (asking, here):
        os.fchown(asking.fileno(), OTHER_UID, OTHER_UID)
        assert peers.is_foreign(here.getpeername()[:2], here.getsockname()[:2])


@pytest.mark.parametrize("reset", [False, True])
def test_a_closed_socket_has_no_owner(peers: Peers, *, reset: bool) -> None:
    with connection(*WAYS[0]) as (asking, here):
        peer, end = here.getpeername(), here.getsockname()
        if reset:
            asking.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        asking.close()
        assert peers.is_foreign(peer, end)


def test_other_machines_are_not_judged(peers: Peers) -> None:
    assert not peers.is_foreign(("192.0.2.1", 1), ("192.0.2.2", 2))
    assert not peers.is_foreign(None, None)
    assert not peers.is_foreign(("not an address", 1), ("192.0.2.2", 2))


def test_where_the_kernel_does_not_tell_every_peer_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "AF_NETLINK")
    monkeypatch.setattr(Peers, "_by_proc", staticmethod(_unreadable))
    peers = Peers()
    assert peers.source == "none"
    assert not peers.is_foreign(("127.0.0.1", 1), ("127.0.0.1", 2))
    peers.close()


def _unreadable(_peer: object, _here: object) -> int | None:
    raise FileNotFoundError
