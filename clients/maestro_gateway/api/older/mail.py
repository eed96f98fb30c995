"""Mail: the calls of Maestro's mail generation, over the same messages.

Rule: `keyless_sends` has how these clients send, and `letters` how a message is a mail. What the inbox and a wait
show counts as delivered once the client has the answer: these clients never say that they have read a mail, and their
list shows it again and again. The other calls change nothing but what they say.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from maestro_clients.protocol.callers import Caller
from maestro_clients.protocol.new_ids import new_session_id
from maestro_gateway.api.messages import client_of, delete_named, reader_of
from maestro_gateway.http.after_send import NotifyingResponse
from maestro_gateway.http.identity import caller_of, token_of
from maestro_gateway.http.responses import CONNECTION, answer, faulty
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import OPERATOR

from . import letters
from .keyless_sends import Keyless, send_keyless, sender_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import TypeVar

    from starlette.requests import Request
    from starlette.responses import Response

    from maestro_gateway.context import GatewayContext
    from maestro_gateway.http.server import ConnectionGuard
    from maestro_schemas.documents import MessageDoc, SendResultDoc

    from .mail_bodies import Letter, LetterBody, LettersQuery, LettersWaitQuery

    T = TypeVar("T")

_SHOWN = ("pending", "delivered", "read")
_LEASE_MS = 30_000
# The mail of one list: more would cost a client that polls more than it reads.
_LETTERS_MAX = 1_000
# The ids that one `confirm` takes by default (the broker's batch_messages_max).
_CONFIRMED_AT_A_TIME = 256


async def send(request: Request, *, body: LetterBody) -> Response:
    """201 and the mail; to a team member or with a scope, a list of one mail for each receiver."""
    sender = sender_of(request, body.from_session_id)
    is_list = bool(body.to_team_member_id) or body.scope is not None
    to = await _receivers(request, body, sender)
    text, metadata = letters.composed(body)

    def shown(result: SendResultDoc) -> Letter | list[Letter]:
        # A mail that was deleted between two attempts is shown as it was sent.
        message: Any = result.get("message") or {
            "id": result["id"],
            "from": sender.session,
            "to": result.get("to"),
            "message": text,
            "createdAt": result.get("createdAt", 0),
            "metadata": {**metadata, "threadId": result.get("threadId")},
        }
        letter = letters.shown(message, body.project_id or "")
        if isinstance(to, str) and not to.startswith("@"):
            return letter
        if not is_list:
            return replace(letter, to_session_id=None)
        took = [part["to"] for part in result.get("recipients", ()) if "error" not in part]
        return [replace(letter, to_session_id=session) for session in took]

    return await send_keyless(request, Keyless(sender, to, text, metadata, body.id), shown, status=201)


async def inbox(request: Request, *, query: LettersQuery) -> Response:
    """The session's mail, by priority, then the newest first; at most 1,000. New mail counts as delivered once the
    client has the answer."""
    session, caller = await reader_of(request)
    since = query.since or 0
    kept: list[tuple[tuple[int, int], int, Letter, MessageDoc]] = []
    projects: dict[str, str] = {}
    at, has_more = 0, True
    while has_more:
        page = await client_of(request).inbox(session=session, status=_SHOWN, since=at, caller=caller)
        for message, letter in await _letters(request, page["messages"], projects):
            if letter.created_at > since and query.type in (None, letter.type):
                kept.append((letters.rank(letter), message["seq"], letter, message))
        kept = heapq.nsmallest(_LETTERS_MAX, kept)
        at, has_more = page["upTo"], page["hasMore"]
    return _taken(request, session, caller, [(message, letter) for _, _, letter, message in kept])


async def wait(request: Request, *, query: LettersWaitQuery) -> Response:
    """New mail as soon as there is some, else an empty list when the time is over. It counts as delivered once the
    client has the answer."""
    session, caller = await reader_of(request)
    takes = request.method != "HEAD"
    # Mail of a time is asked for again; new mail is for one reader.
    lease = {"lease_ms": _LEASE_MS, "reader": new_session_id()} if takes and query.since is None else {}
    client = client_of(request)

    async def look() -> list[MessageDoc]:
        if query.since is None:
            page = await client.inbox(
                session=session,
                limit=_CONFIRMED_AT_A_TIME,
                caller=caller,
                **lease,  # type: ignore[arg-type]
            )
            return page["messages"]
        found: list[MessageDoc] = []
        at, has_more = 0, True
        while has_more:
            page = await client.inbox(session=session, status=_SHOWN, since=at, caller=caller)
            found += [message for message in page["messages"] if message["createdAt"] > query.since]
            found, at, has_more = found[-_LETTERS_MAX:], page["upTo"], page["hasMore"]
        return found

    async def has_gone() -> bool:
        connection: ConnectionGuard | None = request.scope.get("state", {}).get(CONNECTION)
        # One that has only closed its side gets an empty list.
        return await request.is_disconnected() or (connection is not None and connection.has_peer_ended)

    gateway: GatewayContext = request.app.state.gateway
    found = (
        await gateway.waits.until_mail(gateway.feed, session, look, wait_ms=query.timeout, has_gone=has_gone)
        if takes
        else await look()
    )
    shown = await _letters(request, found, {})
    return _taken(request, session, caller, sorted(shown, key=lambda pair: letters.rank(pair[1])))


async def thread(request: Request) -> Response:
    """The mail of one thread, the oldest first."""
    message_id = request.path_params["message"]

    async def ask(caller: Caller) -> Sequence[MessageDoc]:
        return (await client_of(request).thread(message_id, as_receiver=True, caller=caller))["messages"]

    return answer([letter for _, letter in await _letters(request, await _as_a_receiver(request, ask), {})])


async def one(request: Request) -> Response:
    """One mail, for its sender and its receiver."""
    message_id = request.path_params["message"]

    async def ask(caller: Caller) -> MessageDoc:
        return await client_of(request).message(message_id, as_receiver=True, caller=caller)

    [(_, letter)] = await _letters(request, [await _as_a_receiver(request, ask)], {})
    return answer(letter)


async def delete(request: Request) -> Response:
    """Delete a mail from its receiver's mailbox."""
    await delete_named(request)
    return answer({"deleted": True, "id": request.path_params["message"]})


async def _receivers(request: Request, body: LetterBody, sender: Caller) -> str | list[str]:
    """The address or addresses of a mail. Raises MaestroError VALIDATION_ERROR, RECEIVER_NOT_FOUND, NO_RECEIVERS."""
    named = [name for name in ("to_session_id", "to_team_member_id", "scope") if getattr(body, name)]
    if len(named) > 1:
        fields = {"to_session_id": "toSessionId", "to_team_member_id": "toTeamMemberId", "scope": "scope"}
        raise faulty(fields[named[1]], f"can't stand beside {fields[named[0]]}: a mail has one of them")
    client = client_of(request)
    if body.to_session_id:
        return body.to_session_id
    if body.to_team_member_id:
        active = await client.sessions(active=True, caller=sender)
        members = [
            found["id"] for found in active if found.get("metadata", {}).get("teamMemberId") == body.to_team_member_id
        ]
        if not members:
            raise MaestroError(
                "RECEIVER_NOT_FOUND",
                f"no active session has {body.to_team_member_id[:80]!r} as metadata.teamMemberId",
                "Name the session in toSessionId; GET /api/sessions lists them.",
            )
        return members
    if body.scope == "my-workers":
        return "@children"
    if body.scope == "team":
        own = await client.session(sender.session, caller=sender)
        parent = own.get("parentSessionId")
        siblings = (
            [] if parent is None else await client.sessions(parent_session_id=parent, active=True, caller=sender)
        )
        team = [found["id"] for found in siblings if found["id"] != own["id"]]
        if not team:
            raise MaestroError(
                "NO_RECEIVERS",
                f"{own['id']} is in no team: no other active session has its parent",
                "Leave scope off for the whole project, or name a session in toSessionId.",
            )
        return team
    return f"@project:{body.project_id}" if body.project_id else "@project"


async def _as_a_receiver(request: Request, ask: Callable[[Caller], Awaitable[T]]) -> T:
    """The reply to the session of the headers, else to the message's receiver. Of several receivers each is one."""
    named, token = caller_of(request).session, token_of(request)
    try:
        return await ask(Caller(named, token))
    except MaestroError as error:
        receivers = (error.details or {}).get("receivers", ())
        if error.code != "AMBIGUOUS_ID" or named is not None or not receivers:
            raise
        refusal = error
    for receiver in receivers:
        try:
            return await ask(Caller(receiver, token))
        except MaestroError as error:
            refusal = error
    raise refusal


async def _letters(
    request: Request, found: Sequence[MessageDoc], projects: dict[str, str]
) -> list[tuple[MessageDoc, Letter]]:
    """The messages as mail. `projects`: those of the senders that are known already."""
    client = client_of(request)
    for sender in {message["from"] for message in found} - set(projects):
        try:
            projects[sender] = (await client.session(sender))["projectId"]
        except MaestroError as error:
            if error.kind == "unreachable":
                raise
            projects[sender] = ""  # the broker itself, or a session that is gone
    return [(message, letters.shown(message, projects[message["from"]])) for message in found]


def _taken(request: Request, session: str, caller: Caller, found: Sequence[tuple[MessageDoc, Letter]]) -> Response:
    """The mail as the answer. What was pending is delivered once the client has it."""
    response = answer([letter for _, letter in found])
    ids = [message["id"] for message, _ in found if message["status"] == "pending"]
    if request.method == "HEAD" or not ids:
        return response
    client = client_of(request)
    # Who takes another's mail does not say that it is the receiver.
    taker = Caller() if caller.session == OPERATOR != session else caller

    async def confirm() -> None:
        for start in range(0, len(ids), _CONFIRMED_AT_A_TIME):
            some = ids[start : start + _CONFIRMED_AT_A_TIME]
            await client.confirm(some, "delivered", session=session, via="http:mail", caller=taker)

    return NotifyingResponse(response, then=confirm)
