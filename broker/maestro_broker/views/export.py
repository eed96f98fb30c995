"""Spool export: writes a data directory as JSON Lines.

Rule: one object a line, each with its `kind`, and only one in memory. A header comes first, and a line of counts
last, by which a truncated file is recognised. No token hash and no secret key is written. Records that the journal
has and the spool does not have yet come last, as changes. The content of each attached file is one line, in base64.
"""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING, Any

import msgspec

from maestro_broker.attachments.blob_store import FILES_SUFFIX
from maestro_broker.commit.local import scanning
from maestro_broker.core.model import records
from maestro_runtime import outbox_dir, paths, places
from maestro_schemas import __version__
from maestro_schemas.errors import MaestroError
from maestro_schemas.texts.visible_text import escaped

from .spool import SUFFIX, read_link

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from maestro_schemas.messages import Message

EXPORT_VERSION = 1
_REPORT_EVERY = 1_000


class SpoolExporter:
    """One export."""

    def __init__(
        self, data: str, session: str | None, write: Callable[[str], object], report: Callable[[int], None]
    ) -> None:
        """`session`: export only what this session received, sent or did. `write` gets each line, `report` the number
        of lines so far."""
        self._data = data
        self._session = session
        self._write = write
        self._report = report
        self._counts: dict[str, int] = {}
        # A path for the content of each attached file, by digest.
        self._blobs: dict[str, str] = {}
        self._lines = 0
        # The newest LSN in the timeline; its line is written after the record's files.
        self._filed_lsn = 0

    def run(self) -> None:
        """Write everything. Raises OSError."""
        self._put("maestro-export", {"version": EXPORT_VERSION, "maestro": __version__, "session": self._session})
        for directory, name in self._files("sessions"):
            body = _json(os.path.join(directory, name))
            if self._session in (None, name.removesuffix(SUFFIX)):
                body.pop("tokenHash", None)
                self._put("session", body)
        for directory, name in self._files("groups"):
            body = _json(os.path.join(directory, name))
            members = body.get("members", [])
            if self._concerns(body.get("creator"), *(member.get("session") for member in members)):
                self._put("group", body)
        messages = os.path.join("messages", "by-receiver")
        for directory, name in self._files(messages, deep=True):
            if not name.endswith(SUFFIX):  # the folder of a message's files
                continue
            body = _json(os.path.join(directory, name))
            if self._concerns(body.get("from"), body.get("to")):
                self._put("message", body)
                self._name_files(os.path.join(directory, name), body)
        for sha256, path in self._blobs.items():
            self._blob(sha256, path)
        for directory, name in self._files(os.path.join("messages", "by-sender"), deep=True):
            path = os.path.join(directory, name)
            sender = os.path.basename(directory)
            target = read_link(path)
            if target is None and self._concerns(sender):
                body = _json(path)
                if body.get("status") == "failed":
                    self._put("message", body)
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

    def _name_files(self, path: str, message: dict[str, Any]) -> None:
        """Note where the content of a message's files is."""
        for each in message.get("attachments", ()):
            beside = os.path.join(path.removesuffix(SUFFIX) + FILES_SUFFIX, each.get("name", ""))
            self._blobs.setdefault(each.get("sha256", ""), beside)

    def _blob(self, sha256: str, path: str) -> None:
        """The content of an attached file, once."""
        try:
            with open(places.open_file(path, os.O_RDONLY), "rb") as file:
                content = file.read()
        except OSError as error:
            self._put("blob", {"sha256": sha256, "path": path, "broken": str(error)})
            return
        self._put("blob", {"sha256": sha256, "size": len(content), "data": base64.b64encode(content).decode()})

    def _put(self, kind: str, body: dict[str, Any]) -> None:
        self._counts[kind] = self._counts.get(kind, 0) + 1
        self._write(escaped(json.dumps({"kind": kind, **body}, ensure_ascii=False)) + "\n")
        self._lines += 1
        if self._lines % _REPORT_EVERY == 0:
            self._report(self._lines)

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
        if not outbox_dir.is_entry(os.path.basename(path)):
            return
        try:
            entry = outbox_dir.read(path, any_owner=True)
        except MaestroError:
            return
        if entry is not None and self._concerns(entry.session):
            body: dict[str, Any] = {"queuedAt": entry.queued_at, "from": entry.session, "message": entry.outgoing}
            self._put("outbox", body | ({"failure": entry.failure} if entry.failure is not None else {}))

    def _events(self, path: str) -> None:
        with open(places.open_file(path, os.O_RDONLY), "rb") as file:
            for line in file:
                try:
                    body = json.loads(line)
                except ValueError:
                    continue  # the last line may be half written; `spool verify` reports others
                self._filed_lsn = max(self._filed_lsn, body.get("lsn", 0))
                members = (*body.get("members", ()), *body.get("left", ()), body.get("by"))
                if self._concerns(
                    body.get("from"), body.get("to"), body.get("session"), *(members if "group" in body else ())
                ):
                    # The event's own field `event` says what happened.
                    self._put("event", body)

    def _tail(self) -> None:
        """The records that are durable and not yet in the spool."""
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
            copies: tuple[Message, ...] = ()
            if isinstance(record, records.Accepted):
                copies = (record.message, *record.copies())
            elif isinstance(record, records.Failed):
                copies = (record.message,)
            for event in records.events(entry.lsn, record):
                if self._concerns(*event.parties()):
                    body: dict[str, Any] = {"event": msgspec.to_builtins(event)}
                    if event.index < len(copies):
                        body["message"] = msgspec.to_builtins(copies[event.index])
                    self._put("unfiled", body)


def _json(path: str) -> dict[str, Any]:
    """The object in a file; for a file without one, a description of the problem."""
    try:
        with open(places.open_file(path, os.O_RDONLY), "rb") as file:
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
