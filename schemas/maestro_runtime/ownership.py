"""Ownership: what belongs to this user alone: directories, and the process at the other end of a socket.

Rule: the files in a directory are trusted only if no other user can write there, and a local socket only if this
user's process listens on it. Both are checked before the first byte. What the product makes has mode 0700, parents
included, under any umask. Every command imports this module, so it imports little.
"""

from __future__ import annotations

# `socket` wraps this module in enums, which costs every command 5 ms.
import _socket
import os
import sys

from maestro_schemas.errors import MaestroError

_OTHERS_WRITE = 0o022
_KIND, _LINK = 0o170000, 0o120000
_CREDENTIALS_BYTES = 12  # pid, uid, gid (unix(7))
_ROOT = 0
_DATA = "the data directory"
_SOCKETS = "the directory of the sockets"
_NOTHING_SENT = "Nothing was sent."


def check_data_dir(data: str) -> None:
    """Before anything in it is read or written. Raises MaestroError NOT_PRIVATE; a directory that is missing or can't
    be looked at is none of this function's business, except that root makes none among a user's files."""
    try:
        _check(data, _DATA, "MAESTRO_DATA_DIR")
    except FileNotFoundError:
        if os.geteuid() == _ROOT:
            above = _existing(os.path.dirname(data))
            owner = os.stat(above).st_uid
            if owner != _ROOT:
                raise _refused_to_root(f"{data} would be made in {above}, which", owner) from None
    except OSError:
        return


def check_socket_place(path: str, held: os.stat_result | None = None) -> None:
    """The directory of a socket, before a connection. Raises MaestroError NOT_PRIVATE, or OSError if there is no such
    directory. `held`: of the directory, if it is open. An abstract name (it begins with a NUL) is in no directory."""
    if path[:1] != "\0":
        _check(os.path.dirname(path) or os.curdir, _SOCKETS, "MAESTRO_RUNTIME_DIR", held)


def check_socket_file(path: str, directory_fd: int) -> None:
    """For a connection that can't be asked for its peer: the user who made the file listens there. Raises as
    `check_peer`; a missing file is no error."""
    try:
        owner = os.stat(os.path.basename(path), dir_fd=directory_fd, follow_symlinks=False).st_uid
    except FileNotFoundError:
        return
    if owner != os.geteuid():
        raise _stranger(path, owner)


def check_peer(connected: _socket.socket, path: str) -> None:
    """Refuse another user's process at the other end: MaestroError NOT_PRIVATE. Where the kernel does not say (it is
    not Linux), the check of the directory has to do."""
    uid = peer_uid(connected)
    if uid is not None and uid != os.geteuid():
        raise _stranger(path, uid)


def peer_uid(connected: _socket.socket) -> int | None:
    """The user of the process at the other end of a Unix socket; None if the kernel does not say."""
    if not hasattr(_socket, "SO_PEERCRED"):
        return None
    credentials = connected.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, _CREDENTIALS_BYTES)
    return int.from_bytes(credentials[4:8], sys.byteorder)


def _check(path: str, what: str, variable: str, held: os.stat_result | None = None) -> None:
    user = os.geteuid()
    status = held or os.lstat(path)
    if status.st_mode & _KIND == _LINK:
        # The owner of a link can make it lead elsewhere at any moment.
        if status.st_uid not in (user, _ROOT):
            raise _refused(path, status.st_uid, f"the link to {what}", variable)
        status = os.stat(path)
    if status.st_uid != user:
        raise _refused(path, status.st_uid, what, variable)
    if status.st_mode & _OTHERS_WRITE:
        raise MaestroError(
            "NOT_PRIVATE",
            f"{what} {path} may be written to by other users (mode {status.st_mode & 0o7777:04o}), so what is in it "
            "may be theirs",
            f"Look what is in it, then: chmod go-w {_quoted(path)}",
            details={"path": path},
        )


def _refused(path: str, owner: int, what: str, variable: str) -> MaestroError:
    if os.geteuid() == _ROOT:
        return _refused_to_root(f"{what} {path}", owner)
    return MaestroError(
        "NOT_PRIVATE",
        f"{what} {path} belongs to {_user(owner)}, and you are {_user(os.geteuid())}",
        f"Set {variable} to a directory of yours.",
        details={"path": path, "uid": owner},
    )


def _refused_to_root(what: str, owner: int) -> MaestroError:
    return MaestroError(
        "NOT_PRIVATE",
        f"you are root, and {what} belongs to {_user(owner)}; root's files in it would lock that user out",
        f"Run it as that user: sudo -u {_quoted(_name(owner) or f'#{owner}')} maestro ...; for root's own post "
        "office set HOME to root's (sudo -H).",
        details={"uid": owner},
    )


def _stranger(path: str, uid: int) -> MaestroError:
    return MaestroError(
        "NOT_PRIVATE",
        f"the process that listens at {path} belongs to {_user(uid)}, and you are {_user(os.geteuid())}. "
        f"{_NOTHING_SENT}",
        "Set MAESTRO_RUNTIME_DIR to a directory that only you can write to, then: maestro up",
        details={"path": path, "uid": uid},
    )


def _existing(path: str) -> str:
    path = os.path.abspath(path)
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return path


def _user(uid: int) -> str:
    name = _name(uid)
    return f"{name} (uid {uid})" if name else f"uid {uid}"


def _name(uid: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""


def _quoted(path: str) -> str:
    import shlex

    return shlex.quote(path)
