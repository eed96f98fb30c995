"""Address file: `<data>/endpoints`, by which clients find this broker.

Rule: it exists while the broker serves, and is written again if it was removed or changed meanwhile: without it each
command would start another broker, which the lock stops. With socket activation the sockets stay the address, and the
next broker serves the clients that connect.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from maestro_runtime import atomic_file, paths
from maestro_schemas import __version__

from . import disk

if TYPE_CHECKING:
    from collections.abc import Mapping


class AddressFile:
    """The file of one data directory. `waiting`: the addresses of sockets that a service manager holds, or None."""

    def __init__(self, data: str, waiting: tuple[str, str] | None) -> None:
        self._path = paths.endpoints_file(data)
        self._waiting = waiting
        self._content: bytes | None = None
        # What tells the file from another one, as it was when it was written.
        self._written: tuple[int, ...] = ()

    def publish(self, lines: Mapping[str, object]) -> None:
        """Clients find the broker from now on. Raises OSError."""
        self._content = _encoded(lines)
        self._write(self._content)

    def withdraw(self) -> None:
        """Clients find no broker from now on. Raises OSError."""
        self._content = None
        if self._waiting is None:
            disk.remove(self._path)
            return
        router, notices = self._waiting
        self._write(_encoded({"router": router, "notices": notices, "pid": 0, "epoch": "", "version": __version__}))

    def restore(self) -> bool:
        """Write it again if it is not as it was written; whether that was so. Raises OSError."""
        if self._content is None or self._seen() == self._written:
            return False
        self._write(self._content)
        return True

    def _write(self, content: bytes) -> None:
        aside = f"{self._path}.tmp"
        atomic_file.stage(aside, content, durable=True)
        # Before it has its name: from then on another program may change it.
        written = _identity(aside)
        atomic_file.move(aside, self._path)
        self._written = written

    def _seen(self) -> tuple[int, ...]:
        try:
            return _identity(self._path)
        except OSError:
            return ()


def _identity(path: str) -> tuple[int, ...]:
    status = os.stat(path)
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def _encoded(lines: Mapping[str, object]) -> bytes:
    return "".join(f"{name}={value}\n" for name, value in lines.items()).encode()
