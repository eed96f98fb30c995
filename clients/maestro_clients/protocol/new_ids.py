"""New ids: message ids, session ids and tokens.

Rule: the client makes them before the first attempt, so that every retry is the same request. They come from
`os.urandom`; `secrets` calls the same and costs 6 ms to import.
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


def new_event_id() -> str:
    """`evt_<ms>_<9 base36 digits>`: of a line of a session's own timeline."""
    return names.event_id(time.time_ns() // 1_000_000, _entropy())


def new_token() -> str:
    """256 random bits in hex: only a request that has it can speak for the session."""
    return os.urandom(_TOKEN_BYTES).hex()


def _entropy() -> int:
    return int.from_bytes(os.urandom(_ENTROPY_BYTES), "big")
