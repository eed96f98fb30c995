"""Keyless sends: those of the programs that Maestro shipped before.

Rule: these programs name the sender in the body, send no key, and repeat a POST that got a 5xx or no answer. So a
repeat (same sender, receiver and content within ten seconds) gets the first message's id, and with it the first
answer, but only while it is not known whether the first answer arrived. Otherwise the same text twice is two
messages.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from maestro_clients.protocol.callers import Caller
from maestro_gateway.api.messages import client_of
from maestro_gateway.http.after_send import NotifyingResponse
from maestro_gateway.http.credentials import needs_token
from maestro_gateway.http.identity import caller_of, token_of
from maestro_gateway.http.responses import answer
from maestro_schemas.errors import MaestroError
from maestro_schemas.texts import json_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from maestro_gateway.http.unconfirmed_sends import UnconfirmedSends
    from maestro_schemas.documents import MetadataDoc, SendResultDoc


class Keyless(NamedTuple):
    """A message of such a program."""

    caller: Caller
    to: str | list[str]
    text: str
    metadata: dict[str, Any]
    # The sender's own, where it makes one.
    message_id: str | None = None


def sender_of(request: Request, named: str | None, *, field: str = "fromSessionId") -> Caller:
    """The sender that the body names in `field`, else the session of the headers."""
    caller = caller_of(request)
    if named and named != caller.session and needs_token(request):
        raise MaestroError(
            "FORBIDDEN",
            "the body names another sender than X-Session-ID does, whose token was checked",
            "Name the same session in both.",
        )
    if named:
        return Caller(named, token_of(request))
    if caller.session is None:
        raise MaestroError("NO_SESSION", "the body names no sender", f"Give `{field}`, or X-Session-ID.")
    return caller


async def send_keyless(
    request: Request, sent: Keyless, shown: Callable[[SendResultDoc], Any], *, status: int = 200
) -> Response:
    """Send it; `shown` makes the answer of the result, which has the whole message."""
    unconfirmed: UnconfirmedSends = request.app.state.gateway.unconfirmed
    # A list of receivers has no other form as text that no single address has.
    receiver = sent.to if isinstance(sent.to, str) else "\n".join(sent.to)
    content = sent.text + json_bytes.encode(sent.metadata).decode()
    key, message_id = unconfirmed.id_for(sent.caller.session or "", receiver, content, time.monotonic())
    try:
        result = await client_of(request).send(
            sent.to,
            sent.text,
            message_id=sent.message_id or message_id,
            metadata=cast("MetadataDoc", sent.metadata),
            # These programs know no question before a send to many.
            confirm=True,
            whole=True,
            caller=sent.caller,
        )
    except MaestroError as error:
        if not error.retryable:
            unconfirmed.settled(key)
        raise

    async def settle() -> None:
        unconfirmed.settled(key)

    return NotifyingResponse(answer(shown(result), status), then=settle)
