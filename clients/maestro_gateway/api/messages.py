"""Messages over HTTP: send, list, step, delete, one, its thread.

Rule: no policy of its own. A key that makes a repeat safe becomes the message's id, and the broker does the rest.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, cast

import msgspec

from maestro_clients.protocol.callers import Caller
from maestro_clients.protocol.new_ids import new_message_id
from maestro_gateway.http.identity import caller_of, token_of
from maestro_gateway.http.responses import answer, nothing
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from maestro_clients.async_client import AsyncClient
    from maestro_schemas.documents import ItemResultDoc, MessageDoc, MetadataDoc, SendResultDoc

    from .bodies import DeadQuery, InboxQuery, SendBody, StatusBody

ALL_STATUSES = ("pending", "delivered", "read", "failed", "expired")

_KEY_CHARS_MAX = 255
_KEY_DIGITS = 40


async def send(request: Request, *, body: SendBody) -> Response:
    """201 and the Message, on disk. A repeat under the same id or key gets the same, and `Idempotent-Replayed`."""
    caller = caller_of(request)
    client = client_of(request)
    from_key = _id_of_key(caller.session or "", request.headers.get("idempotency-key"))
    message_id = from_key if body.id is None else body.id
    metadata = cast("MetadataDoc", msgspec.to_builtins(body.metadata))
    result = await client.send(
        request.path_params["session"],
        body.message,
        message_id=message_id,
        metadata=metadata or None,
        ttl_ms=body.ttl_ms,
        on_ended=body.on_ended,
        caller=caller,
    )
    headers = {"Location": f"/api/messages/{result['id']}"}
    if result["status"] == 200:
        headers["Idempotent-Replayed"] = "true"
    if result.get("state") == "deleted":
        return answer({"id": result["id"], "to": result.get("to"), "status": "deleted"}, 201, headers)
    try:
        shown = await client.message(result["id"], caller=caller)
    except MaestroError:
        # It is on disk all the same: its receiver has deleted it at once, or the broker went away since.
        shown = _as_sent(caller, body.message, metadata, result)
    return answer(shown, 201, headers)


async def inbox(request: Request, *, query: InboxQuery) -> Response:
    """A page of a mailbox; changes nothing."""
    session, caller = await reader_of(request)
    page = await client_of(request).inbox(
        session=session,
        since=query.since,
        limit=query.limit,
        status=_listed(query.status) if query.status else ALL_STATUSES,
        type=query.type,
        caller=caller,
    )
    kept = ("messages", "count", "hasMore", "upTo", "pending")
    return answer({name: page[name] for name in kept})  # type: ignore[literal-required]


async def dead(request: Request, *, query: DeadQuery) -> Response:
    """What a session sent that expired before it was delivered."""
    session, caller = await reader_of(request)
    page = await client_of(request).dead(session=session, before=query.before, limit=query.limit, caller=caller)
    return answer({**page, "count": len(page["messages"])})


async def step(request: Request, *, body: StatusBody) -> Response:
    """A message was delivered, or read."""
    message, caller = await _owned(request)
    client = client_of(request)
    only(await client.confirm([message["id"]], body.status, session=message["to"], via="http", caller=caller))
    now = await client.message(message["id"], caller=caller)
    kept = ("id", "status", "deliveredAt", "readAt")
    return answer({name: now[name] for name in kept if name in now})  # type: ignore[literal-required]


async def delete(request: Request) -> Response:
    """A message goes."""
    message, caller = await _owned(request)
    only(await client_of(request).delete([message["id"]], session=message["to"], caller=caller))
    return nothing()


async def one(request: Request) -> Response:
    """One message, for its sender and its receiver."""
    message, _ = await _owned(request)
    return answer(message)


async def thread(request: Request) -> Response:
    """The thread that a message is in."""
    message, caller = await _owned(request)
    found = await client_of(request).thread(message["id"], caller=caller)
    return answer({**found, "count": len(found["messages"])})


async def reader_of(request: Request) -> tuple[str, Caller]:
    """The mailbox that a path names, and who asks: the session of the headers, else the mailbox's owner."""
    session, caller = request.path_params["session"], caller_of(request)
    if caller.session is None:
        # The owner's own id, since only the operator may ask by a name, and is told which names there are.
        session = (await client_of(request).session(session))["id"]
        caller = Caller(session, token_of(request))
    return session, caller


def client_of(request: Request) -> AsyncClient:
    """The gateway's client."""
    return cast("AsyncClient", request.app.state.gateway.post.client)


def _as_sent(caller: Caller, text: str, metadata: MetadataDoc, result: SendResultDoc) -> MessageDoc:
    """The message by what the sender said of it and the broker answered."""
    if "threadId" in result:
        metadata = {**metadata, "threadId": result["threadId"]}
    made: dict[str, Any] = {
        "id": result["id"],
        "seq": result.get("seq"),
        "from": caller.session,
        "to": result.get("to"),
        "originalTo": result.get("originalTo"),
        "message": text,
        "metadata": metadata or None,
        "status": result.get("state", "pending"),
        "createdAt": result.get("createdAt"),
        "expiresAt": result.get("expiresAt"),
    }
    return cast("MessageDoc", {name: value for name, value in made.items() if value is not None})


def _listed(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


async def _owned(request: Request) -> tuple[MessageDoc, Caller]:
    """The message that a path names, and who asks: the session of the headers, else the message's receiver."""
    client = client_of(request)
    message_id = request.path_params["message"]
    caller = caller_of(request)
    if caller.session is None:
        caller = Caller((await client.message(message_id))["to"], token_of(request))
    return await client.message(message_id, caller=caller), caller


def _id_of_key(sender: str, key: str | None) -> str:
    if key is None:
        return new_message_id()
    # An empty one is a mistake of a sender who relies on it.
    if not 0 < len(key) <= _KEY_CHARS_MAX:
        raise MaestroError(
            "INVALID",
            f"the Idempotency-Key has {len(key)} characters, and it has 1 to {_KEY_CHARS_MAX}",
            "A UUID does.",
            limit=_KEY_CHARS_MAX,
            actual=len(key),
        )
    # Of the sender too: two sessions may choose the same key.
    return "key_" + hashlib.sha256(f"{sender}\n{key}".encode()).hexdigest()[:_KEY_DIGITS]


def only(results: list[ItemResultDoc]) -> None:
    """Raises the error of the one result, if it is one."""
    [result] = results
    if "error" in result:
        raise MaestroError.from_body(result["error"])
