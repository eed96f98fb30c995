"""Tools: what each tool of the MCP server does, as steps.

Rule: no I/O and no clock of its own. A tool acts for `own`, the session that its driver has found, and never for the
operator. `inbox` confirms only what the client was given, as the hooks do.
"""

from __future__ import annotations

import contextlib

from maestro_clients.protocol import commands
from maestro_clients.protocol.new_ids import new_message_id, new_session_id
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import SYSTEM_SENDER

from . import tool_table, tool_texts
from .steps import Ask, AwaitMail, Locate, RunningTool, SendMail, Show, ToolResult

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any, Final

    from maestro_schemas.documents import InboxDoc, MessageDoc, OutgoingDoc, ReceiptDoc, SessionDoc, SessionsDoc

    from .steps import Step, Steps

# More messages than fit into a result.
_PAGE_MESSAGES = 32
# A client that reads slowly holds up the write for less than this.
_LEASE_MS = 30_000
_SESSIONS_MAX = 100


class ToolCaller:
    """For whom a tool acts, and the clock."""

    def __init__(self, own: str, via: str, now_ms: Callable[[], int]) -> None:
        self.own = own
        # What receipts say of this way.
        self.via = via
        self.now_ms = now_ms


def begun(caller: ToolCaller, tool: str, arguments: object) -> RunningTool:
    """A tool at its first step. Raises MaestroError INVALID for arguments that it does not take."""
    return RunningTool(_TOOLS[tool](caller, tool_table.checked(tool, arguments)))


def _send(caller: ToolCaller, arguments: dict[str, Any]) -> Steps:
    outgoing: OutgoingDoc = {
        "id": new_message_id(),
        "to": arguments["to"],
        "message": arguments["message"],
    }
    if arguments.get("reply_to"):
        outgoing["metadata"] = {"inReplyTo": arguments["reply_to"]}
    result = yield SendMail(outgoing)
    return ToolResult(tool_texts.sent(result, outgoing["id"], caller.now_ms()))


def _reply(caller: ToolCaller, arguments: dict[str, Any]) -> Steps:
    answered: MessageDoc = yield Ask(commands.message(arguments["id"]))
    outgoing: OutgoingDoc = {
        "id": new_message_id(),
        "to": _answers_to(answered, caller.own),
        "message": arguments["message"],
        "metadata": {"type": "response", "inReplyTo": answered["id"]},
    }
    result = yield SendMail(outgoing)
    if answered["from"] != caller.own:
        # The answer is on disk: an acknowledgement that fails must not make the model send it again.
        with contextlib.suppress(MaestroError):
            yield Ask(commands.confirm([answered["id"]], "read", via=caller.via))
    return ToolResult(tool_texts.sent(result, outgoing["id"], caller.now_ms()))


def _answers_to(message: MessageDoc, own: str) -> str:
    if message["from"] == SYSTEM_SENDER:
        raise MaestroError(
            "INVALID",
            f"{message['id']} is from the post office itself, which reads no mail",
            "It needs no answer.",
        )
    if message["from"] == own and "audience" in message:
        raise MaestroError(
            "INVALID",
            f"you sent {message['id']} yourself, to {message['audience']['size']} sessions",
            f"To add to it, call `send` with the same address and reply_to {message['id']}.",
        )
    # An answer to one's own message adds to it, for the same receiver.
    return message["to"] if message["from"] == own else message["from"]


def _receipt(caller: ToolCaller, arguments: dict[str, Any]) -> Steps:
    from maestro_clients.texts import receipt_lines

    receipt: ReceiptDoc = yield Ask(commands.receipt(arguments["id"], people=True))
    return ToolResult("\n".join([receipt_lines.head(receipt), *receipt_lines.each(receipt, caller.now_ms())]))


def _sessions(caller: ToolCaller, _arguments: dict[str, Any]) -> Steps:
    own: SessionDoc = yield Ask(commands.session(caller.own))
    found: SessionsDoc = yield Ask(commands.session_page(active=True, limit=_SESSIONS_MAX))
    others = [each for each in found["sessions"] if each["id"] != own["id"]]
    return ToolResult(tool_texts.present(own, others, caller.now_ms(), more="next" in found))


def _inbox(caller: ToolCaller, arguments: dict[str, Any]) -> Steps:
    wait_s = int(arguments.get("wait_s", 0))
    # The lease's holder: any id that no other reader has.
    reader = new_session_id()
    page: InboxDoc = yield from _taken(reader, caller)
    while not page["messages"] and wait_s and (yield AwaitMail(wait_s)):
        page = yield from _taken(reader, caller)
    if not page["messages"]:
        held = page.get("leased", 0)
        elsewhere = f" {held:,} are being shown to you in another way at this moment." if held else ""
        return ToolResult(f"No new mail{f' within {wait_s} s' if wait_s else ''}.{elsewhere}")
    if any("attachments" in message for message in page["messages"]):
        yield Locate(page["messages"])
    text, shown = tool_texts.page(page, caller.now_ms())
    try:
        yield Show(ToolResult(text))
        yield Ask(commands.confirm(shown, "delivered", via=caller.via))
        left_out = len(page["messages"]) - len(shown)
    except (OSError, MaestroError):
        # What was not given to the client, or is not known to be, is shown again.
        left_out = len(page["messages"])
    if left_out:
        # The same reader leases the same messages again, for 1 ms. If that fails, the lease ends by itself.
        with contextlib.suppress(MaestroError):
            yield _page(left_out, reader, 1)
    return None


def _taken(reader: str, caller: ToolCaller) -> Generator[Step, Any, InboxDoc]:
    """A page under a lease, of as many messages as one result holds: the others are free for the next call."""
    seen: InboxDoc = yield _page(_PAGE_MESSAGES)
    if not seen["messages"]:
        return seen
    page: InboxDoc = yield _page(len(tool_texts.page(seen, caller.now_ms())[1]), reader, _LEASE_MS)
    return page


def _page(limit: int, reader: str | None = None, lease_ms: int | None = None) -> Ask:
    return Ask(commands.inbox(status=["pending"], limit=limit, lease_ms=lease_ms, reader=reader, people=True))


_TOOLS: Final[dict[str, Callable[[ToolCaller, dict[str, Any]], Steps]]] = {
    "send": _send,
    "inbox": _inbox,
    "sessions": _sessions,
    "receipt": _receipt,
    "reply": _reply,
}
