"""Markdown HTML: a message's text as a tree of HTML elements, by a subset of Markdown.

Rule: text is never markup. The result is a tree of elements from a closed list, and only `html` writes it, with every
text and attribute escaped. There is no raw HTML, no image, and nothing that a reader's browser would load. A link has
the scheme http or https, and its host is shown. What is not of the subset stays as it was written.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Every element that a text may become, and its attributes.
ELEMENTS: dict[str, frozenset[str]] = {
    **dict.fromkeys(("p", "em", "strong", "del", "code", "pre", "ul", "li", "blockquote", "br", "hr"), frozenset()),
    **dict.fromkeys(("h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"), frozenset[str]()),
    "ol": frozenset({"start"}),
    "a": frozenset({"href", "rel"}),
    "span": frozenset({"class"}),
}

_SCHEMES = ("https://", "http://")
_EMPTY = frozenset({"br", "hr"})
_DEPTH_MAX = 6
# The page's own headings are h1 to h3.
_LEVEL_UP = 3

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})([^`]*)$")
_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*)$")
_RULE = re.compile(r" {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$")
_QUOTE = re.compile(r" {0,3}> ?")
_ITEM = re.compile(r"( {0,3})([-*+]|\d{1,9}[.)])([ \t]+|$)")
_TASK = re.compile(r"\[([ xX])\] ")
_INDENTED = re.compile(r"(?: {4}|\t)")
_TABLE_RULE = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")
_CELL_END = re.compile(r"(?<!\\)\|")

_URL = r"https?://(?:[^\s<>()\\\"'`]|\([^\s<>()\\\"'`]*\))+"
# No sentence's end belongs to a link.
_TRAILING = ".,:;!?*_~"
# A part has a bound, so that no text takes a time that grows with the square of its length.
_INLINE = re.compile(
    r"\\(?P<escaped>[!-/:-@\[-`{-~])"
    r"|(?P<ticks>`+)(?!`)(?P<code>[^`](?:.{0,2000}?[^`])?)(?P=ticks)(?!`)"
    rf"|!?\[(?P<label>[^\[\]\n]{{1,500}})\]\((?P<target>{_URL})\)"
    rf"|<?(?<![A-Za-z0-9])(?P<bare>{_URL})>?"
    r"|(?P<strong>\*\*|(?<![\w])__)(?=\S)(?P<strongs>.{1,1000}?)(?<=\S)(?P=strong)(?![\w_*])"
    r"|~~(?=\S)(?P<struck>.{1,1000}?)(?<=\S)~~"
    r"|(?P<em>\*|(?<![\w])_)(?=[^\s*_])(?P<ems>.{0,1000}?[^\s*_])(?P=em)(?![\w*])",
    re.DOTALL,
)


class Element(NamedTuple):
    """One element. `content`: text and elements, in order."""

    tag: str
    content: tuple[Element | str, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()


def tree(text: str) -> list[Element]:
    """The blocks of a text."""
    return list(_blocks(text.expandtabs(4).split("\n"), 0))


def html(content: Sequence[Element | str]) -> str:
    """The elements and texts as HTML. Raises ValueError for an element, an attribute or a
    scheme that is not of the list."""
    return "".join(_written(part) for part in content)


def escaped(text: str) -> str:
    """A text, for between two tags or in an attribute with double quotes."""
    for character, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#39;")):
        text = text.replace(character, name)
    return text


def _written(part: Element | str) -> str:
    if isinstance(part, str):
        return escaped(part)
    if part.tag not in ELEMENTS or not {name for name, _ in part.attributes} <= ELEMENTS[part.tag]:
        raise ValueError(part.tag)
    if not all(value.startswith(_SCHEMES) for name, value in part.attributes if name == "href"):
        raise ValueError("href")
    attributes = "".join(f' {name}="{escaped(value)}"' for name, value in part.attributes)
    if part.tag in _EMPTY:
        return f"<{part.tag}{attributes}>"
    return f"<{part.tag}{attributes}>{html(part.content)}</{part.tag}>"


# --- blocks ------------------------------------------------------------------------------------------------


def _blocks(lines: list[str], depth: int) -> Iterator[Element]:
    at = 0
    while at < len(lines):
        line = lines[at]
        if not line.strip():
            at += 1
        elif found := _FENCE.match(line):
            end = _fence_end(lines, at, found[1])
            yield _code(lines[at + 1 : end])
            at = end + 1
        elif found := _HEADING.match(line):
            # Not by a pattern: where it fails, it would try each split of a long run of blanks.
            title = found[2].rstrip(" \t").rstrip("#").rstrip(" \t")
            yield Element(f"h{min(6, len(found[1]) + _LEVEL_UP)}", _inline(title, depth))
            at += 1
        elif _RULE.match(line):
            yield Element("hr")
            at += 1
        elif _QUOTE.match(line) and depth < _DEPTH_MAX:
            end = _end(lines, at, _QUOTE)
            inside = [_QUOTE.sub("", each, count=1) for each in lines[at:end]]
            yield Element("blockquote", tuple(_blocks(inside, depth + 1)))
            at = end
        elif _ITEM.match(line) and depth < _DEPTH_MAX:
            found_list, at = _list(lines, at, depth)
            yield found_list
        elif _INDENTED.match(line):
            end = _end(lines, at, _INDENTED)
            yield _code([each[4:] for each in lines[at:end]])
            at = end
        elif at + 1 < len(lines) and "|" in line and "|" in lines[at + 1] and _TABLE_RULE.match(lines[at + 1]):
            end = at + 2
            while end < len(lines) and "|" in lines[end]:
                end += 1
            yield _table(line, lines[at + 2 : end], depth)
            at = end
        else:
            end = _paragraph_end(lines, at, depth)
            yield Element("p", _with_breaks("\n".join(each.strip() for each in lines[at:end]), depth))
            at = end


def _code(lines: list[str]) -> Element:
    return Element("pre", (Element("code", ("\n".join(lines),)),))


def _fence_end(lines: list[str], at: int, mark: str) -> int:
    """The line of the closing fence; behind the last line where there is none."""
    for number in range(at + 1, len(lines)):
        line = lines[number].strip()
        if len(line) >= len(mark) and set(line) == {mark[0]}:
            return number
    return len(lines)


def _end(lines: list[str], at: int, wanted: re.Pattern[str]) -> int:
    while at < len(lines) and wanted.match(lines[at]):
        at += 1
    return at


def _paragraph_end(lines: list[str], at: int, depth: int) -> int:
    end = at + 1
    while end < len(lines) and lines[end].strip():
        line = lines[end]
        begins = _FENCE.match(line) or _HEADING.match(line) or _RULE.match(line) or _QUOTE.match(line)
        if depth < _DEPTH_MAX and (begins or _ITEM.match(line)):
            break
        end += 1
    return end


def _list(lines: list[str], at: int, depth: int) -> tuple[Element, int]:
    first = _ITEM.match(lines[at])
    assert first is not None  # noqa: S101 - the caller has looked
    mark = first[2][-1]
    items: list[Element] = []
    while at < len(lines) and (found := _ITEM.match(lines[at])) and found[2][-1] == mark:
        width = min(len(found[0]), len(found[1]) + len(found[2]) + 4)
        inside = [lines[at][len(found[0]) :]]
        at += 1
        while at < len(lines):
            line = lines[at]
            if not line.strip():
                # An empty line belongs to the item if what follows it does.
                if at + 1 < len(lines) and lines[at + 1].startswith(" " * min(width, 2)):
                    inside.append("")
                    at += 1
                    continue
                break
            if line.startswith(" " * width):
                inside.append(line[width:])
            elif line.startswith("  ") and not line.startswith(" " * 8):
                inside.append(line.lstrip())
            else:
                break
            at += 1
        items.append(Element("li", tuple(_item(inside, depth))))
        while at + 1 < len(lines) and not lines[at].strip() and _ITEM.match(lines[at + 1]):
            at += 1
    if mark in ".)":
        number = str(int(first[2][:-1]))
        return Element("ol", tuple(items), () if number == "1" else (("start", number),)), at
    return Element("ul", tuple(items)), at


def _item(lines: list[str], depth: int) -> Iterator[Element | str]:
    task = _TASK.match(lines[0])
    if task:
        lines = [lines[0][len(task[0]) :], *lines[1:]]
        yield "☐ " if task[1] == " " else "☑ "
    blocks = list(_blocks(lines, depth + 1))
    if blocks and blocks[0].tag == "p":
        # As tight as the writer's lines.
        yield from blocks.pop(0).content
    yield from blocks


def _table(head: str, rows: list[str], depth: int) -> Element:
    names = _cells(head)

    def row(tag: str, cells: list[str]) -> Element:
        padded = [*cells, *[""] * len(names)][: len(names)]
        return Element("tr", tuple(Element(tag, _inline(cell, depth)) for cell in padded))

    body = Element("tbody", tuple(row("td", _cells(line)) for line in rows))
    return Element("table", (Element("thead", (row("th", names),)), body))


def _cells(line: str) -> list[str]:
    parts = _CELL_END.split(line.strip())
    if parts and not parts[0].strip():
        parts = parts[1:]
    if parts and not parts[-1].strip():
        parts = parts[:-1]
    return [part.strip().replace("\\|", "|") for part in parts]


# --- inside a block ----------------------------------------------------------------------------------------


def _with_breaks(text: str, depth: int) -> tuple[Element | str, ...]:
    """As `_inline`; the end of a line is one for the reader too, as the writer saw it."""
    return tuple(_broken(_inline(text, depth)))


def _broken(content: Sequence[Element | str]) -> Iterator[Element | str]:
    for part in content:
        if isinstance(part, Element):
            yield part._replace(content=tuple(_broken(part.content))) if part.tag != "code" else part
            continue
        for number, line in enumerate(part.split("\n")):
            if number:
                yield Element("br")
            if line:
                yield line


def _inline(text: str, depth: int) -> tuple[Element | str, ...]:
    if depth > 2 * _DEPTH_MAX:
        return (text,) if text else ()
    parts: list[Element | str] = []
    at = 0
    for found in _INLINE.finditer(text):
        before = text[at : found.start()]
        if before:
            parts.append(before)
        parts += _span(found, depth)
        at = found.end()
    if text[at:]:
        parts.append(text[at:])
    return tuple(parts)


def _span(found: re.Match[str], depth: int) -> list[Element | str]:
    kind = found.lastgroup
    if found["escaped"] is not None:
        return [found["escaped"]]
    if found["code"] is not None:
        return [Element("code", (_code_text(found["code"]),))]
    if found["target"] is not None:
        return _link(found["target"], found["label"], found[0], depth)
    if found["bare"] is not None:
        return _bare_link(found)
    if found["strongs"] is not None:
        return [Element("strong", _inline(found["strongs"], depth + 1))]
    if found["struck"] is not None:
        return [Element("del", _inline(found["struck"], depth + 1))]
    assert kind is not None  # noqa: S101 - one of the alternatives has matched
    return [Element("em", _inline(found["ems"], depth + 1))]


def _code_text(text: str) -> str:
    line = text.replace("\n", " ")
    return line[1:-1] if len(line) > 2 and line[0] == line[-1] == " " and line.strip() else line


def _link(target: str, label: str, whole: str, depth: int) -> list[Element | str]:
    host = _host(target)
    if host is None:
        return [whole]
    # An image is not loaded: its text leads to it.
    return [
        _anchor(target, _without_links(_inline(label, depth + 1))),
        " ",
        Element("span", (f"({host})",), (("class", "host"),)),
    ]


def _bare_link(found: re.Match[str]) -> list[Element | str]:
    url = found["bare"]
    kept = url.rstrip(_TRAILING)
    host = _host(kept)
    if host is None:
        return [found[0]]
    before, after = found[0].split(url, 1)
    rest = url[len(kept) :]
    if before and after and not rest:
        # `<https://…>`: the marks are no text.
        before = after = ""
    parts = (before, _anchor(kept, (kept,)), rest + after)
    return [part for part in parts if part]


def _without_links(content: Sequence[Element | str]) -> tuple[Element | str, ...]:
    """As a link can't stand in another one."""
    found: list[Element | str] = []
    for part in content:
        if isinstance(part, str):
            found.append(part)
        elif part.tag == "a":
            found += part.content
        else:
            found.append(part._replace(content=_without_links(part.content)))
    return tuple(found)


def _anchor(target: str, content: tuple[Element | str, ...]) -> Element:
    return Element("a", content, (("href", target), ("rel", "noopener noreferrer nofollow")))


def _host(target: str) -> str | None:
    """The host that a link leads to; None where a reader could take it for another one."""
    try:
        parts = urlsplit(target)
        host = parts.hostname
    except ValueError:
        return None
    # `https://known.example@other.example` leads to the second, and letters of other scripts look like ours.
    if not host or not parts.netloc.isascii() or "@" in parts.netloc or not target.isprintable():
        return None
    return host
