"""Addresses: what the address of a broker says, and whether a process listens there.

Rule: whether a broker is alive is found out by connecting, never from a pid or a file. The file of a killed broker
stays, and its pid may be another process's by now.
"""

from __future__ import annotations

# `socket` wraps this module in enums, which costs every command 5 ms. A connect needs none of them.
import _socket

from maestro_runtime import ownership

SCHEME = "ipc://"


def unix_path(address: str) -> str | None:
    """The socket's path in `ipc://<path>`, or its abstract name, which libzmq writes with `@` for the NUL; None for
    every other address."""
    path = address.removeprefix(SCHEME)
    if path[:1] == "@":
        path = f"\0{path[1:]}"
    return path if address.startswith(SCHEME) and path else None


def is_remote(address: str) -> bool:
    """Whether the broker is on another machine, where a key is needed: `tcp://HOST:PORT#KEY_FILE`."""
    return address.startswith("tcp://")


def listens(address: str) -> bool:
    """Whether a process of this user listens at `ipc://<path>`. Never blocks. Raises MaestroError NOT_PRIVATE where
    another user listens, or could.

    Other transports have no cheap test: they count as yes, and a broker that is gone is noticed by a TIMEOUT.
    """
    if not address.startswith(SCHEME):
        return True
    path = unix_path(address)
    if path is None:
        return False
    probe = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        probe.setblocking(False)  # noqa: FBT003 - the standard library's signature
        ownership.check_socket_place(path)
        probe.connect(path)
        ownership.check_peer(probe, path)
    except BlockingIOError:
        return True  # its backlog is full: the broker is busy, and alive
    except (OSError, ValueError):
        return False  # no listener, no such file, no permission, or not a path
    finally:
        probe.close()
    return True
