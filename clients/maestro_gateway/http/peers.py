"""Peers: the user that owns the other end of a connection.

Rule: the kernel is asked once for each connection, whatever its addresses: a program of this machine can connect from
any of them. Only an open socket of this machine has an owner. A socket that is closed already has none, and never
counts as root's. A peer of another machine has none either. Where the kernel can't tell (no Linux, no such table),
every peer is a stranger.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    Address = tuple[str, int]
    # own: this process's user, or root. other: another user of this machine. stranger: a peer without an owner here.
    Standing = Literal["own", "other", "stranger"]

# linux/inet_diag.h and linux/sock_diag.h: a request for one socket by its two addresses, without a dump of all.
_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_NLM_F_REQUEST: Final = 1
_NLMSG_ERROR: Final = 2
_HEADER: Final = struct.Struct("=IHHII")
_REQUEST: Final = struct.Struct("=BBBBI")
_PORTS: Final = struct.Struct("!HH")
# The interface and the cookie (none) of an inet_diag_sockid.
_INTERFACE: Final = struct.Struct("=III")
_NO_COOKIE: Final = 0xFFFFFFFF
_ANSWER: Final = struct.Struct("=BBBB4s16s16s12sIIIII")
_ALL_STATES: Final = 0xFFFFFFFF
_REPLY_BYTES: Final = 8_192
_WAIT_S: Final = 1.0

_ROOT: Final = 0
# An IPv6 socket that is connected by IPv4 has such addresses (RFC 4291 section 2.5.5.2).
_MAPPED: Final = "::ffff:"
_MAPPED_BYTES: Final = bytes(10) + b"\xff\xff"


class Peers:
    """The owners of this machine's sockets, by the kernel."""

    def __init__(self) -> None:
        self._uid = os.geteuid()
        self._diag: socket.socket | None = None
        self._number = 0
        self._owner: Callable[[Address, Address], int | None] | None = None
        # `sock_diag`, `proc` or `none`.
        self.source = "none"
        try:
            self._diag = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG)
            self._diag.settimeout(_WAIT_S)
        except (OSError, AttributeError):
            pass
        else:
            if self._finds_own_user(self._by_diag):
                self._owner, self.source = self._by_diag, "sock_diag"
                return
        if self._finds_own_user(self._by_proc):
            self._owner, self.source = self._by_proc, "proc"

    def standing(self, peer: Address | None, here: Address | None) -> Standing:
        """How the peer of a connection stands to this process. `peer`, `here`: the connection's ends as (address,
        port)."""
        if self._owner is None or peer is None or here is None:
            return "stranger"
        try:
            uid = self._owner(_plain(peer), _plain(here))
        except (OSError, ValueError):
            return "stranger"
        if uid is None:
            return "stranger"
        return "own" if uid in (self._uid, _ROOT) else "other"

    def close(self) -> None:
        """Close the netlink socket."""
        if self._diag is not None:
            self._diag.close()

    def _finds_own_user(self, owner: Callable[[Address, Address], int | None]) -> bool:
        """Try `owner` on a connection that has both ends in this process."""
        try:
            with (
                socket.create_server(("127.0.0.1", 0)) as listener,
                socket.create_connection(listener.getsockname()) as end,
            ):
                return owner(end.getsockname(), listener.getsockname()) == self._uid
        except (OSError, ValueError):
            return False

    def _by_diag(self, peer: Address, here: Address) -> int | None:
        """The user id of an open socket's owner, None where there is none. Raises OSError."""
        if self._diag is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        family = socket.AF_INET6 if ":" in peer[0] else socket.AF_INET
        ends = [socket.inet_pton(family, end[0].partition("%")[0]) for end in (peer, here)]
        ids = [end.ljust(16, b"\0") for end in ends]
        ports = _PORTS.pack(peer[1], here[1])
        tail = _INTERFACE.pack(_interface(peer[0]), _NO_COOKIE, _NO_COOKIE)
        body = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, _ALL_STATES) + ports + ids[0] + ids[1] + tail
        self._number = self._number % 0xFFFF + 1
        head = _HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, self._number, 0)
        self._diag.send(head + body)
        while True:
            reply = self._diag.recv(_REPLY_BYTES)
            _, kind, _, number, _ = _HEADER.unpack_from(reply)
            # Not a late reply to an earlier request.
            if number == self._number:
                break
        if kind == _NLMSG_ERROR:
            failed = -struct.unpack_from("=i", reply, _HEADER.size)[0]
            if failed == errno.ENOENT:
                return None
            raise OSError(failed, os.strerror(failed))
        found = _ANSWER.unpack_from(reply, _HEADER.size)
        # Where no connection has these addresses, the kernel returns a listener.
        if found[4:7] not in ((ports, *ids), (ports, *(_MAPPED_BYTES + end for end in ends))):
            return None
        *_, uid, inode = found
        return uid if inode else None

    @staticmethod
    def _by_proc(peer: Address, here: Address) -> int | None:
        """The same from the table of all sockets (proc(5)). Raises OSError."""
        if ":" in peer[0]:
            return _row("/proc/net/tcp6", peer, here)
        uid = _row("/proc/net/tcp", peer, here)
        if uid is None:
            uid = _row("/proc/net/tcp6", (_MAPPED + peer[0], peer[1]), (_MAPPED + here[0], here[1]))
        return uid


def _row(table: str, peer: Address, here: Address) -> int | None:
    wanted = f" {_in_table(peer)} {_in_table(here)} "
    with open(table, encoding="ascii") as rows:
        for row in rows:
            if wanted in row:
                fields = row.split()
                return int(fields[7]) if int(fields[9]) else None
    return None


def _plain(address: Address) -> Address:
    """An IPv4 address that a dual-stack socket shows as IPv6 becomes IPv4 again."""
    return address[0].removeprefix(_MAPPED) if "." in address[0] else address[0], address[1]


def _interface(host: str) -> int:
    """The number of the interface that a link-local address (`fe80::1%eth0`) belongs to, else 0."""
    zone = host.partition("%")[2]
    return int(zone) if zone.isdigit() else socket.if_nametoindex(zone) if zone else 0


def _in_table(address: Address) -> str:
    """proc(5): words of 32 bits in the machine's own byte order, in capital hexadecimal."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    raw = socket.inet_pton(family, address[0].partition("%")[0])
    words = struct.unpack(f"={len(raw) // 4}I", raw)
    return "".join(f"{word:08X}" for word in words) + f":{address[1]:04X}"
