"""Snippets: the part of a text around what was found, in one line, with the places of what was found.

Rule: the places are in code points of the snippet. A snippet has the characters of the text, but for blanks in place
of the ends of lines.
"""

from __future__ import annotations

from typing import Final

# What FTS5 puts around a found word. A message's text has no such character.
OPEN: Final = "\x02"
CLOSE: Final = "\x03"
ELLIPSIS: Final = "…"
# In words, for FTS5, and in characters.
WORDS: Final = 24
_BEFORE_CHARS = 60
_CHARS = 200
_ENDS = str.maketrans(dict.fromkeys("\t\n\u2028\u2029", " "))

Marks = tuple[tuple[int, int], ...]


def of_full_text(found: str, also: tuple[str, ...]) -> tuple[str, Marks]:
    """From what the function `snippet` of FTS5 returned; `also`: more texts to mark."""
    text: list[str] = []
    marks: list[tuple[int, int]] = []
    length = begin = 0
    for index, part in enumerate(found.replace(CLOSE, OPEN).split(OPEN)):
        text.append(part)
        begin, length = length, length + len(part)
        if index % 2 and part:
            marks.append((begin, length))
    line = "".join(text).translate(_ENDS)
    return _cut(line, _merged([*marks, *_places(line, also)]))


def of_text(text: str, found: tuple[str, ...]) -> tuple[str, Marks]:
    """From a whole text, around the first of what was found in it; its beginning, if nothing was."""
    places = _places(text, found)
    start = max(0, min(begin for begin, _ in places) - _BEFORE_CHARS) if places else 0
    line = text[start : start + _CHARS].translate(_ENDS)
    if start:
        line = ELLIPSIS + line
    if start + _CHARS < len(text):
        line += ELLIPSIS
    return line, _merged(_places(line, found))


def _cut(line: str, marks: Marks) -> tuple[str, Marks]:
    """A snippet of long words is cut to the length of others."""
    if len(line) <= 2 * _CHARS:
        return line, marks
    start = max(0, marks[0][0] - _BEFORE_CHARS) if marks else 0
    end = start + _CHARS
    shift = start - bool(start)
    kept = tuple((begin - shift, min(stop, end) - shift) for begin, stop in marks if start <= begin < end)
    return (ELLIPSIS if start else "") + line[start:end] + (ELLIPSIS if end < len(line) else ""), kept


def _places(text: str, found: tuple[str, ...]) -> list[tuple[int, int]]:
    """Where the texts stand, whatever the case."""
    folded = text.lower()
    if len(folded) != len(text):  # a few letters become two
        folded = text
    places = []
    for each in found:
        wanted, at = each.lower(), 0
        while wanted and (at := folded.find(wanted, at)) >= 0:
            places.append((at, at + len(wanted)))
            at += len(wanted)
    return places


def _merged(places: list[tuple[int, int]]) -> Marks:
    """In order, and without overlaps."""
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(places):
        if merged and begin < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return tuple(merged)
