"""Remote drain: sends the outbox of this machine to a broker on another machine.

Rule: that broker does not see this machine's outbox, so each client drains it before its own requests, one client at
a time. The policy is the broker's own (`maestro_broker.outbox`): oldest first in each session; "not now" holds the
entry and all later ones of its session; of a refusal for good the broker keeps a message of status `failed`, and what
is no message of its session stays here with the reason. Ids make a repeat harmless.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from maestro_clients.protocol.callers import Caller
from maestro_runtime import paths
from maestro_runtime.outbox_dir import OutboxDir
from maestro_schemas.errors import MaestroError

from . import outbox_files

if TYPE_CHECKING:
    from maestro_clients.client import Client
    from maestro_runtime.outbox_dir import QueuedEntry
    from maestro_schemas.outbox_entry import OutboxEntry

_LOCK = ".drain.lock"
_POLL_S = 0.05
# Refusals that concern the key of this machine, and not the message.
_OF_THE_KEY = frozenset({"KEY_REFUSED", "KEY_REVOKED", "KEY_FILE_UNUSABLE", "CURVE_MISSING"})


class DrainResult(NamedTuple):
    """How many entries were sent now, wait, and were refused for good (now or before)."""

    sent: int
    waiting: int
    failed: int


def drain(data: str, router: str, timeout_s: float, *, client: Client | None = None) -> DrainResult:
    """Send the waiting entries, over `client` where one is given. Raises MaestroError when the broker can't be
    reached or refuses the key; entries that were not sent stay."""
    outbox = OutboxDir(paths.outbox_dir(data))
    if not _waiting(data):
        outbox.collect_blobs()
        return DrainResult(0, *outbox.counts())
    deadline_s = time.monotonic() + timeout_s
    lock = os.open(os.path.join(outbox.path, _LOCK), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        sent = _send_all(outbox, data, router, deadline_s, client) if _locked(lock, deadline_s) else 0
        return DrainResult(sent, *outbox.counts())
    finally:
        os.close(lock)


def _send_all(outbox: OutboxDir, data: str, router: str, deadline_s: float, client: Client | None) -> int:
    if client is None:
        from maestro_clients.client import Client

        with Client(router) as own:
            return _send_all(outbox, data, router, deadline_s, own)
    sent = 0
    held: set[str] = set()
    for queued in _waiting(data):  # again: another client may have sent some while this one waited for the lock
        session = queued.entry.session
        if session in held:
            continue
        error, is_message = _send(client, data, queued.entry, max(deadline_s - time.monotonic(), 0.1))
        if error is None or is_message:
            sent += error is None
            outbox.remove(queued.path)
        elif error.retryable:
            held.add(session)
        else:
            outbox.keep_as_failed(queued, error)
    outbox.collect_blobs()
    return sent


def _send(client: Client, data: str, entry: OutboxEntry, timeout_s: float) -> tuple[MaestroError | None, bool]:
    """The error, and whether the broker has the message now, accepted or failed."""
    caller = Caller(entry.session, entry.token)
    try:
        if entry.digests:
            _put_files(client.sharing(caller, timeout_s=timeout_s), data, entry)
        answer: dict[str, Any] = client.call(
            "send", {"messages": [entry.outgoing], "queued": True}, timeout_s=timeout_s, caller=caller
        )
    except MaestroError as error:
        if error.code in _OF_THE_KEY or (error.kind == "unreachable" and error.code != "STOPPING"):
            raise
        return error, False
    [result] = answer["results"]
    if "error" not in result:
        return None, True
    return MaestroError.from_body(result["error"]), result.get("state") == "failed"


def _put_files(client: Client, data: str, entry: OutboxEntry) -> None:
    """Put the files first. Where one is refused for good, the broker refuses the message, and its sender reads why.
    Raises MaestroError where they can't be put now."""
    from maestro_clients.attachments import uploads

    try:
        client.carry_out(uploads.put(outbox_files.kept_files(data, entry.files)))
    except MaestroError as error:
        if error.retryable or error.code in _OF_THE_KEY:
            raise


def _waiting(data: str) -> list[QueuedEntry]:
    return [queued for queued in outbox_files.entries(data) if queued.entry.failure is None]


def _locked(fd: int, deadline_s: float) -> bool:
    import fcntl

    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline_s:
                return False
            time.sleep(_POLL_S)
        else:
            return True
