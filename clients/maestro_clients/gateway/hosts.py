"""Hosts: under which names this gateway may be asked.

Rule: a page of somebody else's can point its own name at this machine (DNS rebinding), but can't choose the `Host` of
a name that is not its own. So a request is answered only under names that are ours: localhost, the host that was
configured, and the address that the connection reached. The port is not compared: it is another one behind a tunnel.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .options import Options

_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
# To listen there is to listen everywhere; it is no name to be asked under.
_EVERY_ADDRESS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - not bound here
# RFC 3986 section 3.2.2 without what no host of ours has: user information, escapes, a scope.
_AUTHORITY = re.compile(r"(?:\[([0-9a-f:.]{2,45})\]|([a-z0-9._-]{1,253}))(?::[0-9]{1,5})?", re.ASCII | re.IGNORECASE)
_SCHEMES = ("http://", "https://")


class Hosts:
    """The names of one gateway."""

    def __init__(self, options: Options) -> None:
        # Where others can reach it, also under the machine's name.
        ours = {options.host} if options.is_loopback else {options.host, socket.gethostname()}
        self._names = _LOCAL | {_plain(name) for name in ours} - _EVERY_ADDRESS

    def has(self, authority: str, reached: str | None) -> bool:
        """Whether `authority` (`host` or `host:port`) names us. `reached`: the address the connection came to."""
        host = host_of(authority)
        return host is not None and (host in self._names or (reached is not None and host == _plain(reached)))

    def has_origin(self, origin: str, reached: str | None) -> bool:
        """Whether an `Origin` (RFC 6454 section 7: `scheme://host:port`, or `null`) is a page of ours."""
        for scheme in _SCHEMES:
            if origin.lower().startswith(scheme):
                return self.has(origin[len(scheme) :], reached)
        return False


def host_of(authority: str) -> str | None:
    """The host, in one spelling; None where that is no `host` or `host:port`."""
    match = _AUTHORITY.fullmatch(authority)
    return _plain(match[1] or match[2]) if match is not None else None


def _plain(name: str) -> str:
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name.lower()
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)
