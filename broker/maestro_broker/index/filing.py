"""Filing: from the records of the timeline and the files of the mail to the rows of the index.

Rule: the timeline says what happened and when, the files have the texts. A file may be ahead of the timeline, so only
what never changes is taken from it. A message whose files are gone keeps a row without a text, for the figures.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from maestro_broker.views.spool import SUFFIX, Spool
from maestro_schemas.names import AUDIENCE_SIGIL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maestro_schemas.events import Event
    from maestro_schemas.messages import Message

    from .store import IndexStore

_json = msgspec.json.Encoder()
_COLUMNS = ",".join("?" * 16)


class IndexFiler:
    """Writes records into one store."""

    def __init__(self, data: str, store: IndexStore) -> None:
        self.files = MailReader(data)
        self._store = store
        # The rows that wait to be written.
        self._messages: list[tuple[object, ...]] = []
        self._deliveries: list[tuple[object, ...]] = []
        self._words: list[tuple[int, str]] = []

    def file(self, records: Sequence[Sequence[Event]]) -> None:
        """Write them, in their order. The caller has begun a transaction."""
        for events in records:
            first = events[0]
            kind = first.event.removeprefix("message.")
            if kind == first.event or first.id is None:
                if first.event == "message.refused":
                    self._refused(events)
            elif kind == "accepted":
                self._accepted(events)
            elif kind == "failed":
                self._failed(first)
            elif kind == "refused":
                self._refused(events)
            else:
                # The rows that it changes may be among those that wait.
                self._flush()
                self._changed(kind, first)
        self._flush()

    def _accepted(self, events: Sequence[Event]) -> None:
        accepted = [event for event in events if event.event == "message.accepted"]
        message = self.files.first([(event.receiver or "", event.id or "") for event in accepted])
        self._add(accepted[0], message, is_failed=False)
        first = accepted[0]
        self._deliveries += [
            (first.lsn, event.receiver, number, "pending", int(message is None), None)
            for number, event in enumerate(accepted)
        ]
        self._refused(events[len(accepted) :])
        answers = message.meta.in_reply_to if message is not None else None
        if answers is not None:
            self._flush()
            self._store.run(
                "UPDATE d SET answered = ? WHERE receiver = ? AND answered IS NULL AND lsn = "
                "(SELECT max(lsn) FROM m WHERE id = ?)",
                (first.at, first.sender, answers),
            )

    def _failed(self, event: Event) -> None:
        message = self.files.failed(event.sender or "", event.id or "")
        self._add(event, message, is_failed=True)
        receiver = message.receiver if message is not None else ""
        self._deliveries.append((event.lsn, receiver, 0, "failed", int(message is None), None))
        self._store.run(
            "INSERT OR IGNORE INTO r VALUES (?, 0, ?, ?, ?, ?)",
            (event.lsn, event.at, event.sender or "", receiver, event.code or ""),
        )

    def _refused(self, events: Sequence[Event]) -> None:
        # Without an id, it was no message that was refused.
        self._store.run_many(
            "INSERT OR IGNORE INTO r VALUES (?, ?, ?, ?, '', ?)",
            [
                (event.lsn, event.index, event.at, event.sender or "", event.code or "")
                for event in events
                if event.id is not None
            ],
        )

    def _add(self, event: Event, message: Message | None, *, is_failed: bool) -> None:
        lsn, text, audience, files, several = event.lsn, "", "", "[]", False
        kind, priority, task, thread, ack, response = event.type, event.priority, event.task_id, event.thread_id, 0, 0
        if message is not None:
            meta = message.meta
            text = message.text
            kind, priority, task, thread = meta.type, meta.priority, meta.task_id, meta.thread_id
            ack, response = int(meta.requires_ack), int(meta.requires_response)
            if message.audience is not None:
                audience = f" {' '.join(message.audience.to)} "
                several = message.audience.size > 1 or AUDIENCE_SIGIL in audience
            if message.attachments:
                files = _json.encode([file.name for file in message.attachments]).decode()
            self._words.append((lsn, text))
        self._messages.append(
            (
                lsn,
                event.id,
                event.at,
                event.sender or "",
                kind or "",
                priority or "medium",
                ack,
                int(response or kind == "request"),
                task or "",
                thread or "",
                audience,
                files,
                int(is_failed),
                int(several),
                int(message is None),
                text,
            )
        )

    def _changed(self, kind: str, event: Event) -> None:
        """A delivery has changed."""
        found = self._store.run("SELECT max(lsn) FROM m WHERE id = ?", (event.id,)).fetchone()[0]
        if found is None:  # its acceptance was removed from the timeline
            return
        at, key = event.at, (found, event.receiver)
        via = event.via or ""
        if kind == "offered":
            self._store.run(
                "UPDATE d SET offered = ?, via = iif(via = '', ?, via) WHERE lsn = ? AND receiver = ?",
                (at, via, *key),
            )
        elif kind == "delivered":
            self._store.run(
                "UPDATE d SET status = 'delivered', delivered = ?, via = iif(via = '', ?, via) "
                "WHERE lsn = ? AND receiver = ?",
                (at, via, *key),
            )
        elif kind == "read":
            self._store.run(
                "UPDATE d SET status = 'read', read = ?, delivered = coalesce(delivered, ?), "
                "via = iif(via = '', ?, via) WHERE lsn = ? AND receiver = ?",
                (at, at, via, *key),
            )
        elif kind == "expired":
            self._store.run("UPDATE d SET status = 'expired' WHERE lsn = ? AND receiver = ?", key)
        elif kind == "deleted":
            self._store.run("UPDATE d SET deleted = ? WHERE lsn = ? AND receiver = ?", (at, *key))
            self.take_out([(found, event.receiver or "")])

    def take_out(self, deliveries: Sequence[tuple[int, str]]) -> None:
        """Deliveries whose files are gone: a message without one can't be found any more."""
        self._store.run_many("UPDATE d SET gone = 1 WHERE lsn = ? AND receiver = ?", deliveries)
        for lsn in {lsn for lsn, _ in deliveries}:
            if self._store.run("SELECT 1 FROM d WHERE lsn = ? AND gone = 0", (lsn,)).fetchone() is None:
                self._store.forget_texts([lsn])

    def _flush(self) -> None:
        """Write the rows that wait: a statement for many rows costs a part of many statements."""
        if not self._messages:
            return
        self._store.run_many(f"INSERT OR REPLACE INTO m VALUES ({_COLUMNS})", self._messages)
        self._store.run_many(
            "INSERT OR REPLACE INTO d(lsn, receiver, n, status, gone, offered, via) VALUES (?, ?, ?, ?, ?, ?, '')",
            self._deliveries,
        )
        self._store.add_words(self._words)
        self._messages, self._deliveries, self._words = [], [], []


class MailReader:
    """Reads messages by receiver and id."""

    def __init__(self, data: str) -> None:
        self._spool = Spool(data, lambda _: None, is_read_only=True)
        self.receivers = os.path.join(data, "messages", "by-receiver")
        self._senders = os.path.join(data, "messages", "by-sender")

    def first(self, copies: Sequence[tuple[str, str]]) -> Message | None:
        """The first copy, by receiver and id, whose file is there."""
        for receiver, message_id in copies:
            message = self._peek(os.path.join(self.receivers, receiver, message_id + SUFFIX))
            if message is not None:
                return message
        return None

    def failed(self, sender: str, message_id: str) -> Message | None:
        """A message that was refused for good; its sender's file has it."""
        path = os.path.join(self._senders, sender, message_id + SUFFIX)
        return None if os.path.islink(path) else self._peek(path)

    def _peek(self, path: str) -> Message | None:
        try:
            return self._spool.peek(path)
        except OSError:  # it is no file, or this user may not read it
            return None

    def names(self, receiver: str) -> set[str]:
        """The ids of the messages in a mailbox."""
        try:
            names = os.listdir(os.path.join(self.receivers, receiver))
        except OSError:
            return set()
        return {name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX) and name[0] != "."}
