"""Keeper: what the process of the index does between orders.

Rule: an order first has the index read up to its head, for a bounded time. Everything else is done in slices, so that
an order never waits long. An index that is missing, damaged or of another place is built again; while the disk has no
space for it, orders are answered from what is there.
"""

from __future__ import annotations

import logging
import os
import select
import sqlite3
import time
from typing import TYPE_CHECKING

import msgspec

from maestro_schemas.bodies.archive import IndexState
from maestro_schemas.errors import MaestroError

from .figures import analytics
from .filing import IndexFiler
from .follow import TimelineFollower
from .orders import IndexAnswer, IndexReport
from .search import ArchivePage, ArchiveReader
from .store import IndexStore, is_damage

if TYPE_CHECKING:
    from .orders import IndexOrder

_log = logging.getLogger(__name__)

# How long an order waits for an index that is this number of records behind at most, how long for one that is further
# behind, and how often it looks meanwhile. A person who has just sent a message expects to find it, also on a busy
# machine; one who has no index yet sees the part that there is at once.
CATCH_UP_S = 2.0
_NEAR_RECORDS = 2_000
_BUILDING_WAIT_S = 0.2
_LOOK_S = 0.002
# One slice of other work.
_SLICE_S = 0.04
# Lines of some 400 records: an order can wait for that many.
_TOGETHER_BYTES = 64 << 10
# How long after an error of the disk the next write is tried.
_REST_S = 1.0
# How often the mailboxes are compared with the index: the sweep removes mail without a record.
_COMPARE_S = 60.0

_encode = msgspec.msgpack.Encoder().encode


class IndexKeeper:
    """One index. Its methods raise OSError or sqlite3.Error only where it can't go on."""

    def __init__(self, data: str, *, may_use_full_text: bool = True) -> None:
        self._data = data
        self._may_use_full_text = may_use_full_text
        self._timeline = os.path.join(data, "timeline")
        self._store: IndexStore | None = None
        self._follower: TimelineFollower | None = None
        self._head = 0
        self._up_to = self._at = self._first = 0
        # Where it was when an order had waited for more in vain; -1 after one that had not.
        self._stuck_at = -1
        self._is_whole = False
        self._is_behind = True
        self._rested_until_s = 0.0
        self._mailboxes: list[str] = []
        self._compared_s = 0.0
        self._unread_bytes = 0
        # As of the last report.
        self._messages = 0
        self._counted_lsn = -1

    # --- opening -------------------------------------------------------------------------------------------

    def _opened(self) -> IndexStore:
        """The open store; a file that was removed or replaced since is opened again."""
        if self._store is not None and self._store.is_there:
            return self._store
        self.close()
        self._store = store = IndexStore(self._data, may_use_full_text=self._may_use_full_text)
        self._up_to, self._at, self._is_whole = store.place()
        self._go_back(store)
        self._first = self._first_lsn()
        self._compared_s = 0.0
        if self._up_to and not self._is_of_this_timeline():
            _log.info("the index is of another timeline, or lines are missing between: it is built again")
            return self._again()
        if store.is_new:
            _log.info("the index is built")
        return store

    def _again(self) -> IndexStore:
        """Remove the index, and begin with an empty one."""
        if self._store is not None:
            self._store.remove()
        self.close()
        return self._opened()

    def _is_of_this_timeline(self) -> bool:
        """Whether the timeline goes on where the index has stopped."""
        if self._first > self._up_to + 1:
            return False
        before = TimelineFollower(self._timeline, self._up_to - 1)
        try:
            found = before.records()
        finally:
            before.close()
        # The spool writer may have to write lines again that a power cut took.
        return not found or found[0][0].lsn != self._up_to or found[0][0].at == self._at

    def close(self) -> None:
        """Close the files."""
        if self._follower is not None:
            self._follower.close()
        if self._store is not None:
            self._store.close()
        self._follower = self._store = None

    # --- orders --------------------------------------------------------------------------------------------

    def answer(self, number: int, order: IndexOrder) -> IndexAnswer:
        """Carry out one order. A damaged index is built again for it."""
        for _ in range(2):
            try:
                return self._answer(number, order)
            except sqlite3.Error as error:
                if not is_damage(error):
                    return self._failed(number, f"the index can't be read: {error}")
                self._damaged(error)
            except TimeoutError:
                return IndexAnswer(number, self._report(), is_too_long=True)
            except (OSError, MaestroError) as error:
                return self._failed(number, f"the index can't be read: {error}")
        return self._failed(number, "the index is damaged again")

    def _failed(self, number: int, why: str) -> IndexAnswer:
        _log.warning("%s", why)
        return IndexAnswer(number, self._report(), failure=why)

    def _damaged(self, error: sqlite3.Error) -> None:
        _log.warning("the index is damaged, and is built again: %s", error)
        if self._store is not None:
            self._store.remove()
        self.close()

    def _answer(self, number: int, order: IndexOrder) -> IndexAnswer:
        self._head = max(self._head, order.head)
        store = self._again() if order.kind == "rebuild" else self._opened()
        if order.head < self._up_to:
            # The directory's files were replaced by older ones.
            store = self._again()
            self._head = order.head
        if order.kind != "rebuild":
            self._catch_up(order.head)
        page = ArchivePage({}, ())
        if order.kind == "search":
            page = self._reader.search(order)
        elif order.kind == "threads":
            page = self._reader.threads(order)
        elif order.kind == "analytics":
            page = analytics(store, order)
        state = IndexState(up_to=self._up_to, head=order.head, rebuilding=self._rebuilding())
        fields = {**page.fields, "index": msgspec.Raw(_encode(state))}
        mentioned = None if order.kind == "rebuild" else page.mentioned
        return IndexAnswer(number, self._report(), fields, mentioned)

    def _catch_up(self, head: int) -> None:
        # An order that has waited in vain keeps the next ones from doing the same: the spool writer stands still, as
        # on a full disk.
        is_worth_it = head - self._up_to <= _NEAR_RECORDS and self._up_to != self._stuck_at
        until_s = time.monotonic() + (CATCH_UP_S if is_worth_it else _BUILDING_WAIT_S)
        while self._up_to < head and (left_s := until_s - time.monotonic()) > 0:
            if time.monotonic() < self._rested_until_s:
                return  # the index can't be written now
            try:
                is_more = self._read_on(min(left_s, _SLICE_S))
            except sqlite3.Error as error:
                if is_damage(error):
                    raise
                self._rest(error)
                return
            if not is_more:
                # The spool writer is about to write it.
                select.select([], [], [], _LOOK_S)  # time.sleep fails under libfaketime (clock jumps in tests)
        self._stuck_at = self._up_to if self._up_to < head else -1

    # --- between orders ------------------------------------------------------------------------------------

    def work(self) -> bool:
        """Read on for a slice, or compare a mailbox; whether there is more to do at once."""
        if not self._head or time.monotonic() < self._rested_until_s:
            return False
        try:
            self._opened()
            if self._is_growing():
                return False
            if self._read_on(_SLICE_S):
                return True
            return self._compare()
        except sqlite3.Error as error:
            if is_damage(error):
                self._damaged(error)
                return True
            self._rest(error)
        except (OSError, MaestroError) as error:
            self._rest(error)
        return False

    def _is_growing(self) -> bool:
        """Whether few records wait and more of them come: they are read together in a moment. A send must not share
        the processor with the reading of the one before it."""
        unread = self._follower.unread_bytes() if self._follower is not None else 0
        before, self._unread_bytes = self._unread_bytes, unread
        return before != unread and unread < _TOGETHER_BYTES

    def _rest(self, error: Exception) -> None:
        _log.warning("the index can't be written now: %s", error)
        self._rested_until_s = time.monotonic() + _REST_S

    def _read_on(self, for_s: float) -> bool:
        """Read records for that time at most; whether there are more."""
        follower, store = self._follower, self._store
        if follower is None or store is None or time.monotonic() < self._rested_until_s:
            return False
        until_s = time.monotonic() + for_s
        records = follower.records()
        if not records:
            if not self._is_whole and self._up_to >= self._head:
                store.set_whole()
                self._is_whole = True
            return False
        last = records[-1][0]
        is_written = False
        try:
            with store.transaction():
                self._filer.file(records)
                while time.monotonic() < until_s and (more := follower.records()):
                    self._filer.file(more)
                    last = more[-1][0]
                store.set_place(last.lsn, last.at)
            is_written = True
        finally:
            if not is_written:
                self._go_back(store)
        self._up_to, self._at = last.lsn, last.at
        self._head = max(self._head, self._up_to)
        return True

    def _first_lsn(self) -> int:
        """The oldest record's LSN that the timeline has; 0 without one."""
        return (self._follower.first_lsn() if self._follower is not None else None) or 0

    def _go_back(self, store: IndexStore) -> None:
        """Nothing of what was read is written: read it again, from where the index is."""
        if self._follower is not None:
            self._follower.close()
        self._filer = IndexFiler(self._data, store)
        self._reader = ArchiveReader(store, self._filer)
        self._follower = TimelineFollower(self._timeline, self._up_to)

    def _compare(self) -> bool:
        """Take out what the sweep has removed, a mailbox at a time; whether there are more."""
        store = self._store
        if store is None:
            return False
        if not self._mailboxes:
            if time.monotonic() - self._compared_s < _COMPARE_S and self._compared_s:
                return False
            self._compared_s = time.monotonic()
            rows = store.run("SELECT DISTINCT receiver FROM d").fetchall()
            self._mailboxes = [receiver for (receiver,) in rows]
            with store.transaction():
                first = self._first_lsn()
                # What the timeline does not have any more is in no figures either.
                for table in ("d", "r"):
                    store.run(
                        f"DELETE FROM {table} WHERE lsn < ? AND lsn NOT IN (SELECT lsn FROM m WHERE gone = 0)",
                        (first,),
                    )
                store.run("DELETE FROM m WHERE gone = 1 AND lsn < ?", (first,))
            return bool(self._mailboxes)
        receiver = self._mailboxes.pop()
        kept = store.run(
            "SELECT m.lsn, m.id FROM d JOIN m ON m.lsn = d.lsn WHERE d.receiver = ? AND d.gone = 0 AND m.failed = 0",
            (receiver,),
        ).fetchall()
        there = self._filer.files.names(receiver)
        missing = [(lsn, receiver) for lsn, message_id in kept if message_id not in there]
        if missing:
            with store.transaction():
                self._filer.take_out(missing)
        return bool(self._mailboxes)

    # --- state ---------------------------------------------------------------------------------------------

    def _rebuilding(self) -> float | None:
        """The part that is done while the index is being built; None once it was whole."""
        if self._is_whole or self._up_to >= self._head:
            return None
        first = max(0, self._first - 1)
        return round(max(0, self._up_to - first) / max(1, self._head - first), 3)

    def report(self) -> IndexReport:
        """The state, for `maestro status`."""
        if self._store is not None and self._counted_lsn != self._up_to:
            try:
                self._messages = self._store.message_count()
                self._counted_lsn = self._up_to
            except sqlite3.Error as error:
                _log.warning("the index can't be read: %s", error)
        return self._report()

    def _report(self) -> IndexReport:
        store = self._store
        has_full_text = store.has_full_text if store is not None else False
        file_bytes = store.file_bytes if store is not None else 0
        return IndexReport(self._up_to, self._messages, file_bytes, has_full_text, self._rebuilding())
