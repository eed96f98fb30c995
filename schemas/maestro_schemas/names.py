"""Names: the ids of messages, sessions and tasks.

Rule: an id becomes a file name, a topic and an argument in a shell, so it is drawn from letters that mean
nothing to any of them. Time and randomness are arguments; nothing here reads a clock.
"""

from __future__ import annotations

ID_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
ID_CHARS_MAX = 64

# Sender of what the post office itself writes (a refused outbox entry); nobody may start a session by it.
SYSTEM_SENDER = "maestro"
# `--to parent` is an address, so no session may be called so; `operator` names the person in the audit.
PARENT_ADDRESS = "parent"
OPERATOR = "operator"
RESERVED_IDS = frozenset({SYSTEM_SENDER, PARENT_ADDRESS, OPERATOR})

DEFAULT_PROJECT = "default"

_TIME_DIGITS_MAX = 15
_MESSAGE_ID_PARTS = 3
_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
_PAIRS = [high + low for high in _BASE36 for low in _BASE36]
_SUFFIX_DIGITS = 9
_SUFFIXES = 36**_SUFFIX_DIGITS


def is_id(text: str) -> bool:
    """Whether `text` can be an id: 1 to 64 of A-Z a-z 0-9 _ and -."""
    # ID_PATTERN without `re`, whose import costs a quick command 6 ms; a test holds both to the same answer. Most ids
    # are identifiers too, which is asked in half the time.
    return (
        text.isascii()
        and len(text) <= ID_CHARS_MAX
        and (text.isidentifier() or text.replace("_", "a").replace("-", "a").isalnum())
    )


def message_id(now_ms: int, entropy: int) -> str:
    """`msg_<milliseconds>_<9 base36 digits>`, the seed's shape; `entropy` is any non-negative integer."""
    return f"msg_{now_ms}_{_base36(entropy)}"


def session_id(now_ms: int, entropy: int) -> str:
    """`sess_<milliseconds>_<9 base36 digits>`."""
    return f"sess_{now_ms}_{_base36(entropy)}"


def retry_id(message_id: str, at_ms: int) -> str:
    """The id under which a dead message is sent again: the same however often it is asked for, so that a repeated
    retry is the same send. `at_ms`: some time of the old message that never changes; ids sort by it."""
    # Here, and not above: nobody who just sends needs it.
    import hashlib

    return f"msg_{at_ms}_{_base36(int.from_bytes(hashlib.sha256(message_id.encode()).digest()[:8], 'big'))}"


def message_time_ms(message_id: str) -> int:
    """The milliseconds in an id of the shape that `message_id` makes; -1 for every other id."""
    parts = message_id.split("_")
    if len(parts) != _MESSAGE_ID_PARTS or parts[0] != "msg" or len(parts[1]) > _TIME_DIGITS_MAX:
        return -1
    return int(parts[1]) if parts[1].isascii() and parts[1].isdecimal() else -1


def _base36(entropy: int) -> str:
    rest, last = divmod(entropy % _SUFFIXES, 36)
    # Two digits at a time: nine divisions were a sixth of what a client does for a send.
    rest, fourth = divmod(rest, 1296)
    rest, third = divmod(rest, 1296)
    first, second = divmod(rest, 1296)
    return f"{_PAIRS[first]}{_PAIRS[second]}{_PAIRS[third]}{_PAIRS[fourth]}{_BASE36[last]}"
