"""Threads view: the conversations as lines, the one with the newest message first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maestro_cli.context import now_ms
from maestro_cli.history.log_lines import SessionNames, shown_id
from maestro_cli.output import streams
from maestro_cli.output.render import BAR
from maestro_cli.output.styles import styled
from maestro_cli.output.tables import terminal_width
from maestro_cli.output.wrapping import cut, wrapped
from maestro_clients.texts.ages import moment
from maestro_clients.texts.fence import joined
from maestro_clients.texts.short_ids import ShortIds
from maestro_schemas.names import SYSTEM_SENDER
from maestro_schemas.texts.visible_text import one_line

from .search_view import index_notes

if TYPE_CHECKING:
    from maestro_cli.context import CommandContext
    from maestro_schemas.documents import MessageDoc, ThreadSummaryDoc

_PAGE = 200
_SENDERS_MAX = 4
_TEXT_CHARS_MAX = 200


def run(context: CommandContext, filters: dict[str, Any], limit: int, *, as_json: bool) -> int:
    """Print at most `limit` threads; returns the exit code. Raises MaestroError."""
    with context.client() as client:
        page = client.threads(limit=min(limit, _PAGE), **filters)
        threads = page["threads"]
        while page["hasMore"] and len(threads) < limit:
            more = client.threads(limit=min(limit - len(threads), _PAGE), **{**filters, "before": page["before"]})
            threads += more["threads"]
            page = {**more, "threads": threads, "people": {**page["people"], **more["people"]}}
    if as_json:
        streams.say_json(page)
        return 0
    names, at, width = SessionNames(), now_ms(), terminal_width(context.environ)
    names.learn(page["people"])
    short = ShortIds(thread["threadId"] for thread in threads)
    for thread in threads:
        streams.say("\n".join(block(thread, names, at, width, short)))
    if not threads:
        streams.say("No message has an answer yet.")
    if page["hasMore"]:
        streams.note(f"maestro: the next page: the same command with --before {page['before']}")
    for note in index_notes(page["index"]):
        streams.note(f"maestro: {note}")
    return 0


def block(
    thread: ThreadSummaryDoc, names: SessionNames, at_ms: int, width: int | None, short: ShortIds | None = None
) -> list[str]:
    """When the newest message came, who wrote, the first message and the newest one."""
    senders = [_name(sender, names) for sender in thread["senders"]]
    more = f" and {len(senders) - _SENDERS_MAX} more" if len(senders) > _SENDERS_MAX else ""
    count = f"{thread['messages']:,} message{'' if thread['messages'] == 1 else 's'}"
    head = f"{moment(thread['newest']['createdAt'], at_ms)}  {count}  {', '.join(senders[:_SENDERS_MAX])}{more}"
    thread_id = shown_id(thread["threadId"], short)
    if width is None or short is None:
        lines = [styled(cut(head, width), "bold"), f"  {thread_id}"]
    else:
        lines = wrapped(f"{styled(head, 'bold')}  {thread_id}", width, "    ")
    root, newest = thread.get("root"), thread["newest"]
    if root is not None:
        lines.append(_said(root, names, width))
    if root is None or root["id"] != newest["id"]:
        lines.append(_said(newest, names, width))
    return lines


def _said(message: MessageDoc, names: SessionNames, width: int | None) -> str:
    text = one_line(joined(message["message"]))[:_TEXT_CHARS_MAX]
    return cut(f"{BAR}{_name(message['from'], names)}: {text}", width)


def _name(session: str, names: SessionNames) -> str:
    return "the post office" if session == SYSTEM_SENDER else names.short(session)
