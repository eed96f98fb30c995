"""One-shot client: the methods of `Client` over a one-shot connection, for the fast path.

Rule: where the one-shot connection has no answer, or the broker is busy, a `Client` of the same address asks again,
and sends every later request. A repeat with the same ids and the same reader does nothing twice. `Client` is imported
only then.
"""

from __future__ import annotations

from maestro_clients.channel.core import body_of
from maestro_clients.protocol.command_methods import CommandMethods
from maestro_schemas import NOT_REPEATABLE
from maestro_schemas.errors import MaestroError

from .channel import one_shot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Self, TypeVar

    from maestro_clients.client import Client
    from maestro_clients.protocol.callers import Caller
    from maestro_clients.protocol.commands import Request
    from maestro_schemas.documents import SendResultDoc

    T = TypeVar("T")

# The usual client repeats a request for this long while the broker is busy or away.
_RETRY_WITHIN_S = 3.0


class OneShotClient(CommandMethods):
    """`speaker`: the `as` of each request. `close` closes the connection as well."""

    def __init__(
        self, connection: one_shot.OneShotConnection, speaker: Mapping[str, str | bool], *, timeout_s: float = 10.0
    ) -> None:
        self._connection = connection
        self._speaker = speaker
        self._timeout_s = timeout_s
        self._usual: Client | None = None

    def close(self) -> None:
        """Close the connection. Can be repeated."""
        self._connection.close()
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
        return self._connection.ask(command.encode(), {"as": self._speaker, **body})

    def request(self, request: Request[T]) -> T:
        """As `Client.request`: where the broker is busy or away, the request is repeated."""
        try:
            return super().request(request)
        except MaestroError as error:
            passes = error.retryable and error.kind in ("busy", "unreachable")
            if self._usual is not None or not passes or request[0] in NOT_REPEATABLE:
                raise
        self._usual = self._opened()
        return self._usual.request(request)

    def send_files(
        self,
        prepare: Callable[..., Request[SendResultDoc]],
        arguments: tuple[Any, ...],
        named: Mapping[str, Any],
    ) -> SendResultDoc:
        """As `Client.send_files`: the usual client sends, since a fast one is made for one small request."""
        if self._usual is None:
            self._usual = self._opened()
        return self._usual.send_files(prepare, arguments, named)

    def call(
        self,
        command: str,
        body: Mapping[str, Any],
        *,
        timeout_s: float | None = None,
        caller: Caller | None = None,
    ) -> dict[str, Any]:
        """As `Client.call`. Without a reply the usual client asks again, unless the command may act a second time."""
        if self._usual is None:
            speaker = self._speaker if caller is None else caller.as_body()
            patience_s = self._timeout_s if timeout_s is None else timeout_s
            if command not in NOT_REPEATABLE:
                patience_s = min(patience_s, one_shot.PATIENCE_S)
            answer = self._connection.ask(command.encode(), {"as": speaker, **body}, patience_s)
            if answer is not None:
                return body_of(answer)
            if command in NOT_REPEATABLE and self._connection.was_sent:
                from maestro_clients.channel.unanswered import unanswered

                raise unanswered(one_shot.address(self._connection.path), connected=True)
            self._usual = self._opened()
        return self._usual.call(command, body, timeout_s=timeout_s, caller=caller)

    def _opened(self) -> Client:
        from maestro_clients.client import Client
        from maestro_clients.protocol.callers import Caller
        from maestro_clients.protocol.speaker import named_by

        return Client(
            one_shot.address(self._connection.path),
            Caller(*named_by(self._speaker)),
            timeout_s=self._timeout_s,
            retry_within_s=_RETRY_WITHIN_S,
        )


if TYPE_CHECKING:
    # What a command may hold: both have the same methods.
    AnyClient = Client | OneShotClient
