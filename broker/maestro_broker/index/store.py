"""Store: the SQLite file of the index.

Rule: all in it is derived from the files of the mail, so nothing in it is worth a sync: what is missing, damaged or
of another version is removed and built again. How far it has read is written in the same transaction as what it read.
`m` has the messages, `d` their deliveries, `t` the words of the texts, `r` the refusals.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sqlite3
import time
from typing import TYPE_CHECKING, Any

from maestro_broker.files import index_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_VERSION = 1
# SQLite asks after this many of its steps whether time is over. One step may be a look through a long text.
_STEPS = 200
_CACHE_KIB = 32_768
_TABLES = """
CREATE TABLE state(one INTEGER PRIMARY KEY CHECK (one = 1), up_to INTEGER NOT NULL, at INTEGER NOT NULL,
    is_whole INTEGER NOT NULL, full_text INTEGER NOT NULL);
CREATE TABLE m(lsn INTEGER PRIMARY KEY, id TEXT NOT NULL, at INTEGER NOT NULL, sender TEXT NOT NULL,
    type TEXT NOT NULL, priority TEXT NOT NULL, ack INTEGER NOT NULL, is_request INTEGER NOT NULL,
    task TEXT NOT NULL, thread TEXT NOT NULL, audience TEXT NOT NULL, files TEXT NOT NULL,
    failed INTEGER NOT NULL, several INTEGER NOT NULL, gone INTEGER NOT NULL, text TEXT NOT NULL);
CREATE INDEX m_id ON m(id);
CREATE INDEX m_at ON m(at);
CREATE INDEX m_sender ON m(sender, lsn);
CREATE INDEX m_thread ON m(thread, lsn) WHERE thread != '';
CREATE TABLE d(lsn INTEGER NOT NULL, receiver TEXT NOT NULL, n INTEGER NOT NULL, status TEXT NOT NULL,
    gone INTEGER NOT NULL, offered INTEGER, delivered INTEGER, read INTEGER, deleted INTEGER, answered INTEGER,
    via TEXT NOT NULL, PRIMARY KEY (lsn, receiver)) WITHOUT ROWID;
CREATE INDEX d_receiver ON d(receiver, lsn);
CREATE TABLE r(lsn INTEGER NOT NULL, n INTEGER NOT NULL, at INTEGER NOT NULL, sender TEXT NOT NULL,
    receiver TEXT NOT NULL, code TEXT NOT NULL, PRIMARY KEY (lsn, n)) WITHOUT ROWID;
"""
_FULL_TEXT = (
    "CREATE VIRTUAL TABLE t USING fts5(text, content='m', content_rowid='lsn', "
    "tokenize='unicode61 remove_diacritics 2')"
)


class IndexStore:
    """One open file. Its methods raise sqlite3.Error."""

    def __init__(self, data: str, *, may_use_full_text: bool = True) -> None:
        """Open it. A file that is missing, damaged or of another version is made again (`is_new`)."""
        self._data = data
        self._path = index_files.path_of(data)
        self._full_text_wanted = may_use_full_text and has_full_text()
        self.is_new = False
        try:
            self._open()
            if self._is_sound():
                return
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
        self.remove()
        self._open()
        self._make()

    @property
    def has_full_text(self) -> bool:
        """Whether it has the table of words."""
        return self._full_text_wanted

    def _open(self) -> None:
        # No thread of this process uses it beside the one that opens it.
        self._db = sqlite3.connect(self._path, isolation_level=None, timeout=5.0)
        self._db.create_function("holds", 2, holds, deterministic=True)
        for pragma in ("journal_mode=WAL", "synchronous=OFF", f"cache_size=-{_CACHE_KIB}", "secure_delete=FAST"):
            self._db.execute(f"PRAGMA {pragma}").fetchone()
        self._identity = _identity(self._path)

    def _is_sound(self) -> bool:
        if self._db.execute("PRAGMA user_version").fetchone() != (_VERSION,):
            return False
        if self._db.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            return False
        (full_text,) = self._db.execute("SELECT full_text FROM state").fetchone() or (None,)
        return full_text == int(self._full_text_wanted)

    def _make(self) -> None:
        self.is_new = True
        self._db.executescript(_TABLES)
        if self._full_text_wanted:
            self._db.execute(_FULL_TEXT)
        self._db.execute("INSERT INTO state VALUES (1, 0, 0, 0, ?)", (int(self._full_text_wanted),))
        self._db.execute(f"PRAGMA user_version={_VERSION}")

    def remove(self) -> None:
        """Close and remove it."""
        self.close()
        for suffix in index_files.SUFFIXES:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path + suffix)

    def close(self) -> None:
        """Close it."""
        with contextlib.suppress(AttributeError, sqlite3.Error):
            self._db.close()

    @property
    def is_there(self) -> bool:
        """Whether the open file is still the one of its name."""
        return self._identity == _identity(self._path)

    @property
    def file_bytes(self) -> int:
        """What it takes on the disk."""
        return index_files.bytes_of(self._data)

    def place(self) -> tuple[int, int, bool]:
        """The LSN up to which it has read, that record's time, and whether it has ever been whole."""
        up_to, at, is_whole = self._db.execute("SELECT up_to, at, is_whole FROM state").fetchone()
        return up_to, at, bool(is_whole)

    def message_count(self) -> int:
        """How many messages can be found."""
        (count,) = self._db.execute("SELECT count(*) FROM m WHERE gone = 0").fetchone()
        return int(count)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing of what is written inside."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        finally:
            # After some errors, such as a full disk, SQLite has done it already.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def set_place(self, up_to: int, at: int) -> None:
        """Write how far it has read."""
        self._db.execute("UPDATE state SET up_to = ?, at = ?", (up_to, at))

    def set_whole(self) -> None:
        """Write that it has once read everything: from now on, to be behind is no rebuilding."""
        self._db.execute("UPDATE state SET is_whole = 1")

    @contextlib.contextmanager
    def bounded(self, for_s: float) -> Iterator[None]:
        """What runs inside may take that much of the processor. Raises TimeoutError."""
        until_s = time.process_time() + for_s
        self._db.set_progress_handler(lambda: time.process_time() > until_s, _STEPS)
        try:
            yield
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise
            raise TimeoutError from None
        finally:
            self._db.set_progress_handler(None, 0)

    def run(self, sql: str, values: Sequence[Any] | dict[str, Any] = ()) -> sqlite3.Cursor:
        """One statement."""
        return self._db.execute(sql, values)

    def run_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """One statement for each of the rows."""
        self._db.executemany(sql, rows)

    def add_words(self, rows: Sequence[tuple[int, str]]) -> None:
        """Index the texts of messages: (LSN, text)."""
        if self._full_text_wanted:
            self._db.executemany("INSERT INTO t(rowid, text) VALUES (?, ?)", rows)

    def forget_texts(self, lsns: Sequence[int]) -> None:
        """Take messages out of what can be found."""
        for lsn in lsns:
            row = self._db.execute("SELECT text FROM m WHERE lsn = ? AND gone = 0", (lsn,)).fetchone()
            if row is None:
                continue
            if self._full_text_wanted:
                self._db.execute("INSERT INTO t(t, rowid, text) VALUES ('delete', ?, ?)", (lsn, row[0]))
            self._db.execute("UPDATE m SET gone = 1, text = '', files = '[]' WHERE lsn = ?", (lsn,))


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the error says that the file is no index, or a damaged one. Others are of the disk, or of a lock."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or "no such table" in str(error)


def has_full_text() -> bool:
    """Whether this Python's SQLite has FTS5."""
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        try:
            db.execute("CREATE VIRTUAL TABLE t USING fts5(text)")
        except sqlite3.OperationalError:
            return False
    return True


def holds(text: str, folded: str) -> bool:
    """Whether a text has a part, whatever the case; SQLite knows only the case of ASCII."""
    return folded in _casefolded(text)


@functools.lru_cache(maxsize=1)
def _casefolded(text: str) -> str:
    """Of the row that is looked at: each word of a query asks for it."""
    return text.casefold()


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
