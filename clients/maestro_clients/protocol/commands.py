"""Commands: the request of each command of the broker, and how its reply is read.

Rule: sans-IO, and the one definition of every command. Every client has a method for each function here, with the
same arguments; it sends the request and returns what `read` makes of the reply. `caller`: the caller of this request,
where it is not the client's own. Absent (None) arguments are left out of the request.

Every method raises the MaestroError that the broker answers with; FRAME_TOO_LARGE for a body over the broker's limit,
before it is sent; BROKER_UNREACHABLE or TIMEOUT where no reply came; INTERNAL for a reply that contradicts
PROTOCOL.md.
"""

from __future__ import annotations

from maestro_schemas import PROTOCOL_VERSION, __version__
from maestro_schemas.errors import MaestroError

from .reply_fields import field as _field
from .reply_fields import given as _given
from .reply_fields import odd as _odd
from .reply_fields import only as _only
from .reply_fields import whole as _whole

TYPE_CHECKING = False  # importing `typing` costs as much as a whole command of the fast path
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from os import PathLike
    from typing import Any, TypeVar

    from maestro_schemas.documents import (
        AttachmentDoc,
        DeadDoc,
        EventsDoc,
        HelloDoc,
        InboxDoc,
        ItemResultDoc,
        MessageDoc,
        MessageReplyDoc,
        MetadataDoc,
        OutgoingDoc,
        PresencesDoc,
        PruneDoc,
        ReceiptDoc,
        SendResultDoc,
        SessionDoc,
        SessionPresenceDoc,
        SessionsDoc,
        ThreadDoc,
    )

    from .callers import Caller

    T = TypeVar("T")

    # The command; the body, without `as`; the function from the reply's body to the method's result, which raises
    # MaestroError; the caller, where it is not the client's own.
    Request = tuple[str, dict[str, Any], Callable[[dict[str, Any]], T], Caller | None]


_ERROR_STATUS = 400
# After a reader crashes, its mail is held back from other readers for this time.
DEFAULT_LEASE_MS = 30_000

# A body up to this size is accepted by every broker, or answered as too large, whatever its limit is. A listener cuts
# the connection without an answer only above four times the limit, so the client checks larger bodies itself. (The
# lowest limit is in `limits.DOCS`, whose import costs 12 ms; a test compares.)
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
    to: str | list[str],
    text: str,
    *,
    message_id: str | None = None,
    metadata: MetadataDoc | None = None,
    ttl_ms: int | None = None,
    expires_at: int | None = None,
    on_ended: str | None = None,
    confirm: bool = False,
    attachments: Sequence[str | PathLike[str] | AttachmentDoc] = (),
    whole: bool = False,
    caller: Caller | None = None,
) -> Request[SendResultDoc]:
    """Send one message; it is on disk when this returns. `message_id` makes the send repeatable. `ttl_ms` or
    `expires_at` (ms): when it expires unless it was delivered. `on_ended`: if the
    receiver has ended, `error`, `queue` (until it comes back) or `redirect` (to its orchestrator). `whole`: the
    result also has the accepted `message`.

    `to` is a session, an audience such as `@workers`, or a list of both; of several receivers each has its own
    `recipients` in the result. `confirm`: the caller knows how many sessions an audience comes to.

    `attachments`: paths of files, which the method opens, puts and lets the message name; or documents of blobs that
    the post office holds.

    Raises the message's own error, e.g. RECEIVER_NOT_FOUND, ROLE_FORBIDDEN, RATE_LIMITED with retry_after_s;
    CONFIRM_FANOUT with `details` of the `receivers`; for a file ATTACHMENT_UNUSABLE, ATTACHMENT_TOO_LARGE or
    ATTACHMENT_OUTSIDE. If some of several receivers refuse, their results have `error`; if all do, the first refusal
    is raised.
    """
    if message_id is None:
        from maestro_clients.protocol.new_ids import new_message_id

        message_id = new_message_id()
    outgoing: OutgoingDoc = {"id": message_id, "to": to, "message": text}
    if metadata:
        outgoing["metadata"] = metadata
    if ttl_ms is not None:
        outgoing["ttlMs"] = ttl_ms
    if expires_at is not None:
        outgoing["expiresAt"] = expires_at
    if on_ended is not None:
        outgoing["onEnded"] = on_ended
    if confirm:
        outgoing["confirm"] = True
    if attachments:
        outgoing["attachments"] = list(attachments)  # type: ignore[arg-type]  # a method has made them documents
    return send_one(outgoing, whole=whole, caller=caller)


def send_one(outgoing: OutgoingDoc, *, whole: bool = False, caller: Caller | None = None) -> Request[SendResultDoc]:
    """As `send`, of a message that is made already."""
    return "send", _given(messages=(outgoing,), whole=whole or None), _accepted, caller


def send_many(outgoing: Sequence[OutgoingDoc], *, caller: Caller | None = None) -> Request[list[SendResultDoc]]:
    """Send several messages in one request (at most `batch_messages_max`, 256); each is judged by itself.

    The results have the same order; a refused message's result has `error`. Raises MaestroError for an error of the
    whole request. An empty sequence makes no request.
    """
    messages = list(outgoing)

    def read(answer: dict[str, Any]) -> list[SendResultDoc]:
        return results(answer, len(messages))

    return "send", {"messages": messages}, read, caller


def results(answer: Mapping[str, Any], count: int) -> list[SendResultDoc]:
    """The `count` results of a `send`. Raises MaestroError INTERNAL."""
    found: list[SendResultDoc] = _field("send", answer, "results", list)
    if len(found) != count:
        asked = "one message" if count == 1 else f"{count} messages"
        raise _odd("send", f"{len(found)} results for {asked}")
    return found


def batch_results(
    outcome: tuple[int, dict[str, Any]] | MaestroError, message_ids: Sequence[str]
) -> list[SendResultDoc]:
    """The results of a `send` of these messages, one for each. A broker's refusal of the whole request is the result
    of each message. Raises the MaestroError of a request that no broker judged."""
    if isinstance(outcome, MaestroError):
        raise outcome
    status, body = outcome
    if status < _ERROR_STATUS:
        return results(body, len(message_ids))
    error = MaestroError.from_body(body)
    refusal: Any = error.body()
    return [{"id": message_id, "status": error.status, "error": refusal} for message_id in message_ids]


def inbox(
    *,
    session: str | None = None,
    since: int | None = None,
    limit: int | None = None,
    status: Sequence[str] | None = None,
    type: str | None = None,  # noqa: A002 - the wire's name
    sender: str | None = None,
    thread: str | None = None,
    offered: bool | None = None,
    hold_quiet: bool = False,
    lease_ms: int | None = None,
    reader: str | None = None,
    people: bool = False,
    caller: Caller | None = None,
) -> Request[InboxDoc]:
    """A page of `session`'s mail (default: the caller's). Reading changes nothing but leases.

    Without `since`: high priority first. With it (a seq): later messages, strictly by seq, and the reply's `upTo` is
    the next `since`. `sender`: only of this session. `thread`: only of the thread with this first message. `offered`
    False: only messages that were not offered yet. `hold_quiet`: nothing while all of it is quiet. `lease_ms` with
    `reader` hides the returned messages from other leasing readers. `people`: the page also has the names and roles
    of the sessions that its messages name, and the limit of what one page prints (`printCharsMax`).
    """
    body = _given(
        session=session,
        since=since,
        limit=limit,
        status=None if status is None else list(status),
        type=type,
        thread=thread,
        offered=offered,
        holdQuiet=hold_quiet or None,
        leaseMs=lease_ms,
        reader=reader,
        people=people or None,
    )
    if sender is not None:
        body["from"] = sender
    return "inbox", body, _whole("inbox", "messages", list), caller


def confirm(
    ids: Sequence[str],
    kind: str,
    *,
    session: str | None = None,
    via: str | None = None,
    woken_by: str | None = None,
    whole: bool = False,
    as_receiver: bool = False,
    caller: Caller | None = None,
) -> Request[list[ItemResultDoc]]:
    """Record that messages were `offered`, `delivered` or `read`, by which way (`via`), and what had woken the agent
    for it (`woken_by`). Each result may have `error`; with `whole`, it has the message as it is afterwards.
    `as_receiver`: a caller without a session speaks for the receiver of each id."""
    body = _given(
        ids=list(ids),
        kind=kind,
        session=session,
        via=via,
        wokenBy=woken_by,
        whole=whole or None,
        asReceiver=as_receiver or None,
    )
    return "confirm", body, _only("confirm", "results", list), caller


def message(
    message_id: str, *, session: str | None = None, as_receiver: bool = False, caller: Caller | None = None
) -> Request[MessageDoc]:
    """One message, for its sender, its receiver and the operator. `session`: its mailbox, where the
    operator knows it, which spares a search of all mailboxes. `as_receiver`: as in `confirm`. Raises MaestroError
    MESSAGE_NOT_FOUND."""
    body = _given(id=message_id, session=session, asReceiver=as_receiver or None)
    return "message", body, _only("message", "message", dict), caller


def message_with_people(message_id: str, *, caller: Caller | None = None) -> Request[MessageReplyDoc]:
    """As `message`, with the names and roles of the sessions that it names. Raises MaestroError MESSAGE_NOT_FOUND."""
    return "message", {"id": message_id, "people": True}, _whole("message", "message", dict), caller


def receipt(
    message_id: str, *, session: str | None = None, people: bool = False, caller: Caller | None = None
) -> Request[ReceiptDoc]:
    """What became of a message at each of its receivers, or at the receiver `session` alone. `people`: as in `inbox`.
    Raises MaestroError MESSAGE_NOT_FOUND."""
    body = _given(id=message_id, session=session, people=people or None)
    return "receipt", body, _whole("receipt", "recipients", list), caller


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
    """The messages of a sender (default: the caller; for the operator: all) that expired before they were delivered,
    the newest expiry first. A page may be short or empty although `hasMore` is true: continue with its `before`."""
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
    name_base: str | None = None,
    role: str | None = None,
    project_id: str | None = None,
    parent_session_id: str | None = None,
    task_ids: Sequence[str] = (),
    metadata: Mapping[str, Any] | None = None,
    agent: str | None = None,
    agent_session_id: str | None = None,
    pid: int | None = None,
    pid_start: str | None = None,
    cwd: str | None = None,
    wake: str | None = None,
    wake_by: str | None = None,
    status: str = "idle",
    takeover: bool = False,
    replace: bool = False,
    caller: Caller | None = None,
) -> Request[SessionDoc]:
    """Start a session, or restart it (which needs its token). Make id and token first, with `new_ids`, so that a
    repeat is the same request. `name_base`: its name if it has none, or the first free of `NAME-2`, `NAME-3`.
    `takeover`: the operator gives it another token. `replace`: the active sessions that have this name or id end.

    Raises MaestroError NAME_TAKEN; `details`: `id`, `since`, `process` (`alive`, `gone`, `unknown`) of the holder."""
    body = _given(
        id=session_id,
        token=token,
        name=name,
        nameBase=name_base,
        role=role,
        projectId=project_id,
        parentSessionId=parent_session_id,
        taskIds=list(task_ids) or None,
        metadata=dict(metadata) if metadata else None,
        agent=agent,
        agentSessionId=agent_session_id,
        pid=pid,
        pidStart=pid_start,
        cwd=cwd,
        wake=wake,
        wakeBy=wake_by,
        status=status,
        takeover=takeover or None,
        replace=replace or None,
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


def rename_session(
    name: str, session_id: str | None = None, *, replace: bool = False, caller: Caller | None = None
) -> Request[SessionDoc]:
    """Give an active session (default: the caller's) another name. `replace` and NAME_TAKEN: as in
    `start_session`."""
    body = _given(name=name, id=session_id, replace=replace or None)
    return "session.rename", body, _only("session.rename", "session", dict), caller


def session_page(
    *,
    project_id: str | None = None,
    parent_session_id: str | None = None,
    status: Sequence[str] | None = None,
    active: bool | None = None,
    limit: int | None = None,
    after: str | None = None,
    caller: Caller | None = None,
) -> Request[SessionsDoc]:
    """A page of the sessions that fit every given filter, the newest last. `after`: `next` of the page before; there
    are more pages while a page has `next`, and a page may be empty."""
    body = _given(
        projectId=project_id,
        parentSessionId=parent_session_id,
        status=None if status is None else list(status),
        active=active,
        limit=limit,
        after=after,
    )
    return "session.list", body, _whole("session.list", "sessions", list), caller


def merged(pages: Sequence[SessionsDoc]) -> list[SessionDoc]:
    """The sessions of all pages. One that was started again between two pages is on both: the later one counts."""
    return list({found["id"]: found for page in pages for found in page["sessions"]}.values())


def presence_page(
    *,
    project_id: str | None = None,
    session: str | None = None,
    limit: int | None = None,
    after: str | None = None,
    caller: Caller | None = None,
) -> Request[PresencesDoc]:
    """What is known now of the active sessions, page by page as in `session_page`; with `session` of this one alone,
    which may have ended."""
    body = _given(projectId=project_id, session=session, limit=limit, after=after)
    return "presence", body, _whole("presence", "presence", list), caller


def merged_presence(pages: Sequence[PresencesDoc]) -> list[SessionPresenceDoc]:
    """The sessions of all pages, as `merged`."""
    return list({found["session"]: found for page in pages for found in page["presence"]}.values())


def touch_session(
    session_id: str | None = None, *, caller: Caller | None = None, **changes: object
) -> Request[SessionDoc]:
    """Report that a session is alive, and change the given fields, in the wire's names: `status`, `needsInput`,
    `taskIds`, `note`, `agent`, `agentSessionId`, `pid`, `pidStart`, `cwd`, `wake`, `wakeBy`."""
    body = _given(id=session_id, **changes)
    return "session.touch", body, _only("session.touch", "session", dict), caller


# --- the broker --------------------------------------------------------------------------------------------


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
    """The events after the LSN `after` (-1: the newest `limit`), oldest first. Filters: the `session` or `message`
    that they concern, the names in `events`, and the time from `since` to before `until` (ms).

    A page may be empty although `hasMore` is true: the search continues from `upTo`. Raises MaestroError
    CURSOR_EXPIRED, CURSOR_AHEAD or INVALID.
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
    """The figures that `maestro status` prints; PROTOCOL.md lists the keys."""
    return "stats", {}, _only("stats", "stats", dict), caller


def drain_outbox(*, caller: Caller | None = None) -> Request[dict[str, int]]:
    """Make the broker drain the outbox now: the numbers of entries that were `sent`, are `waiting`, `failed`."""

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
    """Begin a round of the sweep, or ask for the progress of one (`number`, the `round` of its reply) until `done`.

    `older_than_ms` replaces every retention. Raises MaestroError BUSY while another client's round runs, INVALID for
    a round that is no longer known, FORBIDDEN for a session.
    """
    body = _given(round=number, dryRun=dry_run or None, olderThanMs=older_than_ms)
    return "prune", body, _whole("prune", "swept", dict), caller


def shutdown(*, caller: Caller | None = None) -> Request[int]:
    """Stop the broker in order; its pid, so that the caller can wait for its end."""
    return "shutdown", {}, _only("shutdown", "pid", int), caller


def _accepted(answer: dict[str, Any]) -> SendResultDoc:
    [result] = results(answer, 1)
    if "error" in result:
        raise MaestroError.from_body(result["error"])
    return result
