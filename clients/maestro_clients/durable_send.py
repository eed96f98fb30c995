"""Sending: one message, whatever state the broker is in.

Rule: the message ends accepted, refused with a typed error, or in the outbox; never in between. Every try and the
outbox have the same id. Queued where no broker answered or none could take it for a while; a refusal is the
sender's to hear at once.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from maestro_clients import retry_policy
from maestro_clients.processes.broker_process import connect
from maestro_schemas.errors import MaestroError

from .outbox import outbox_files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maestro_clients.client import Client
    from maestro_clients.protocol.callers import Caller
    from maestro_schemas.documents import OutgoingDoc, SendResultDoc

_TRY_FOR_S = 3.0
# A try has at least this long, even when the start of a broker took all the time there was.
_TRY_S_MIN = 0.5
_QUEUED = retry_policy.UNANSWERED | retry_policy.NOT_NOW | {"AUTOSTART_FAILED", "DATA_DIR_LOCKED", "BAD_SETTING"}


class SendOutcome(NamedTuple):
    """`result`: the broker has it on disk. Else `queued_path`: its outbox entry, and `reason`: why it waits."""

    result: SendResultDoc | None
    queued_path: str | None
    reason: MaestroError | None = None


def send_or_queue(
    data: str,
    environ: Mapping[str, str],
    caller: Caller,
    outgoing: OutgoingDoc,
    *,
    autostart: bool,
    timeout_s: float = 10.0,
    client: Client | None = None,
) -> SendOutcome:
    """Send, starting a broker if need be and allowed; else queue.

    `client`: an open connection for the first attempt. `timeout_s` bounds the whole wait.

    Raises MaestroError: the message's refusal (RECEIVER_NOT_FOUND, ROLE_FORBIDDEN, RATE_LIMITED, MAILBOX_FULL, ...),
    what keeps a broker from ever running here (PATH_TOO_LONG, FORMAT_UNSUPPORTED, DATA_DIR_UNUSABLE, ...), or what
    `outbox_files.queue` raises.
    """
    deadline_s = time.monotonic() + timeout_s
    given = [] if client is None else [client]

    def attempt() -> SendResultDoc:
        if given:
            # If it fails, the next attempt looks for the broker again: it may have moved, or need a start.
            return _send(given.pop().sharing(caller, timeout_s=_left_s(deadline_s)), outgoing)
        found = connect(
            data,
            environ,
            caller,
            autostart=autostart,
            timeout_s=_left_s(deadline_s),
        )
        with found:
            return _send(found.sharing(timeout_s=_left_s(deadline_s)), outgoing)

    # Where nobody may start a broker, nobody will come: queue without waiting.
    codes = retry_policy.NOT_NOW | {"BROKER_UNREACHABLE"} if autostart else retry_policy.NOT_NOW
    try:
        result = retry_policy.retry(attempt, codes=codes, within_s=min(timeout_s, _TRY_FOR_S))
    except MaestroError as error:
        if error.code not in _QUEUED:
            raise
        return SendOutcome(None, outbox_files.queue(data, caller, outgoing, time.time_ns() // 1_000_000), error)
    return SendOutcome(result, None)


def _send(client: Client, outgoing: OutgoingDoc) -> SendResultDoc:
    [result] = client.send_many([outgoing])
    if "error" in result:
        raise MaestroError.from_body(result["error"])
    return result


def _left_s(deadline_s: float) -> float:
    return max(deadline_s - time.monotonic(), _TRY_S_MIN)
