"""Attachment names: the name that an attached file gets beside its message.

Rule: what comes out is one safe component of a path: visible, no option and no hidden file, at most
ATTACHMENT_NAME_BYTES_MAX bytes, with its extension. The client and the broker both make it, so that what comes out
stays as it is when it is made safe again.
"""

from __future__ import annotations

from .visible_text import clean

TYPE_CHECKING = False  # importing `typing` would cost a fast command more than this module
if TYPE_CHECKING:
    from collections.abc import Iterable

# 255 is the most that file systems take; a temporary name and a number must fit beside it. In `limits`, too, whose
# import costs a fast command 12 ms; a test compares.
_NAME_BYTES_MAX = 120
# A longer one is no extension that a tool would choose by.
_EXTENSION_BYTES_MAX = 32
_EMPTY = "file"


def safe_names(paths: Iterable[str]) -> tuple[str, ...]:
    """The names of files that belong to one message, in order. The second file of a name gets `(2)` before its
    extension, and so on; two names that differ only in case are one, as they are to some file systems."""
    found: list[str] = []
    taken: set[str] = set()
    for path in paths:
        name = first = _safe(path)
        number = 1
        while _key(name) in taken:
            number += 1
            name = _fitted(first, f"({number})")
        taken.add(_key(name))
        found.append(name)
    return tuple(found)


def _safe(path: str) -> str:
    component = path.replace("\\", "/").rstrip("/").rpartition("/")[2]
    # A byte that is no UTF-8, as Python has it in a path, and half of a pair.
    component = "".join("_" if "\ud800" <= letter <= "\udfff" else letter for letter in component)
    return _fitted(_plain(component), "")


def _plain(component: str) -> str:
    """On one line, without what can't be seen, and without dots, dashes and blanks where they would mean more."""
    line = " ".join(clean(component).split())
    return line.lstrip(".- \u2800").rstrip(". \u2800")


def _fitted(name: str, mark: str) -> str:
    """The name with `mark` before its extension, shortened to the limit."""
    stem, dot, extension = name.rpartition(".")
    extension = dot + extension
    if not stem or len(extension.encode()) > _EXTENSION_BYTES_MAX:
        stem, extension = name, ""
    room = _NAME_BYTES_MAX - len((mark + extension).encode())
    # A cut may leave half of a character, or a joiner without what it joins.
    stem = _plain(stem.encode()[:room].decode("utf-8", "ignore"))
    return f"{stem or _EMPTY}{mark}{extension}"


def _key(name: str) -> str:
    if name.isascii():
        return name.lower()
    import unicodedata

    return unicodedata.normalize("NFC", name).casefold()
