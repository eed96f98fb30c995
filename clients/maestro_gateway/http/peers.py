"""Peers: the user that owns the other end of a loopback connection.

Rule: the kernel is asked once for each connection. Only an open socket has an owner; a socket that is closed already
has none, and never counts as root's. Where the kernel can't tell (no Linux, no such table), which is tried at the
start, every peer is accepted.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    Address = tuple[str, int]

# linux/inet_diag.h and linux/sock_diag.h: a request for one socket by its two addresses, without a dump of all.
_NETLINK_SOCK_DIAG: Final = 4
_SOCK_DIAG_BY_FAMILY: Final = 20
_NLM_F_REQUEST: Final = 1
_NLMSG_ERROR: Final = 2
_HEADER: Final = struct.Struct("=IHHII")
_REQUEST: Final = struct.Struct("=BBBBI")
_PORTS: Final = struct.Struct("!HH")
# The interface (any) and the cookie (none) of an inet_diag_sockid.
_ANY: Final = struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
_ANSWER: Final = struct.Struct("=BBBB4s16s16s12sIIIII")
_ALL_STATES: Final = 0xFFFFFFFF
_REPLY_BYTES: Final = 8_192
_WAIT_S: Final = 1.0

_ROOT: Final = 0


class Peers:
    """The owners of loopback sockets, by the kernel."""

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

    def is_foreign(self, peer: Address | None, here: Address | None) -> bool:
        """Whether the peer of a loopback connection belongs to another user, or its socket has no owner any more.
        This process's user and root are not foreign. `peer`, `here`: the connection's ends as (address, port). False
        where the peer is on another machine, or the kernel can't tell."""
        if self._owner is None or peer is None or here is None:
            return False
        peer, here = _plain(peer), _plain(here)
        try:
            if not ipaddress.ip_address(peer[0]).is_loopback:
                return False
            uid = self._owner(peer, here)
        except (OSError, ValueError):
            return False
        return uid not in (self._uid, _ROOT)

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
        ends = [socket.inet_pton(family, end[0]).ljust(16, b"\0") for end in (peer, here)]
        ports = _PORTS.pack(peer[1], here[1])
        body = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, _ALL_STATES) + ports + ends[0] + ends[1] + _ANY
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
        if found[4:7] != (ports, ends[0], ends[1]):
            return None
        *_, uid, inode = found
        return uid if inode else None

    @staticmethod
    def _by_proc(peer: Address, here: Address) -> int | None:
        """The same from the table of all sockets (proc(5)). Raises OSError."""
        is_v6 = ":" in peer[0]
        wanted = f" {_in_table(peer)} {_in_table(here)} "
        with open("/proc/net/tcp6" if is_v6 else "/proc/net/tcp", encoding="ascii") as table:
            for line in table:
                if wanted in line:
                    fields = line.split()
                    return int(fields[7]) if int(fields[9]) else None
        return None


def _plain(address: Address) -> Address:
    """An IPv4 address that a dual-stack socket shows as IPv6 becomes IPv4 again; a scope is removed."""
    return address[0].removeprefix("::ffff:") if "." in address[0] else address[0].partition("%")[0], address[1]


def _in_table(address: Address) -> str:
    """proc(5): words of 32 bits in the machine's own byte order, in capital hexadecimal."""
    raw = socket.inet_pton(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, address[0])
    words = struct.unpack(f"={len(raw) // 4}I", raw)
    return "".join(f"{word:08X}" for word in words) + f":{address[1]:04X}"
