"""Liveness: whether anybody listens at an address.

Rule: found out by connecting, never from a pid or a file: the file of a killed broker stays, and a pid may be
another process's by now.
"""

from __future__ import annotations

# `socket` wraps this module in enums, which costs every command 5 ms; a connect needs nothing of that.
import _socket

_SCHEME = "ipc://"


def listens(address: str) -> bool:
    """Whether a process listens at `ipc://<path>`. Other transports can't be asked so cheaply: they count as yes,
    and their silence ends in a TIMEOUT. Never blocks."""
    if not address.startswith(_SCHEME):
        return True
    probe = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        probe.setblocking(False)  # noqa: FBT003 - the standard library's signature
        probe.connect(address[len(_SCHEME) :])
    except BlockingIOError:
        return True  # its backlog is full: busy, and there
    except (OSError, ValueError):
        return False  # nobody, no such file, not ours to connect to, or no path at all
    finally:
        probe.close()
    return True
