"""Short ids: the beginning of a message's id that a person types, instead of its 36 characters.

Rule: pure. A short id is the first characters of the id's own part, which its sender made or chose; as many as it
takes that no other id in view begins so. What a list prints can be given to any command.
"""

from __future__ import annotations

from maestro_schemas.names import LOOKED_UP_CHARS_MIN, SHORT_CHARS_MIN, own_part, short_id

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from collections.abc import Iterable

    from maestro_schemas.documents import MessageDoc


class ShortIds:
    """The short forms of ids that are shown together."""

    def __init__(self, ids: Iterable[str] = (), *, chars_min: int = SHORT_CHARS_MIN) -> None:
        self._chars_min = chars_min
        # The ids by how they and their own parts begin, so that a list of N costs N.
        self._by_start: dict[str, set[str]] = {}
        self.add(ids)

    def add(self, ids: Iterable[str]) -> None:
        """Take in ids that come into view."""
        for each in ids:
            for begin in (each, own_part(each)):
                self._by_start.setdefault(begin[:LOOKED_UP_CHARS_MIN], set()).add(each)

    def of(self, message_id: str) -> str:
        """The short form of one of the ids, or of another one."""
        others = self._by_start.get(own_part(message_id)[:LOOKED_UP_CHARS_MIN], set()) - {message_id}
        return short_id(message_id, others, self._chars_min)

    def add_messages(self, messages: Iterable[MessageDoc]) -> None:
        """Take in messages that come into view, and what they answer."""
        for message in messages:
            metadata = message.get("metadata") or {}
            self.add([message["id"], *(str(metadata[key]) for key in ("inReplyTo", "threadId") if key in metadata)])


def of_messages(messages: Iterable[MessageDoc]) -> ShortIds:
    """The short forms of messages that are shown together, and of what they answer."""
    short = ShortIds()
    short.add_messages(messages)
    return short
