"""Commands: what each command of the broker sends, and how its answer is read.

Rule: sans-IO, and the one home of every command: `blocking.Client` and `asynchronous.AsyncClient` have a method for
each function here, with the same arguments, which sends the request and returns what `read` makes of the answer.
`caller`: who asks, where it is not the client's own caller. Absent (None) arguments are left out of the request.

Every method raises the MaestroError that the broker answers with; FRAME_TOO_LARGE for a body over the broker's
limit, before it is sent; BROKER_UNREACHABLE or TIMEOUT where no answer came; INTERNAL for an answer that contradicts
PROTOCOL.md.
"""

from __future__ import annotations

from maestro_schemas import PROTOCOL_VERSION, __version__
from maestro_schemas.errors import MaestroError

from .new_ids import new_message_id

TYPE_CHECKING = False  # `typing` costs as much as a whole quick command
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, TypeVar

    from maestro_schemas.documents import (
        DeadDoc,
        EventsDoc,
        HelloDoc,
        InboxDoc,
        ItemResultDoc,
        MessageDoc,
        MessageReplyDoc,
        MetadataDoc,
        OutgoingDoc,
        PruneDoc,
        SendResultDoc,
        SessionDoc,
        ThreadDoc,
    )

    from .callers import Caller

    T = TypeVar("T")

    # The command; the body, without `as`; from the answer's body to what the command gives, raising MaestroError; who
    # asks, where it is not the client's own caller.
    Request = tuple[str, dict[str, Any], Callable[[dict[str, Any]], T], Caller | None]


# A crash of a reader holds its mail back from others for so long.
DEFAULT_LEASE_MS = 30_000

# What a request ends with that was not answered, or not by a broker; the rest is about the message.
_NO_ANSWER = frozenset({"TIMEOUT", "BROKER_UNREACHABLE", "BAD_REQUEST", "UNSUPPORTED_PROTOCOL"})

# Up to here every broker takes a body, or answers that it is too large, however its limit is set: libzmq cuts the
# connection only above four times the limit, without a word, so a larger one is looked at before it is sent. (The
# lowest is in `limits.DOCS`, whose import costs 12 ms; a test compares.)
BYTES_ALWAYS_TAKEN = 4 * 4_096


# --- messages ----------------------------------------------------------------------------------------------


def hello(*, caller: Caller | None = None) -> Request[HelloDoc]:
    """Versions, limits and epoch of the broker. Raises MaestroError UNSUPPORTED_PROTOCOL."""
    body = {
        "protocolMin": PROTOCOL_VERSION,
        "protocolMax": PROTOCOL_VERSION,
        "client": f"maestro-messaging/{__version__}",
    }
    return "hello", body, _whole("hello", "limits", dict), caller


def send(
    to: str,
    text: str,
    *,
    message_id: str | None = None,
    metadata: MetadataDoc | None = None,
    ttl_ms: int | None = None,
    on_ended: str | None = None,
    whole: bool = False,
    caller: Caller | None = None,
) -> Request[SendResultDoc]:
    """One message, on disk when this returns. Give `message_id` to be able to repeat the send. `whole`: the result
    also has the accepted `message`.
    `on_ended`: where the receiver has ended, `error`, `queue` (until it comes back) or `redirect` (to
    its orchestrator).

    Raises the message's own error, e.g. RECEIVER_NOT_FOUND, ROLE_FORBIDDEN, RATE_LIMITED with retry_after_s.
    """
    outgoing: OutgoingDoc = {"id": new_message_id() if message_id is None else message_id, "to": to, "message": text}
    if metadata:
        outgoing["metadata"] = metadata
    if ttl_ms is not None:
        outgoing["ttlMs"] = ttl_ms
    if on_ended is not None:
        outgoing["onEnded"] = on_ended
    return "send", _given(messages=(outgoing,), whole=whole or None), _accepted, caller


def send_many(outgoing: Sequence[OutgoingDoc], *, caller: Caller | None = None) -> Request[list[SendResultDoc]]:
    """Several messages in one request (at most `batch_messages_max`, 256), judged one by one.

    The results stand in the same order; a refused message's result has `error`. Raises MaestroError for what
    concerns the whole request. Nothing is asked for an empty sequence.
    """
    messages = list(outgoing)

    def read(answer: dict[str, Any]) -> list[SendResultDoc]:
        return results(answer, len(messages))

    return "send", {"messages": messages}, read, caller


def results(answer: Mapping[str, Any], count: int) -> list[SendResultDoc]:
    """The results of a `send` of so many messages. Raises MaestroError INTERNAL."""
    found: list[SendResultDoc] = _field("send", answer, "results", list)
    if len(found) != count:
        asked = "one message" if count == 1 else f"{count} messages"
        raise _odd("send", f"{len(found)} results for {asked}")
    return found


def refused_result(message_id: str, error: MaestroError) -> SendResultDoc:
    """The refusal of a whole request as the result of one message; raises `error` where nobody judged the request."""
    if error.code in _NO_ANSWER:
        raise error
    body: Any = error.body()
    return {"id": message_id, "status": error.status, "error": body}


def inbox(
    *,
    session: str | None = None,
    since: int | None = None,
    limit: int | None = None,
    status: Sequence[str] | None = None,
    type: str | None = None,  # noqa: A002 - the wire's name
    offered: bool | None = None,
    lease_ms: int | None = None,
    reader: str | None = None,
    people: bool = False,
    caller: Caller | None = None,
) -> Request[InboxDoc]:
    """A page of `session`'s mail (default: the caller's). Reading changes nothing but leases.

    Without `since`: high priority first. With it (a seq): what is later, strictly by seq, and the answer's
    `upTo` is the next `since`. `offered` False: only what was not offered yet. `lease_ms` with `reader` hides what
    is returned from other leasing readers. `people`: the page also has the names and roles of the sessions that its
    messages name, and the limit of what one page prints (`printCharsMax`).
    """
    body = _given(
        session=session,
        since=since,
        limit=limit,
        status=None if status is None else list(status),
        type=type,
        offered=offered,
        leaseMs=lease_ms,
        reader=reader,
        people=people or None,
    )
    return "inbox", body, _whole("inbox", "messages", list), caller


def confirm(
    ids: Sequence[str],
    kind: str,
    *,
    session: str | None = None,
    via: str | None = None,
    whole: bool = False,
    as_receiver: bool = False,
    caller: Caller | None = None,
) -> Request[list[ItemResultDoc]]:
    """Ids were `offered`, `delivered` or `read`, `via` what. Each result may have `error`; with `whole`, the message
    as it is afterwards. `as_receiver`: a caller without a session speaks for the receiver of each id."""
    body = _given(
        ids=list(ids), kind=kind, session=session, via=via, whole=whole or None, asReceiver=as_receiver or None
    )
    return "confirm", body, _only("confirm", "results", list), caller


def message(
    message_id: str, *, session: str | None = None, as_receiver: bool = False, caller: Caller | None = None
) -> Request[MessageDoc]:
    """One message, for its sender, its receiver and the operator. `session`: the mailbox that it is in, where the
    operator knows it, which spares a look into all others. `as_receiver`: as in `confirm`. Raises MaestroError
    MESSAGE_NOT_FOUND."""
    body = _given(id=message_id, session=session, asReceiver=as_receiver or None)
    return "message", body, _only("message", "message", dict), caller


def message_with_people(message_id: str, *, caller: Caller | None = None) -> Request[MessageReplyDoc]:
    """As `message`, with the names and roles of the sessions that it names. Raises MaestroError MESSAGE_NOT_FOUND."""
    return "message", {"id": message_id, "people": True}, _whole("message", "message", dict), caller


def thread(
    message_id: str, *, people: bool = False, as_receiver: bool = False, caller: Caller | None = None
) -> Request[ThreadDoc]:
    """The messages of the thread that a message is in, the oldest first. `people`: as in `inbox`; `as_receiver`: as
    in `confirm`. Raises MaestroError MESSAGE_NOT_FOUND."""
    body = _given(id=message_id, people=people or None, asReceiver=as_receiver or None)
    return "thread", body, _whole("thread", "messages", list), caller


def dead(
    *, session: str | None = None, before: int | None = None, limit: int | None = None, caller: Caller | None = None
) -> Request[DeadDoc]:
    """What `session` (default: the caller; for the operator: anybody) sent that expired before it was delivered, the
    newest expiry first. A page may be short, or empty, and `hasMore`: go on with its `before`."""
    body = _given(session=session, before=before, limit=limit)
    return "dead", body, _whole("dead", "messages", list), caller


def delete(
    ids: Sequence[str],
    *,
    session: str | None = None,
    as_receiver: bool = False,
    caller: Caller | None = None,
) -> Request[list[ItemResultDoc]]:
    """Delete messages from a mailbox. Each result may have `error`. `as_receiver`: as in `confirm`."""
    body = _given(ids=list(ids), session=session, asReceiver=as_receiver or None)
    return "delete", body, _only("delete", "results", list), caller


# --- sessions ----------------------------------------------------------------------------------------------


def start_session(
    session_id: str,
    *,
    token: str | None = None,
    name: str | None = None,
    role: str = "worker",
    project_id: str | None = None,
    parent_session_id: str | None = None,
    task_ids: Sequence[str] = (),
    metadata: Mapping[str, Any] | None = None,
    agent: str | None = None,
    agent_session_id: str | None = None,
    pid: int | None = None,
    cwd: str | None = None,
    status: str = "idle",
    caller: Caller | None = None,
) -> Request[SessionDoc]:
    """Start a session, or restart it (which takes its token). Make id and token first, with `fresh`, so that
    a repeat is the same request."""
    body = _given(
        id=session_id,
        token=token,
        name=name,
        role=role,
        projectId=project_id,
        parentSessionId=parent_session_id,
        taskIds=list(task_ids) or None,
        metadata=dict(metadata) if metadata else None,
        agent=agent,
        agentSessionId=agent_session_id,
        pid=pid,
        cwd=cwd,
        status=status,
    )
    return "session.start", body, _only("session.start", "session", dict), caller


def end_session(
    session_id: str | None = None, *, status: str = "completed", caller: Caller | None = None
) -> Request[SessionDoc]:
    """End a session (default: the caller's) as `completed`, `failed` or `stopped`."""
    return "session.end", _given(id=session_id, status=status), _only("session.end", "session", dict), caller


def session(session_id: str | None = None, *, caller: Caller | None = None) -> Request[SessionDoc]:
    """A session by id or by unique name (default: the caller's). Raises MaestroError SESSION_NOT_FOUND."""
    return "session.get", _given(id=session_id), _only("session.get", "session", dict), caller


def sessions(
    *,
    project_id: str | None = None,
    parent_session_id: str | None = None,
    status: Sequence[str] | None = None,
    active: bool | None = None,
    caller: Caller | None = None,
) -> Request[list[SessionDoc]]:
    """The sessions that fit every given filter, the newest last."""
    body = _given(
        projectId=project_id,
        parentSessionId=parent_session_id,
        status=None if status is None else list(status),
        active=active,
    )
    return "session.list", body, _only("session.list", "sessions", list), caller


def touch_session(
    session_id: str | None = None, *, caller: Caller | None = None, **changes: object
) -> Request[SessionDoc]:
    """Say that a session is alive, and change what is given, in the wire's names: `status`, `needsInput`,
    `taskIds`, `note`, `agent`, `agentSessionId`, `pid`, `cwd`."""
    body = _given(id=session_id, **changes)
    return "session.touch", body, _only("session.touch", "session", dict), caller


# --- the post office ---------------------------------------------------------------------------------------


def events(
    after: int,
    *,
    limit: int | None = None,
    session: str | None = None,
    since: int | None = None,
    until: int | None = None,
    events: Sequence[str] | None = None,
    message: str | None = None,
    caller: Caller | None = None,
) -> Request[EventsDoc]:
    """What happened after the LSN `after` (-1: the newest `limit`), oldest first; narrowed to what concerns a session
    or a message, is of the named `events`, and happened from `since` to before `until` (ms).

    A page may be empty and `hasMore` all the same: a search goes on from `upTo`. Raises MaestroError CURSOR_EXPIRED,
    CURSOR_AHEAD or INVALID.
    """
    body = _given(
        after=after,
        limit=limit,
        session=session,
        since=since,
        until=until,
        events=None if events is None else list(events),
        message=message,
    )
    return "events", body, _whole("events", "events", list), caller


def stats(*, caller: Caller | None = None) -> Request[dict[str, Any]]:
    """What `maestro status` prints; PROTOCOL.md lists the keys."""
    return "stats", {}, _only("stats", "stats", dict), caller


def drain_outbox(*, caller: Caller | None = None) -> Request[dict[str, int]]:
    """Have the broker look into the outbox now: how many entries were `sent`, are `waiting`, `failed`."""

    def read(answer: dict[str, Any]) -> dict[str, int]:
        return {name: _field("outbox.drain", answer, name, int) for name in ("sent", "waiting", "failed")}

    return "outbox.drain", {}, read, caller


def prune(
    *,
    number: int | None = None,
    dry_run: bool = False,
    older_than_ms: int | None = None,
    caller: Caller | None = None,
) -> Request[PruneDoc]:
    """Begin a round of the sweep, or (`number`, its answer's `round`) ask how far one is; its end is `done`.

    `older_than_ms`: instead of every retention. Raises MaestroError BUSY while another's round goes on, INVALID for
    a round that is gone, FORBIDDEN for a session.
    """
    body = _given(round=number, dryRun=dry_run or None, olderThanMs=older_than_ms)
    return "prune", body, _whole("prune", "swept", dict), caller


def shutdown(*, caller: Caller | None = None) -> Request[int]:
    """Stop the broker in order; its pid, whose end the caller may wait for."""
    return "shutdown", {}, _only("shutdown", "pid", int), caller


# --- sizes -------------------------------------------------------------------------------------------------


def wire_bytes_max(answer: HelloDoc) -> int:
    """The broker's limit of a body in bytes, from its `hello`."""
    from maestro_schemas.limits import Limits

    return answer["limits"].get("wire_bytes_max", Limits().wire_bytes_max)


def check_size(size: int, limit: int) -> None:
    """Raises MaestroError FRAME_TOO_LARGE, with both numbers."""
    if size > limit:
        raise MaestroError(
            "FRAME_TOO_LARGE",
            f"the request's body is {size:,} bytes, and the limit is {limit:,}",
            "Send fewer messages at a time, or less in one.",
            limit=limit,
            actual=size,
        )


# --- reading answers ---------------------------------------------------------------------------------------


def _given(**body: object) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}


def _accepted(answer: dict[str, Any]) -> SendResultDoc:
    [result] = results(answer, 1)
    if "error" in result:
        raise MaestroError.from_body(result["error"])
    return result


def _only(command: str, field: str, shape: type) -> Callable[[dict[str, Any]], Any]:
    """Reads the one field that an answer consists of."""
    return lambda answer: _field(command, answer, field, shape)


def _whole(command: str, field: str, shape: type) -> Callable[[dict[str, Any]], Any]:
    """Reads an answer as it is, after a look at what must be in it."""

    def read(answer: dict[str, Any]) -> dict[str, Any]:
        _field(command, answer, field, shape)
        return answer

    return read


def _field(command: str, answer: Mapping[str, Any], field: str, shape: type) -> Any:
    value = answer.get(field)
    if not isinstance(value, shape):
        raise _odd(command, f"no {field}")
    return value


def _odd(command: str, what: str) -> MaestroError:
    return MaestroError(
        "INTERNAL",
        f"the broker's answer to {command} has {what}",
        "It may be of another version: `maestro status` shows it; `maestro down` lets the next command start anew.",
    )
