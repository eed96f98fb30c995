"""Socket activation: sockets that a service manager holds for the broker, and the states that it expects.

Rule: two small protocols of systemd, without its library. Listening sockets are passed as descriptors from 3 on,
named by LISTEN_FDS and LISTEN_PID (sd_listen_fds(3)). READY and STOPPING are sent to the socket that NOTIFY_SOCKET
names (sd_notify(3)). The service manager listens while no broker runs, and starts one for the first client.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from typing import TYPE_CHECKING, NamedTuple

from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Mapping

_FIRST_FD = 3
_COUNT = 2


class Activation(NamedTuple):
    """Descriptors of listening Unix sockets, in the order of the unit file."""

    router_fd: int  # requests
    notices_fd: int


def inherited_sockets(environ: Mapping[str, str], pid: int) -> Activation | None:
    """The sockets that were passed to the process `pid`; None if there are none. Raises MaestroError BAD_SETTING for
    anything but two sockets."""
    if environ.get("LISTEN_PID") != str(pid):
        return None
    count = environ.get("LISTEN_FDS", "")
    fds = range(_FIRST_FD, _FIRST_FD + _COUNT)
    if count != str(_COUNT) or not all(map(_is_socket, fds)):
        raise MaestroError(
            "BAD_SETTING",
            f"the service manager passed {count or 'no'} sockets, and the broker takes {_COUNT}",
            "Write its units again: maestro service install --force",
        )
    for fd in fds:
        os.set_inheritable(fd, False)  # noqa: FBT003 - the standard library's signature
    return Activation(*fds)


def notify(environ: Mapping[str, str], state: str) -> None:
    """Report `READY=1`, `STOPPING=1` or what else sd_notify(3) lists to the service manager, if there is one."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    # An abstract address begins with a NUL, written as @.
    name = f"\0{address[1:]}" if address.startswith("@") else address
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender,
    ):
        sender.sendto(state.encode("ascii"), name)


def _is_socket(fd: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(fd).st_mode)
    except OSError:
        return False
