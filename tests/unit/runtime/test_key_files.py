"""Key files: they are private from the start, read back as written, and anything else is refused."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from maestro_runtime import key_files
from maestro_runtime.key_files import ClientKey, KeyPair
from maestro_schemas.errors import MaestroError
from maestro_schemas.keys import Key

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PAIR = KeyPair("p" * 40, "s" * 40)
KEY = Key("laptop", "p" * 40, 5, sessions=("ann", "bob"), project="shop", revoked_at=7)


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(MaestroError) as caught:
        call()
    assert caught.value.code == "KEY_FILE_UNUSABLE"
    assert caught.value.hint
    return f"{caught.value.message} {caught.value.hint}"


def test_what_is_written_is_read(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    assert key_files.read_all(data) == []
    before = os.umask(0)
    try:
        for key in (KEY, KEY._replace(name="b", revoked_at=None, sessions=())):
            key_files.write(data, key)
        assert key_files.server_pair(data, lambda: PAIR) == PAIR
        assert key_files.server_pair(data, lambda: KeyPair("x" * 40, "x" * 40)) == PAIR, "made once"
        path = str(tmp_path / "out.key")
        key_files.write_client_key(path, ClientKey("laptop", PAIR, "v" * 40))
    finally:
        os.umask(before)
    assert key_files.read(data, "laptop") == KEY
    assert [key.name for key in key_files.read_all(data)] == ["b", "laptop"]
    assert key_files.read(data, "zoe") is None
    assert key_files.read_client_key(path) == ClientKey("laptop", PAIR, "v" * 40)
    folder = key_files.keys_dir(data)
    for file in [path, *(os.path.join(folder, name) for name in os.listdir(folder))]:
        assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    assert "can't be made" in refused(lambda: key_files.write_client_key(path, ClientKey("x", PAIR, "v" * 40)))


def test_two_that_make_the_servers_pair_get_the_same(tmp_path: Path) -> None:
    data = str(tmp_path)

    def overtaken() -> KeyPair:
        key_files.server_pair(data, lambda: PAIR)
        return KeyPair("x" * 40, "x" * 40)

    assert key_files.server_pair(data, overtaken) == PAIR
    assert os.listdir(key_files.keys_dir(data)) == ["server.secret"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "no JSON"),
        ("[]", "no JSON object"),
        ("{}", "no public"),
        ('{"public": "short"}', "no public"),
        ('{"public": 5}', "no public"),
        ('{"public": "' + "é" * 40 + '"}', "no public"),
    ],
)
def test_what_is_no_key_file(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "some.key"
    path.touch(0o600)
    path.write_text(text, encoding="utf-8")
    assert why in refused(lambda: key_files.read_client_key(str(path)))


def test_others_may_not_read_it(tmp_path: Path) -> None:
    path = str(tmp_path / "some.key")
    key_files.write_client_key(path, ClientKey("laptop", PAIR, "v" * 40))
    os.chmod(path, 0o644)
    assert f"chmod 600 {path}" in refused(lambda: key_files.read_client_key(path))
    assert "can't be read" in refused(lambda: key_files.read_client_key(str(tmp_path / "nothing")))


def test_what_is_no_key(tmp_path: Path) -> None:
    data = str(tmp_path)
    key_files.write(data, KEY)
    path = os.path.join(key_files.keys_dir(data), "laptop.json")
    with open(path, "w", encoding="ascii") as file:
        file.write('{"speaks": "for all"}')
    assert "other fields" in refused(lambda: key_files.read_all(data))


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        ({"operator": True}, "every session, as the operator"),
        ({"any_session": True}, "any session"),
        ({"own": True, "sessions": ("ann",)}, "the sessions it starts, ann"),
        ({"project": "shop"}, "project shop"),
    ],
)
def test_a_scope_in_words(scope: dict[str, object], words: str) -> None:
    assert Key("n", "p" * 40, 1)._replace(**scope).scope() == words  # type: ignore[arg-type] # any field
