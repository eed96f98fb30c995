"""Outbox: sends that got no answer, kept as files for the broker.

Rule: an entry is complete or absent, and durable when `queue` returns; only this user can read it, since it holds
the sender's token. Clients only add; the broker alone takes entries out. The same send queued again is one entry.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any, cast

from maestro_runtime import paths
from maestro_schemas import outbox_entry
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import is_id
from maestro_schemas.outbox_entry import FAILED_SUFFIX, QUEUED_AT_MS_MAX, TIME_DIGITS, WAITING_SUFFIX, OutboxEntry

if TYPE_CHECKING:
    from maestro_clients.protocol.callers import Caller
    from maestro_schemas.documents import OutgoingDoc

# How often the broker may remove the session's empty folder under our hands.
_TRIES = 100
_FULL = (errno.ENOSPC, errno.EDQUOT)


def queue(data: str, caller: Caller, outgoing: OutgoingDoc, now_ms: int) -> str:
    """Keep a send; its entry's path. `now_ms`: milliseconds since the epoch; the entry sorts behind all that wait,
    whatever it says.

    Raises MaestroError NO_SESSION, INVALID_ID (of the session or the message), STORAGE_FULL or DATA_DIR_UNUSABLE;
    then nothing is kept.
    """
    session = caller.session
    if session is None:
        raise MaestroError(
            "NO_SESSION",
            "a message needs a sender, and no session was named",
            'Start one in this shell: eval "$(maestro session start --export)".',
        )
    for text in (session, outgoing["id"]):
        # Both become file names.
        if not is_id(text):
            raise MaestroError("INVALID_ID", f"{text!r:.100} can't be an id", "Use 1 to 64 of A-Z a-z 0-9 _ -.")
    folder = os.path.join(paths.outbox_dir(data), session)
    try:
        queued_at = _behind_all(folder, now_ms)
        entry = OutboxEntry(queued_at, session, caller.token, cast("dict[str, Any]", outgoing))
        return _same(folder, entry) or _write(data, folder, entry)
    except OSError as error:
        full = error.errno in _FULL
        raise MaestroError(
            "STORAGE_FULL" if full else "DATA_DIR_UNUSABLE",
            f"the message can't be kept in the outbox: {error}",
            "Free some space, then send it again."
            if full
            else "Make the data directory yours and writable, or set MAESTRO_DATA_DIR to another one.",
        ) from None


def entries(data: str, session: str | None = None) -> list[tuple[str, OutboxEntry]]:
    """The entries with their paths, refused ones (which have `failure`) among them: by session, then by time.

    What vanishes meanwhile was sent. What is no entry is passed over: the broker puts it aside and says so.
    Raises MaestroError DATA_DIR_UNUSABLE when the outbox may not be read.
    """
    top = paths.outbox_dir(data)
    found = []
    try:
        for name in [session] if session is not None else _names(top):
            folder = os.path.join(top, name)
            if is_id(name):
                found += [(path, entry) for path, entry in map(_read, _paths(folder)) if entry is not None]
    except OSError as error:
        raise MaestroError(
            "DATA_DIR_UNUSABLE", f"the outbox can't be read: {error}", "Run it as the user who owns the files."
        ) from None
    return found


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _paths(folder: str) -> list[str]:
    suffixes = (WAITING_SUFFIX, FAILED_SUFFIX)
    return [os.path.join(folder, n) for n in _names(folder) if n.endswith(suffixes) and not n.startswith(".")]


def _read(path: str) -> tuple[str, OutboxEntry | None]:
    try:
        with open(path, "rb") as file:
            return path, outbox_entry.decode(file.read())
    except (FileNotFoundError, MaestroError):
        return path, None


def _behind_all(folder: str, now_ms: int) -> int:
    """`now_ms`, or what comes after the newest that waits: a wall clock is set back, and two sends fall into one
    millisecond."""
    times = (name[:TIME_DIGITS] for name in _names(folder) if name.endswith(WAITING_SUFFIX))
    newest = max((int(digits) for digits in times if digits.isdecimal()), default=-1)
    return min(max(now_ms, newest + 1), QUEUED_AT_MS_MAX)


def _same(folder: str, entry: OutboxEntry) -> str | None:
    """The path of this very send, if it waits already. Another message under its id is for the broker to judge."""
    tail = f"-{entry.outgoing['id']}{WAITING_SUFFIX}"
    for path in _paths(folder):
        if path.endswith(tail):
            found = _read(path)[1]
            if found is not None and found.outgoing == entry.outgoing and found.token == entry.token:
                return path
    return None


def _write(data: str, folder: str, entry: OutboxEntry) -> str:
    top = os.path.dirname(folder)
    for made in (data, top):
        if not os.path.isdir(made):
            # Private; parents of the data directory are made as any other program makes them.
            os.makedirs(made, 0o700, exist_ok=True)
            _sync_folder(os.path.dirname(made))
    path = os.path.join(folder, outbox_entry.file_name(entry))
    # Not in the session's folder, which may be removed while it is empty; hidden, so that it is no session's name.
    aside = os.path.join(top, f".{os.getpid()}-{entry.outgoing['id']}.new")
    raw = outbox_entry.encode(entry)
    try:
        _write_aside(aside, raw)
        _move(aside, path)
    except OSError:
        _remove(aside)
        raise
    # The folder's own name, which may be new.
    _sync_folder(top)
    return path


def _move(aside: str, path: str) -> None:
    """Into the session's folder, made anew as often as the broker removes it because it is empty."""
    folder = os.path.dirname(path)
    for attempt in range(_TRIES):
        try:
            _mkdir(folder)
            fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.rename(aside, path)
                # By descriptor, for the broker may already have taken the entry and removed the folder.
                os.fsync(fd)
            finally:
                os.close(fd)
        except FileNotFoundError:
            if attempt == _TRIES - 1 or not os.path.exists(aside):
                raise
        else:
            return


def _mkdir(path: str) -> None:
    # Not makedirs(exist_ok=True), which fails where the folder is there at its first look and gone at its second.
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        return


def _write_aside(path: str, raw: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(fd, "wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(fd)


def _sync_folder(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return


def keep_as_failed(path: str, entry: OutboxEntry) -> None:
    """An entry that was refused for good, with its `failure`, in the place of the one that waited."""
    target = path.removesuffix(WAITING_SUFFIX) + FAILED_SUFFIX
    aside = os.path.join(os.path.dirname(os.path.dirname(path)), f".{os.getpid()}-{entry.outgoing['id']}.new")
    _write_aside(aside, outbox_entry.encode(entry))
    os.rename(aside, target)
    _sync_folder(os.path.dirname(target))
    _remove(path)
