"""Far outbox: sends that a broker on another machine did not get, handed over by whoever reaches it next.

Rule: no broker looks into this machine's outbox, so its clients do: before anything else they ask, in order, a
session's after one another, one client at a time. Ids make a repeat harmless. "Not now" leaves an entry and all
after it of that session; a refusal for good stays as `*.failed` with its reason.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from maestro_clients.protocol.callers import Caller
from maestro_runtime import paths
from maestro_schemas import outbox_entry
from maestro_schemas.errors import MaestroError

from . import outbox_files

if TYPE_CHECKING:
    from maestro_clients.client import Client
    from maestro_schemas.documents import OutgoingDoc
    from maestro_schemas.outbox_entry import OutboxEntry

_LOCK = ".drain.lock"
_LOOK_EVERY_S = 0.05
# What concerns the connection, or every send of this machine, and not the message.
_OF_ALL = frozenset(
    {"BROKER_UNREACHABLE", "TIMEOUT", "KEY_REFUSED", "KEY_REVOKED", "KEY_FILE_UNUSABLE", "CURVE_MISSING"}
)


class DrainResult(NamedTuple):
    """How many entries were sent now, wait, and were refused for good (now or before)."""

    sent: int
    waiting: int
    failed: int


def drain(data: str, router: str, timeout_s: float, *, client: Client | None = None) -> DrainResult:
    """Send the waiting entries, over `client` where one is given. Raises MaestroError when the broker can't be
    reached or refuses the key; entries that were not sent stay."""
    if not _waiting(data):
        return _counted(data, 0)
    deadline_s = time.monotonic() + timeout_s
    lock = os.open(
        os.path.join(paths.outbox_dir(data), _LOCK), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
    )
    try:
        if not _locked(lock, deadline_s):
            return _counted(data, 0)
        return _counted(data, _hand_over(data, router, deadline_s, client))
    finally:
        os.close(lock)


def _hand_over(data: str, router: str, deadline_s: float, client: Client | None) -> int:
    if client is None:
        from maestro_clients.client import Client

        with Client(router) as own:
            return _hand_over(data, router, deadline_s, own)
    sent = 0
    held: set[str] = set()
    for path, entry in _waiting(data):  # again: another client may have sent some while this one waited for the lock
        if entry.session in held:
            continue
        error = _send(client, entry, max(deadline_s - time.monotonic(), 0.1))
        if error is None:
            sent += 1
            _remove(path)
        elif error.retryable:
            held.add(entry.session)
        else:
            outbox_files.keep_as_failed(path, entry._replace(failure=error.body()))
    return sent


def _send(client: Client, entry: OutboxEntry, timeout_s: float) -> MaestroError | None:
    caller = Caller(entry.session, entry.token)
    body = {"messages": [cast("OutgoingDoc", entry.outgoing)]}
    try:
        answer: dict[str, Any] = client.call("send", body, timeout_s=timeout_s, caller=caller)
    except MaestroError as error:
        if error.code in _OF_ALL:
            raise
        return error
    [result] = answer["results"]
    return MaestroError.from_body(result["error"]) if "error" in result else None


def _waiting(data: str) -> list[tuple[str, OutboxEntry]]:
    if not os.path.isdir(paths.outbox_dir(data)):
        return []
    return [(path, entry) for path, entry in outbox_files.entries(data) if entry.failure is None]


def _counted(data: str, sent: int) -> DrainResult:
    paths_left = [path for path, _ in outbox_files.entries(data)]
    failed = sum(path.endswith(outbox_entry.FAILED_SUFFIX) for path in paths_left)
    return DrainResult(sent, len(paths_left) - failed, failed)


def _locked(fd: int, deadline_s: float) -> bool:
    import fcntl

    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline_s:
                return False
            time.sleep(_LOOK_EVERY_S)
        else:
            return True


def _remove(path: str) -> None:
    """The entry, and its session's folder if that was the last."""
    try:
        os.unlink(path)
        os.rmdir(os.path.dirname(path))
    except OSError:
        return
