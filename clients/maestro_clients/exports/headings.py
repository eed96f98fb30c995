"""Headings: the words that an export says about itself and about each message, the same in every format.

Rule: times are local, and the first line names their offset from UTC. What an agent chose is cleaned, and each writer
escapes it as its format demands.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from maestro_clients.texts.fence import named
from maestro_schemas import __version__
from maestro_schemas.names import AUDIENCE_SIGIL, OPERATOR, SYSTEM_SENDER
from maestro_schemas.texts.visible_text import is_token, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from maestro_schemas.documents import AttachmentDoc, PersonDoc

    from .collecting import Export, ExportEntry

_STATES = ("read", "delivered", "pending", "expired", "deleted", "refused")
_SHORT = {"read": "read by", "delivered": "delivered to", "pending": "pending for"}
_RECEIVERS_MAX = 4


class ExportSection(NamedTuple):
    """Messages below one heading: a thread, or those of a day that no message answers."""

    title: str
    entries: list[ExportEntry]


class Headings:
    """`asked_by`: the session that asked; None for the operator. `at_ms`: when."""

    def __init__(self, export: Export, asked_by: str | None, at_ms: int, *, with_texts: bool) -> None:
        self._export = export
        self._people: Mapping[str, PersonDoc] = export.people
        self._asked_by = asked_by or OPERATOR
        self._at_ms = at_ms
        self._with_texts = with_texts
        names: dict[str, set[str]] = {}
        for session, person in export.people.items():
            names.setdefault(person.get("name", session), set()).add(session)
        self._twice = {name for name, sessions in names.items() if len(sessions) > 1}

    def title(self) -> str:
        """What was asked for."""
        query = self._export.query
        if query.thread is not None:
            return f"The thread {named(query.thread)}"
        if query.query is not None:
            return f"Messages that match {one_line(query.query)}"
        if query.peer is not None and query.peer.startswith(AUDIENCE_SIGIL):
            return f"Messages to {AUDIENCE_SIGIL}{named(query.peer[1:])}"
        if query.peer is not None:
            return f"Messages between {self.name(query.session or self._asked_by)} and {self.name(query.peer)}"
        if query.session is not None:
            return f"Messages of {self.name(query.session)}"
        return "All messages" if self._asked_by == OPERATOR else f"Messages that {self.name(self._asked_by)} may see"

    def about(self) -> Iterator[str]:
        """Sentences: who asked, when, and how much there is."""
        query, count = self._export.query, len(self._export.entries)
        by = self._asked_by if self._asked_by == OPERATOR else f"{self.name(self._asked_by)} ({self._asked_by})"
        yield f"Asked for by {by} at {moment(self._at_ms)} ({offset(self._at_ms)}), with maestro {__version__}."
        if query.since is not None or query.until is not None:
            since = "" if query.since is None else f" from {moment(query.since)}"
            until = "" if query.until is None else f" before {moment(query.until)}"
            yield f"Only messages{since}{until}."
        amount = f"{count:,} message{'' if count == 1 else 's'}"
        first = f"{amount}, the oldest first."
        if self._export.has_more:
            first = f"The newest {amount}; there are more. The oldest of these comes first."
        may_see = "the operator" if self._asked_by == OPERATOR else self.name(self._asked_by)
        yield f"{first} Only what {may_see} may see."
        if not self._with_texts:
            yield "The texts are left out."

    def sections(self) -> Iterator[ExportSection]:
        """The threads in the order of their first message; what is in none stands below its day."""
        threads: dict[str, list[ExportEntry]] = {}
        for entry in self._export.entries:
            threads.setdefault(entry.thread, []).append(entry)
        of_day: ExportSection | None = None
        for thread, entries in threads.items():
            first = entries[0]
            on = day(first.message["createdAt"])
            is_alone = len(entries) == 1 and first.thread == first.message["id"]
            if is_alone and of_day is not None and of_day.title == on:
                of_day.entries.extend(entries)
                continue
            if of_day is not None:
                yield of_day
                of_day = None
            section = ExportSection(on if is_alone else f"Thread {named(thread)}, {on}", entries)
            if is_alone:
                of_day = section
            else:
                yield section
        if of_day is not None:
            yield of_day

    def parties(self, entry: ExportEntry) -> tuple[str, str]:
        """The sender, and the receivers: `@workers (7)`."""
        message = entry.message
        audience, known = message.get("audience"), entry.said.get("receivers") or [message["to"]]
        if audience is not None and any(address.startswith(AUDIENCE_SIGIL) for address in audience["to"]):
            to = ", ".join(self._address(each) for each in audience["to"])
            return self.name(message["from"]), f"{to} ({audience['size']})"
        size = max(len(known), audience["size"] if audience is not None else 1)
        shown = ", ".join(map(self.name, known[:_RECEIVERS_MAX]))
        more = size - len(known[:_RECEIVERS_MAX])
        return self.name(message["from"]), f"{shown} and {more} more" if more > 0 else shown

    def state(self, entry: ExportEntry) -> str:
        """`read`, or of several deliveries `read by 5, pending for 2`."""
        counts = entry.said.get("counts")
        if counts is None:
            return entry.message["status"]
        return ", ".join(
            f"{_SHORT[state]} {counts[state]}" if state in _SHORT else f"{counts[state]} {state}"
            for state in _STATES
            if state in counts
        )

    def facts(self, entry: ExportEntry) -> Iterator[str]:
        """What the sender said of the message: its kind, what it asks for, and what it answers."""
        message = entry.message
        metadata = message.get("metadata", {})
        if "type" in metadata:
            yield metadata["type"]
        if metadata.get("priority", "medium") != "medium":
            yield f"{metadata['priority']} priority"
        if metadata.get("requiresAck"):
            yield "ack wanted"
        if metadata.get("requiresResponse"):
            yield "answer wanted"
        if "taskId" in metadata:
            yield f"task {named(metadata['taskId'])}"
        if "inReplyTo" in metadata:
            yield f"answers {named(metadata['inReplyTo'])}"
        if "originalTo" in message:
            yield f"for {self.name(message['originalTo'])}, who had ended"
        if "failure" in message:
            yield f"refused: {named(message['failure']['code'])}"

    def name(self, session: str) -> str:
        """The session's name, with its id where two have the same; or its id alone."""
        if session == SYSTEM_SENDER:
            return "the post office"
        name = self._people.get(session, {"role": ""}).get("name")
        if name is None or not is_token(name):
            return named(session)
        return f"{name} ({session})" if name in self._twice else name

    def _address(self, address: str) -> str:
        if address.startswith(AUDIENCE_SIGIL):
            return AUDIENCE_SIGIL + named(address[1:])
        return self.name(address)


def file_line(attachment: AttachmentDoc) -> str:
    """`fix.patch, 2.1 KiB, sha256 1f2e…`."""
    return f"{one_line(attachment['name'])}, {size(attachment['size'])}, sha256 {attachment['sha256'][:12]}…"


def size(count: int) -> str:
    """Bytes with a unit."""
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:g} {unit}" if value == int(value) else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def moment(at_ms: int) -> str:
    """`2026-11-30 14:02:11`."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_ms / 1000))


def day(at_ms: int) -> str:
    """`2026-11-30`."""
    return time.strftime("%Y-%m-%d", time.localtime(at_ms / 1000))


def clock(at_ms: int, section: str) -> str:
    """`14:02`; with the date where the section's title has another one."""
    return time.strftime("%H:%M" if section.endswith(day(at_ms)) else "%Y-%m-%d %H:%M", time.localtime(at_ms / 1000))


def offset(at_ms: int) -> str:
    """`UTC+01:00`, of the local time at that moment."""
    east_min = (time.localtime(at_ms / 1000).tm_gmtoff or 0) // 60
    hours, minutes = divmod(abs(east_min), 60)
    return f"UTC{'-' if east_min < 0 else '+'}{hours:02}:{minutes:02}"
