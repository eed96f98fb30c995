"""TOML lines: where the keys and the tables of a TOML text are.

Rule: only for a text that tomllib has accepted, so nothing is validated here. Keys are found wherever TOML allows
them (dotted, quoted, in inline tables). tomllib does not report positions, and a parser that does would be a
dependency for one number.
"""

from __future__ import annotations

import re
import tomllib

_SPACE = re.compile(r"[ \t]*")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_PART = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*'""")
# The longest first: three quotes do not begin an empty string. A multi-line string may end in five quotes.
_TEXT = re.compile(r'''"""(?:[^\\]|\\.)*?"{3,5}(?!")|\'\'\'.*?'{3,5}(?!')|"(?:[^"\\]|\\.)*"|'[^']*\'''', re.DOTALL)
_SCALAR = re.compile(r"[^,\]}#\n]*")

Key = tuple[str, ...]


def key_lines(text: str) -> dict[Key, int]:
    """The line, from 1, of each key's full path, tables included; the first line of a table that is named twice."""
    return _Scan(text).run()


def table_starts(text: str) -> list[tuple[int, Key]]:
    """The offset of each table's header, in order, with the table's path."""
    scan = _Scan(text)
    scan.run()
    return scan.tables


class _Scan:
    """One pass over one text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._lines: dict[Key, int] = {}
        self.tables: list[tuple[int, Key]] = []

    def run(self) -> dict[Key, int]:
        table: Key = ()
        self._skip(_BLANK)
        while self._at < len(self._text):
            if self._text[self._at] == "[":
                start = self._at
                self._at += 2 if self._text.startswith("[[", self._at) else 1
                table = self._key(())
                self.tables.append((start, table))
                self._at = self._text.index("]", self._at) + 1
                self._at += self._text.startswith("]", self._at)
            else:
                self._pair(table)
            self._skip(_BLANK)
        return self._lines

    def _pair(self, table: Key) -> None:
        key = self._key(table)
        self._at += 1  # the equals sign
        self._value(key)

    def _key(self, table: Key) -> Key:
        """Read a dotted key, with the space around it; each part of its path is recorded too."""
        key = table
        line = self._text.count("\n", 0, self._at) + 1
        while True:
            self._skip(_SPACE)
            part = self._skip(_PART)
            key = (*key, _plain(part))
            self._lines.setdefault(key, line)
            self._skip(_SPACE)
            if not self._text.startswith(".", self._at):
                return key
            self._at += 1

    def _value(self, key: Key) -> None:
        self._skip(_BLANK)
        first = self._text[self._at]
        if first in "\"'":
            self._skip(_TEXT)
        elif first == "[":
            self._within("]", key)
        elif first == "{":
            self._within("}", key)
        else:
            self._skip(_SCALAR)

    def _within(self, end: str, key: Key) -> None:
        """An array or an inline table."""
        self._at += 1
        self._skip(_BLANK)
        while self._text[self._at] != end:
            if end == "}":
                self._pair(key)
            else:
                self._value(key)
            self._skip(_BLANK)
            self._at += self._text[self._at] == ","
            self._skip(_BLANK)
        self._at += 1

    def _skip(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        self._at = found.end() if found is not None else len(self._text)
        return found[0] if found is not None else ""


def _plain(part: str) -> str:
    if part[:1] == '"':
        decoded: str = tomllib.loads(f"key = {part}")["key"]
        return decoded
    return part[1:-1] if part[:1] == "'" else part
