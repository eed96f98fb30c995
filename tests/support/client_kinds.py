"""Client kinds: the ways to the post office, behind one face, so that one suite holds all of them to one behaviour.

Rule: a `Correspondent` speaks for one session and does what every way can express, REST too; errors are MaestroError
with a code. Another way is another entry of CORRESPONDENTS. `CLIENTS` are the Python clients, with all commands.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import re
from typing import TYPE_CHECKING, Any, Protocol, Self, cast

import httpx

from maestro_clients.async_client import AsyncClient
from maestro_clients.client import Client
from maestro_clients.protocol.callers import Caller
from maestro_schemas.errors import MaestroError
from support.gateways import Gateway

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from maestro_schemas.documents import ItemResultDoc, MessageDoc, OutgoingDoc, SendResultDoc, SessionDoc
    from support.post_office import PostOffice


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
        self,
        to: str,
        text: str,
        *,
        message_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        ttl_ms: int | None = None,
        on_ended: str | None = None,
    ) -> Mapping[str, Any]:
        """`id`, `to` and `seq` of what was accepted."""

    def dead(self, session: str, *, before: int | None = None, limit: int | None = None) -> Mapping[str, Any]:
        """`messages`, `hasMore`, `before`."""

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
    """An AsyncClient whose methods wait, so that its callers use it as a `Client`."""

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
        self,
        to: str,
        text: str,
        *,
        message_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        ttl_ms: int | None = None,
        on_ended: str | None = None,
    ) -> Mapping[str, Any]:
        said = cast("Any", metadata)
        return self._client.send(to, text, message_id=message_id, metadata=said, ttl_ms=ttl_ms, on_ended=on_ended)

    def dead(self, session: str, *, before: int | None = None, limit: int | None = None) -> Mapping[str, Any]:
        return self._client.dead(session=session, before=before, limit=limit)

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


class Rest:
    """A correspondent over HTTP: the documented calls, and what they answer."""

    def __init__(self, client: httpx.Client, session: str | None, token: str | None) -> None:
        self._client = client
        self._headers = {} if session is None else {"X-Session-ID": session}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"

    def _ask(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        asked = {name: value for name, value in query.items() if value is not None}
        answer = self._client.request(method, path, json=body, params=asked, headers=self._headers)
        if answer.status_code >= 400:
            assert answer.json()["statusCode"] == answer.status_code
            raise MaestroError.from_body(answer.json())
        return answer.json() if answer.content else None

    def start(self, session_id: str, **fields: Any) -> SessionDoc:
        named = {re.sub("_(.)", lambda found: found[1].upper(), name): value for name, value in fields.items()}
        return cast("SessionDoc", self._ask("POST", "/api/sessions", {"id": session_id, **named}))

    def get(self, session_id: str) -> SessionDoc:
        return cast("SessionDoc", self._ask("GET", f"/api/sessions/{session_id}"))

    def find(self, *, project_id: str | None = None, active: bool | None = None) -> list[SessionDoc]:
        found = self._ask("GET", "/api/sessions", projectId=project_id, active=active)
        return cast("list[SessionDoc]", found)

    def end(self, session_id: str) -> SessionDoc:
        return cast("SessionDoc", self._ask("PATCH", f"/api/sessions/{session_id}", {"status": "completed"}))

    def send(
        self,
        to: str,
        text: str,
        *,
        message_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        ttl_ms: int | None = None,
        on_ended: str | None = None,
    ) -> Mapping[str, Any]:
        body = {"message": text, "metadata": metadata or {}, "id": message_id, "ttlMs": ttl_ms, "onEnded": on_ended}
        return cast("Mapping[str, Any]", self._ask("POST", f"/api/sessions/{to}/messages", body))

    def dead(self, session: str, *, before: int | None = None, limit: int | None = None) -> Mapping[str, Any]:
        path = f"/api/sessions/{session}/dead-letters"
        return cast("Mapping[str, Any]", self._ask("GET", path, before=before, limit=limit))

    def inbox(
        self,
        session: str,
        *,
        status: str | None = None,
        type: str | None = None,  # noqa: A002 - the wire's name
        since: int | None = None,
        limit: int | None = None,
    ) -> Mapping[str, Any]:
        path = f"/api/sessions/{session}/messages"
        found = self._ask("GET", path, status=status, type=type, since=since, limit=limit)
        return cast("Mapping[str, Any]", found)

    def read(self, message_id: str) -> Mapping[str, Any]:
        return cast("Mapping[str, Any]", self._ask("PATCH", f"/api/messages/{message_id}", {"status": "read"}))

    def delete(self, message_id: str) -> None:
        self._ask("DELETE", f"/api/messages/{message_id}")

    def message(self, message_id: str) -> MessageDoc:
        return cast("MessageDoc", self._ask("GET", f"/api/messages/{message_id}"))


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


@contextlib.contextmanager
def _http(office: PostOffice) -> Iterator[Callable[..., Correspondent]]:
    with Gateway(office) as gateway, httpx.Client(base_url=gateway.url, timeout=20.0, trust_env=False) as client:
        yield lambda session=None, token=None: Rest(client, session, token)


# `speak(session, token)` gives who speaks for it; without a session, the operator.
CORRESPONDENTS: dict[str, Callable[[PostOffice], AbstractContextManager[Callable[..., Correspondent]]]] = {
    **{kind: _native(kind) for kind in CLIENTS},
    "http": _http,
}
