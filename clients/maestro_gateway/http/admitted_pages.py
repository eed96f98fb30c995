"""Admitted pages: the pages of other origins that the settings name, and what their browser is to know (CORS).

Rule: without the setting, no page is admitted, and no answer has such a header. An admitted page may do what a
program of the browser's user may, so the setting names whole origins, and never a pattern.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.responses import Response

if TYPE_CHECKING:
    from starlette.types import Scope

    from maestro_gateway.options import GatewayOptions

_METHODS: Final = "GET, HEAD, POST, PUT, PATCH, DELETE"
# The headers of a request that any call reads.
_READ: Final = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, X-Session-ID"
# The headers of an answer that say something which its body does not.
_SHOWN: Final = "Deprecation, Link, Location, Retry-After, Sunset"
# For this time a browser asks only once for a call.
_MAX_AGE_S: Final = 600


class AdmittedPages:
    """The setting `origins` of one gateway."""

    def __init__(self, options: GatewayOptions) -> None:
        self._origins = frozenset(origin.encode() for origin in options.origins)

    def admits(self, scope: Scope) -> bool:
        """Whether the request comes from a page that the setting names."""
        return self._origin(scope) is not None

    def answer_headers(self, scope: Scope) -> list[tuple[bytes, bytes]]:
        """What each answer to such a page has beside its own headers."""
        origin = self._origin(scope)
        if origin is None:
            return []
        return [
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", _SHOWN.encode()),
            (b"vary", b"Origin"),
        ]

    def preflight(self, scope: Scope) -> Response | None:
        """The answer to a browser that asks before it sends such a page's call; None for any other request."""
        if scope["type"] != "http" or scope["method"] != "OPTIONS" or not self.admits(scope):
            return None
        asked = {name for name, _ in scope["headers"]}
        if b"access-control-request-method" not in asked:
            return None
        headers = {
            "Access-Control-Allow-Methods": _METHODS,
            "Access-Control-Allow-Headers": _READ,
            "Access-Control-Max-Age": str(_MAX_AGE_S),
        }
        if b"access-control-request-private-network" in asked:
            headers["Access-Control-Allow-Private-Network"] = "true"
        return Response(status_code=204, headers=headers)

    def _origin(self, scope: Scope) -> bytes | None:
        if not self._origins:
            return None
        # Of a header that is there twice, neither counts.
        origins = [value for name, value in scope["headers"] if name == b"origin"]
        return origins[0] if len(origins) == 1 and origins[0] in self._origins else None
