"""Swift client: those methods of `blocking.Client` that a quick command needs, over a swift exchange.

Rule: as `Client` would, or by it. Where the exchange has no answer a `Client` of the same address asks again, and
everything after; whoever repeats a request with the same ids and the same reader loses nothing by that. Imports
nothing of `Client` before.
"""

from __future__ import annotations

from maestro_clients.protocol.methods import CommandMethods
from maestro_schemas.errors import MaestroError

from .channel import one_shot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Self

    from maestro_clients.client import Client
    from maestro_clients.protocol.callers import Caller

_ERROR_STATUS = 400


class OneShotClient(CommandMethods):
    """`speaker`: the `as` of each request. `close` closes the exchange as well."""

    def __init__(
        self, exchange: one_shot.OneShotConnection, speaker: Mapping[str, str], *, timeout_s: float = 10.0
    ) -> None:
        self._exchange = exchange
        self._speaker = speaker
        self._timeout_s = timeout_s
        self._usual: Client | None = None

    def close(self) -> None:
        """Close the connection. Can be repeated."""
        self._exchange.close()
        if self._usual is not None:
            self._usual.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close()

    def ask_once(self, command: str, body: Mapping[str, Any]) -> tuple[int, dict[str, Any]] | None:
        """The status and the body of the reply, or None where there is none; no other connection is opened."""
        if self._usual is not None:
            return None
        return self._exchange.ask(command.encode(), {"as": self._speaker, **body})

    def call(
        self,
        command: str,
        body: Mapping[str, Any],
        *,
        timeout_s: float | None = None,
        caller: Caller | None = None,
    ) -> dict[str, Any]:
        """As `Client.call`."""
        if self._usual is None:
            speaker = self._speaker if caller is None else caller.as_body()
            patience_s = one_shot.PATIENCE_S if timeout_s is None else min(timeout_s, one_shot.PATIENCE_S)
            answer = self._exchange.ask(command.encode(), {"as": speaker, **body}, patience_s)
            if answer is not None:
                status, found = answer
                if status >= _ERROR_STATUS:
                    raise MaestroError.from_body(found)
                return found
            self._usual = self._opened()
        return self._usual.call(command, body, timeout_s=timeout_s, caller=caller)

    def _opened(self) -> Client:
        from maestro_clients.client import Client
        from maestro_clients.protocol.callers import Caller

        speaker = Caller(self._speaker.get("session"), self._speaker.get("token"))
        return Client(one_shot.address(self._exchange.path), speaker, timeout_s=self._timeout_s)


if TYPE_CHECKING:
    # What a command may hold: both have the same methods.
    AnyClient = Client | OneShotClient
