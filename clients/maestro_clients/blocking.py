"""Client: the broker's commands as methods that wait for their answer.

Rule: one method a command, and no policy: nothing is retried here that was answered, nothing is started, nothing is
queued (see `sending` and `retry_policy`). Not for two threads at once; open one for each, they are cheap.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Self, cast

from maestro_schemas import PROTOCOL_VERSION, __version__
from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import DOCS, Limits

from .callers import Caller
from .codec import encoder
from .fresh import new_message_id
from .line import Line, not_ours

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

    from maestro_schemas.documents import (
        EventsDoc,
        HelloDoc,
        InboxDoc,
        ItemResultDoc,
        MessageDoc,
        MetadataDoc,
        OutgoingDoc,
        SendResultDoc,
        SessionDoc,
    )

OPERATOR = Caller()

# What a request ends with that was not answered, or not by a broker; the rest is about the message.
_NO_ANSWER = frozenset({"TIMEOUT", "BROKER_UNREACHABLE", "BAD_REQUEST", "UNSUPPORTED_PROTOCOL"})

# Up to here every broker takes a body, or answers that it is too large, however its limit is set: libzmq cuts the
# connection only above four times the limit.
_BYTES_ALWAYS_TAKEN = DOCS["wire_bytes_max"].low * 4


class Client:
    """An open connection that speaks for `caller`.

    `address`: a broker's `router` endpoint. `timeout_s`: of each call that names no other. `patient`: a call waits
    for a broker that is gone until its timeout, instead of raising BROKER_UNREACHABLE after 0.3 s.
    """

    def __init__(
        self, address: str, caller: Caller = OPERATOR, *, timeout_s: float = 10.0, patient: bool = False
    ) -> None:
        self._caller = caller
        self._as = caller.as_body()
        self._timeout_s = timeout_s
        self._line = Line(address, patient=patient)
        self._encode = encoder()
        self._wire_bytes_max: int | None = None

    def close(self) -> None:
        """Let go of the connection. Can be repeated."""
        self._line.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- the one way through -------------------------------------------------------------------------------

    def call(self, command: str, body: Mapping[str, Any], *, timeout_s: float | None = None) -> dict[str, Any]:
        """Any command: adds who asks, and gives the answer's body.

        Raises the MaestroError that the broker answers with; FRAME_TOO_LARGE for a body over the broker's limit,
        before it is sent; BROKER_UNREACHABLE or TIMEOUT where no answer came.
        """
        encoded = self._encoded(body)
        return self._line.call(command, encoded, self._timeout_s if timeout_s is None else timeout_s)

    def _encoded(self, body: Mapping[str, Any]) -> bytes:
        encoded = self._encode({"as": self._as, **body} if self._as else body)
        if len(encoded) > _BYTES_ALWAYS_TAKEN:
            self._check_size(len(encoded))
        return encoded

    def _check_size(self, size: int) -> None:
        """libzmq drops the connection of a far too large frame without a word, so it must not be sent."""
        if self._wire_bytes_max is None:
            limits = self.hello()["limits"]
            self._wire_bytes_max = limits.get("wire_bytes_max", Limits().wire_bytes_max)
        if size > self._wire_bytes_max:
            raise MaestroError(
                "FRAME_TOO_LARGE",
                f"the request's body is {size:,} bytes, and the limit is {self._wire_bytes_max:,}",
                "Send fewer messages at a time, or less in one.",
                limit=self._wire_bytes_max,
                actual=size,
            )

    def _ask(self, command: str, field: str, shape: type, /, **body: object) -> Any:
        """The one field that a command's answer consists of; absent (None) arguments are left out."""
        answer = self.call(command, {name: value for name, value in body.items() if value is not None})
        return _field(command, answer, field, shape)

    # --- messages ------------------------------------------------------------------------------------------

    def hello(self) -> HelloDoc:
        """Versions, limits and epoch of the broker. Raises MaestroError UNSUPPORTED_PROTOCOL."""
        body = {
            "protocolMin": PROTOCOL_VERSION,
            "protocolMax": PROTOCOL_VERSION,
            "client": f"maestro-messaging/{__version__}",
        }
        answer = self.call("hello", body)
        _field("hello", answer, "limits", dict)
        return cast("HelloDoc", answer)

    def send(
        self,
        to: str,
        text: str,
        *,
        message_id: str | None = None,
        metadata: MetadataDoc | None = None,
        ttl_ms: int | None = None,
    ) -> SendResultDoc:
        """One message, on disk when this returns. Give `message_id` to be able to repeat the send.

        Raises the message's own error, e.g. RECEIVER_NOT_FOUND, ROLE_FORBIDDEN, RATE_LIMITED with retry_after_s.
        """
        outgoing: OutgoingDoc = {"id": message_id or new_message_id(), "to": to, "message": text}
        if metadata:
            outgoing["metadata"] = metadata
        if ttl_ms is not None:
            outgoing["ttlMs"] = ttl_ms
        [result] = self.send_many([outgoing])
        if "error" in result:
            raise MaestroError.from_body(result["error"])
        return result

    def send_many(self, outgoing: Sequence[OutgoingDoc]) -> list[SendResultDoc]:
        """Several messages in one request (at most `batch_messages_max`, 256), judged one by one.

        The results stand in the same order; a refused message's result has `error`. Raises MaestroError for what
        concerns the whole request. Nothing is asked for an empty sequence.
        """
        if not outgoing:
            return []
        results = self._ask("send", "results", list, messages=list(outgoing))
        if len(results) != len(outgoing):
            raise _odd("send", f"{len(results)} results for {len(outgoing)} messages")
        return cast("list[SendResultDoc]", results)

    def pipeline(self, outgoing: Iterable[OutgoingDoc], *, in_flight: int = 16) -> Iterator[SendResultDoc]:
        """Messages one a request, `in_flight` of them unanswered at a time; yields each result as it arrives.

        A refused message's result has `error`. No order is promised between messages in flight when the broker
        dies. Raises MaestroError BROKER_UNREACHABLE or TIMEOUT: what was not yielded is then unknown, and sending
        it again with the same ids is safe. A forked child can't go on with its parent's: BAD_REQUEST.
        """
        line, encoded, timeout_s = self._line, self._encoded, self._timeout_s
        ids: dict[bytes, str] = {}
        source = iter(outgoing)
        owner = os.getpid()
        try:
            while True:
                if os.getpid() != owner:
                    raise not_ours()
                while len(ids) < in_flight and (item := next(source, None)) is not None:
                    ids[line.post("send", encoded({"messages": (item,)}), timeout_s)] = item["id"]
                if not ids:
                    return
                for request_id in line.ended(ids):
                    yield _single(line, request_id, ids.pop(request_id))
        finally:
            # In a forked child the same request ids are others' requests.
            if os.getpid() == owner:
                for request_id in ids:
                    line.forget(request_id)

    def inbox(
        self,
        *,
        session: str | None = None,
        since: int | None = None,
        limit: int | None = None,
        status: Sequence[str] | None = None,
        type: str | None = None,  # noqa: A002 - the wire's name
        lease_ms: int | None = None,
        reader: str | None = None,
    ) -> InboxDoc:
        """A page of `session`'s mail (default: the caller's). Reading changes nothing but leases.

        Without `since`: high priority first. With it (a seq): what is later, strictly by seq, and the answer's
        `upTo` is the next `since`. `lease_ms` with `reader` hides what is returned from other leasing readers.
        """
        body: dict[str, Any] = {
            "session": session,
            "since": since,
            "limit": limit,
            "status": None if status is None else list(status),
            "type": type,
            "leaseMs": lease_ms,
            "reader": reader,
        }
        answer = self.call("inbox", {name: value for name, value in body.items() if value is not None})
        _field("inbox", answer, "messages", list)
        return cast("InboxDoc", answer)

    def confirm(
        self, ids: Sequence[str], kind: str, *, session: str | None = None, via: str | None = None
    ) -> list[ItemResultDoc]:
        """Ids were `offered`, `delivered` or `read`, `via` what. Each result may have `error`."""
        results = self._ask("confirm", "results", list, ids=list(ids), kind=kind, session=session, via=via)
        return cast("list[ItemResultDoc]", results)

    def message(self, message_id: str) -> MessageDoc:
        """One message, for its sender, its receiver and the operator. Raises MaestroError MESSAGE_NOT_FOUND."""
        return cast("MessageDoc", self._ask("message", "message", dict, id=message_id))

    def delete(self, ids: Sequence[str], *, session: str | None = None) -> list[ItemResultDoc]:
        """Messages go from a mailbox. Each result may have `error`."""
        return cast("list[ItemResultDoc]", self._ask("delete", "results", list, ids=list(ids), session=session))

    # --- sessions ------------------------------------------------------------------------------------------

    def start_session(
        self,
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
    ) -> SessionDoc:
        """Start a session, or restart it (which takes its token). Make id and token first, with `fresh`, so that
        a repeat is the same request."""
        session = self._ask(
            "session.start",
            "session",
            dict,
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
        return cast("SessionDoc", session)

    def end_session(self, session_id: str | None = None, *, status: str = "completed") -> SessionDoc:
        """End a session (default: the caller's) as `completed`, `failed` or `stopped`."""
        return cast("SessionDoc", self._ask("session.end", "session", dict, id=session_id, status=status))

    def session(self, session_id: str | None = None) -> SessionDoc:
        """A session by id or by unique name (default: the caller's). Raises MaestroError SESSION_NOT_FOUND."""
        return cast("SessionDoc", self._ask("session.get", "session", dict, id=session_id))

    def sessions(
        self,
        *,
        project_id: str | None = None,
        parent_session_id: str | None = None,
        status: Sequence[str] | None = None,
        active: bool | None = None,
    ) -> list[SessionDoc]:
        """The sessions that fit every given filter, the newest last."""
        found = self._ask(
            "session.list",
            "sessions",
            list,
            projectId=project_id,
            parentSessionId=parent_session_id,
            status=None if status is None else list(status),
            active=active,
        )
        return cast("list[SessionDoc]", found)

    def touch_session(self, session_id: str | None = None, **changes: object) -> SessionDoc:
        """Say that a session is alive, and change what is given, in the wire's names: `status`, `needsInput`,
        `taskIds`, `note`, `agent`, `agentSessionId`, `pid`, `cwd`."""
        return cast("SessionDoc", self._ask("session.touch", "session", dict, id=session_id, **changes))

    # --- the post office -----------------------------------------------------------------------------------

    def events(self, after: int, *, limit: int | None = None, session: str | None = None) -> EventsDoc:
        """What happened after the LSN `after` (-1: the newest `limit`), oldest first.

        Raises MaestroError CURSOR_EXPIRED or CURSOR_AHEAD.
        """
        body = {"after": after, "limit": limit, "session": session}
        answer = self.call("events", {name: value for name, value in body.items() if value is not None})
        _field("events", answer, "events", list)
        return cast("EventsDoc", answer)

    def stats(self) -> dict[str, Any]:
        """What `maestro status` prints; PROTOCOL.md lists the keys."""
        return cast("dict[str, Any]", self._ask("stats", "stats", dict))

    def drain_outbox(self) -> dict[str, int]:
        """Have the broker look into the outbox now: how many entries were `sent`, are `waiting`, `failed`."""
        answer = self.call("outbox.drain", {})
        return {name: _field("outbox.drain", answer, name, int) for name in ("sent", "waiting", "failed")}

    def shutdown(self) -> int:
        """Stop the broker in order; its pid, whose end the caller may wait for."""
        return cast("int", self._ask("shutdown", "pid", int))


def _single(line: Line, request_id: bytes, message_id: str) -> SendResultDoc:
    """The result of a request with one message; a refusal of the whole request is that message's."""
    try:
        answer = line.claim(request_id)
    except MaestroError as error:
        if error.code in _NO_ANSWER:
            raise
        return {"id": message_id, "status": error.status, "error": cast("Any", error.body())}
    results = _field("send", answer, "results", list)
    if len(results) != 1:
        raise _odd("send", f"{len(results)} results for one message")
    return cast("SendResultDoc", results[0])


def _field(command: str, answer: Mapping[str, Any], field: str, kind: type) -> Any:
    value = answer.get(field)
    if not isinstance(value, kind):
        raise _odd(command, f"no {field}")
    return value


def _odd(command: str, what: str) -> MaestroError:
    return MaestroError(
        "INTERNAL",
        f"the broker's answer to {command} has {what}",
        "It may be of another version: `maestro status` shows it; `maestro down` lets the next command start anew.",
    )
