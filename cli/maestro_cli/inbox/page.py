"""Inbox page: which messages are shown at once, and how they are marked afterwards.

Rule: no more characters than agents' tools accept in one output, but always one message, because a long one could
never be delivered otherwise.
"""

from __future__ import annotations

from maestro_cli.output import streams
from maestro_cli.output.render import duration, message_block
from maestro_clients.texts.display_names import DisplayNames
from maestro_clients.texts.fence import audience
from maestro_clients.texts.short_ids import of_messages
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import LAST_ADDRESS, OPERATOR, SYSTEM_SENDER

TYPE_CHECKING = False  # `typing` and `enum` cost more than showing a message
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from maestro_clients.one_shot_client import AnyClient
    from maestro_clients.texts.short_ids import ShortIds
    from maestro_schemas.documents import InboxDoc, ItemResultDoc, MessageDoc

    # What showing a message does to it.
    Marking = Literal["delivered", "read", "deleted"]

# No shown message is shorter than this, with its id, its sender and its time.
_BLOCK_CHARS_MIN = 60
_COUNT_MAX = 256
VIA = "cli"


def mark(client: AnyClient, marking: Marking, shown: Sequence[MessageDoc]) -> MaestroError | None:
    """Confirm what was written out. Returns the first problem instead of raising it: the text is out, so the command
    has not simply failed."""
    ids = [message["id"] for message in shown]
    pending = [message["id"] for message in shown if message["status"] == "pending"]
    results: list[ItemResultDoc] = []
    try:
        if marking == "read" and ids:
            results = client.confirm(ids, "read", via=VIA)
        elif pending:
            results = client.confirm(pending, "delivered", via=VIA)
        if marking == "deleted" and ids:
            results = client.delete(ids)
    except MaestroError as error:
        return _unconfirmed(error, marking)
    for result in results:
        if "error" in result:
            return _unconfirmed(MaestroError.from_body(result["error"]), marking)
    return None


class PrintedPage:
    """What one call prints."""

    def __init__(self, shown: list[MessageDoc], left_out: int, text: str) -> None:
        self.shown = shown
        # How many fetched messages are not in the text.
        self.left_out = left_out
        self.text = text


def count_to_ask_for(count_max: int | None, chars_max: int) -> int:
    """How many messages to fetch: no more than could be printed, since the lease hides each from other readers."""
    fitting = min(max(chars_max // _BLOCK_CHARS_MIN, 1), _COUNT_MAX)
    return fitting if count_max is None else min(count_max, fitting)


def compose(
    reply: InboxDoc,
    chars_max: int,
    *,
    marking: Marking | None,
    unread: bool,
    is_filtered: bool = False,
    as_json: bool,
    now_ms: int,
) -> PrintedPage:
    """As many of the reply's messages as may be printed at once, and the text for them. `marking`: None for the mail
    of another session. `unread`: what was shown before is asked for, so it is printed whole again."""
    names, short = DisplayNames(reply.get("people", {})), of_messages(reply["messages"])
    blocks: list[str] = []
    used = 0
    for message in reply["messages"]:
        block = streams.json_line(message) if as_json else _block(message, names, now_ms, short, marking)
        if message["status"] == "delivered" and not (as_json or unread):
            block = block.partition("\n")[0]
        used += len(block)
        if blocks and used > chars_max:
            break
        blocks.append(block)
    shown = reply["messages"][: len(blocks)]
    left_out = len(reply["messages"]) - len(shown)
    if as_json:
        has_more = "true" if left_out or reply["hasMore"] else "false"
        messages = ", ".join(blocks)
        text = f'{{"messages": [{messages}], "count": {len(shown)}, "hasMore": {has_more}}}'
        return PrintedPage(shown, left_out, text)
    if not shown:
        return PrintedPage(shown, left_out, _nothing(reply, unread=unread))
    more = ""
    if left_out or reply["hasMore"]:
        # The count of what waits is about all mail.
        more = "There is more: run it again." if is_filtered else _more(reply, shown, marking, unread=unread)
    # A message that is deleted once it is shown can't be answered.
    footer = "" if marking in ("deleted", None) else _footer(shown, short)
    if streams.stdout_is_terminal():
        from maestro_cli.output import screen

        blocks = list(map(screen.fit, blocks))
    last = "\n".join(filter(None, (footer, more)))
    return PrintedPage(shown, left_out, "\n\n".join(filter(None, (*blocks, last))))


def _block(message: MessageDoc, names: DisplayNames, now_ms: int, short: ShortIds, marking: Marking | None) -> str:
    if marking in ("read", "deleted") and "requiresAck" in message.get("metadata", {}):
        # This command answers it.
        metadata = {key: value for key, value in message["metadata"].items() if key != "requiresAck"}
        message = {**message, "metadata": metadata}  # type: ignore[typeddict-item]
    return message_block(message, names, now_ms, short)


def outcome(marking: Marking, shown: Sequence[MessageDoc]) -> str:
    """What was done to the messages; empty where they were only shown."""
    count, again = len(shown), sum(message["status"] == "delivered" for message in shown)
    if marking == "delivered" or not count:
        return ""
    what = "1 message" if count == 1 else f"{count} messages"
    if again:
        what += ", shown before" if again == count else f", {again} of them shown before"
    if marking == "deleted":
        return f"Deleted {what}."
    return f"Acknowledged {what}; {'its sender is' if count == 1 else 'their senders are'} notified."


def _nothing(reply: InboxDoc, *, unread: bool) -> str:
    leased = reply.get("leased", 0)
    if leased:
        wait = duration(reply.get("leaseEndsInMs", 0))
        count = "1 message" if leased == 1 else f"{leased} messages"
        return (
            f"Nothing to show now: another reader of this inbox is showing {count}; "
            f"what it does not confirm comes back in {wait}."
        )
    return "No unread messages." if unread else "No new messages."


def _footer(shown: Sequence[MessageDoc], short: ShortIds) -> str:
    # The post office itself has no mailbox.
    answerable = [message for message in shown if message["from"] != SYSTEM_SENDER]
    if not answerable:
        return ""
    example = answerable[-1]
    label = "Reply, to its sender alone" if audience(example) else "Reply"
    speaker = " --as operator" if example["to"] == OPERATOR else ""
    # Of several, and beside what was shown before, `last` need not be the one that is meant.
    named = LAST_ADDRESS if len(shown) == 1 and example["status"] == "pending" else short.of(example["id"])
    return f'{label}: maestro reply {named} "..."{speaker}'


def _more(reply: InboxDoc, shown: Sequence[MessageDoc], marking: Marking | None, *, unread: bool) -> str:
    if marking is None:
        return "There is more than is printed at once."
    if marking != "delivered":
        return "There is more: run it again."
    if unread:
        return "There is more: acknowledge these (maestro message read ID, or --mark-read), then run it again."
    left = reply["pending"] - len(shown) - reply.get("leased", 0)
    return f"{max(left, 1):,} more: maestro inbox"


def _unconfirmed(error: MaestroError, marking: Marking) -> MaestroError:
    return MaestroError(
        error.code,
        f"the messages above were shown, but could not be marked {marking}: {error.message}",
        "They may be shown once more. " + error.hint,
        retry_after_s=error.retry_after_s,
    )
