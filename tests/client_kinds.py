"""Client kinds: the ways to the post office, behind one face, so that one suite holds all of them to one behaviour.

Rule: a `Correspondent` speaks for one session and does what every way can express, REST too; errors are MaestroError
with a code. Another way is another entry of CORRESPONDENTS. `CLIENTS` are the Python clients, with all commands.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from typing import TYPE_CHECKING, Any, Protocol, Self, cast

from maestro_clients.asynchronous import AsyncClient
from maestro_clients.blocking import Client
from maestro_clients.callers import Caller
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from maestro_schemas.documents import ItemResultDoc, MessageDoc, OutgoingDoc, SendResultDoc, SessionDoc
    from post_office import PostOffice


class Connect(Protocol):
    """Makes a client; `address` is the post office's broker where none is given."""

    def __call__(
        self,
        session: str | None = None,
        token: str | None = None,
        *,
        timeout_s: float = 10.0,
        patient: bool = False,
        address: str | None = None,
    ) -> Client: ...


class Correspondent(Protocol):
    """One session, or the operator, at the post office."""

    def start(self, session_id: str, **fields: Any) -> SessionDoc:
        """Start a session: `token`, `name`, `role`, `project_id`, `parent_session_id`, `metadata`, `status`."""

    def get(self, session_id: str) -> SessionDoc:
        """A session, by its id."""

    def find(self, *, project_id: str | None = None, active: bool | None = None) -> list[SessionDoc]:
        """The sessions that fit."""

    def end(self, session_id: str) -> SessionDoc:
        """End a session."""

    def send(
        self, to: str, text: str, *, message_id: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any]:
        """`id`, `to` and `seq` of what was accepted."""

    def inbox(
        self,
        session: str,
        *,
        status: str | None = None,
        type: str | None = None,  # noqa: A002 - the wire's name
        since: int | None = None,
        limit: int | None = None,
    ) -> Mapping[str, Any]:
        """`messages`, `count`, `hasMore`."""

    def read(self, message_id: str) -> Mapping[str, Any]:
        """Mark as read: `id`, `status`, `readAt`."""

    def delete(self, message_id: str) -> None:
        """Delete from the own mailbox."""

    def message(self, message_id: str) -> MessageDoc:
        """One message."""


class Stepped:
    """An AsyncClient whose methods wait: a `blocking.Client` to whoever calls it."""

    def __init__(self, runner: asyncio.Runner, client: AsyncClient) -> None:
        self._runner = runner
        self._client = client

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def wait(*args: Any, **options: Any) -> Any:
            begun = method(*args, **options)
            return self._runner.run(begun) if inspect.iscoroutine(begun) else begun

        return wait

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """As `aclose`."""
        self._runner.run(self._client.aclose())

    def pipeline(self, outgoing: list[OutgoingDoc], **options: Any) -> list[SendResultDoc]:
        """All of it at once."""

        async def collect() -> list[SendResultDoc]:
            return [result async for result in self._client.pipeline(outgoing, **options)]

        return self._runner.run(collect())


class Native:
    """A correspondent over a Python client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def start(self, session_id: str, **fields: Any) -> SessionDoc:
        return self._client.start_session(session_id, **fields)

    def get(self, session_id: str) -> SessionDoc:
        return self._client.session(session_id)

    def find(self, *, project_id: str | None = None, active: bool | None = None) -> list[SessionDoc]:
        return self._client.sessions(project_id=project_id, active=active)

    def end(self, session_id: str) -> SessionDoc:
        return self._client.end_session(session_id)

    def send(
        self, to: str, text: str, *, message_id: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any]:
        return self._client.send(to, text, message_id=message_id, metadata=cast("Any", metadata))

    def inbox(
        self,
        session: str,
        *,
        status: str | None = None,
        type: str | None = None,  # noqa: A002 - the wire's name
        since: int | None = None,
        limit: int | None = None,
    ) -> Mapping[str, Any]:
        wanted = None if status is None else [status]
        return self._client.inbox(session=session, status=wanted, type=type, since=since, limit=limit)

    def read(self, message_id: str) -> Mapping[str, Any]:
        result = _single(self._client.confirm([message_id], "read"))
        return {"id": result["id"], "status": result.get("state"), "readAt": result.get("at")}

    def delete(self, message_id: str) -> None:
        _single(self._client.delete([message_id]))

    def message(self, message_id: str) -> MessageDoc:
        return self._client.message(message_id)


def _single(results: list[ItemResultDoc]) -> ItemResultDoc:
    [result] = results
    if "error" in result:
        raise MaestroError.from_body(result["error"])
    return result


@contextlib.contextmanager
def _blocking(office: PostOffice) -> Iterator[Connect]:
    with contextlib.ExitStack() as opened:

        def connect(
            session: str | None = None, token: str | None = None, *, address: str | None = None, **options: Any
        ) -> Client:
            return opened.enter_context(Client(address or office.router(), Caller(session, token), **options))

        yield connect


@contextlib.contextmanager
def _asynchronous(office: PostOffice) -> Iterator[Connect]:
    with asyncio.Runner() as runner, contextlib.ExitStack() as opened:

        def connect(
            session: str | None = None, token: str | None = None, *, address: str | None = None, **options: Any
        ) -> Client:
            client = AsyncClient(address or office.router(), Caller(session, token), **options)
            return cast("Client", opened.enter_context(Stepped(runner, client)))

        yield connect


CLIENTS: dict[str, Callable[[PostOffice], AbstractContextManager[Connect]]] = {
    "blocking": _blocking,
    "asynchronous": _asynchronous,
}


def _native(kind: str) -> Callable[[PostOffice], AbstractContextManager[Callable[..., Correspondent]]]:
    @contextlib.contextmanager
    def make(office: PostOffice) -> Iterator[Callable[..., Correspondent]]:
        with CLIENTS[kind](office) as connect:
            yield lambda session=None, token=None: Native(connect(session, token))

    return make


# `speak(session, token)` gives who speaks for it; without a session, the operator.
CORRESPONDENTS: dict[str, Callable[[PostOffice], AbstractContextManager[Callable[..., Correspondent]]]] = {
    kind: _native(kind) for kind in CLIENTS
}
