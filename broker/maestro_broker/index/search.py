"""Search: the pages of `search` and of `threads`.

Rule: the rows say what is found and in which order, the files what is shown. A message whose file is gone is not
shown, and leaves the index.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec import UNSET

from maestro_schemas.bodies.archive import SearchHit, ThreadSummary
from maestro_schemas.limits import SEARCH_TOTAL_MAX

from . import snippets
from .conditions import conditions, exists, visible
from .orders import SEARCH_S_MAX

if TYPE_CHECKING:
    from maestro_schemas.messages import Message

    from .conditions import Conditions
    from .filing import IndexFiler
    from .orders import IndexOrder
    from .store import IndexStore

_encode = msgspec.msgpack.Encoder().encode
# Beyond every LSN.
_NEWEST = 1 << 62


class ArchivePage(NamedTuple):
    """The fields of a reply, without `people` and `index`, and the sessions that they mention."""

    fields: dict[str, msgspec.Raw]
    mentioned: tuple[str, ...]


class ArchiveReader:
    """Answers from one store."""

    def __init__(self, store: IndexStore, filer: IndexFiler) -> None:
        self._store = store
        self._filer = filer

    def search(self, order: IndexOrder) -> ArchivePage:
        """A page of hits. Raises TimeoutError."""
        found = conditions(order, full_text=self._store.has_full_text)
        with self._store.bounded(SEARCH_S_MAX):
            return self._found(order, found)

    def _found(self, order: IndexOrder, found: Conditions) -> ArchivePage:
        marked = f"snippet(t, 0, :open, :close, '{snippets.ELLIPSIS}', {snippets.WORDS})" if found.match else "m.text"
        rows = self._store.run(
            f"SELECT m.lsn, m.id, m.failed, m.sender, {marked} FROM {found.source} "
            f"WHERE {found.matching}m.lsn < :before AND {found.where} ORDER BY "
            f"{'t.rowid' if found.match else 'm.lsn'} DESC LIMIT :most",
            {
                **found.values,
                "open": snippets.OPEN,
                "close": snippets.CLOSE,
                "before": _NEWEST if order.before is None else order.before,
                "most": order.limit + 1,
            },
        ).fetchall()
        (total,) = self._store.run(
            f"SELECT count(*) FROM (SELECT 1 FROM {found.source} WHERE {found.matching}{found.where} "
            f"LIMIT {SEARCH_TOTAL_MAX})",
            found.values,
        ).fetchone()
        hits: list[msgspec.Raw] = []
        mentioned: set[str] = set()
        left, has_more, before = order.bytes_max, len(rows) > order.limit, _NEWEST
        for lsn, message_id, is_failed, sender, text in rows[: order.limit]:
            message, receivers = self._shown(found, lsn, message_id, sender, is_failed=bool(is_failed))
            if message is None:
                total -= 1
                before = lsn
                continue
            snippet, marks = (
                snippets.of_full_text(text, found.marked) if found.match else snippets.of_text(text, found.marked)
            )
            hit = SearchHit(
                lsn=lsn,
                message=message,
                receivers=receivers if len(receivers) > 1 else (),
                snippet=snippet,
                marks=marks,
            )
            body = _encode(hit)
            left -= len(body)
            if left < 0 and hits:
                has_more = True
                break
            hits.append(msgspec.Raw(body))
            mentioned.update((message.sender, message.receiver, *receivers))
            if message.original_to is not None:
                mentioned.add(message.original_to)
            before = lsn
        return _page(
            mentioned,
            hits=hits,
            total=max(total, len(hits)),
            hasMore=has_more,
            before=0 if before == _NEWEST else before,
        )

    def threads(self, order: IndexOrder) -> ArchivePage:
        """A page of threads."""
        values: dict[str, Any] = {}
        seen = visible(order.scope, values)
        rows = self._store.run(
            f"SELECT m.thread, max(m.lsn), count(*) FROM m WHERE m.thread != '' AND m.gone = 0 AND {exists(seen)} "
            "GROUP BY m.thread HAVING max(m.lsn) < :before ORDER BY 2 DESC LIMIT :most",
            {**values, "before": _NEWEST if order.before is None else order.before, "most": order.limit + 1},
        ).fetchall()
        found = conditions(order, full_text=False)
        threads: list[msgspec.Raw] = []
        mentioned: set[str] = set()
        left, has_more, before = order.bytes_max, len(rows) > order.limit, _NEWEST
        for thread, lsn, count in rows[: order.limit]:
            newest = self._message(found, lsn)
            if newest is None:
                before = lsn
                continue
            root_row = self._store.run(
                f"SELECT max(m.lsn) FROM m WHERE m.id = :id AND m.gone = 0 AND {exists(seen)}",
                {**values, "id": thread},
            ).fetchone()
            root = self._message(found, root_row[0]) if root_row[0] is not None else None
            senders = self._store.run(
                f"SELECT m.sender FROM m WHERE (m.thread = :id OR m.id = :id) AND m.gone = 0 AND {exists(seen)} "
                "GROUP BY m.sender ORDER BY min(m.lsn)",
                {**values, "id": thread},
            ).fetchall()
            body = _encode(
                ThreadSummary(
                    thread_id=thread,
                    lsn=lsn,
                    root=UNSET if root is None else root,
                    newest=newest,
                    messages=count + (root is not None),
                    senders=tuple(sender for (sender,) in senders),
                )
            )
            left -= len(body)
            if left < 0 and threads:
                has_more = True
                break
            threads.append(msgspec.Raw(body))
            mentioned.update(sender for (sender,) in senders)
            mentioned.update((newest.sender, newest.receiver))
            if root is not None:
                mentioned.update((root.sender, root.receiver))
            before = lsn
        return _page(mentioned, threads=threads, hasMore=has_more, before=0 if before == _NEWEST else before)

    def _message(self, found: Conditions, lsn: int) -> Message | None:
        row = self._store.run("SELECT id, failed, sender FROM m WHERE lsn = ?", (lsn,)).fetchone()
        return self._shown(found, lsn, row[0], row[2], is_failed=bool(row[1]))[0]

    def _shown(
        self, found: Conditions, lsn: int, message_id: str, sender: str, *, is_failed: bool
    ) -> tuple[Message | None, tuple[str, ...]]:
        """The delivery to show, and all receivers that the caller may see. What has no file any more is taken out."""
        fits = " AND ".join(found.of_delivery) or "1"
        own = found.values.get("owner", found.values.get("reader", ""))
        rows = self._store.run(
            f"SELECT d.receiver, {fits}, d.n FROM m JOIN d ON d.lsn = m.lsn WHERE m.lsn = :lsn AND d.gone = 0 AND "
            f"{found.visible} ORDER BY d.receiver != :own, d.n",
            {**found.values, "lsn": lsn, "own": own},
        ).fetchall()
        files = self._filer.files
        missing = []
        message = None
        for receiver, is_fit, _ in rows:
            if not is_fit:
                continue
            message = files.failed(sender, message_id) if is_failed else files.first([(receiver, message_id)])
            if message is not None:
                break
            missing.append((lsn, receiver))
        if missing:
            with self._store.transaction():
                self._filer.take_out(missing)
        gone = {receiver for _, receiver in missing}
        return message, tuple(receiver for receiver, _, _ in sorted(rows, key=_number) if receiver not in gone)


def _number(row: tuple[str, int, int]) -> int:
    return row[2]


def _page(mentioned: set[str], **fields: Any) -> ArchivePage:
    return ArchivePage({name: msgspec.Raw(_encode(value)) for name, value in fields.items()}, tuple(mentioned))
