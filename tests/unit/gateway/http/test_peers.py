"""The owner of the other end of a connection: both ways to ask the kernel."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
from typing import TYPE_CHECKING, Any

import pytest

from maestro_gateway.http.peers import Peers
from support import components
from support.wire_http import own_address

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
def connection(
    family: int, host: str, to: str, asks: int = 0, source: str | None = None
) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends, the client's first. `family`, `host`: where to listen. `to`: the address to connect to. `asks`: the
    client's family, where it is another. `source`: the address that the client comes from."""
    host, to = (own_address() if name == "own" else name for name in (host, to))
    with socket.socket(family) as listener:
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        try:
            listener.bind((host, 0))
        except OSError as error:
            pytest.skip(f"no {host} here: {error}")
        listener.listen()
        kind = asks or (socket.AF_INET6 if ":" in to else socket.AF_INET)
        with socket.socket(kind) as asking:
            if source is not None:
                asking.bind((own_address() if source == "own" else source, 0))
            asking.connect((to, listener.getsockname()[1]))
            here, _ = listener.accept()
            with here:
                yield asking, here


WAYS: list[tuple[Any, ...]] = [
    (socket.AF_INET, "127.0.0.1", "127.0.0.1"),
    (socket.AF_INET, "127.0.0.2", "127.0.0.2"),
    (socket.AF_INET6, "::1", "::1"),
    (socket.AF_INET6, "::", "127.0.0.1"),
    # An IPv6 socket that is connected by IPv4, to a listener of either kind.
    (socket.AF_INET, "127.0.0.1", "::ffff:127.0.0.1", socket.AF_INET6),
    (socket.AF_INET6, "::", "::ffff:127.0.0.1", socket.AF_INET6),
    # The addresses by which other machines reach this one: `curl --interface ADDRESS http://127.0.0.1`.
    (socket.AF_INET, "127.0.0.1", "127.0.0.1", 0, "own"),
    (socket.AF_INET, "127.0.0.1", "127.0.0.1", 0, "127.9.9.9"),
    (socket.AF_INET, "0.0.0.0", "own"),
    (socket.AF_INET6, "::", "own"),
]


@pytest.mark.parametrize("way", WAYS)
def test_a_connection_of_the_own_user_is_own(peers: Peers, way: tuple[Any, ...]) -> None:
    with connection(*way) as (_, here):
        assert peers.standing(here.getpeername()[:2], here.getsockname()[:2]) == "own"


@pytest.mark.parametrize("way", WAYS)
def test_another_users_is_not(peers: Peers, way: tuple[Any, ...]) -> None:
    components.require_root("giving a socket to another user")
    with connection(*way) as (asking, here):
        os.fchown(asking.fileno(), OTHER_UID, OTHER_UID)
        assert peers.standing(here.getpeername()[:2], here.getsockname()[:2]) == "other"


def test_a_link_local_address_names_its_interface(peers: Peers) -> None:
    """fe80::1 is an address of each interface; the kernel is asked about the one that the connection came by."""
    with open("/proc/net/if_inet6", encoding="ascii") as table:
        rows = [row.split() for row in table if row.startswith("fe80")]
    if not rows:
        pytest.skip("this machine has no link-local address")
    host = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(rows[0][0]))
    zone = int(rows[0][1], 16)
    with socket.socket(socket.AF_INET6) as listener, socket.socket(socket.AF_INET6) as asking:
        listener.bind((host, 0, 0, zone))
        listener.listen()
        asking.connect((host, listener.getsockname()[1], 0, zone))
        here, peer = listener.accept()
        with here:
            ends = (f"{host}%{zone}", peer[1]), (f"{host}%{zone}", here.getsockname()[1])
            assert peers.standing(*ends) == "own"
            os.fchown(asking.fileno(), OTHER_UID, OTHER_UID)
            assert peers.standing(*ends) == "other"


@pytest.mark.parametrize("reset", [False, True])
def test_a_closed_socket_has_no_owner(peers: Peers, *, reset: bool) -> None:
    with connection(*WAYS[0]) as (asking, here):
        peer, end = here.getpeername(), here.getsockname()
        if reset:
            asking.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        asking.close()
        assert peers.standing(peer, end) == "stranger"


def test_a_peer_of_another_machine_is_a_stranger(peers: Peers) -> None:
    assert peers.standing(("192.0.2.1", 1), ("192.0.2.2", 2)) == "stranger"
    assert peers.standing(("2001:db8::1", 1), ("2001:db8::2", 2)) == "stranger"
    assert peers.standing(None, None) == "stranger"
    assert peers.standing(("not an address", 1), ("192.0.2.2", 2)) == "stranger"
    assert peers.standing(("fe80::1%no-such", 1), ("fe80::2", 2)) == "stranger"


def test_where_the_kernel_does_not_tell_every_peer_is_a_stranger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "AF_NETLINK")
    monkeypatch.setattr(Peers, "_by_proc", staticmethod(_unreadable))
    peers = Peers()
    assert peers.source == "none"
    with connection(*WAYS[0]) as (_, here):
        assert peers.standing(here.getpeername(), here.getsockname()) == "stranger"
    peers.close()


def _unreadable(_peer: object, _here: object) -> int | None:
    raise FileNotFoundError
