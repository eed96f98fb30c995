"""Durable send: one message, whatever state the broker is in.

Rule: the message ends accepted, refused with a typed error, or in the outbox; never in between. Every attempt and the
outbox have the same id. It is queued where no broker answered, or none could take it for a while; a refusal is
raised at once, so that the sender hears about it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from maestro_clients import retry_policy
from maestro_clients.processes.broker_process import connect
from maestro_clients.protocol import commands
from maestro_schemas.errors import MaestroError

from .outbox import outbox_files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from maestro_clients.attachments.outgoing_files import OutgoingFile
    from maestro_clients.client import Client
    from maestro_clients.protocol.callers import Caller
    from maestro_schemas.documents import OutgoingDoc, SendResultDoc

_RETRY_WITHIN_S = 3.0
# An attempt has at least this long, even when the start of a broker took all the time there was.
_ATTEMPT_S_MIN = 0.5
# What keeps a broker from starting and a person can repair, so that the message is worth keeping.
_REPAIRABLE = frozenset({"DATA_DIR_LOCKED", "BAD_SETTING"})


class SendOutcome(NamedTuple):
    """The result of the broker, or the outbox entry."""

    # The broker has the message on disk; None where it is queued.
    result: SendResultDoc | None
    # The path of its outbox entry.
    queued_path: str | None
    # Why it is queued.
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
    files: Sequence[OutgoingFile] = (),
) -> SendOutcome:
    """Send, starting a broker if need be and allowed; else queue.

    `client`: an open connection for the first attempt. `timeout_s` bounds the whole wait. `files`: those that the
    message names; they are put first, and queued with it.

    Raises MaestroError: the message's refusal (RECEIVER_NOT_FOUND, ROLE_FORBIDDEN, RATE_LIMITED, MAILBOX_FULL, ...),
    what keeps a broker from ever running here (PATH_TOO_LONG, FORMAT_UNSUPPORTED, DATA_DIR_UNUSABLE, ...), or what
    `outbox_files.queue` raises.
    """
    deadline_s = time.monotonic() + timeout_s
    given = [] if client is None else [client]

    def attempt() -> SendResultDoc:
        if given:
            # If it fails, the next attempt looks for the broker again: it may have moved, or need a start.
            return _send(given.pop(), caller, outgoing, files, _left_s(deadline_s))
        with connect(data, environ, caller, autostart=autostart, timeout_s=_left_s(deadline_s)) as found:
            return _send(found, caller, outgoing, files, _left_s(deadline_s))

    def may_retry(error: BaseException) -> bool:
        # Where no broker may be started, none will come: queue without a wait.
        away = isinstance(error, MaestroError) and error.code == "BROKER_UNREACHABLE"
        return retry_policy.may_pass(error) and (autostart or not away)

    try:
        result = retry_policy.retry(attempt, within_s=min(timeout_s, _RETRY_WITHIN_S), may_retry=may_retry)
    except MaestroError as error:
        if error.kind not in ("busy", "unreachable") and error.code not in _REPAIRABLE:
            raise
        path = outbox_files.queue(data, caller, outgoing, time.time_ns() // 1_000_000, files)
        return SendOutcome(None, path, error)
    return SendOutcome(result, None)


def _send(
    client: Client, caller: Caller, outgoing: OutgoingDoc, files: Sequence[OutgoingFile], timeout_s: float
) -> SendResultDoc:
    own = client.sharing(caller, timeout_s=timeout_s, retry_within_s=0.0)
    request = commands.send_one(outgoing)
    if not files:
        return own.request(request)
    from .attachments import uploads

    return own.carry_out(uploads.sent(request, files))


def _left_s(deadline_s: float) -> float:
    return max(deadline_s - time.monotonic(), _ATTEMPT_S_MIN)
