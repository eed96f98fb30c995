"""Fresh: new ids and tokens.

Rule: the client makes them, before the first try, so that every retry is the same request. `os.urandom` and not
`secrets`, which costs 6 ms to import and calls the same.
"""

from __future__ import annotations

import os
import time

from maestro_schemas import names

_ENTROPY_BYTES = 8
_TOKEN_BYTES = 32


def new_message_id() -> str:
    """`msg_<ms>_<9 base36 digits>`."""
    return names.message_id(time.time_ns() // 1_000_000, _entropy())


def new_session_id() -> str:
    """`sess_<ms>_<9 base36 digits>`."""
    return names.session_id(time.time_ns() // 1_000_000, _entropy())


def new_token() -> str:
    """256 random bits in hex: a session started with it can't be spoken for without it."""
    return os.urandom(_TOKEN_BYTES).hex()


def _entropy() -> int:
    return int.from_bytes(os.urandom(_ENTROPY_BYTES), "big")
