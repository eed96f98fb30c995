"""Messages over HTTP: send, list, confirm, delete, read one, read its thread.

Rule: each call is one request to the broker, which judges it. A key that makes a repeat safe becomes the message's
id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec

from maestro_clients.attachments.media_types import media_type
from maestro_clients.protocol.callers import Caller
from maestro_clients.protocol.new_ids import new_message_id
from maestro_gateway.http.identity import caller_of, token_of
from maestro_gateway.http.responses import answer, next_page, nothing, part_error
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import OPERATOR, key_digest
from maestro_schemas.texts.attachment_names import safe_names

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from starlette.requests import Request
    from starlette.responses import Response

    from maestro_clients.async_client import AsyncClient
    from maestro_schemas.documents import AttachmentDoc, ErrorDoc, ItemResultDoc, MetadataDoc, RecipientResultDoc

    from .bodies import DeadQuery, FanOutBody, InboxQuery, PreviewBody, ReceiptQuery, SaidQuery, SendBody, StatusBody

ALL_STATUSES = ("pending", "delivered", "read", "failed", "expired")

_KEY_CHARS_MAX = 255
_REPEATED = 200
# What Maestro's own clients write for the id of no message.
_NONE = "null"


async def send(request: Request, *, body: SendBody) -> Response:
    """201 and the Message, on disk. A repeat under the same id or key gets the same, and `Idempotent-Replayed`."""
    caller = caller_of(request)
    _check_said_twice("to", body.to, request.path_params["session"], "the path")
    from_key = _id_of_key(request.headers.get("idempotency-key"))
    metadata = _metadata(request, body)
    result = await client_of(request).send(
        request.path_params["session"],
        body.message,
        message_id=from_key if body.id is None else body.id,
        metadata=metadata,
        ttl_ms=body.ttl_ms,
        expires_at=body.expires_at,
        on_ended=body.on_ended,
        attachments=_files(body),
        whole=True,
        caller=caller,
    )
    headers = {"Location": f"/api/messages/{result['id']}"}
    if result["status"] == 200:
        headers["Idempotent-Replayed"] = "true"
    # A repeated send whose message has been deleted since has no message.
    deleted = {"id": result["id"], "to": result.get("to"), "status": "deleted"}
    return answer(result.get("message", deleted), 201, headers)


async def send_to(request: Request, *, body: FanOutBody) -> Response:
    """201 and what became of it at each receiver; 200 and the same for a repeat under the same id or key."""
    from_key = _id_of_key(request.headers.get("idempotency-key"))
    result = await client_of(request).send(
        body.to,
        body.message,
        message_id=from_key if body.id is None else body.id,
        metadata=_metadata(request, body),
        ttl_ms=body.ttl_ms,
        expires_at=body.expires_at,
        on_ended=body.on_ended,
        attachments=_files(body),
        confirm=body.confirm,
        caller=caller_of(request),
    )
    _for_http(result.get("recipients", ()))
    headers = {"Location": f"/api/messages/{result['id']}"}
    if result["status"] == _REPEATED:
        headers["Idempotent-Replayed"] = "true"
    return answer(result, result["status"], headers)


async def preview(request: Request, *, body: PreviewBody) -> Response:
    """Who would get a message, and when; nothing is sent, and no rate is counted."""
    metadata = cast("MetadataDoc", msgspec.to_builtins(body.metadata))
    found = await client_of(request).preview(
        body.to, metadata=metadata or None, on_ended=body.on_ended, caller=caller_of(request)
    )
    _for_http(found["recipients"])
    return answer(found)


async def inbox(request: Request, *, query: InboxQuery) -> Response:
    """A page of a mailbox, or of what the session sent; changes nothing."""
    session, caller = await reader_of(request)
    if query.direction == "sent":
        return await _sent(request, query, session, caller)
    page = await client_of(request).inbox(
        session=session,
        since=query.since,
        limit=query.limit,
        status=_listed(query.status) if query.status else ALL_STATUSES,
        type=query.type,
        sender=query.sender,
        thread=query.thread,
        caller=caller,
    )
    kept = ("messages", "count", "hasMore", "upTo", "pending")
    # Without `since` the page is sorted by priority, and has no position to continue from.
    cursor = page["upTo"] if page["hasMore"] and query.since is not None else None
    headers = next_page(request, "since", cursor)
    return answer({name: page[name] for name in kept}, headers=headers)  # type: ignore[literal-required]


async def dead(request: Request, *, query: DeadQuery) -> Response:
    """The messages of a session that expired before they were delivered."""
    session, caller = await reader_of(request)
    page = await client_of(request).dead(session=session, before=query.before, limit=query.limit, caller=caller)
    headers = next_page(request, "before", page["before"] if page["hasMore"] else None)
    return answer({**page, "count": len(page["messages"])}, headers=headers)


async def step(request: Request, *, body: StatusBody) -> Response:
    """Confirm that a message was delivered, or read."""
    client = client_of(request)

    async def ask(message_id: str, session: str | None, caller: Caller) -> list[ItemResultDoc]:
        return await client.confirm(
            [message_id], body.status, session=session, via="http", whole=True, as_receiver=True, caller=caller
        )

    message = (await _in_its_mailbox(request, ask))["message"]
    kept = ("id", "status", "deliveredAt", "readAt")
    return answer({name: message[name] for name in kept if name in message})


async def delete(request: Request) -> Response:
    """Delete a message from its receiver's mailbox."""
    await delete_named(request)
    return nothing()


async def delete_named(request: Request) -> None:
    """Delete the message that the path names. Raises MaestroError, also for one that was deleted before."""
    client = client_of(request)

    async def ask(message_id: str, session: str | None, caller: Caller) -> list[ItemResultDoc]:
        return await client.delete([message_id], session=session, as_receiver=True, caller=caller)

    # The broker accepts a repeated delete, and gives no time for it. Over HTTP a deleted message is not found.
    if "at" not in await _in_its_mailbox(request, ask):
        message_id = request.path_params["message"]
        raise MaestroError(
            "MESSAGE_NOT_FOUND", f"message {message_id!r} was deleted before", "Nothing remains to be deleted."
        )


async def one(request: Request) -> Response:
    """One message, for its sender and its receiver. The person who named no receiver gets the first delivery."""
    client, message_id, caller = client_of(request), request.path_params["message"], _receiver_or_session(request)
    try:
        return answer(await client.message(message_id, as_receiver=True, caller=caller))
    except MaestroError as error:
        if error.code != "AMBIGUOUS_ID" or caller.session != OPERATOR:
            raise
        first = (error.details or {})["receivers"][0]
    return answer(await client.message(message_id, session=first, caller=caller))


async def receipt(request: Request, *, query: ReceiptQuery) -> Response:
    """What became of a message at each of its receivers."""
    found = await client_of(request).receipt(
        request.path_params["message"], session=query.receiver, people=True, caller=caller_of(request)
    )
    return answer(found)


async def said(request: Request, *, query: SaidQuery) -> Response:
    """A page of what was said, with the texts; changes nothing, and marks nothing as read.

    A session gets what it sent and received, an orchestrator also what was said within its project. `operator` as the
    session of the header is the person, who gets all.
    """
    caller = reader(request)
    page = await client_of(request).messages(
        query.peer,
        session=query.session,
        project_id=query.project or None,
        box=query.box,
        before=query.before,
        after=query.after,
        since=query.since,
        until=query.until,
        limit=query.limit,
        counts=query.counts,
        caller=caller,
    )
    cursor, at = ("before", page["before"]) if query.after is None else ("after", page["upTo"])
    headers = next_page(request, cursor, at if page["hasMore"] else None)
    return answer({**page, "count": len(page["messages"])}, headers=headers)


def reader(request: Request) -> Caller:
    """The caller of a call that shows mail of several sessions; the operator, who reads all, speaks as itself.

    Raises MaestroError NO_SESSION where no session was named.
    """
    caller = caller_of(request)
    if caller.session is None:
        raise MaestroError(
            "NO_SESSION",
            "no session was named whose messages are wanted",
            "Send X-Session-ID, with the session's token as `Authorization: Bearer`. The value `operator` is the "
            "person, for a program of that user on the gateway's machine.",
        )
    return Caller() if caller.session == OPERATOR else caller


async def thread(request: Request) -> Response:
    """The thread that a message is in."""
    message_id, caller = request.path_params["message"], _receiver_or_session(request)
    found = await client_of(request).thread(message_id, as_receiver=True, caller=caller)
    return answer({**found, "count": len(found["messages"])})


async def reader_of(request: Request) -> tuple[str, Caller]:
    """The mailbox that a path names, and the caller: the session of the headers, else the mailbox's owner."""
    session, caller = request.path_params["session"], caller_of(request)
    if caller.session is None:
        # Only the operator may look a session up by its name. The mailbox is then read with the owner's rights.
        session = (await client_of(request).session(session))["id"]
        caller = Caller(session, token_of(request))
    return session, caller


def _for_http(recipients: Iterable[RecipientResultDoc]) -> None:
    """Give each refusal of one receiver the hint for a caller of HTTP."""
    for each in recipients:
        if "error" in each:
            each["error"] = cast("ErrorDoc", part_error(MaestroError.from_body(each["error"])))


async def _sent(request: Request, query: InboxQuery, session: str, caller: Caller) -> Response:
    if query.sender is not None or query.since is not None:
        raise MaestroError(
            "INVALID",
            "the query: `from` and `since` are about received messages, and can't stand beside direction=sent",
            "GET /api/messages has more filters.",
        )
    wanted = frozenset(_listed(query.status) if query.status else ALL_STATUSES)
    page = await client_of(request).messages(
        session=session,
        box="out",
        before=query.before,
        limit=query.limit,
        caller=Caller() if caller.session == OPERATOR else caller,
    )
    found = []
    for said in page["messages"]:
        message = said["message"]
        metadata = message.get("metadata", {})
        is_of_type = query.type is None or metadata.get("type") == query.type
        is_of_thread = query.thread is None or query.thread in (message["id"], metadata.get("threadId"))
        if message["status"] in wanted and is_of_type and is_of_thread:
            found.append(message)
    shown = {
        "messages": found,
        "count": len(found),
        "hasMore": page["hasMore"],
        "upTo": page["upTo"],
        "pending": sum(message["status"] == "pending" for message in found),
    }
    return answer(shown, headers=next_page(request, "before", page["before"] if page["hasMore"] else None))


def _metadata(request: Request, body: SendBody) -> MetadataDoc | None:
    """The metadata of a message. Raises MaestroError INVALID for a body that names another sender than the header."""
    session = caller_of(request).session
    if session is not None:
        _check_said_twice("from", body.sender, session, "X-Session-ID")
    metadata = cast("MetadataDoc", msgspec.to_builtins(body.metadata))
    if metadata.get("inReplyTo") == _NONE:
        del metadata["inReplyTo"]
    return metadata or None


def _files(body: SendBody) -> list[AttachmentDoc]:
    """The files as the message names them."""
    names = safe_names([file.name for file in body.attachments])
    return [
        {"name": name, "size": file.size, "type": file.type or media_type(name), "sha256": file.sha256}
        for name, file in zip(names, body.attachments, strict=True)
    ]


def _check_said_twice(name: str, given: str | None, meant: str, where: str) -> None:
    if given is not None and given != meant:
        raise MaestroError(
            "INVALID",
            f"the body: `{name}` is {given[:64]!r}, and {where} says {meant[:64]!r}",
            f"Name the same session in both, or leave `{name}` off.",
        )


def client_of(request: Request) -> AsyncClient:
    """The gateway's client."""
    return cast("AsyncClient", request.app.state.gateway.broker.client)


def _receiver_or_session(request: Request) -> Caller:
    """The caller of a call about a message: the session of the headers, else its receiver, with the token."""
    return Caller(caller_of(request).session, token_of(request))


async def _in_its_mailbox(
    request: Request, ask: Callable[[str, str | None, Caller], Awaitable[list[ItemResultDoc]]]
) -> Any:
    """The result of a request about the message that a path names. Raises the MaestroError of the result."""
    message_id, caller = request.path_params["message"], _receiver_or_session(request)
    [result] = await ask(message_id, None, caller)
    if "error" in result and caller.session is not None and result["error"]["code"] == "MESSAGE_NOT_FOUND":
        # It is in another mailbox. The broker refuses that, to its sender in other words than to a third session.
        message = await client_of(request).message(message_id, caller=caller)
        if message["status"] == "failed":
            raise MaestroError(
                "STATUS_CONFLICT", f"message {message_id} failed, and is in no mailbox", "Send a new message."
            )
        [result] = await ask(message_id, message["to"], caller)
    if "error" in result:
        raise MaestroError.from_body(result["error"])
    return result


def _listed(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _id_of_key(key: str | None) -> str:
    if key is None:
        return new_message_id()
    # An empty key is a mistake of a sender that relies on it.
    if not 0 < len(key) <= _KEY_CHARS_MAX:
        raise MaestroError(
            "INVALID",
            f"the Idempotency-Key has {len(key)} characters, and must have 1 to {_KEY_CHARS_MAX}",
            "A UUID is a good key.",
            limit=_KEY_CHARS_MAX,
            actual=len(key),
        )
    # Two sessions may choose the same key: the broker adds the sender's mark.
    return f"key_{key_digest(key)}"
