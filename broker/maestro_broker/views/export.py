"""Spool export: all of a data directory as JSON Lines.

Rule: one object a line, each with its `kind`, in memory one at a time; a header first, and last a line of counts,
by which a file that was cut off is known. No token's hash and no key's secret is in it. What the journal has and the
files have not yet comes last, as the changes that it is. Run as a process of its own, `python -m` and its name.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from maestro_broker.commit.local import scanning
from maestro_broker.core.model import records
from maestro_broker.files import data_dir
from maestro_runtime import paths
from maestro_schemas import __version__, outbox_entry
from maestro_schemas.errors import MaestroError

from .spool import SUFFIX, read_link

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EXPORT_VERSION = 1
_TELL_EVERY = 1_000


class SpoolExporter:
    """One export. `session`: only what this session received, sent or did. `write` gets each line, `tell` how many
    there were so far."""

    def __init__(
        self, data: str, session: str | None, write: Callable[[str], None], tell: Callable[[int], None]
    ) -> None:
        self._data = data
        self._session = session
        self._write = write
        self._tell = tell
        self._counts: dict[str, int] = {}
        self._lines = 0
        # A record's line in the audit is written after its files.
        self._filed_lsn = 0

    def run(self) -> None:
        """All of it. Raises OSError."""
        self._put("maestro-export", {"version": EXPORT_VERSION, "maestro": __version__, "session": self._session})
        for directory, name in self._files("sessions"):
            body = _json(os.path.join(directory, name))
            if self._session in (None, name.removesuffix(SUFFIX)):
                body.pop("tokenHash", None)
                self._put("session", body)
        messages = os.path.join("messages", "by-receiver")
        for directory, name in self._files(messages, deep=True):
            body = _json(os.path.join(directory, name))
            if self._concerns(body.get("from"), body.get("to")):
                self._put("message", body)
        for directory, name in self._files(os.path.join("messages", "by-sender"), deep=True):
            path = os.path.join(directory, name)
            sender = os.path.basename(directory)
            target = read_link(path)
            if target is not None and not os.path.exists(path) and self._concerns(sender):
                receiver = os.path.basename(os.path.dirname(target))
                self._put("tombstone", {"id": name.removesuffix(SUFFIX), "from": sender, "to": receiver})
        for directory, name in self._files(os.path.relpath(paths.outbox_dir(self._data), self._data), deep=True):
            self._outbox(os.path.join(directory, name))
        for directory, name in self._files("timeline"):
            self._events(os.path.join(directory, name))
        for directory, name in self._files(os.path.join("messages", "quarantine")):
            if self._session is None:
                self._put("quarantine", {"name": name, "bytes": os.lstat(os.path.join(directory, name)).st_size})
        self._tail()
        counts = {kind: count for kind, count in self._counts.items() if kind != "maestro-export"}
        self._write(json.dumps({"kind": "end", "counts": counts}) + "\n")

    def _put(self, kind: str, body: dict[str, Any]) -> None:
        self._counts[kind] = self._counts.get(kind, 0) + 1
        self._write(json.dumps({"kind": kind, **body}, ensure_ascii=False) + "\n")
        self._lines += 1
        if self._lines % _TELL_EVERY == 0:
            self._tell(self._lines)

    def _concerns(self, *parties: object) -> bool:
        return self._session is None or self._session in parties

    def _files(self, folder: str, *, deep: bool = False) -> Iterator[tuple[str, str]]:
        top = os.path.join(self._data, folder)
        for name in _names(top):
            if not deep:
                yield top, name
                continue
            inner = os.path.join(top, name)
            for below in _names(inner):
                yield inner, below

    def _outbox(self, path: str) -> None:
        if not path.endswith((outbox_entry.WAITING_SUFFIX, outbox_entry.FAILED_SUFFIX)):
            return
        try:
            with open(path, "rb") as file:
                entry = outbox_entry.decode(file.read())
        except (FileNotFoundError, MaestroError):
            return
        if self._concerns(entry.session):
            body: dict[str, Any] = {"queuedAt": entry.queued_at, "from": entry.session, "message": entry.outgoing}
            self._put("outbox", body | ({"failure": entry.failure} if entry.failure is not None else {}))

    def _events(self, path: str) -> None:
        with open(path, "rb") as file:
            for line in file:
                try:
                    body = json.loads(line)
                except ValueError:
                    continue  # the last one may be under way; `spool verify` tells of others
                self._filed_lsn = max(self._filed_lsn, body.get("lsn", 0))
                if self._concerns(body.get("from"), body.get("to"), body.get("session")):
                    # Its own `event` says what happened.
                    self._put("event", body)

    def _tail(self) -> None:
        """What is durable and not filed yet."""
        after_lsn = self._filed_lsn
        directory = os.path.join(self._data, "messages", "journal")
        try:
            listed = scanning.catalogue(directory)
            found = [scanning.read(file, after_lsn) for file in listed.segments]
        except FileNotFoundError:
            return
        for entry in scanning.judge(found, after_lsn).records:
            if entry.body is None:
                continue
            record = records.decode(entry.body)
            event = records.event(entry.lsn, record)
            if self._concerns(event.sender, event.receiver, event.session):
                body: dict[str, Any] = {"event": msgspec.to_builtins(event)}
                if isinstance(record, records.Accepted):
                    body["message"] = msgspec.to_builtins(record.message)
                self._put("unfiled", body)


def _json(path: str) -> dict[str, Any]:
    """A file's object; where it holds none, what can be said of it."""
    try:
        with open(path, "rb") as file:
            body = json.load(file)
    except FileNotFoundError:
        return {"path": path, "gone": True}
    except (ValueError, OSError) as error:
        return {"path": path, "broken": str(error)}
    return body if isinstance(body, dict) else {"path": path, "broken": "it holds no object"}


def _names(directory: str) -> list[str]:
    try:
        return sorted(name for name in os.listdir(directory) if not name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []


def main() -> int:
    """Export a directory to standard output; progress, as JSON lines, to the descriptor `--progress-fd`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--session")
    parser.add_argument("--progress-fd", type=int)
    arguments = parser.parse_args()

    def tell(lines: int) -> None:
        if arguments.progress_fd is not None:
            os.write(arguments.progress_fd, json.dumps({"looked": lines}).encode() + b"\n")

    sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")  # type: ignore[union-attr]

    def write(line: str) -> None:
        sys.stdout.write(line)

    try:
        # A newer format may hold more than we know of. Where none is named any more, what is there is written.
        with contextlib.suppress(FileNotFoundError):
            data_dir.check_version(arguments.data_dir)
        SpoolExporter(arguments.data_dir, arguments.session, write, tell).run()
        sys.stdout.flush()
    except MaestroError as error:
        print(f"maestro: {error.message}\n  next: {error.hint}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
