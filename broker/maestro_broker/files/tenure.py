"""Tenure: whether this broker is still the one that serves its data directory, and can be reached.

Rule: without its lock or its directory nothing is reported as accepted any more, and the broker ends. What clients
need to find it, the sockets and the address file, is made again where it was removed; where that fails, the broker
ends too, because a broker that can't be reached can't be stopped by a client either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maestro_schemas.errors import FatalError, MaestroError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .address_file import AddressFile
    from .data_lock import DataLock


class Tenure:
    """The claims of one broker while it serves. `restore_sockets`: makes those again that were removed, and returns
    their paths; it may raise MaestroError."""

    def __init__(
        self,
        lock: DataLock,
        address: AddressFile,
        restore_sockets: Callable[[], list[str]],
        warn: Callable[[str], None],
    ) -> None:
        self._lock = lock
        self._restore_sockets = restore_sockets
        self._address = address
        self._warn = warn

    def look(self) -> None:
        """Once a second. Raises FatalError."""
        self._lock.check_held()
        try:
            for path in self._restore_sockets():
                self._warn(f"the socket {path} was removed or replaced, and is bound again")
        except MaestroError as error:
            raise FatalError(
                error.code,
                f"the broker's sockets were removed, and can't be made again: {error.message}",
                f"{error.hint} The next command starts a broker.",
            ) from None
        try:
            if self._address.restore():
                self._warn("the file `endpoints` was removed or changed, and is written again")
        except OSError as error:
            # Clients that are connected need no address; the next look tries again.
            self._warn(f"the file `endpoints` can't be written again: {error}")
