"""Socket place: the directory of a Unix socket, held open for a connection that libzmq makes, and makes again.

Rule: libzmq connects by a path whenever it likes, and shows no peer. So it gets a path through a descriptor of the
directory, which was checked: whatever stands at the directory's name later, it is never connected to. Where there is
no /proc (macOS), the checked path itself has to do.
"""

from __future__ import annotations

import errno
import os

from maestro_runtime import ownership
from maestro_schemas.errors import MaestroError

_BY_DESCRIPTOR = "/proc/self/fd"


class SocketPlace:
    """The place of the socket at `path`. Raises MaestroError NOT_PRIVATE where another user owns the socket or could
    make another one, and OSError where there is no directory."""

    def __init__(self, path: str) -> None:
        if path[:1] == "\0":
            raise OSError(errno.EPERM, "an abstract name is in no directory, and any user may have taken it")
        self._directory = os.path.dirname(path) or os.curdir
        self._fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        pinned = f"{_BY_DESCRIPTOR}/{self._fd}"
        name = os.path.basename(path)
        # Where libzmq finds the socket.
        self.path = f"{pinned}/{name}" if os.path.isdir(pinned) else path
        try:
            # What is checked is what is held: the name may lead elsewhere by now.
            ownership.check_socket_place(path, os.fstat(self._fd))
            ownership.check_socket_file(path, self._fd)
        except MaestroError:
            self.close()
            raise

    @property
    def is_current(self) -> bool:
        """Whether the directory's name still leads to it; else a broker may be at another one."""
        held = os.fstat(self._fd)
        try:
            found = os.stat(self._directory)
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (held.st_dev, held.st_ino)

    def close(self) -> None:
        """No connection can be made any more. Can be repeated."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
