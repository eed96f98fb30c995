"""Writers: an export as Markdown, as JSON Lines, or as one HTML page.

Rule: a writer yields pieces of text, so that a long export is written while it is made. In Markdown a text is as it
was sent, in a fence that is longer than any in it. The HTML page has no script and loads nothing: its own policy
forbids it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from maestro_clients.texts import json_text
from maestro_schemas import __version__
from maestro_schemas.names import AUDIENCE_SIGIL, OPERATOR
from maestro_schemas.texts.visible_text import clean, one_line

from . import markdown_html
from .headings import Headings, clock, file_line
from .page_style import STYLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from .collecting import Export, ExportEntry

Format = Literal["md", "jsonl", "html"]

_TICKS = re.compile(r"`+")
# What Markdown could take for more than text, inside a line.
_MARKS = re.compile(r"([\\`*_\[\]<>~|&])")
_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
# Of the page itself, wherever it is opened.
PAGE_POLICY = f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; form-action 'none'"


class ExportSettings(NamedTuple):
    """How an export is written."""

    # The session that asked; None for the operator.
    asked_by: str | None
    # When, ms.
    at_ms: int
    with_texts: bool = True
    # From a digest to the file that has the attachment, as a path from the document; empty where it was not saved.
    files: Mapping[str, str] = {}


class ExportKind(NamedTuple):
    """One format."""

    write: Callable[[Export, ExportSettings], Iterator[str]]
    media_type: str


def markdown(export: Export, settings: ExportSettings) -> Iterator[str]:
    """A heading for each thread and for each message, and the texts as they are."""
    headings = _headings(export, settings)
    yield f"# {_plain(headings.title())}\n\n" + "".join(f"{_plain(line)}\n" for line in headings.about())
    for section in headings.sections():
        yield f"\n## {_plain(section.title)}\n"
        for entry in section.entries:
            sender, to = headings.parties(entry)
            at = clock(entry.message["createdAt"], section.title)
            said = [f"\n### {_plain(sender)} → {_address(to)} · {_plain(at)} · {_plain(headings.state(entry))}\n"]
            facts = "".join(f" · {_plain(fact)}" for fact in headings.facts(entry))
            said.append(f"`{entry.message['id']}`{facts}\n")
            if settings.with_texts:
                said.append(_fenced(clean(entry.message["message"]), "text"))
                said += [_fenced(data, "json") for data in _data(entry)]
            lines = []
            for attachment in entry.message.get("attachments", ()):
                path, line = settings.files.get(attachment["sha256"]), _plain(file_line(attachment))
                lines.append(f"- file: {line}\n" if path is None else f"- file: [{line}](<{path}>)\n")
            said += ["".join(lines)] if lines else []
            yield "\n".join(said)


def json_lines(export: Export, settings: ExportSettings) -> Iterator[str]:
    """A header, a line for each message, and a last line with their number: without it, the file is cut off."""
    query: dict[str, Any] = {
        name: value for name, value in export.query._asdict().items() if value not in (None, False)
    }
    query.pop("receipts", None)
    query.pop("bounded", None)
    yield _line(
        {
            "kind": "export",
            "version": 1,
            "product": __version__,
            "query": query,
            "askedBy": settings.asked_by or OPERATOR,
            "at": settings.at_ms,
            "people": export.people,
        }
    )
    for entry in export.entries:
        document: dict[str, Any] = {"kind": "message", **entry.said}
        if entry.receipt is not None:
            lines = [
                {key: value for key, value in line.items() if key != "presence"}
                for line in entry.receipt["recipients"]
            ]
            document["receipt"] = {**entry.receipt, "recipients": lines}
        if not settings.with_texts:
            document["message"] = {**entry.message, "message": ""}
            metadata = dict(entry.message.get("metadata", {}))
            if metadata.pop("data", None) is not None:
                document["message"]["metadata"] = metadata
        yield _line(document)
    yield _line({"kind": "end", "messages": len(export.entries), "hasMore": export.has_more})


def page(export: Export, settings: ExportSettings) -> Iterator[str]:
    """One page, with its style in it; texts are Markdown."""
    headings, text = _headings(export, settings), markdown_html.escaped
    title = one_line(headings.title())
    yield (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{text(PAGE_POLICY)}">\n'
        '<meta name="referrer" content="no-referrer">\n<meta name="color-scheme" content="light dark">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{text(title)}</h1>\n" + "".join(f"<p>{text(one_line(line))}</p>\n" for line in headings.about())
    )
    for section in headings.sections():
        yield f"<section>\n<h2>{text(section.title)}</h2>\n"
        for entry in section.entries:
            yield _article(entry, headings, settings, section.title)
        yield "</section>\n"
    yield "</main>\n</body>\n</html>\n"


def _article(entry: ExportEntry, headings: Headings, settings: ExportSettings, section: str) -> str:
    text, message = markdown_html.escaped, entry.message
    sender, to = headings.parties(entry)
    parts = [
        f'<article id="{text(message["id"])}">\n',
        f"<h3><bdi>{text(sender)}</bdi> <span>→ <bdi>{text(to)}</bdi></span> ",
        f"<time>{clock(message['createdAt'], section)}</time> <span>{text(headings.state(entry))}</span></h3>\n",
    ]
    facts = "".join(f" · {text(one_line(fact))}" for fact in headings.facts(entry))
    parts.append(f'<p class="facts"><code>{text(message["id"])}</code>{facts}</p>\n')
    if settings.with_texts:
        said = markdown_html.html(markdown_html.tree(clean(message["message"])))
        parts.append(f'<div class="text" dir="auto">{said}</div>\n')
        parts += [f"<pre><code>{text(data)}</code></pre>\n" for data in _data(entry)]
    files = []
    for attachment in message.get("attachments", ()):
        path, line = settings.files.get(attachment["sha256"]), text(file_line(attachment))
        files.append(f"<li>{line}</li>" if path is None else f'<li><a href="{text(path)}" download>{line}</a></li>')
    if files:
        parts.append(f'<ul class="files">{"".join(files)}</ul>\n')
    return "".join([*parts, "</article>\n"])


FORMATS: dict[Format, ExportKind] = {
    "md": ExportKind(markdown, "text/markdown; charset=utf-8"),
    "jsonl": ExportKind(json_lines, "application/x-ndjson"),
    "html": ExportKind(page, "text/html; charset=utf-8"),
}


def _headings(export: Export, settings: ExportSettings) -> Headings:
    return Headings(export, settings.asked_by, settings.at_ms, with_texts=settings.with_texts)


def _plain(text: str) -> str:
    return _MARKS.sub(r"\\\1", one_line(text))


def _address(to: str) -> str:
    """An audience as code: elsewhere, a site for code would notify its own team of that name."""
    return f"`{one_line(to).replace('`', '')}`" if AUDIENCE_SIGIL in to else _plain(to)


def _fenced(text: str, kind: str) -> str:
    longest = max((len(run) for run in _TICKS.findall(text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{kind}\n{text}\n{fence}\n"


def _data(entry: ExportEntry) -> list[str]:
    metadata = entry.message.get("metadata", {})
    return [json_text.line(metadata["data"], ascii_only=False)] if "data" in metadata else []


def _line(document: Mapping[str, Any]) -> str:
    return json_text.line(document, ascii_only=False) + "\n"
