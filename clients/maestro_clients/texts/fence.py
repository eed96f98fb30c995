"""Fence: what a caller chose, kept apart from the words of the command or hook that shows it.

Rule: such a text stands behind a bar, or is a token (one word, which can't be a sentence), or is a line in quotes. It
is cleaned in each case. So no text can pass for a line of ours, in a terminal or in an agent's context.
"""

from __future__ import annotations

from maestro_schemas.names import AUDIENCE_SIGIL
from maestro_schemas.texts.visible_text import cleaned, is_token, one_line

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from collections.abc import Sequence

    from maestro_schemas.documents import MessageDoc

# A page must not become a list of addresses, and a project's name may be long.
_ADDRESSES_SHOWN = 3
_ADDRESS_CHARS_MAX = 48
# How many addresses a sender is shown of its own.
_ADDRESSES_MAX = 4


def named(text: object) -> str:
    """A short field in a line of ours: a token as it is, any other text on one line in quotes."""
    word = str(text)
    return word if is_token(word) else '"' + one_line(word).replace('"', "'") + '"'


def addresses(to: str | Sequence[str]) -> str:
    """Addresses as a person gave them: `@workers, bob and 3 more`."""
    said = [to] if isinstance(to, str) else list(to)
    shown = ", ".join(_address(each) for each in said[:_ADDRESSES_MAX])
    return shown if len(said) <= _ADDRESSES_MAX else f"{shown} and {len(said) - _ADDRESSES_MAX} more"


def joined(text: str) -> str:
    """A text of several lines on one line, without what a reader can't see."""
    return " ".join(cleaned(text)[0].split())


def behind(bar: str, text: str) -> list[str]:
    """Each line of a text behind the bar."""
    return [bar + line for line in cleaned(text)[0].split("\n")]


def message_fields(message: MessageDoc, name: str | None) -> tuple[list[str], list[str]]:
    """What a sender chose beside the text: the tokens, as words for a line of ours; and lines for behind a bar.

    `name`: the sender's, where it is no token.
    """
    metadata = message.get("metadata") or {}
    words: list[str] = []
    lines = [] if name is None else [f"name: {one_line(name)}"]
    priority = str(metadata.get("priority", "medium"))
    for label, value, word in (
        ("priority", "" if priority == "medium" else priority, f"{priority} priority"),
        ("type", str(metadata.get("type", "")), str(metadata.get("type", ""))),
        ("task", str(metadata.get("taskId", "")), f"task {metadata.get('taskId', '')}"),
    ):
        if is_token(value):
            words.append(word)
        elif value:
            lines.append(f"{label}: {one_line(value)}")
    return words, lines


def audience(message: MessageDoc) -> str:
    """` (to @workers, 7 sessions; no answer needed)`, for the end of a line of ours; empty for a message to one.

    Names of other receivers are left out: they are for the sender to know.
    """
    given = message.get("audience")
    if given is None:
        return ""
    named_ones = [address for address in given["to"] if _is_shown(address)]
    if given["size"] < 2 and not named_ones:
        return ""
    count = f"{given['size']:,} session{'' if given['size'] == 1 else 's'}"
    to = ", ".join(named_ones[:_ADDRESSES_SHOWN])
    if named_ones and len(given["to"]) > len(named_ones[:_ADDRESSES_SHOWN]):
        to += " and others"
    return f" (to {to + ', ' if to else ''}{count}; {asked(message) or 'no answer needed'})"


def asked(message: MessageDoc) -> str:
    """`asks for an answer`: what a sender asks its receivers for; empty where it asks for nothing."""
    metadata = message.get("metadata") or {}
    kind = metadata.get("type")
    wanted = []
    if kind == "command":
        wanted.append("action")
    if kind == "request" or metadata.get("requiresResponse"):
        wanted.append("an answer")
    if metadata.get("requiresAck"):
        wanted.append("acknowledgement")
    return f"asks for {' and '.join(wanted)}" if wanted else ""


def _is_shown(address: str) -> bool:
    return address.startswith(AUDIENCE_SIGIL) and len(address) <= _ADDRESS_CHARS_MAX and is_token(address[1:])


def data_line(message: MessageDoc) -> list[str]:
    """The line for the sender's JSON value, for behind a bar; empty where the message has none."""
    metadata = message.get("metadata") or {}
    if "data" not in metadata:
        return []
    from . import json_text

    return [f"data: {json_text.line(metadata['data'], ascii_only=False)}"]


def removal(message: MessageDoc) -> str:
    """The sentence for characters that were taken out of the text, by the broker or now; empty for none."""
    count = message.get("charsRemoved", 0) + cleaned(message["message"])[1]
    return f"Taken out of it: {count:,} hidden character{'' if count == 1 else 's'}." if count else ""


def _address(address: str) -> str:
    """An audience as it is, since its sigil is what makes it one; anything else as a name."""
    if address.startswith(AUDIENCE_SIGIL):
        return AUDIENCE_SIGIL + named(address[1:])
    return named(address)
