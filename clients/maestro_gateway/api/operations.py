"""Operations: what a person does at the post office as a whole: its state, its dead letters, and sending one again.

Rule: the broker's numbers are its `stats` as they are; the gateway adds its own. They name directories of the
machine, so they are the operator's. A dead letter is sent again in its sender's name, by the code of the command.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from maestro_clients import dead_letters
from maestro_clients.client import Client
from maestro_clients.protocol.callers import Caller
from maestro_gateway.http.credentials import check_person
from maestro_gateway.http.identity import caller_of, token_of
from maestro_gateway.http.responses import CONNECTION, answer, next_page
from maestro_schemas import __version__
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import OPERATOR, canonical_id, ending_of, retry_id

from .messages import client_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from maestro_clients.async_client import AsyncClient
    from maestro_gateway.context import GatewayContext
    from maestro_schemas.documents import MessageDoc

    from .bodies import AllDeadQuery, RetryQuery

_TIMEOUT_S = 5.0
_REPEATED = 200


async def status(request: Request) -> Response:
    """What `stats` of the broker says, and the gateway's own state."""
    check_person(request)
    stats = await client_of(request).stats()
    gateway: GatewayContext = request.app.state.gateway
    guard = request.scope.get("state", {}).get(CONNECTION)
    host, port = request.scope["server"]
    shown = {
        "version": __version__,
        "address": f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}",
        "startedAt": gateway.started_ms,
        "connections": guard.open_connections if guard is not None else 0,
        "connectionsMax": gateway.options.limits.connections_max,
        **gateway.metrics.open_streams(),
    }
    return answer({"broker": stats, "gateway": shown})


async def dead(request: Request, *, query: AllDeadQuery) -> Response:
    """The messages that expired or were refused for good: for the operator of every sender, for a session its own."""
    caller, client = caller_of(request), client_of(request)
    if caller.session == OPERATOR:
        # By that name it would be the operator's own alone.
        caller = Caller()
    page = await client.dead(session=query.session, before=query.before, limit=query.limit, caller=caller)
    headers = next_page(request, "before", page["before"] if page["hasMore"] else None)
    # A message to several has an entry for each receiver, and one retry.
    by_id = {message["id"]: message for message in page["messages"]}
    found = await asyncio.gather(*(_retry_of(client, message, caller) for message in by_id.values()))
    retried = {message_id: again for message_id, again in zip(by_id, found, strict=True) if again is not None}
    return answer({**page, "count": len(page["messages"]), "retried": retried}, headers=headers)


async def retry(request: Request, *, query: RetryQuery) -> Response:
    """201 and what became of it, under an id that follows from the old one; 200 for a repeat."""
    message_id, gateway = request.path_params["message"], request.app.state.gateway
    sender = await _sender(request, message_id)
    # The code of the command is blocking, and makes a handful of requests.
    result = await asyncio.to_thread(_sent_again, gateway, sender, message_id, query.on_ended)
    headers = {"Location": f"/api/messages/{result['id']}"}
    if result["status"] == _REPEATED:
        headers["Idempotent-Replayed"] = "true"
    return answer({**result, "retryOf": message_id}, result["status"], headers)


async def _sender(request: Request, message_id: str) -> Caller:
    """In whose name it is sent: the session of the header. The operator has it sent as its sender, whose words they
    are; the token of a sender that has one is then in the request, or the broker refuses it."""
    caller = caller_of(request)
    if caller.session not in (None, OPERATOR):
        return caller
    sender = (await client_of(request).receipt(message_id, caller=Caller()))["from"]
    return Caller(sender, token_of(request) if caller.session is None else None)


def _sent_again(gateway: GatewayContext, caller: Caller, message_id: str, on_ended: str | None) -> dict[str, Any]:
    """The result of the send, as POST /messages has it. Raises MaestroError as `dead_letters.retry_of`."""
    with Client(gateway.broker.client.address, caller, timeout_s=_TIMEOUT_S) as client:
        found = dead_letters.retry_of(client, gateway.options.data, caller.session or OPERATOR, message_id)
        if found.taken_before is not None:
            lines = found.taken_before["recipients"]
            recipients = [{"to": line["to"], "status": _REPEATED, "state": line["state"]} for line in lines]
            made = {"id": found.taken_before["id"], "status": _REPEATED, "recipients": recipients}
            return {**made, "accepted": len(recipients), "refused": 0}
        if found.before is not None:
            return _earlier(found.before)
        outgoing = found.outgoing
        if on_ended is not None:
            outgoing["onEnded"] = on_ended
        [result] = client.send_many([outgoing])
    if "error" in result:
        raise MaestroError.from_body(result["error"])
    return {**result}


def _earlier(message: MessageDoc) -> dict[str, Any]:
    return {
        "id": message["id"],
        "status": _REPEATED,
        "to": message["to"],
        "seq": message["seq"],
        "createdAt": message["createdAt"],
        "state": message["status"],
    }


async def _retry_of(client: AsyncClient, message: MessageDoc, caller: Caller) -> str | None:
    """The id under which a dead message was sent again, if it was."""
    again, mark = retry_id(message["id"], dead_letters.base_ms(message)), ending_of(message["id"])
    try:
        return (await client.receipt(canonical_id(again, mark) if mark is not None else again, caller=caller))["id"]
    except MaestroError as error:
        if error.code != "MESSAGE_NOT_FOUND":
            raise
        return None
