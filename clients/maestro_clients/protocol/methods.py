"""Methods: every command as a method of a client that waits for its reply.

Rule: the one list of the blocking methods. A class that has `call` gets all of them.
"""

from __future__ import annotations

from . import commands

TYPE_CHECKING = False  # importing `typing` costs as much as a whole command of the fast path
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, Concatenate, ParamSpec, TypeVar

    from maestro_schemas.documents import OutgoingDoc, SendResultDoc

    from .callers import Caller

    P = ParamSpec("P")
    T = TypeVar("T")


def _method(prepare: Callable[P, commands.Request[T]]) -> Callable[Concatenate[CommandMethods, P], T]:
    """A command as a method, with the same arguments and the same docstring."""

    def method(self: CommandMethods, /, *args: P.args, **kwargs: P.kwargs) -> T:
        command, body, read, caller = prepare(*args, **kwargs)
        return read(self.call(command, body, caller=caller))

    method.__name__, method.__qualname__ = prepare.__name__, f"CommandMethods.{prepare.__name__}"
    method.__doc__ = prepare.__doc__
    # A traceback shows the command, not the name of this function.
    method.__code__ = method.__code__.replace(co_name=method.__name__, co_qualname=method.__qualname__)
    return method


class CommandMethods:
    """The methods of `Client` and of `OneShotClient`; `commands` documents each."""

    def call(
        self,
        command: str,
        body: Mapping[str, Any],
        *,
        timeout_s: float | None = None,
        caller: Caller | None = None,
    ) -> dict[str, Any]:
        """Send a command and wait for its reply; the reply's body."""
        raise NotImplementedError

    # Messages.
    hello = _method(commands.hello)
    send = _method(commands.send)
    _send_batch = _method(commands.send_many)

    def send_many(self, outgoing: Sequence[OutgoingDoc], *, caller: Caller | None = None) -> list[SendResultDoc]:
        """As `commands.send_many`; an empty sequence makes no request."""
        return self._send_batch(outgoing, caller=caller) if outgoing else []

    inbox = _method(commands.inbox)
    confirm = _method(commands.confirm)
    message = _method(commands.message)
    message_with_people = _method(commands.message_with_people)
    thread = _method(commands.thread)
    dead = _method(commands.dead)
    delete = _method(commands.delete)
    # Sessions.
    start_session = _method(commands.start_session)
    end_session = _method(commands.end_session)
    session = _method(commands.session)
    sessions = _method(commands.sessions)
    touch_session = _method(commands.touch_session)
    # The broker.
    events = _method(commands.events)
    stats = _method(commands.stats)
    drain_outbox = _method(commands.drain_outbox)
    prune = _method(commands.prune)
    shutdown = _method(commands.shutdown)
