"""Key files: the files of the keys with which clients on other machines authenticate.

Rule: `<data>/keys/NAME.json` is the broker's entry of a key (its public half, and the sessions for which it may
speak). `server.secret` beside it is the broker's own pair. The client key file, which is copied to the other machine,
holds everything that a client needs. All are made with mode 0600, and a file that other users may read is refused.
"""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, Any, NamedTuple

from maestro_schemas.errors import MaestroError
from maestro_schemas.keys import Key
from maestro_schemas.names import is_id

from . import atomic_file, ownership, places

if TYPE_CHECKING:
    from collections.abc import Callable

_SERVER = "server.secret"
_SUFFIX = ".json"
_Z85_CHARS = 40  # 32 bytes of a Curve25519 key, as ZeroMQ's RFC 32 writes them
_FILE_BYTES_MAX = 64 << 10


class KeyPair(NamedTuple):
    """A Curve25519 pair, each half in Z85."""

    public: str
    secret: str


class ClientKey(NamedTuple):
    """A client key file: the client's pair, and the public key with which the broker must prove its identity."""

    name: str
    pair: KeyPair
    server: str


def keys_dir(data: str) -> str:
    """The directory of the keys (0700)."""
    return os.path.join(data, "keys")


def read_all(data: str) -> list[Key]:
    """All keys, revoked ones too, by name. Raises MaestroError KEY_FILE_UNUSABLE if one can't be read."""
    try:
        names = sorted(os.listdir(keys_dir(data)))
    except FileNotFoundError:
        return []
    found = []
    for name in names:
        if name.endswith(_SUFFIX) and is_id(name.removesuffix(_SUFFIX)):
            key = read(data, name.removesuffix(_SUFFIX))
            found += [key] if key is not None else []
    return found


def read(data: str, name: str) -> Key | None:
    """One key, or None. Raises MaestroError KEY_FILE_UNUSABLE."""
    path = os.path.join(keys_dir(data), name + _SUFFIX)
    try:
        found = _load(path)
    except FileNotFoundError:
        return None
    try:
        return Key(**{**found, "name": name, "sessions": tuple(found.get("sessions", ()))})
    except TypeError:
        raise _unusable(path, "has other fields than a key") from None


def write(data: str, key: Key) -> None:
    """Store a new or changed key, which takes effect at once. Raises OSError."""
    _make_folder(data)
    document = {field: value for field, value in key._asdict().items() if value is not None}
    path = os.path.join(keys_dir(data), key.name + _SUFFIX)
    atomic_file.replace(path, _encode(document), durable=True, aside=f"{path}.{os.getpid()}.aside")


def server_pair(data: str, make: Callable[[], KeyPair]) -> KeyPair:
    """The broker's own pair, made if it is missing. Raises MaestroError KEY_FILE_UNUSABLE, or OSError."""
    _make_folder(data)
    path = os.path.join(keys_dir(data), _SERVER)
    if not os.path.exists(path):
        aside = f"{path}.{os.getpid()}.new"
        atomic_file.stage(aside, _encode(make()._asdict()), durable=True)
        try:
            os.link(aside, path)  # unlike a rename, it keeps the pair that another process has just made
        except FileExistsError:
            pass
        finally:
            os.unlink(aside)
        atomic_file.sync_directory(keys_dir(data))
    found = _load(path)
    return KeyPair(_curve(path, found, "public"), _curve(path, found, "secret"))


def write_client_key(path: str, key: ClientKey) -> None:
    """Make the file for the other machine. Raises MaestroError KEY_FILE_UNUSABLE if it can't be made, or exists."""
    document = {"name": key.name, "public": key.pair.public, "secret": key.pair.secret, "server": key.server}
    try:
        atomic_file.create(path, _encode(document), durable=True)
        atomic_file.sync_directory(os.path.dirname(path))
    except OSError as error:
        raise places.refusal(
            "KEY_FILE_UNUSABLE", f"the key file {places.shown(path)} can't be made", error, "Name another with --out."
        ) from None


def read_client_key(path: str) -> ClientKey:
    """The key file of this machine. Raises MaestroError KEY_FILE_UNUSABLE."""
    try:
        found = _load(path)
    except OSError as error:
        raise places.refusal(
            "KEY_FILE_UNUSABLE",
            f"the key file {places.shown(path)} can't be read",
            error,
            "Copy the file that `maestro keys new` made on the broker's machine, and set MAESTRO_KEY_FILE to it.",
        ) from None
    pair = KeyPair(_curve(path, found, "public"), _curve(path, found, "secret"))
    return ClientKey(str(found.get("name", "")), pair, _curve(path, found, "server"))


def _make_folder(data: str) -> None:
    ownership.check_data_dir(data)
    places.make_directory(keys_dir(data))
    os.chmod(keys_dir(data), 0o700)


def _encode(document: dict[str, Any]) -> bytes:
    return json.dumps(document, indent=1).encode("ascii") + b"\n"


def _load(path: str) -> dict[str, Any]:
    with open(places.open_file(path, os.O_RDONLY), "rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        if mode & 0o077:
            raise MaestroError(
                "KEY_FILE_UNUSABLE",
                f"{path} may be read by others (mode {mode:04o}), so its content may be no secret",
                f"If no other user has read it: chmod 600 {path}. Else make a new key.",
            )
        raw = file.read(_FILE_BYTES_MAX)
    try:
        found = json.loads(raw)
    except ValueError:
        raise _unusable(path, "is no JSON") from None
    if not isinstance(found, dict):
        raise _unusable(path, "is no JSON object")
    return found


def _curve(path: str, found: dict[str, Any], field: str) -> str:
    text = found.get(field)
    if not isinstance(text, str) or len(text) != _Z85_CHARS or not text.isascii():
        raise _unusable(path, f"has no {field} key")
    return text


def _unusable(path: str, why: str) -> MaestroError:
    return MaestroError("KEY_FILE_UNUSABLE", f"{path} {why}", "Make a new key: maestro keys new NAME.")
