"""Names: the ids of messages, sessions and tasks.

Rule: an id is used as a file name, a topic and a shell argument, so its characters are special in none of them. Time
and randomness are arguments; no function here reads a clock.
"""

from __future__ import annotations

ID_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
ID_CHARS_MAX = 64

# Sender of the broker's own messages (such as a refused outbox entry). No session may have this id.
SYSTEM_SENDER = "maestro"
# Also reserved: `--to parent` is an address, and `operator` is the operator's name in the audit.
PARENT_ADDRESS = "parent"
OPERATOR = "operator"
RESERVED_IDS = frozenset({SYSTEM_SENDER, PARENT_ADDRESS, OPERATOR})

DEFAULT_PROJECT = "default"

# A message's id is its sender's key, `_`, and its sender's mark.
MARK_DIGITS = 7
KEY_CHARS_MAX = ID_CHARS_MAX - 1 - MARK_DIGITS
# The mark of no session: for answers whose thread had several possible owners before ids had marks.
NO_MARK = "0" * MARK_DIGITS

_TIME_DIGITS_MAX = 15
# Without and with a mark.
_MESSAGE_ID_PARTS = (3, 4)
_HASHED_KEY_DIGITS = 40
_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
_PAIRS = [high + low for high in _BASE36 for low in _BASE36]
_SUFFIX_DIGITS = 9
_SUFFIXES = 36**_SUFFIX_DIGITS


def is_id(text: str) -> bool:
    """Whether `text` can be an id: 1 to 64 of A-Z a-z 0-9 _ and -."""
    # ID_PATTERN without `re`, whose import costs a fast command 6 ms; a test compares both. Most ids are identifiers,
    # which is checked in half the time.
    return (
        text.isascii()
        and len(text) <= ID_CHARS_MAX
        and (text.isidentifier() or text.replace("_", "a").replace("-", "a").isalnum())
    )


def message_id(now_ms: int, entropy: int) -> str:
    """`msg_<milliseconds>_<9 base36 digits>`; `entropy` is any non-negative integer."""
    return f"msg_{now_ms}_{_base36(entropy)}"


def session_id(now_ms: int, entropy: int) -> str:
    """`sess_<milliseconds>_<9 base36 digits>`."""
    return f"sess_{now_ms}_{_base36(entropy)}"


def retry_id(message_id: str, at_ms: int) -> str:
    """The id under which a dead message is sent again. It follows from the old id, so that a repeated retry is the
    same send. `at_ms` is a time of the old message that never changes; ids sort by it."""
    # Imported here because an ordinary send does not need it.
    import hashlib

    return f"msg_{at_ms}_{_base36(int.from_bytes(hashlib.sha256(message_id.encode()).digest()[:8], 'big'))}"


def mark_of(session: str, salt: int = 0) -> str:
    """The mark of a session: 7 base36 digits that every id of its messages ends with.

    It is no secret: the broker compares it with the authenticated sender, so a computed mark gives no right. Where
    another session already has the mark, the broker takes the first free `salt` from 1 on (decision 22).
    """
    # Imported here because an ordinary send does not need it.
    import hashlib

    digest = hashlib.blake2b(session.encode(), digest_size=8, salt=str(salt).encode() if salt else b"").digest()
    return _base36(int.from_bytes(digest, "big"))[-MARK_DIGITS:]


def canonical_id(key: str, mark: str) -> str:
    """The id of the message that the owner of `mark` sends under `key`; of a canonical id, that id itself."""
    if key.endswith(mark) and key[:-MARK_DIGITS].endswith("_"):
        return key
    if len(key) <= KEY_CHARS_MAX:
        return f"{key}_{mark}"
    return f"k_{key_digest(key)}_{mark}"


def key_digest(key: str) -> str:
    """40 hex digits that stand for a longer key."""
    # Imported here because an ordinary send does not need it.
    import hashlib

    return hashlib.sha256(key.encode()).hexdigest()[:_HASHED_KEY_DIGITS]


def ending_of(message_id: str) -> str | None:
    """The mark that an id ends with, if it has the form of one."""
    ending = message_id[-MARK_DIGITS - 1 :]
    if len(ending) != MARK_DIGITS + 1 or ending[0] != "_":
        return None
    mark = ending[1:]
    return mark if mark.isascii() and mark.isalnum() and mark == mark.lower() else None


def message_time_ms(message_id: str) -> int:
    """The milliseconds in an id that `message_id` made, with or without a mark; -1 for any other id."""
    parts = message_id.split("_")
    if len(parts) not in _MESSAGE_ID_PARTS or parts[0] != "msg" or len(parts[1]) > _TIME_DIGITS_MAX:
        return -1
    return int(parts[1]) if parts[1].isascii() and parts[1].isdecimal() else -1


def _base36(entropy: int) -> str:
    rest, last = divmod(entropy % _SUFFIXES, 36)
    # Two digits at a time: nine divisions were a sixth of a client's work for a send.
    rest, fourth = divmod(rest, 1296)
    rest, third = divmod(rest, 1296)
    first, second = divmod(rest, 1296)
    return f"{_PAIRS[first]}{_PAIRS[second]}{_PAIRS[third]}{_PAIRS[fourth]}{_BASE36[last]}"
