"""Paths: where the files and the sockets of one post office are.

Rule: the data directory is the identity of a post office; every other path follows from it. The environment is an
argument. XDG's rules are implemented here, because importing platformdirs costs 16 ms; a test compares both results.
"""

from __future__ import annotations

import os
import sys

from maestro_schemas.errors import MaestroError

from . import places

TYPE_CHECKING = False  # `typing` costs more than this module
if TYPE_CHECKING:
    from collections.abc import Mapping

DATA_DIR_VARIABLE = "MAESTRO_DATA_DIR"
BROKER_VARIABLE = "MAESTRO_BROKER"
CONFIG_VARIABLE = "MAESTRO_CONFIG"
ROUTER_SOCKET = "broker.sock"
NOTICE_SOCKET = "notices.sock"
# A name that no other program gives to a folder, since agents' settings name it (`maestro hooks install`).
RECEIVED_FILES = "received-files"

_APPLE_SUPPORT = "Library/Application Support"


def data_dir(environ: Mapping[str, str]) -> str:
    """The absolute data directory: MAESTRO_DATA_DIR, else the platform's user data directory for `maestro`.

    If MAESTRO_BROKER names a broker on another machine, it is `remote/<host_port>` in that directory, because
    messages that wait for that broker are not for a broker here.

    Raises MaestroError DATA_DIR_UNUSABLE if neither is set and the user has no home directory.
    """
    data = _explicit(DATA_DIR_VARIABLE, environ) or os.path.join(
        _user_dir("XDG_DATA_HOME", ".local/share", environ), "maestro"
    )
    broker = environ.get(BROKER_VARIABLE)
    if not broker:
        return data
    name = "".join(char if char.isalnum() or char in ".-" else "_" for char in broker.removeprefix("tcp://"))
    remote = os.path.join("remote", name)
    # A hook's script sets MAESTRO_DATA_DIR to the remote directory itself.
    return data if data.endswith(f"/{remote}") else os.path.join(data, remote)


def key_file(environ: Mapping[str, str]) -> str:
    """The key to a broker on another machine: MAESTRO_KEY_FILE, else `key` in the user's config directory.

    Raises MaestroError DATA_DIR_UNUSABLE if neither is set and the user has no home directory.
    """
    return _explicit("MAESTRO_KEY_FILE", environ) or os.path.join(
        _user_dir("XDG_CONFIG_HOME", ".config", environ), "maestro", "key"
    )


def config_file(environ: Mapping[str, str]) -> str:
    """The one TOML file of settings: MAESTRO_CONFIG, else `config.toml` in the user's config directory.

    Raises MaestroError DATA_DIR_UNUSABLE if neither is set and the user has no home directory.
    """
    return _explicit(CONFIG_VARIABLE, environ) or os.path.join(
        _user_dir("XDG_CONFIG_HOME", ".config", environ), "maestro", "config.toml"
    )


def runtime_dir(data: str, environ: Mapping[str, str]) -> str:
    """The directory of the sockets for the data directory `data`: `<runtime>/<12 hex of sha256(real path)>`.

    `<runtime>` is MAESTRO_RUNTIME_DIR, else XDG_RUNTIME_DIR/maestro, else /tmp/maestro-<uid>. Raises
    MaestroError PATH_TOO_LONG if a socket in it would not fit into a Unix socket address.
    """
    import hashlib

    from maestro_schemas.limits import SOCKET_PATH_BYTES_MAX

    explicit = _explicit("MAESTRO_RUNTIME_DIR", environ)
    shared = environ.get("XDG_RUNTIME_DIR", "")
    if explicit:
        parent = explicit
    elif os.path.isabs(shared):
        parent = os.path.join(shared, "maestro")
    else:
        parent = f"/tmp/maestro-{os.getuid()}"  # noqa: S108 - made 0700 and checked for its owner by the broker
    directory = os.path.join(parent, hashlib.sha256(os.fsencode(os.path.realpath(data))).hexdigest()[:12])
    if not _is_utf8(directory):
        raise MaestroError(
            "DATA_DIR_UNUSABLE",
            f"the directory of the sockets, {places.shown(directory)}, has a byte that is no UTF-8",
            "Set MAESTRO_RUNTIME_DIR to a plainer directory, for example /tmp/maestro.",
        )
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
    """`name=value` lines: router, notices, pid, epoch, version. It exists while a broker runs."""
    return os.path.join(data, "endpoints")


def server_url_file(data: str) -> str:
    """The address of the HTTP gateway, on one line. It exists while a gateway runs."""
    return os.path.join(data, "server-url")


def gateway_lock_file(data: str) -> str:
    """Locked while a gateway runs; it contains the gateway's pid."""
    return os.path.join(data, "gateway.lock")


def receiver_dir(data: str, session: str) -> str:
    """A mailbox: one JSON file for each message, and `.pending` while mail in it was not yet offered."""
    return os.path.join(data, "messages", "by-receiver", session)


def sender_dir(data: str, session: str) -> str:
    """Links to the messages that a session sent; a dangling link is the tombstone of a deleted message."""
    return os.path.join(data, "messages", "by-sender", session)


def message_files_dir(data: str, session: str, message_id: str) -> str:
    """The files of a message, under their senders' names, beside the message of this receiver."""
    return os.path.join(receiver_dir(data, session), f"{message_id}.files")


def received_files_dir(data: str) -> str:
    """Files that clients have fetched for agents of this machine: a folder for each message, and old ones go."""
    return os.path.join(data, RECEIVED_FILES)


def outbox_dir(data: str) -> str:
    """The outbox of sends that no broker has accepted yet: `<session>/<time>-<id>.json`."""
    return os.path.join(data, "outbox")


def parse_endpoints(text: str) -> dict[str, str]:
    """The values of the endpoints file, by name. Lines without `=` are ignored, so that comments are possible."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {name.strip(): value.strip() for name, sep, value in pairs if sep}


def _explicit(variable: str, environ: Mapping[str, str]) -> str | None:
    """The absolute path in one of Maestro's variables; None if it is unset or empty."""
    path = environ.get(variable)
    if not path:
        return None
    if path == "~" or path.startswith("~/"):
        return os.path.abspath(os.path.join(home(environ), path[1:].lstrip("/")))
    return absolute(os.path.expanduser(path), variable)


def absolute(path: str, what: str) -> str:
    """The absolute path; `what` names its origin. Raises MaestroError DATA_DIR_UNUSABLE for a relative path in a
    directory that was removed."""
    try:
        return os.path.abspath(path)
    except OSError:
        raise MaestroError(
            "DATA_DIR_UNUSABLE",
            f"{what} is the relative path {path!r}, and the current directory does not exist any more",
            "Give an absolute path, or change to a directory that exists: cd",
        ) from None


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _user_dir(variable: str, below_home: str, environ: Mapping[str, str]) -> str:
    """One of XDG's user directories; a relative value is ignored, as the specification demands."""
    shared = environ.get(variable, "")
    if os.path.isabs(shared):
        return shared
    return os.path.join(home(environ), _APPLE_SUPPORT if sys.platform == "darwin" else below_home)


def home(environ: Mapping[str, str]) -> str:
    """HOME, else the user database's entry. Not os.path.expanduser, which reads os.environ.

    Raises MaestroError DATA_DIR_UNUSABLE where there is neither, and for a relative HOME: it would be another place
    in each directory.
    """
    found = environ.get("HOME", "")
    why = f"HOME is the relative path {found!r}"
    if not found:
        import pwd

        why = f"HOME is not set, and uid {os.getuid()} has no home directory"
        try:
            found = pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:
            pass
    if not os.path.isabs(found):
        raise MaestroError(
            "DATA_DIR_UNUSABLE",
            why,
            "Set HOME to the absolute path of your home directory; or MAESTRO_DATA_DIR and MAESTRO_CONFIG to such "
            "paths.",
        )
    return found.rstrip("/") or "/"
