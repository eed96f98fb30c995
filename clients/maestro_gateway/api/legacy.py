"""Legacy calls: those of the programs that Maestro shipped before, over the same messages.

Rule: these programs name the sender in the body, send no key, and repeat a POST that got a 5xx or no answer. So a
repeat (same sender, receiver and content within ten seconds) gets the first message's id, and with it the first
answer, but only while it is not known whether the first answer arrived. Otherwise the same text twice is two
messages.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, cast

from maestro_clients.protocol.callers import Caller
from maestro_clients.protocol.new_ids import new_session_id
from maestro_gateway.http.after_send import NotifyingResponse
from maestro_gateway.http.credentials import needs_token
from maestro_gateway.http.identity import caller_of, token_of
from maestro_gateway.http.responses import answer
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import OPERATOR, is_id

from .messages import client_of, reader_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from maestro_gateway.http.unconfirmed_sends import UnconfirmedSends
    from maestro_schemas.documents import MessageDoc, MetadataDoc

    from .bodies import MailBody, PromptBody

_UNREAD = ("pending", "delivered")
_LEASE_MS = 30_000
# The ids that one `confirm` takes by default (the broker's batch_messages_max). The next call gets the rest.
_READ_AT_A_TIME = 256


async def prompt(request: Request, *, body: PromptBody) -> Response:
    """`{"success": true}`; the prompt waits in the session's mailbox."""
    return await _send(request, _sender(request, body.sender_session_id), body.content, {"type": "command"})


async def mail(request: Request, *, body: MailBody) -> Response:
    """`{"success": true, "mailId"}`."""
    data: dict[str, Any] = {"messageChars": len(body.message)}
    if body.from_name:
        data["fromName"] = body.from_name
    text = f"{body.message}\n\n{body.detail}" if body.detail else body.message
    return await _send(request, _sender(request, body.from_session_id), text, {"data": data}, id_field="mailId")


async def unread(request: Request) -> Response:
    """The session's unread mail, leased to this reader, and read once the client has the answer. This is the only GET
    that changes something, as documented."""
    session, caller = await reader_of(request)
    client = client_of(request)
    # HEAD is served here as well, and its answer has no body with the mail.
    takes = request.method != "HEAD"
    page = await client.inbox(
        session=session,
        status=_UNREAD,
        since=0,
        limit=_READ_AT_A_TIME,
        lease_ms=_LEASE_MS if takes else None,
        reader=new_session_id() if takes else None,
        caller=caller,
    )
    names: dict[str, Any] = {}
    parents: dict[str, Any] = {}
    for sender in {message["from"] for message in page["messages"]}:
        try:
            found = await client.session(sender)
        except MaestroError:
            continue  # the broker itself, or a session that is gone
        names[sender], parents[sender] = found.get("name"), found.get("parentSessionId")
    shown = [_mail(message, names, parents) for message in page["messages"]]
    ids = [message["id"] for message in page["messages"]] if takes else []

    # Who takes another's mail does not say that it is the receiver.
    taker = Caller() if caller.session == OPERATOR != session else caller

    async def confirm() -> None:
        if ids:
            await client.confirm(ids, "read", session=session, via="http:mail", caller=taker)

    return NotifyingResponse(answer(shown), then=confirm)


def _sender(request: Request, named: str | None) -> Caller:
    """The sender that the body names, else the session of the headers."""
    caller = caller_of(request)
    if caller.session is not None and not is_id(caller.session):
        # Also where the body names the sender, so that a header is not ignored because it is wrong.
        raise MaestroError("INVALID", "X-Session-ID has no session's id", "Send the session's own id, or no header.")
    if named and named != caller.session and needs_token(request):
        raise MaestroError(
            "FORBIDDEN",
            "the body names another sender than X-Session-ID does, whose token was checked",
            "Name the same session in both.",
        )
    if named:
        return Caller(named, token_of(request))
    if caller.session is None:
        raise MaestroError(
            "NO_SESSION", "the body names no sender", "Give `senderSessionId` (or `fromSessionId`), or X-Session-ID."
        )
    return caller


async def _send(
    request: Request, caller: Caller, text: str, metadata: dict[str, Any], *, id_field: str | None = None
) -> Response:
    unconfirmed: UnconfirmedSends = request.app.state.gateway.unconfirmed
    receiver = request.path_params["session"]
    key, message_id = unconfirmed.id_for(caller.session or "", receiver, text, time.monotonic())
    try:
        result = await client_of(request).send(
            receiver, text, message_id=message_id, metadata=cast("MetadataDoc", metadata), caller=caller
        )
    except MaestroError as error:
        if not error.retryable:
            unconfirmed.settled(key)
        raise
    shown = {"success": True} | ({id_field: result["id"]} if id_field is not None else {})

    async def settle() -> None:
        unconfirmed.settled(key)

    return NotifyingResponse(answer(shown), then=settle)


def _mail(message: MessageDoc, names: dict[str, Any], parents: dict[str, Any]) -> dict[str, Any]:
    data = message.get("metadata", {}).get("data")
    extra = data if isinstance(data, dict) else {}
    text, length = message["message"], extra.get("messageChars")
    # Where the broker removed control characters, the two parts join elsewhere, and the text stays whole.
    seam = length if isinstance(length, int) and text[length : length + 2] == "\n\n" else None
    return {
        "id": message["id"],
        "parentSessionId": parents.get(message["from"]),
        "fromSessionId": message["from"],
        "fromName": extra.get("fromName") or names.get(message["from"]) or message["from"],
        "toSessionId": message["to"],
        "message": text[:seam],
        "detail": None if seam is None else text[seam + 2 :],
        "createdAt": message["createdAt"],
        "readAt": None,
    }
