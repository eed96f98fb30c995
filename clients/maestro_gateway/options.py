"""Options: the settings that one gateway was started with.

Rule: resolved once, at the start. No other module of the gateway reads the environment.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, NamedTuple

from maestro_schemas.http_limits import HttpLimits

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 4568


class GatewayOptions(NamedTuple):
    """The settings of one gateway."""

    # The data directory.
    data: str
    # For finding the broker, and for starting it where that is allowed.
    environ: Mapping[str, str]
    host: str = DEFAULT_HOST
    # 0 picks a free one.
    port: int = DEFAULT_PORT
    limits: HttpLimits = HttpLimits()
    # Of the pages that may use the gateway beside its own.
    origins: tuple[str, ...] = ()

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the gateway. Where others can, every session needs a token."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
