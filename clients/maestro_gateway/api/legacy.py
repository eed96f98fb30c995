"""Legacy calls: those of the programs that Maestro shipped before, over the same messages.

Rule: these programs name the sender in the body and send no key; `keyless_sends` has what follows. The calls of the
mail generation are in `mail`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maestro_clients.protocol.callers import Caller
from maestro_clients.protocol.documented_words import notice_message
from maestro_clients.protocol.new_ids import new_session_id
from maestro_gateway.http.after_send import NotifyingResponse
from maestro_gateway.http.responses import answer
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import OPERATOR

from .keyless_sends import Keyless, send_keyless, sender_of
from .messages import client_of, reader_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from maestro_schemas.documents import MessageDoc

    from .bodies import MailBody, PromptBody

_UNREAD = ("pending", "delivered")
_LEASE_MS = 30_000
# The ids that one `confirm` takes by default (the broker's batch_messages_max). The next call gets the rest.
_READ_AT_A_TIME = 256


async def prompt(request: Request, *, body: PromptBody) -> Response:
    """`{"success": true}`; the prompt waits in the session's mailbox."""
    sender = sender_of(request, body.sender_session_id, field="senderSessionId")
    if sender.session == request.path_params["session"]:
        raise MaestroError(
            "INVALID", f"{sender.session} can't prompt itself", "Name another session in the path, or another sender."
        )
    metadata: dict[str, Any] = {"type": "command"} | ({"data": {"mode": body.mode}} if body.mode else {})
    return await send_keyless(
        request, Keyless(sender, request.path_params["session"], body.content, metadata), lambda _: {"success": True}
    )


async def mail(request: Request, *, body: MailBody) -> Response:
    """`{"success": true, "mailId"}`."""
    text, metadata = notice_message(body.message, body.detail)
    if body.from_name:
        metadata["data"]["fromName"] = body.from_name
    sent = Keyless(sender_of(request, body.from_session_id), request.path_params["session"], text, metadata)
    return await send_keyless(request, sent, lambda result: {"success": True, "mailId": result["id"]})


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
