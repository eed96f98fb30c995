"""Paths: where the files and the sockets of one post office are.

Rule: the data directory is the identity of a post office; all else is found from it. The environment is an
argument. XDG's rules are resolved by hand because importing platformdirs costs 16 ms; a test holds both to the
same answer.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from .errors import MaestroError
from .limits import SOCKET_PATH_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping

ROUTER_SOCKET = "broker.sock"
NOTICE_SOCKET = "notices.sock"


def data_dir(environ: Mapping[str, str]) -> str:
    """The absolute data directory: MAESTRO_DATA_DIR, else the platform's user data directory for `maestro`."""
    explicit = environ.get("MAESTRO_DATA_DIR")
    if explicit:
        return os.path.abspath(os.path.expanduser(explicit))
    if sys.platform == "darwin":
        return os.path.expanduser("~/Library/Application Support/maestro")
    base = environ.get("XDG_DATA_HOME", "").strip() or os.path.expanduser("~/.local/share")
    return os.path.join(base, "maestro")


def config_file(environ: Mapping[str, str]) -> str:
    """The one TOML file of settings: MAESTRO_CONFIG, else `config.toml` in the user's config directory."""
    explicit = environ.get("MAESTRO_CONFIG")
    if explicit:
        return os.path.abspath(os.path.expanduser(explicit))
    if sys.platform == "darwin":
        return os.path.expanduser("~/Library/Application Support/maestro/config.toml")
    base = environ.get("XDG_CONFIG_HOME", "").strip() or os.path.expanduser("~/.config")
    return os.path.join(base, "maestro", "config.toml")


def runtime_dir(data: str, environ: Mapping[str, str]) -> str:
    """The directory of the sockets of the post office at `data`: `<runtime>/<12 hex of sha256(real path)>`.

    `<runtime>` is MAESTRO_RUNTIME_DIR, else XDG_RUNTIME_DIR/maestro, else /tmp/maestro-<uid>. Raises
    MaestroError PATH_TOO_LONG when a socket in it would not fit into a Unix socket address.
    """
    import hashlib

    explicit = environ.get("MAESTRO_RUNTIME_DIR")
    shared = environ.get("XDG_RUNTIME_DIR", "").strip()
    if explicit:
        base = os.path.abspath(os.path.expanduser(explicit))
    elif shared:
        base = os.path.join(shared, "maestro")
    else:
        base = f"/tmp/maestro-{os.getuid()}"  # noqa: S108 - made 0700 and checked for its owner by the broker
    directory = os.path.join(base, hashlib.sha256(os.fsencode(os.path.realpath(data))).hexdigest()[:12])
    longest = len(os.fsencode(os.path.join(directory, NOTICE_SOCKET)))
    if longest > SOCKET_PATH_BYTES_MAX:
        raise MaestroError(
            "PATH_TOO_LONG",
            f"the sockets' path would be {longest} bytes long, and a Unix socket takes at most "
            f"{SOCKET_PATH_BYTES_MAX}: {directory}",
            "Set MAESTRO_RUNTIME_DIR to a shorter directory, for example /tmp/maestro.",
            limit=SOCKET_PATH_BYTES_MAX,
            actual=longest,
        )
    return directory


def endpoints_file(data: str) -> str:
    """`name=value` lines: router, notices, pid, epoch, version; present while a broker serves."""
    return os.path.join(data, "endpoints")


def receiver_dir(data: str, session: str) -> str:
    """A mailbox: one JSON file a message, and `.pending` while mail in it was not yet offered."""
    return os.path.join(data, "messages", "by-receiver", session)


def sender_dir(data: str, session: str) -> str:
    """Links to what a session sent; a dangling one is the tombstone of a deleted message."""
    return os.path.join(data, "messages", "by-sender", session)


def outbox_dir(data: str) -> str:
    """What clients could not hand over: `<session>/<time>-<id>.json`."""
    return os.path.join(data, "outbox")


def parse_endpoints(text: str) -> dict[str, str]:
    """The lines of the endpoints file; lines without `=` are passed over, so that it can grow comments."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {name.strip(): value.strip() for name, sep, value in pairs if sep}
