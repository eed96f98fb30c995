"""Key ring: the keys in `<data>/keys`, as they are now.

Rule: keys are read from files, so that a revocation takes effect at once. If any file is unreadable, no key is valid.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from maestro_runtime import key_files
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Callable

    from maestro_schemas.keys import Key

# A directory changed this recently may change again within the same tick of its clock: it is read again.
_UNSURE_NS = 50_000_000


class KeyRing:
    """All valid keys, by public key."""

    def __init__(self, data: str, warn: Callable[[str], None]) -> None:
        self._data = data
        self._warn = warn
        self._stamp_ns = -1
        self._by_public: dict[str, Key] = {}

    def refresh(self) -> set[str]:
        """Read the keys again if they changed; return the public keys that are no longer valid."""
        try:
            stamp_ns = os.stat(key_files.keys_dir(self._data)).st_mtime_ns
        except FileNotFoundError:
            stamp_ns = 0
        if stamp_ns == self._stamp_ns:
            return set()
        self._stamp_ns = stamp_ns if time.time_ns() - stamp_ns > _UNSURE_NS else -1
        try:
            keys = key_files.read_all(self._data)
        except MaestroError as error:
            # Fail closed: an unreadable file may be a revocation.
            self._warn(f"no key is valid until this is repaired: {error.message}")
            keys = []
        before, self._by_public = self._by_public, {key.public: key for key in keys if key.revoked_at is None}
        return before.keys() - self._by_public.keys()

    def get(self, public: str) -> Key | None:
        """The valid key with this public half."""
        return self._by_public.get(public)
