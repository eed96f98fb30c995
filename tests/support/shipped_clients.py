"""Shipped clients: the requests of the programs that Maestro shipped, as their users' machines send them.

Rule: written from what was seen on the wire. A client repeats a request that got a 5xx or no answer three times,
unchanged and without a key. The newest generation names itself in `X-Session-Id` on every call, also before it is
known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .gateways import Answer, Gateway

ATTEMPTS = 4
_SERVER_ERROR = 500


class ShippedClient(NamedTuple):
    """One agent's client. `names_itself`: whether its generation sends the header."""

    gateway: Gateway
    session: str
    names_itself: bool = False
    attempts: int = ATTEMPTS

    def call(self, method: str, path: str, body: Any = None) -> Answer:
        """The first answer that is no 5xx, or the last one."""
        headers = {"X-Session-Id": self.session} if self.names_itself else {}
        for _ in range(self.attempts - 1):
            try:
                found = self.gateway.ask(method, path, body, headers=headers)
            except OSError:
                continue
            if found.status < _SERVER_ERROR:
                return found
        return self.gateway.ask(method, path, body, headers=headers)

    def register(self, **fields: Any) -> Answer:
        """It looks whether its session is there, and then changes it or makes it."""
        path = f"/api/sessions/{self.session}"
        if self.call("GET", path).status == 200:
            return self.call("PATCH", path, {"status": "working"})
        body = {"id": self.session, "name": self.session, "projectId": "proj_demo", "status": "working", **fields}
        return self.call("POST", "/api/sessions", body)
