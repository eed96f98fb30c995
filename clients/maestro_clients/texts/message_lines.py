"""Message lines: one message as an agent reads it, in its context or as the result of a tool.

Rule: as `fence` says, what a sender chose stands behind the bar, or is a token.
"""

from __future__ import annotations

from maestro_schemas.names import SYSTEM_SENDER

from . import fence
from .ages import age

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from collections.abc import Callable

    from maestro_schemas.documents import MessageDoc

    from .display_names import DisplayNames
    from .short_ids import ShortIds

BAR = "| "


def opening(message: MessageDoc, names: DisplayNames, now_ms: int, short: ShortIds | None = None) -> list[str]:
    """Sender, age, kind and thread: ids, words of ours, and tokens of the sender's; then its other fields, behind the
    bar. `short`: the short forms of ids; without them the ids are whole."""
    own, thread = message["id"], str((message.get("metadata") or {}).get("threadId", "?"))
    replied = str((message.get("metadata") or {}).get("inReplyTo", "?"))
    if short is not None:
        own, thread, replied = short.of(own), short.of(thread), short.of(replied)
    metadata = message.get("metadata") or {}
    words, chosen = fence.message_fields(message, names.unfit_name(message["from"]))
    head = [f"{own} from {names.sender(message['from'])}", age(message["createdAt"], now_ms), *words]
    lines = [", ".join(head) + fence.audience(message)]
    if "inReplyTo" in metadata:
        lines.append(f"in reply to {fence.named(replied)}, thread {fence.named(thread)}")
    elif metadata.get("threadId", message["id"]) != message["id"]:
        lines.append(f"thread {fence.named(thread)}")
    if (original := names.original_receiver(message)) is not None:
        lines.append(f"for {original}, who had ended")
    return lines + [BAR + line for line in chosen]


def file_lines(message: MessageDoc, command: str) -> list[str]:
    """A line for each file, whatever its size; their paths are in the message, where it was located."""
    if not message.get("attachments"):
        return []
    from . import file_lines

    return file_lines.lines(message, command)


def whole(
    message: MessageDoc,
    names: DisplayNames,
    now_ms: int,
    *,
    answer: Callable[[str], str],
    acknowledge: Callable[[str], str],
    command: str = "maestro",
    short: ShortIds | None = None,
) -> str:
    """The whole message. `answer`, `acknowledge`: from its id to how the agent does that. `command`: what it types
    for `maestro`. `short`: as for `opening`."""
    lines = opening(message, names, now_ms, short)
    own = message["id"] if short is None else short.of(message["id"])
    lines += fence.behind(BAR, message["message"])
    lines += [BAR + line for line in fence.data_line(message)]
    if taken_out := fence.removal(message):
        lines.append(taken_out)
    lines += file_lines(message, command)
    # Without this line, fewer sessions answer what asks for no answer; the frame says how.
    if message["from"] != SYSTEM_SENDER and (fence.asked(message) or not fence.audience(message)):
        lines.append(f"Answer: {answer(own)}")
    if (message.get("metadata") or {}).get("requiresAck"):
        lines.append(f"It asks for an acknowledgement: {acknowledge(own)}")
    return "\n".join(lines)
