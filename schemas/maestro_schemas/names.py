"""Names: the ids of messages, sessions and tasks.

Rule: an id becomes a file name, a topic and an argument in a shell, so it is drawn from letters that mean
nothing to any of them. Time and randomness are arguments; nothing here reads a clock.
"""

from __future__ import annotations

import re

ID_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
ID_CHARS_MAX = 64

# Sender of what the post office itself writes (a refused outbox entry); nobody may start a session by it.
SYSTEM_SENDER = "maestro"
# `--to parent` is an address, so no session may be called so; `operator` names the person in the audit.
PARENT_ADDRESS = "parent"
OPERATOR = "operator"
RESERVED_IDS = frozenset({SYSTEM_SENDER, PARENT_ADDRESS, OPERATOR})

DEFAULT_PROJECT = "default"

_ID = re.compile(ID_PATTERN)
_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
_SUFFIX_DIGITS = 9
_SUFFIXES = 36**_SUFFIX_DIGITS


def is_id(text: str) -> bool:
    """Whether `text` can be an id: 1 to 64 of A-Z a-z 0-9 _ and -."""
    # `$` also matches before a trailing newline; fullmatch does not.
    return _ID.fullmatch(text) is not None


def message_id(now_ms: int, entropy: int) -> str:
    """`msg_<milliseconds>_<9 base36 digits>`, the seed's shape; `entropy` is any non-negative integer."""
    return f"msg_{now_ms}_{_base36(entropy)}"


def session_id(now_ms: int, entropy: int) -> str:
    """`sess_<milliseconds>_<9 base36 digits>`."""
    return f"sess_{now_ms}_{_base36(entropy)}"


def _base36(entropy: int) -> str:
    rest = entropy % _SUFFIXES
    digits = []
    for _ in range(_SUFFIX_DIGITS):
        rest, digit = divmod(rest, 36)
        digits.append(_BASE36[digit])
    return "".join(digits)
