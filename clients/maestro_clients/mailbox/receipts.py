"""Receipts: waiting until a message was delivered or read.

Rule: the message's status at the broker is the truth. Notices about its sender only show when to ask, and once a
second the broker is asked anyway. A broker that is gone meanwhile is waited for.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import zmq

from maestro_clients.channel.unanswered import unreachable
from maestro_clients.processes.broker_process import connect, connect_if_running, may_autostart, read_endpoints
from maestro_schemas.errors import MaestroError

from .notices import Notices

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maestro_clients.client import Client
    from maestro_clients.protocol.callers import Caller
    from maestro_schemas.documents import EventDoc, MessageDoc

_LOOK_EVERY_S = 1.0
_AGAIN_S = 0.1
_CALL_S = 10.0
_CALL_S_MIN = 0.5
_REACHES = {"delivered": ("delivered", "read"), "read": ("read",)}
_REACHING_EVENTS = {"delivered": ("message.delivered", "message.read"), "read": ("message.read",)}


def wait_for(
    data: str,
    environ: Mapping[str, str],
    caller: Caller,
    message_id: str,
    status: str,
    timeout_s: float,
    *,
    client: Client | None = None,
) -> MessageDoc:
    """The message, once it is `delivered` or `read`, as `status` names. `client`: an open connection to use.

    Raises MaestroError TIMEOUT when it is not within timeout_s; MESSAGE_NOT_FOUND where there is none that the
    caller may see, or it was deleted first; STATUS_CONFLICT when it expired, or the code it failed with; INVALID
    for another status; and what `broker_process.connect` raises.
    """
    if status not in _REACHES:
        raise MaestroError("INVALID", f"a sender can't wait for {status!r:.40}", "Wait for `delivered` or `read`.")
    wait = _ReceiptWait(message_id, status)
    deadline_s = time.monotonic() + timeout_s
    own: Client | None = None
    try:
        if client is None:
            own = connect(data, environ, caller, autostart=may_autostart(environ))
        while True:
            used = own or client
            try:
                if used is not None:
                    return _watch(wait, used, data, environ, caller, deadline_s)
            except MaestroError as error:
                if error.kind != "unreachable" or time.monotonic() >= deadline_s:
                    raise
            if own is not None:
                own.close()
            own = client = None
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                raise wait.late()
            time.sleep(min(_AGAIN_S, left_s))
            own = connect_if_running(data, environ, caller)
    finally:
        if own is not None:
            own.close()


class _ReceiptWait:
    """The known state of one message."""

    def __init__(self, message_id: str, status: str) -> None:
        self._id = message_id
        self._status = status
        self._message: MessageDoc | None = None
        self._reached: EventDoc | None = None

    def concerns(self, event: EventDoc) -> bool:
        """Whether it is time to ask; a `head` means that notices may have been missed."""
        if event.get("id") == self._id and event["event"] in _REACHING_EVENTS[self._status]:
            self._reached = event
        return event["event"] == "head" or event.get("id") == self._id

    def look(self, client: Client) -> MessageDoc | None:
        """The message if it has the status; raises the error because of which it never will."""
        try:
            message = self._message = client.message(self._id)
        except MaestroError as error:
            if error.code != "MESSAGE_NOT_FOUND" or self._message is None:
                raise
            return self._as_it_was(error)
        if message["status"] in _REACHES[self._status]:
            return message
        if message["status"] == "failed":
            failure = message.get("failure", {"code": "INTERNAL", "message": "no reason was given"})
            raise MaestroError(failure["code"], f"message {self._id} failed: {failure['message']}")
        if message["status"] == "expired":
            raise MaestroError(
                "STATUS_CONFLICT",
                f"message {self._id} expired before it was {self._status}",
                f"Send it again, with a longer life: maestro message retry {self._id} --ttl 1d. Or ask whether its "
                "receiver is still there.",
            )
        return None

    def _as_it_was(self, error: MaestroError) -> MessageDoc:
        """A deleted message: a success if a notice showed that it had the status before."""
        last, event = self._message, self._reached
        if last is None or event is None:
            raise MaestroError(
                "MESSAGE_NOT_FOUND",
                f"message {self._id} was deleted, by its receiver or the operator, before it was {self._status}",
                "`maestro timeline` shows what happened to it.",
            ) from error
        reached: MessageDoc = {**last, "status": "read" if event["event"] == "message.read" else "delivered"}
        if event["event"] == "message.read":
            reached["readAt"] = event["at"]
        else:
            reached["deliveredAt"] = event["at"]
        return reached

    def sender(self, caller: Caller) -> str | None:
        """The session whose notices concern this message."""
        return caller.session or (self._message["from"] if self._message is not None else None)

    def late(self) -> MaestroError:
        """The error for a wait that is over."""
        state = f"; it is {self._message['status']}" if self._message is not None else ""
        return MaestroError(
            "TIMEOUT",
            f"message {self._id} was not {self._status} in time{state}",
            f"It is on disk all the same. Later: maestro message show {self._id}",
        )


def _watch(
    wait: _ReceiptWait,
    client: Client,
    data: str,
    environ: Mapping[str, str],
    caller: Caller,
    deadline_s: float,
) -> MessageDoc:
    """Until the wait ends, with this broker. Raises TIMEOUT or BROKER_UNREACHABLE when it does not."""
    left_s = max(deadline_s - time.monotonic(), _CALL_S_MIN)
    asking = client.sharing(caller, timeout_s=min(left_s, _CALL_S), retry_within_s=0.0)
    if caller.session is None and (message := wait.look(asking)) is not None:
        return message  # an operator's wait: only the message names the sender whose notices concern it
    endpoints = read_endpoints(data, environ)
    if endpoints is None or endpoints.router != client.address:
        raise unreachable(client.address)
    notices = Notices(endpoints.notices, wait.sender(caller) or "")
    try:
        while (message := wait.look(asking)) is None:
            _wait_for_notice(wait, notices, deadline_s)
        return message
    finally:
        notices.close()


def _wait_for_notice(wait: _ReceiptWait, notices: Notices, deadline_s: float) -> None:
    """Until a notice concerns the message, or a second is over. Raises MaestroError TIMEOUT."""
    look_s = time.monotonic() + _LOOK_EVERY_S
    while (now_s := time.monotonic()) < look_s:
        if now_s >= deadline_s:
            raise wait.late()
        wait_s = min(look_s, deadline_s) - now_s
        notices.socket.poll(int(wait_s * 1000) + 1, zmq.POLLIN)
        # All of them, since `concerns` remembers the one that shows the status.
        if sum(wait.concerns(event) for event in notices.drain()):
            return
