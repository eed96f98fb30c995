"""Wrapping: texts that fit a terminal.

Rule: pure; a width and a text in, lines out. A width is in columns: wide characters take two, marks that combine and
styles none. No line is wider than the terminal, so what stands behind a bar never begins a line.
"""

from __future__ import annotations

import sys

from maestro_schemas.texts.visible_text import cleaned

from .marks import STYLE
from .render import BAR
from .styles import ends, pieces, unstyled

_TAB = "    "
_END = f"{STYLE}0m"
_WIDE = "\ufe0f"
# What our own lines have beyond ASCII; each is narrow.
_OWN = "→↳⇄…"
_INDENT_MAX = 12
_HANGING = "    "
# What a person copies: a command of ours, with its variables or its `eval`, up to the end of the sentence or the
# clause; and what stands between backticks.
_COPIED = (
    r"`[^`]+`"
    r"|(?<![\w/-])(?:[A-Z_]+=\S+ )*(?:eval \S*)?\bmaestro(?:-messaging)? [^`]*?(?=[.,;:?!)]+(?: |$)|`| \(|$)"
)
# Stands for a blank at which no line ends; texts hold no control characters.
_JOINED = "\x1f"


def is_unicode() -> bool:
    """Whether standard output can show more than ASCII."""
    return (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "") == "utf8"


def shown_width(text: str) -> int:
    """How many columns a text takes, as terminals do that draw each part of a joined emoji."""
    if STYLE in text:
        text = unstyled(text)
    if text.isascii():
        return len(text)
    return sum(map(_columns, text))


def cut(text: str, width: int | None) -> str:
    """The text, or its beginning and an ellipsis where it is wider."""
    if width is None or shown_width(text) <= width:
        return text
    mark = ("…" if is_unicode() else "...")[: max(width, 1)]
    kept, _ = _split(text, max(width - len(mark), 0))
    # The ellipsis looks like what it stands for.
    return kept + mark + (_END if _open_style(kept) else "")


def padded(text: str, width: int, *, right: bool = False) -> str:
    """The text, with blanks before or behind it."""
    blank = " " * (width - shown_width(text))
    return blank + text if right else text + blank


def behind_bar(text: str, width: int | None) -> list[str]:
    """Each line of a text behind the bar, wrapped at words; as it is where the width is None."""
    lines = _cleaned(text).split("\n")
    if width is None:
        return [BAR + line for line in lines]
    return fitted([BAR + line for line in lines], width)


def fitted(lines: list[str], width: int | None) -> list[str]:
    """Lines of which some stand behind the bar, each wrapped: the bar is kept, other lines are indented."""
    if width is None:
        return lines
    found = []
    for line in lines:
        if line.startswith(BAR):
            found += [BAR + part for part in wrapped(line[len(BAR) :], width - len(BAR))]
        else:
            found += wrapped(line, width, _HANGING, keeps_copied=True)
    return found


def wrapped(line: str, width: int | None, indent: str = "", *, keeps_copied: bool = False) -> list[str]:
    """One line as lines that fit, broken at blanks; a word that is wider is broken where it must be.

    `keeps_copied`: commands and paths, which a person copies, stay whole, also where they are wider.

    Lines but the first begin with `indent` and the blanks that the line began with.
    """
    if width is None:
        return [line]
    line = line.replace("\t", _TAB)
    if shown_width(line) <= width:
        return [line]
    width = max(width, 2)
    if keeps_copied and ("`" in line or "maestro" in line):
        line = _copied_joined(line)
    own = len(line) - len(line.lstrip(" "))
    indent = (indent + " " * min(own, _INDENT_MAX))[: width // 2]
    lines: list[str] = []
    rest, begin, style = line, "", ""
    while True:
        head, left = _split(rest, width - len(begin))
        if left:
            head, left = _broken(rest, len(head), keep=0 if lines else own, keeps_copied=keeps_copied)
        head = style + head
        style = _open_style(head)
        lines.append((begin + head + (_END if style else "")).replace(_JOINED, " "))
        if not left:
            return lines
        rest, begin = left, indent


def _copied_joined(line: str) -> str:
    """The line, with marks for the blanks in what a person copies."""
    parts = line.split("`")
    if len(parts) % 2 and "maestro" not in "".join(parts[::2]):
        return "`".join(part.replace(" ", _JOINED) if at % 2 else part for at, part in enumerate(parts))
    import re  # costs a fast command 5 ms, which most long lines must not pay

    return re.sub(_COPIED, lambda found: found[0].replace(" ", _JOINED), line)


def _broken(text: str, fitting: int, *, keep: int, keeps_copied: bool) -> tuple[str, str]:
    """The text in two, at a blank if one is among the characters that fit. `keep`: as many blanks at the beginning
    are none to break at."""
    fitting = max(fitting, 1)
    if text[fitting] != " ":
        blank = text.rfind(" ", keep, fitting)
        if blank > keep:
            fitting = blank
        elif keeps_copied:
            word = text[keep:].lstrip(" ").partition(" ")[0]
            if "/" in word or _JOINED in word:
                fitting = text.index(word) + len(word)
    return text[:fitting].rstrip(" "), text[fitting:].lstrip(" ")


def _split(text: str, width: int) -> tuple[str, str]:
    """As much as fits, and the rest."""
    at = 0
    for mark, part in pieces(text):
        at += len(mark)
        for char in part:
            width -= _columns(char)
            if width < 0:
                # A selector stays with its symbol.
                at -= char == _WIDE and at > len(mark)
                return text[:at], text[at:]
            at += 1
    return text, ""


def _columns(char: str) -> int:
    if char < "\x7f" or char in _OWN:
        return 1
    # U+FE0F makes the symbol before it a wide one; the vowels and finals of Hangul are drawn in the syllable.
    if char == _WIDE:
        return 1
    import unicodedata  # for texts beyond ASCII alone

    if unicodedata.category(char) in ("Mn", "Me", "Cf") or "\u1160" <= char <= "\u11ff":
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _open_style(text: str) -> str:
    """The marks at whose end a text stands, which the next line repeats."""
    if STYLE not in text:
        return ""
    found = ""
    for mark, _ in pieces(text):
        found = "" if ends(mark) else found + mark
    return found


def _cleaned(text: str) -> str:
    """Without what a reader can't see, but with our styles."""
    return text if not text else "".join(mark + cleaned(part)[0] for mark, part in pieces(text))
