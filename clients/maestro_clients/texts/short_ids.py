"""Short ids: the beginning of a message's id that a person types, instead of its 36 characters.

Rule: pure. A short id is the first characters of the id's own part, which its sender made or chose; as many as it
takes that no other id in view begins so. What a list prints can be given to any command.
"""

from __future__ import annotations

from maestro_schemas.names import LAST_ADDRESS, ending_of, id_begins, own_part

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from collections.abc import Iterable

# The least number of random digits in a short id.
SHORT_CHARS_MIN = 4
# Commands look no shorter text up: it would mean too many messages.
LOOKED_UP_CHARS_MIN = 3
# A longer key was made by a program, so its beginning will do.
_KEY_CHARS_MAX = 24


def needs_look_up(text: str) -> bool:
    """Whether a text is the beginning of an id and no whole one, which costs no request."""
    return len(text) >= LOOKED_UP_CHARS_MIN and ending_of(text) is None


class ShortIds:
    """The short forms of ids that are shown together."""

    def __init__(self, ids: Iterable[str] = (), *, chars_min: int = SHORT_CHARS_MIN) -> None:
        self._chars_min = chars_min
        # The ids by how they and their own parts begin, so that a list of N costs N.
        self._by_start: dict[str, set[str]] = {}
        for each in ids:
            for begin in (each, own_part(each)):
                self._by_start.setdefault(begin[:LOOKED_UP_CHARS_MIN], set()).add(each)

    def of(self, message_id: str) -> str:
        """The short form of one of the ids, or of another one."""
        part = own_part(message_id)
        others = self._by_start.get(part[:LOOKED_UP_CHARS_MIN], set()) - {message_id}
        is_key = message_id.startswith(part) and len(part) <= _KEY_CHARS_MAX
        for length in range(len(part) if is_key else self._chars_min, len(part) + 1):
            short = part[:length]
            if short != LAST_ADDRESS and needs_look_up(short) and not any(id_begins(each, short) for each in others):
                return short
        return message_id
