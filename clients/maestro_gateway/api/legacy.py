"""Facades: the calls of the programs that Maestro shipped before, over the same messages.

Rule: they name the sender in the body and carry no key, and repeat a POST that got a 5xx or no answer. So a repeat
(same sender, receiver and content within ten seconds) gets the first message's id, and with it the first answer, but
only while it is in doubt whether the first answer arrived: the same words twice are otherwise two messages.
"""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from maestro_clients.protocol.callers import Caller
from maestro_clients.protocol.new_ids import new_message_id, new_session_id
from maestro_gateway.http.after_send import NotifyingResponse
from maestro_gateway.http.identity import caller_of, token_of
from maestro_gateway.http.responses import answer
from maestro_schemas.errors import MaestroError

from .messages import client_of, reader_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from maestro_schemas.documents import MessageDoc, MetadataDoc

    from .bodies import MailBody, PromptBody

_REPEAT_S = 10.0
_UNREAD = ("pending", "delivered")
_LEASE_MS = 30_000
# What one `confirm` takes by default (the broker's batch_messages_max); the rest comes with the next reading.
_READ_AT_A_TIME = 256


class UnconfirmedSend(NamedTuple):
    """A send whose answer perhaps never arrived. `until_s`: by `time.monotonic`."""

    message_id: str
    until_s: float


class UnconfirmedSends:
    """The sends of the last ten seconds that are in doubt, by who, to whom and what."""

    def __init__(self) -> None:
        self._by_content: dict[bytes, UnconfirmedSend] = {}

    def id_for(self, sender: str, receiver: str, content: str, now_s: float) -> tuple[bytes, str]:
        """The key of a send, and the id that it goes by: that of the send it repeats, or a new one. In doubt from
        now on, until it is `settled`."""
        self._forget_old(now_s)
        key = hashlib.sha256(f"{sender}\n{receiver}\n{content}".encode("utf-8", "surrogatepass")).digest()
        known = self._by_content.get(key)
        message_id = known.message_id if known is not None else new_message_id()
        self._by_content[key] = UnconfirmedSend(message_id, now_s + _REPEAT_S)
        return key, message_id

    def settled(self, key: bytes) -> None:
        """The answer has arrived, or the send was refused: the same words are a new message from now on."""
        self._by_content.pop(key, None)

    def _forget_old(self, now_s: float) -> None:
        for key in [key for key, doubt in self._by_content.items() if doubt.until_s <= now_s]:
            del self._by_content[key]


async def prompt(request: Request, *, body: PromptBody) -> Response:
    """`{"success": true}`; what the prompt says waits in the session's mailbox."""
    return await _send(request, _sender(request, body.sender_session_id), body.content, {"type": "command"})


async def mail(request: Request, *, body: MailBody) -> Response:
    """`{"success": true, "mailId"}`."""
    data: dict[str, Any] = {"messageChars": len(body.message)}
    if body.from_name:
        data["fromName"] = body.from_name
    text = f"{body.message}\n\n{body.detail}" if body.detail else body.message
    return await _send(request, _sender(request, body.from_session_id), text, {"data": data}, id_field="mailId")


async def unread(request: Request) -> Response:
    """What the session has not read, leased to this reader, and read once the answer was flushed: the one GET that
    changes something, as documented."""
    session, caller = await reader_of(request)
    client = client_of(request)
    # HEAD comes here as well, and has no body in which anybody would get the mail.
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
            continue  # the post office itself, or a session that is gone
        names[sender], parents[sender] = found.get("name"), found.get("parentSessionId")
    shown = [_mail(message, names, parents) for message in page["messages"]]
    ids = [message["id"] for message in page["messages"]] if takes else []

    async def confirm() -> None:
        if ids:
            await client.confirm(ids, "read", session=session, via="http:mail", caller=caller)

    return NotifyingResponse(answer(shown), then=confirm)


def _sender(request: Request, named: str | None) -> Caller:
    """Whom the body names, else the headers."""
    caller = caller_of(request)
    if named and not request.app.state.gateway.options.is_loopback and named != caller.session:
        raise MaestroError(
            "FORBIDDEN",
            "the body names another sender than X-Session-ID does, whose token was looked at",
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
    # Where the broker removed control characters, the seam is elsewhere, and the text stays whole.
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
