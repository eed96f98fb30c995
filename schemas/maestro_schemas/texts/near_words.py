"""Near words: what a mistyped word probably means.

Rule: pure. A guess is made only where a slip of the fingers explains the word: a letter too many, too few, wrong or
swapped; or where the word is the beginning of the other. A far-fetched guess costs its reader more than none.
"""

from __future__ import annotations

TYPE_CHECKING = False  # `typing` costs as much as everything else that a fast command imports
if TYPE_CHECKING:
    from collections.abc import Iterable

# A longer word is no slip, and costs too much to compare.
_CHARS_MAX = 64
# One slip for each of these many letters.
_CHARS_PER_SLIP = 4
# A beginning of fewer letters fits too much.
_BEGINNING_CHARS_MIN = 3


def nearest(word: str, known: Iterable[str], most: int = 1) -> list[str]:
    """The known words that `word` probably means, the nearest first; none if none is near. Case, and `-` or `_`, make
    no difference."""
    sought = _plain(word)
    if not 1 < len(sought) <= _CHARS_MAX:
        return []
    found: list[tuple[int, int, str]] = []
    for place, candidate in enumerate(dict.fromkeys(known)):
        other = _plain(candidate)
        slips = max(1, min(len(sought), len(other)) // _CHARS_PER_SLIP)
        if abs(len(sought) - len(other)) <= slips and (distance := _distance(sought, other, slips)) <= slips:
            found.append((distance, place, candidate))
        elif len(sought) >= _BEGINNING_CHARS_MIN and other.startswith(sought):
            found.append((_CHARS_MAX, place, candidate))
    return [candidate for _, _, candidate in sorted(found)[:most]]


def guess(word: str, known: Iterable[str], *, most: int = 1, form: str = "{}") -> str:
    """`Did you mean X? `, with the blank that the next sentence needs; empty if none is near. `form`: how each
    word is shown, such as `--{}`."""
    near = nearest(word, known, most)
    return f"Did you mean {' or '.join(map(form.format, near))}? " if near else ""


def _plain(word: str) -> str:
    return word.strip("-").replace("_", "-").casefold()


def _distance(one: str, other: str, most: int) -> int:
    """How many slips lead from one word to the other, two swapped neighbours being one; `most` + 1 if there are more
    (optimal string alignment)."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for at, letter in enumerate(one, 1):
        last, before, row = before, row, [at]
        for to, wanted in enumerate(other, 1):
            cost = min(before[to] + 1, row[to - 1] + 1, before[to - 1] + (letter != wanted))
            if at > 1 and to > 1 and letter == other[to - 2] and one[at - 2] == wanted:
                cost = min(cost, last[to - 2] + 1)
            row.append(cost)
        if min(row) > most and (not before or min(before) > most):
            return most + 1
    return row[-1]
