"""Hosts: the names under which this gateway answers.

Rule: a foreign page can point its own name at this machine (DNS rebinding), but it can't send a `Host` that is not
its own name. So a request is answered only under the gateway's names: localhost, the configured host, and the address
that the connection reached. The port of `Host` is not compared with the gateway's, because it differs behind a
tunnel. A page is the gateway's own where its origin has the host and port of `Host`; the browser sends both.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from maestro_gateway.options import GatewayOptions

_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
# Addresses to listen on, which no client can use as a name.
_EVERY_ADDRESS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - not bound here
# RFC 3986 section 3.2.2 without the parts that no host of the gateway has: user information, escapes, a scope.
_AUTHORITY = re.compile(
    r"(?:\[([0-9a-f:.]{2,45})\]|([a-z0-9._-]{1,253}))(?::([0-9]{1,5}))?", re.ASCII | re.IGNORECASE
)
# Scheme -> its default port.
_SCHEMES = {"http://": 80, "https://": 443}


class Hosts:
    """The names of one gateway."""

    def __init__(self, options: GatewayOptions) -> None:
        # A gateway that other machines can reach also has the machine's name.
        own = {options.host} if options.is_loopback else {options.host, socket.gethostname()}
        self._names = _LOCAL | {_plain(name) for name in own} - _EVERY_ADDRESS

    def has(self, authority: str, reached: str | None) -> bool:
        """Whether `authority` (`host` or `host:port`) names this gateway. `reached`: the address of this end of the
        connection."""
        host = host_of(authority)
        return host is not None and (host in self._names or (reached is not None and host == _plain(reached)))


def is_same_origin(origin: str, authority: str) -> bool:
    """Whether an `Origin` (RFC 6454 section 7: `scheme://host:port`, or `null`) is the one that `authority` names, a
    Host header's `host` or `host:port`. The scheme is not compared: a proxy that adds TLS has another one."""
    for scheme, usual_port in _SCHEMES.items():
        if origin.lower().startswith(scheme):
            place = _place(origin[len(scheme) :], usual_port)
            return place is not None and place == _place(authority, usual_port)
    return False


def host_of(authority: str) -> str | None:
    """The host in its one spelling; None for a text that is no `host` or `host:port`."""
    match = _AUTHORITY.fullmatch(authority)
    return _plain(match[1] or match[2]) if match is not None else None


def _place(authority: str, usual_port: int) -> tuple[str, int] | None:
    match = _AUTHORITY.fullmatch(authority)
    return (_plain(match[1] or match[2]), int(match[3] or usual_port)) if match is not None else None


def _plain(name: str) -> str:
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name.lower()
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)
