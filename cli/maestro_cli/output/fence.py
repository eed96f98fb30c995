"""Fence: what a caller chose, kept apart from the words of the command or hook that shows it.

Rule: such a text stands behind a bar, or is a token (one word, which can't be a sentence), or is a line in quotes. It
is cleaned in each case. So no text can pass for a line of ours, in a terminal or in an agent's context.
"""

from __future__ import annotations

from maestro_schemas.texts.visible_text import cleaned, is_token, one_line

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from maestro_schemas.documents import MessageDoc


def named(text: object) -> str:
    """A short field in a line of ours: a token as it is, any other text on one line in quotes."""
    word = str(text)
    return word if is_token(word) else '"' + one_line(word).replace('"', "'") + '"'


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
