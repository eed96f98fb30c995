"""Visible text: what a text that a sender chose may hold, wherever it is accepted or shown.

Rule: a character that a reader can't see, or that steers a terminal or the order of a line, is taken out, and its
place is counted. Joiners and variation selectors stay where a script or an emoji needs them. Both the broker and
every view use this module, so that a text is the same at each of them.
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing `typing`, or `re` at the top, would cost a fast command more than the rest
if TYPE_CHECKING:
    import re

_ASCII_CONTROLS = bytes([*range(0x09), *range(0x0B, 0x20), 0x7F])
# How UTF-8 begins characters that Python counts as printable and that have no glyph of their own: U+034F, Hangul and
# Khmer fillers, and the variation selectors of Mongolian, of U+FE00 to U+FE0F, and of plane 14.
_BEGINNINGS = (
    b"\xcd\x8f", b"\xe1\x85", b"\xe1\x9e", b"\xe1\xa0", b"\xe3\x85", b"\xef\xb8", b"\xef\xbe", b"\xf3\xa0"
)  # fmt: skip

# Terminal escape sequences: CSI, OSC and the other string sequences with their ends, then two-character ones
# (ECMA-48 5.3 and 5.6). Each is removed whole: without its ESC, "[31m" would stay in the text.
_ESCAPES = (
    r"\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x9b[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c|$)"
    r"|\x1b[ -/]*[0-~]?"
)
# C0 but tab and newline, DEL, C1; then the default ignorable code points, with which come bidirectional controls
# (UAX 9, 2), zero-width characters, Unicode tags and variation selectors; interlinear annotations; noncharacters.
_HIDDEN = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f"
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    r"\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufdd0-\ufdef\ufffe\uffff"
    r"\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    + "".join(rf"\U{plane:04x}fffe\U{plane:04x}ffff" for plane in range(1, 17))
)
# Symbols that may carry a variation selector, or be a part of an emoji of several (UTS 51).
_SYMBOL = (
    r"[\xa9\xae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u23ff\u24c2\u25a0-\u27bf\u2934\u2935\u2b00-\u2bff"
    r"\u3030\u303d\u3297\u3299\U0001f000-\U0001faff]"
)
_EMOJI_PART = rf"{_SYMBOL}[\ufe0e\ufe0f]?[\U0001f3fb-\U0001f3ff]?"
# Letters and marks of the scripts that write with joiners: Arabic and its neighbours, those of India and South-East
# Asia, Mongolian.
_JOINING = (
    r"[\u0600-\u061b\u061d-\u085f\u0870-\u109f\u1780-\u17b3\u17b6-\u17ff\u1820-\u18af\u1900-\u1cff"
    r"\ua840-\ua877\ua880-\uabff\ufb50-\ufdcf\ufdf0-\ufdff\ufe70-\ufefc\U00011000-\U00011fff]"
)
_IN_PLACE = (
    # The flags of England, Scotland and Wales are the only ones that Unicode recommends with tags.
    "\U0001f3f4\U000e0067\U000e0062(?:\U000e0065\U000e006e\U000e0067|\U000e0073\U000e0063\U000e0074"
    "|\U000e0077\U000e006c\U000e0073)\U000e007f"
    r"|[0-9#*]\ufe0f\u20e3"
    rf"|{_EMOJI_PART}(?:\u200d{_EMOJI_PART})*"
    rf"|(?<={_JOINING})[\u200c\u200d]"
    r"|(?<=[\u1820-\u18aa])[\u180b-\u180f]"
)
# What stays, then what goes.
_PATTERN = rf"({_IN_PLACE})|{_ESCAPES}|[{_HIDDEN}]"


_TOKEN_MARKS = frozenset("-_.:/#@+~")


def is_token(text: str) -> bool:
    """Whether the text is one word of letters, digits and a few marks: it can stand in a line of ours, since it can't
    be a sentence."""
    return text.replace("_", "a").isalnum() or (
        text != "" and all(character in _TOKEN_MARKS or character.isalnum() for character in text)
    )


def is_visible(text: str) -> bool:
    """Whether nothing of `text` would be taken out, as far as a look without a search can tell.

    False is no proof, since a joiner may be in its place. True spares most texts the search.
    """
    if text.isascii():
        return len(text.encode().translate(None, _ASCII_CONTROLS)) == len(text)
    if "\ufe0f" in text:
        # As in most emoji of agents: one behind a symbol is in its place, and the rest is looked at without it.
        *before, last = text.split("\ufe0f")
        if not all(part and _is_symbol(part[-1]) for part in before):
            return False
        text = "".join([*before, last])
    if not text.isprintable() and not text.replace("\n", "").replace("\t", "").replace("\xa0", "").isprintable():
        return False
    raw = text.encode()
    return not any(beginning in raw for beginning in _BEGINNINGS)


def cleaned(text: str) -> tuple[str, int]:
    """The text without what a reader can't see, and how many characters were taken out.

    CR LF and Unicode's separators of lines and paragraphs become LF, which is not counted.
    """
    # As `is_visible` begins, without its call: this is done for every message.
    if text.isascii() and len(text.encode().translate(None, _ASCII_CONTROLS)) == len(text):
        return text, 0
    if is_visible(text):
        return text, 0
    lines = text.replace("\r\n", "\n").replace("\u2028", "\n").replace("\u2029", "\n")
    left = _compiled(_PATTERN).sub(_kept, lines)
    return left, len(lines) - len(left)


def clean(text: str) -> str:
    """The text of `cleaned`."""
    return cleaned(text)[0]


def one_line(text: object) -> str:
    """A short text for one line of a view: a hidden character, a tab and the end of a line are each shown as `?`."""
    line = str(text)
    # What is printable has no tab and no end of a line.
    if line.isprintable() and is_visible(line):
        return line
    return _compiled(rf"{_PATTERN}|[\t\n\u2028\u2029]").sub(_marked, line)


def escaped(text: str) -> str:
    """The text with what `cleaned` would take out written as JSON escapes it (`\\u202e`).

    JSON that was escaped so has the same value, and a person sees what it holds.
    """
    return text if is_visible(text) else _compiled(rf"{_PATTERN}|[\u2028\u2029]").sub(_escape, text)


def first_hidden(text: str) -> str:
    """The code point (`U+202E`) of the first character that `cleaned` would take out or change; empty for none."""
    for found in () if is_visible(text) else _compiled(rf"{_PATTERN}|[\u2028\u2029]").finditer(text):
        if found[1] is None:
            return f"U+{ord(found[0][0]):04X}"
    return ""


def _is_symbol(character: str) -> bool:
    """Whether it is of the blocks of `_SYMBOL` with the most emoji."""
    return (
        "\U0001f000" <= character <= "\U0001faff"
        or "\u25a0" <= character <= "\u27bf"
        or "\u2190" <= character <= "\u21ff"
        or "\u2300" <= character <= "\u23ff"
        or "\u2b00" <= character <= "\u2bff"
    )


def _compiled(pattern: str) -> re.Pattern[str]:
    # `re` keeps what it has compiled. Its import costs a fast command 6 ms, which only an unusual text must pay.
    import re

    return re.compile(pattern)


def _kept(found: re.Match[str]) -> str:
    return found[1] or ""


def _marked(found: re.Match[str]) -> str:
    return found[1] or "?"


def _escape(found: re.Match[str]) -> str:
    return found[1] or _compiled(rf"[{_HIDDEN}\u2028\u2029]").sub(_escape_one, found[0])


def _escape_one(found: re.Match[str]) -> str:
    number = ord(found[0])
    if number <= 0xFFFF:
        return f"\\u{number:04x}"
    # JSON writes such a character as two halves (RFC 8259, 7).
    high, low = divmod(number - 0x10000, 0x400)
    return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
