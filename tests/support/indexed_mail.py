"""Indexed mail: the files of a scratch data directory, as the spool writer writes them, and an index of them.

Rule: the records, files and lines are the broker's own; only the decisions are the test's.
"""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any

import msgspec

from maestro_broker.core.model import records
from maestro_broker.core.model.records import (
    Accepted,
    Confirmed,
    Deleted,
    Delivery,
    Expired,
    Failed,
    Refusal,
    Refused,
)
from maestro_broker.files import index_files
from maestro_broker.index.keeper import IndexKeeper
from maestro_broker.index.orders import IndexAnswer, IndexOrder, Part, Scope
from maestro_broker.views.spool import Spool
from maestro_broker.views.timeline import Timeline
from maestro_schemas.messages import Attachment, Audience, Failure, Message, Metadata
from maestro_schemas.texts import search_query

if TYPE_CHECKING:
    from maestro_broker.core.model.records import Record
    from maestro_schemas.requests import ConfirmKind

BEGAN_MS = 1_796_043_600_000
_SECOND_MS = 1_000


class IndexedMail:
    """Each record is a second after the one before."""

    def __init__(self, data: str, *, full_text: bool = True) -> None:
        self.data = data
        self.spool = Spool(data, lambda _: None)
        self.timeline = Timeline(os.path.join(data, "timeline"))
        os.makedirs(os.path.join(data, index_files.FOLDER), mode=0o700, exist_ok=True)
        self.keeper = IndexKeeper(data, may_use_full_text=full_text)
        self.lsn = self.timeline.last_lsn
        self.now_ms = BEGAN_MS
        self.messages: dict[str, list[Message]] = {}
        self._numbers = itertools.count(1)

    def close(self) -> None:
        self.keeper.close()
        self.timeline.close()

    # --- the post office ---------------------------------------------------------------------------------

    def commit(self, record: Record) -> int:
        """Write the lines of a record."""
        self.lsn += 1
        self.timeline.append(records.events(self.lsn, record))
        self.now_ms += _SECOND_MS
        return self.lsn

    def send(
        self,
        sender: str,
        to: str | tuple[str, ...],
        text: str,
        *,
        audience: tuple[str, ...] | None = None,
        files: tuple[str, ...] = (),
        refused: tuple[tuple[str, str], ...] = (),
        **metadata: Any,
    ) -> str:
        """Accept a message; its id."""
        receivers = (to,) if isinstance(to, str) else to
        message_id = f"msg_{next(self._numbers)}"
        first = Message(
            id=message_id,
            sender=sender,
            receiver=receivers[0],
            text=text,
            status="pending",
            seq=self.lsn + 1,
            created_at=self.now_ms,
            audience=Audience(audience, len(receivers) + len(refused)) if audience is not None else None,
            attachments=tuple(Attachment(name, 1, "text/plain", "00") for name in files),
            metadata=Metadata(**metadata) if metadata else msgspec.UNSET,
        )
        more = tuple(Delivery(receiver, self.lsn + 1) for receiver in receivers[1:])
        record = Accepted(first, more, tuple(Refusal(*each) for each in refused))
        self.messages[message_id] = [first, *record.copies()]
        for message in self.messages[message_id]:
            self.spool.write_message(message)
        self.commit(record)
        return message_id

    def confirm(self, receiver: str, message_id: str, kind: ConfirmKind, via: str = "cli") -> None:
        sender = self.messages[message_id][0].sender
        self.commit(Confirmed(message_id, receiver, sender, 1, kind, self.now_ms, "pending", via=via))

    def delete(self, receiver: str, message_id: str) -> None:
        sender = self.messages[message_id][0].sender
        self.spool.remove_message(receiver, message_id)
        self.commit(Deleted(message_id, receiver, sender, 1, self.now_ms, receiver, "pending"))

    def expire(self, receiver: str, message_id: str) -> None:
        sender = self.messages[message_id][0].sender
        self.commit(Expired(message_id, receiver, sender, 1, self.now_ms))

    def fail(self, sender: str, to: str, text: str, code: str) -> str:
        message_id = f"msg_{next(self._numbers)}"
        failed = Message(
            id=message_id,
            sender=sender,
            receiver=to,
            text=text,
            status="failed",
            seq=0,
            created_at=self.now_ms,
            failure=Failure(code, "no"),
        )
        self.spool.write_failed(failed)
        self.commit(Failed(failed))
        return message_id

    def refuse(self, sender: str, code: str, message_id: str | None = None) -> None:
        self.commit(Refused(self.now_ms, code, sender, None, message_id))

    # --- the index ---------------------------------------------------------------------------------------

    def order(self, kind: Any, scope: Scope | None = None, **fields: Any) -> IndexAnswer:
        """The answer to an order at the newest record."""
        limits = {"limit": 50, "bytes_max": 1 << 20} if kind in ("search", "threads") else {}
        return self.keeper.answer(1, IndexOrder(kind, self.lsn, scope or Scope(), **{**limits, **fields}))

    def search(self, query: str, scope: Scope | None = None, **fields: Any) -> dict[str, Any]:
        """The reply to a query, whose values are ids already."""
        parsed = search_query.parse(query, now_ms=self.now_ms)
        parts = tuple(Part(each.operator, (each.value,), each.is_excluded, each.at_ms) for each in parsed.conditions)
        return decoded(self.order("search", scope, terms=parsed.terms, parts=parts, **fields))

    def found(self, query: str, scope: Scope | None = None, **fields: Any) -> list[str]:
        """The texts of the hits, the oldest first."""
        return [hit["message"]["message"] for hit in reversed(self.search(query, scope, **fields)["hits"])]


def decoded(answer: IndexAnswer) -> dict[str, Any]:
    """The fields of an answer as a client gets them."""
    assert answer.failure is None, answer.failure
    return {name: msgspec.msgpack.decode(value) for name, value in answer.fields.items()}
