"""Search view: the hits of a search as lines, the newest first.

Rule: each hit is its heading, its id, and the part of its text that was found, behind a bar. The found words are bold
on a terminal, and nowhere else. How many there are, and how to see more, is on standard error.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from maestro_cli.context import now_ms
from maestro_cli.history.log_lines import SessionNames, shown_id
from maestro_cli.output import streams
from maestro_cli.output.render import BAR, emphasized
from maestro_cli.output.styles import styled
from maestro_cli.output.tables import terminal_width
from maestro_cli.output.wrapping import fitted, is_unicode
from maestro_clients.texts.ages import moment
from maestro_clients.texts.fence import message_fields, named
from maestro_clients.texts.short_ids import ShortIds
from maestro_schemas.names import AUDIENCE_SIGIL, SYSTEM_SENDER
from maestro_schemas.texts.visible_text import one_line

if TYPE_CHECKING:
    from maestro_cli.context import CommandContext
    from maestro_schemas.documents import IndexStateDoc, MessageDoc, SearchDoc, SearchHitDoc

_PAGE = 200
_TOTAL_MAX = 10_000
_RECEIVERS_MAX = 3


def run(context: CommandContext, query: str, filters: dict[str, Any], limit: int, *, as_json: bool) -> int:
    """Print what a query finds, at most `limit` hits; returns the exit code. Raises MaestroError."""
    began = time.monotonic()
    with context.client() as client:
        page = client.search(query, limit=min(limit, _PAGE), **filters)
        hits = page["hits"]
        while page["hasMore"] and len(hits) < limit:
            more = client.search(query, limit=min(limit - len(hits), _PAGE), **{**filters, "before": page["before"]})
            hits += more["hits"]
            page = {**more, "hits": hits, "people": {**page["people"], **more["people"]}, "total": page["total"]}
    took_ms = round((time.monotonic() - began) * 1000)
    if as_json:
        streams.say_json({**page, "tookMs": took_ms})
        return 0
    names, at = SessionNames(), now_ms()
    names.learn(page["people"])
    width = terminal_width(context.environ)
    short = ShortIds(hit["message"]["id"] for hit in hits)
    for hit in hits:
        streams.say("\n".join(block(hit, names, at, width, short)))
    if not hits:
        streams.say("Nothing was found.")
    for note in notes(page, len(hits), took_ms):
        streams.note(f"maestro: {note}")
    return 0


def block(
    hit: SearchHitDoc, names: SessionNames, at_ms: int, width: int | None, short: ShortIds | None = None
) -> list[str]:
    """The lines of one hit."""
    message = hit["message"]
    words, chosen = message_fields(message, names.unfit_name(message["from"]))
    sender = "the post office" if message["from"] == SYSTEM_SENDER else names.short(message["from"])
    arrow = "→" if is_unicode() else "->"
    to = _receivers(hit, names)
    head = f"{moment(message['createdAt'], at_ms)}  {sender} {arrow} {to}"
    state = [] if len(hit.get("receivers", ())) > 1 else [message["status"]]
    files = len(message.get("attachments", ()))
    words += [*state, *([f"{files} file{'' if files == 1 else 's'}"] if files else [])]
    about = f"  {shown_id(message['id'], short)}  {', '.join(emphasized(words))}".rstrip()
    # A short id leaves room for both on one line.
    first = [styled(head, "bold"), about] if width is None or short is None else [styled(head, "bold") + about]
    return fitted([*first, *[BAR + line for line in chosen], BAR + _snippet(hit)], width)


def notes(page: SearchDoc, count: int, took_ms: int) -> list[str]:
    """How many there are, how long it took, how to see more, and whether the index is behind."""
    total = page["total"]
    amount = f"{total:,}{' or more' if total >= _TOTAL_MAX else ''} message{'' if total == 1 else 's'}"
    said = [f"{amount}, {took_ms:,} ms" if count == total else f"{count:,} of {amount}, {took_ms:,} ms"]
    if page["hasMore"]:
        said.append(f"the next page: the same command with --before {page['before']}")
    return said + index_notes(page["index"])


def index_notes(index: IndexStateDoc) -> list[str]:
    """Where the index does not have all mail yet."""
    if "rebuilding" in index:
        return [f"the index is being made again, {index['rebuilding']:.0%} are done: there may be more"]
    behind = index["head"] - index["upTo"]
    return [f"the index is {behind:,} records behind: the newest mail may be missing"] if behind > 0 else []


def _receivers(hit: SearchHitDoc, names: SessionNames) -> str:
    message: MessageDoc = hit["message"]
    audience, known = message.get("audience"), hit.get("receivers") or [message["to"]]
    if audience is not None and any(address.startswith(AUDIENCE_SIGIL) for address in audience["to"]):
        return f"{', '.join(map(named, audience['to']))} ({audience['size']})"
    size = max(len(known), audience["size"] if audience is not None else 1)
    shown = ", ".join(map(names.short, known[:_RECEIVERS_MAX]))
    more = size - len(known[:_RECEIVERS_MAX])
    return f"{shown} and {more} more" if more > 0 else shown


def _snippet(hit: SearchHitDoc) -> str:
    """The snippet on one line, with its found words in bold on a terminal."""
    text = hit["snippet"]
    parts, at = [], 0
    for begin, end in hit.get("marks", ()):
        if begin < at or end > len(text):
            break
        parts += [one_line(text[at:begin]), styled(one_line(text[begin:end]), "bold", "yellow")]
        at = end
    return "".join([*parts, one_line(text[at:])])
