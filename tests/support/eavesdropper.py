"""Eavesdropper: another user's process that listens at a socket's path and counts what it is given.

Rule: it answers nothing. What it counted is asked for at the end, by a connection of the test's own, which it serves
last.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .users import OtherUser

_SCRIPT = """
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o777)
listener.listen(64)
print("listens", flush=True)
heard = 0
while True:
    connected, _ = listener.accept()
    connected.settimeout(20)
    while piece := connected.recv(65536):
        if piece == b"how much":
            connected.sendall(b"%d" % heard)
        else:
            heard += len(piece)
"""


class Eavesdropper:
    """Listens at `path` as `user`; the directories must exist, and the user may write there."""

    def __init__(self, user: OtherUser, path: str) -> None:
        self.path = path
        process = user.start(user.python, "-c", _SCRIPT, path)
        assert process.stdout is not None
        assert process.stdout.readline() == b"listens\n"

    def heard_bytes(self) -> int:
        """What other processes have sent it until now. All of their connections must be closed."""
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(30)
            asking.connect(self.path)
            asking.sendall(b"how much")
            return int(asking.recv(64))


def take_places(user: OtherUser, *paths: str) -> list[Eavesdropper]:
    """Listen as `user` at sockets in the caller's directory, as if its mode had once allowed that. Afterwards other
    users may enter the directory, and not write to it."""
    directory = os.path.dirname(paths[0])
    os.makedirs(directory, exist_ok=True)
    above = directory
    while (above := os.path.dirname(above)) != "/tmp":
        os.chmod(above, 0o711)
    os.chmod(directory, 0o777)
    made = [Eavesdropper(user, path) for path in paths]
    os.chmod(directory, 0o711)
    return made
