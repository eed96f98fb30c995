"""Receipts: waiting until a message was delivered or read, by its receiver or by all of them.

Rule: what the broker says of the message is the truth. Notices about its sender only show when to ask, and once a
second the broker is asked anyway. A broker that is gone meanwhile is waited for.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol, TypeVar

import zmq

from maestro_clients.channel.unanswered import unreachable
from maestro_clients.processes.broker_process import connect, connect_if_running, may_autostart, read_endpoints
from maestro_schemas.errors import MaestroError
from maestro_schemas.texts.visible_text import one_line

from .notices import Notices

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maestro_clients.client import Client
    from maestro_clients.protocol.callers import Caller
    from maestro_schemas.documents import EventDoc, MessageDoc, ReceiptDoc, RecipientReceiptDoc

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

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
    _check_status(status)
    return _persist(_ReceiptWait(message_id, status), data, environ, caller, timeout_s, client)


def wait_for_all(
    data: str,
    environ: Mapping[str, str],
    caller: Caller,
    message_id: str,
    status: str,
    timeout_s: float,
    *,
    client: Client | None = None,
) -> ReceiptDoc:
    """The receipt of a message, with `people`, once it is `delivered` to all receivers that accepted it, or `read` by
    them. `client`: as in `wait_for`.

    Raises MaestroError TIMEOUT when it is not within timeout_s; STATUS_CONFLICT when all that can be reached are, and
    for some the message expired or was deleted first. Both have `details` with the `receipt`, where one is known, and
    the ids of the `missing` receivers. Otherwise it raises as `wait_for`.
    """
    _check_status(status)
    return _persist(_AllReceiptsWait(message_id, status), data, environ, caller, timeout_s, client)


class _Wait(Protocol[T_co]):
    """What is waited for."""

    def concerns(self, event: EventDoc) -> bool:
        """Whether it is time to ask; a `head` means that notices may have been missed."""

    def look(self, client: Client) -> T_co | None:
        """The result, if it is there; raises the error because of which it never will."""

    def sender(self, caller: Caller) -> str | None:
        """The session whose notices concern this message."""

    def late(self) -> MaestroError:
        """The error for a wait that is over."""


def _check_status(status: str) -> None:
    if status not in _REACHES:
        raise MaestroError("INVALID", f"a sender can't wait for {status!r:.40}", "Wait for `delivered` or `read`.")


def _persist(
    wait: _Wait[T],
    data: str,
    environ: Mapping[str, str],
    caller: Caller,
    timeout_s: float,
    client: Client | None,
) -> T:
    """Until the wait ends, with one broker after the other."""
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
            raise MaestroError(
                failure["code"],
                f"message {self._id} failed: {failure['message']}",
                f"To send it again: maestro message retry {self._id}",
            )
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


class _AllReceiptsWait:
    """The known state of one message at all its receivers."""

    def __init__(self, message_id: str, status: str) -> None:
        self._id = message_id
        self._status = status
        self._receipt: ReceiptDoc | None = None
        # Receivers that have not reached the status, as far as the last receipt says.
        self._missing: list[RecipientReceiptDoc] = []
        # Those of which a notice said that they have. A message may be deleted before the next receipt.
        self._noticed: set[str] = set()
        # Those whose copy was deleted at the last look.
        self._deleted: set[str] = set()

    def concerns(self, event: EventDoc) -> bool:
        if event["event"] == "head":
            return True
        if event.get("id") != self._id:
            return False
        if event["event"] not in _REACHING_EVENTS[self._status]:
            # Not for what a receiver deletes after it has reached the status.
            return event["event"] in ("message.expired", "message.deleted") and event.get("to") not in self._noticed
        self._noticed.add(event.get("to", ""))
        # A receipt is asked for once all are there, not for each of them.
        return all(line["to"] in self._noticed for line in self._missing)

    def look(self, client: Client) -> ReceiptDoc | None:
        receipt = self._receipt = client.receipt(self._id, people=True)
        if "failure" in receipt:
            raise MaestroError(
                receipt["failure"]["code"],
                f"message {self._id} failed: {receipt['failure']['message']}",
                f"To send it again: maestro message retry {self._id}",
            )
        lines = [line for line in receipt["recipients"] if line["state"] != "refused"]
        self._missing = [line for line in lines if not self._is_reached(line)]
        # The notice of what a receiver did before it deleted its copy may still be on its way: a deleted copy is lost
        # at the second look.
        before, self._deleted = self._deleted, {line["to"] for line in self._missing if line["state"] == "deleted"}
        if any(not _is_lost(line) for line in self._missing) or not self._deleted <= before:
            return None
        if self._missing:
            raise MaestroError(
                "STATUS_CONFLICT",
                f"message {self._id} was {self._status} by {len(lines) - len(self._missing)} of {len(lines)}, and "
                f"will not be by the others: {self._named()}",
                f"Send it to them again: maestro message retry {self._id} --ttl 1d",
                details=self._details(),
            )
        return receipt

    def sender(self, caller: Caller) -> str | None:
        return caller.session or (self._receipt["from"] if self._receipt is not None else None)

    def late(self) -> MaestroError:
        count = self._receipt["counts"]["accepted"] if self._receipt is not None else 0
        missing = f"; missing of {count}: {self._named()}" if self._missing else ""
        return MaestroError(
            "TIMEOUT",
            f"message {self._id} was not {self._status} by all in time{missing}",
            f"It is on disk all the same. Later: maestro message receipt {self._id}",
            details=self._details(),
        )

    def _is_reached(self, line: RecipientReceiptDoc) -> bool:
        at = line.get("readAt") if self._status == "read" else line.get("deliveredAt")
        return at is not None or line["to"] in self._noticed

    def _named(self) -> str:
        assert self._receipt is not None  # noqa: S101 - none is missing before the first receipt
        return ", ".join(missing_receiver(line, self._receipt) for line in self._missing)

    def _details(self) -> dict[str, object]:
        details: dict[str, object] = {"missing": [line["to"] for line in self._missing]}
        return details if self._receipt is None else {**details, "receipt": self._receipt}


def missing_receiver(line: RecipientReceiptDoc, receipt: ReceiptDoc) -> str:
    """A receiver that did not come as far as was waited for: its name, and what is known of it."""
    person = receipt.get("people", {}).get(line["to"])
    name = line["to"] if person is None else person.get("name") or line["to"]
    known = line.get("presence", {}).get("state", "unknown")
    return f"{one_line(name)} ({line['state'] if _is_lost(line) or known == 'unknown' else known})"


def _is_lost(line: RecipientReceiptDoc) -> bool:
    return line["state"] in ("expired", "deleted")


def _watch(
    wait: _Wait[T],
    client: Client,
    data: str,
    environ: Mapping[str, str],
    caller: Caller,
    deadline_s: float,
) -> T:
    """Until the wait ends, with this broker. Raises TIMEOUT or BROKER_UNREACHABLE when it does not."""
    left_s = max(deadline_s - time.monotonic(), _CALL_S_MIN)
    asking = client.sharing(caller, timeout_s=min(left_s, _CALL_S), retry_within_s=0.0)
    if caller.session is None and (found := wait.look(asking)) is not None:
        return found  # an operator's wait: only the message names the sender whose notices concern it
    endpoints = read_endpoints(data, environ)
    if endpoints is None or endpoints.router != client.address:
        raise unreachable(client.address)
    notices = Notices(endpoints.notices, wait.sender(caller) or "")
    try:
        while (found := wait.look(asking)) is None:
            _wait_for_notice(wait, notices, deadline_s)
        return found
    finally:
        notices.close()


def _wait_for_notice(wait: _Wait[object], notices: Notices, deadline_s: float) -> None:
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
