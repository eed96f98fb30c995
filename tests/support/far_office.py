"""Far office: a broker with a TCP listener, and keys for it.

Rule: it listens on a pair of free loopback ports unless the test names others; keys are made as
`maestro keys new` makes them.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from typing import TYPE_CHECKING, Any

from maestro_clients.transports.curve_keys import new_pair
from maestro_runtime import key_files
from maestro_schemas.keys import Key

if TYPE_CHECKING:
    from support.post_office import PostOffice

_TRIES = 50
# Below the ports that Linux gives to outgoing connections, since the test uses the port some time later.
_PORTS = range(20_000, 32_000)


def free_ports() -> int:
    """A port of loopback that is free, as the next one is."""
    for _ in range(_TRIES):
        with socket.socket() as first, socket.socket() as second:
            port = secrets.choice(_PORTS)
            try:
                first.bind(("127.0.0.1", port))
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
    raise AssertionError("no two free ports in a row")


def open_door(office: PostOffice, host: str = "127.0.0.1", port: int | None = None) -> str:
    """Have the next broker listen there; the address for clients, without a key."""
    port = port or free_ports()
    office.environ["MAESTRO_TCP"] = f"{host}:{port}"
    return f"tcp://{host}:{port}"


def make_key(office: PostOffice, name: str, **scope: Any) -> str:
    """A key, in force at once; the path of its file."""
    pair, server = new_pair(), key_files.server_pair(office.data, new_pair)
    path = os.path.join(office.root, f"{name}.key")
    key_files.write_client_key(path, key_files.ClientKey(name, pair, server.public))
    key_files.write(office.data, Key(name, pair.public, time.time_ns() // 1_000_000, **scope))
    return path


def revoke(office: PostOffice, name: str) -> None:
    """As `maestro keys revoke`."""
    key = key_files.read(office.data, name)
    assert key is not None
    key_files.write(office.data, key._replace(revoked_at=1))


def far_environ(office: PostOffice, address: str, key: str) -> dict[str, str]:
    """The environment of a shell on another machine."""
    inherited = {name: value for name, value in office.environ.items() if not name.startswith("MAESTRO_")}
    return {
        **inherited,
        "MAESTRO_DATA_DIR": os.path.join(office.root, "far"),
        "MAESTRO_BROKER": address,
        "MAESTRO_KEY_FILE": key,
    }
