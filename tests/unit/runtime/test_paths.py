"""Paths: the same as those of platformdirs, without importing it."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from typing import TYPE_CHECKING

import platformdirs
import pytest

from maestro_runtime import directories, paths
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from pathlib import Path

ENVIRONMENTS: list[dict[str, str]] = [
    {"HOME": "/home/ada"},
    {"HOME": "/home/ada", "XDG_DATA_HOME": "/srv/data", "XDG_CONFIG_HOME": "/srv/config"},
    {"HOME": "/home/ada", "XDG_DATA_HOME": "", "XDG_CONFIG_HOME": ""},
    {"HOME": "/home/ada smith", "XDG_DATA_HOME": "/srv/my data"},
    {"HOME": "/"},
    {},
]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no XDG directories on Windows")
@pytest.mark.parametrize("environ", ENVIRONMENTS, ids=str)
def test_parity_with_platformdirs(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert paths.data_dir(environ) == platformdirs.user_data_dir("maestro")
    assert paths.config_file(environ) == os.path.join(platformdirs.user_config_dir("maestro"), "config.toml")


def test_parity_of_a_relative_xdg_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {"HOME": "/home/ada", "XDG_DATA_HOME": "data", "XDG_CONFIG_HOME": "./c"}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MAESTRO_CONFIG", raising=False)
    assert paths.config_file(environ) == "/home/ada/.config/maestro/config.toml"
    assert (directories.xdg_data_dir(), directories.xdg_config_dir()) == (
        "/home/ada/.local/share",
        "/home/ada/.config",
    )


def test_a_relative_xdg_directory_is_passed_over() -> None:
    environ = {"HOME": "/home/ada", "XDG_DATA_HOME": "data", "XDG_CONFIG_HOME": "./c", "XDG_RUNTIME_DIR": "run"}
    assert paths.data_dir(environ) == paths.data_dir({"HOME": "/home/ada"})
    assert paths.config_file(environ) == paths.config_file({"HOME": "/home/ada"})
    assert paths.runtime_dir("/d", environ) == paths.runtime_dir("/d", {})


def test_on_a_mac_it_is_the_users_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    environ = {"HOME": "/Users/ada"}
    assert paths.data_dir(environ) == "/Users/ada/Library/Application Support/maestro"
    assert paths.config_file(environ) == "/Users/ada/Library/Application Support/maestro/config.toml"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("/srv/mail", "/srv/mail"),
        ("/srv/../mail/", "/mail"),
        ("~", "/home/ada"),
        ("~/mail", "/home/ada/mail"),
        ("~//mail", "/home/ada/mail"),
        ("mail", os.path.join(os.getcwd(), "mail")),
        ("~ada/mail", os.path.join(os.getcwd(), "~ada/mail")),
    ],
)
def test_variables_of_our_own(value: str, expected: str) -> None:
    environ = {"HOME": "/home/ada", "MAESTRO_DATA_DIR": value, "MAESTRO_CONFIG": value}
    assert paths.data_dir(environ) == expected
    assert paths.config_file(environ) == paths.data_dir(environ)


def test_an_empty_variable_of_our_own_is_unset() -> None:
    environ = {"HOME": "/home/ada", "MAESTRO_DATA_DIR": "", "MAESTRO_CONFIG": "", "MAESTRO_RUNTIME_DIR": ""}
    assert paths.data_dir(environ) == paths.data_dir({"HOME": "/home/ada"})
    assert paths.config_file(environ) == paths.config_file({"HOME": "/home/ada"})
    assert paths.runtime_dir("/d", environ) == paths.runtime_dir("/d", {})


def test_without_a_home_the_user_database_has_one() -> None:
    assert paths.data_dir({"HOME": ""}).startswith(pwd.getpwuid(os.getuid()).pw_dir)


@pytest.mark.parametrize("home", ["relative/home", ".", "~"])
def test_a_relative_home_is_refused(home: str) -> None:
    """It would be another post office in each directory."""
    for find in (paths.data_dir, paths.config_file, paths.home):
        with pytest.raises(MaestroError) as caught:
            find({"HOME": home})
        assert caught.value.code == "DATA_DIR_UNUSABLE"
        assert repr(home) in caught.value.message
        assert "absolute path" in caught.value.hint
    assert paths.data_dir({"HOME": home, "MAESTRO_DATA_DIR": "/srv/mail"}) == "/srv/mail"


def test_a_relative_path_in_a_directory_that_was_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(MaestroError) as caught:
        paths.data_dir({"MAESTRO_DATA_DIR": "mail"})
    assert "MAESTRO_DATA_DIR is the relative path 'mail'" in caught.value.message
    assert paths.data_dir({"MAESTRO_DATA_DIR": "/srv/mail"}) == "/srv/mail"


def test_the_sockets_directory_must_be_text() -> None:
    """The file `endpoints` names the sockets as UTF-8. Bytes in the data directory's own path do no harm."""
    with pytest.raises(MaestroError) as caught:
        paths.runtime_dir("/d", {"MAESTRO_RUNTIME_DIR": os.fsdecode(b"/tmp/m\xff")})
    assert "/tmp/m\\xff" in caught.value.message
    assert paths.runtime_dir(os.fsdecode(b"/d\xff"), {"MAESTRO_RUNTIME_DIR": "/tmp/m"}).startswith("/tmp/m/")


def test_without_any_home_it_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)
    with pytest.raises(MaestroError) as caught:
        paths.data_dir({})
    assert caught.value.code == "DATA_DIR_UNUSABLE"
    assert "MAESTRO_DATA_DIR" in caught.value.hint
    assert paths.data_dir({"MAESTRO_DATA_DIR": "/srv/mail"}) == "/srv/mail"


def test_where_the_sockets_are() -> None:
    name = os.path.basename(paths.runtime_dir("/srv/mail", {}))
    assert len(name) == 12
    assert int(name, 16) >= 0
    assert paths.runtime_dir("/srv/mail", {}) == f"/tmp/maestro-{os.getuid()}/{name}"
    assert paths.runtime_dir("/srv/mail", {"XDG_RUNTIME_DIR": "/run/user/7"}) == f"/run/user/7/maestro/{name}"
    both = {"XDG_RUNTIME_DIR": "/run/user/7", "MAESTRO_RUNTIME_DIR": "/run/m"}
    assert paths.runtime_dir("/srv/mail", both) == f"/run/m/{name}"
    assert paths.runtime_dir("/srv/other", both) != paths.runtime_dir("/srv/mail", both)


def test_two_names_of_one_data_directory_have_one_runtime_directory(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to("data")
    assert paths.runtime_dir(str(tmp_path / "link"), {}) == paths.runtime_dir(str(tmp_path / "data"), {})


def test_a_socket_path_may_have_107_bytes_and_no_more() -> None:
    beyond = len(os.path.join("", "0" * 12, paths.NOTICE_SOCKET)) + 1
    longest = "/" + "r" * (107 - beyond - 1)
    directory = paths.runtime_dir("/d", {"MAESTRO_RUNTIME_DIR": longest})
    assert len(os.path.join(directory, paths.NOTICE_SOCKET)) == 107
    assert len(paths.ROUTER_SOCKET) <= len(paths.NOTICE_SOCKET)
    for one_more in (f"{longest}r", f"{longest[:-1]}ä"):
        with pytest.raises(MaestroError) as caught:
            paths.runtime_dir("/d", {"MAESTRO_RUNTIME_DIR": one_more})
        assert (caught.value.code, caught.value.limit, caught.value.actual) == ("PATH_TOO_LONG", 107, 108)
        assert "MAESTRO_RUNTIME_DIR" in caught.value.hint


def test_where_the_files_are() -> None:
    assert paths.endpoints_file("/d") == "/d/endpoints"
    assert paths.receiver_dir("/d", "sess_b") == "/d/messages/by-receiver/sess_b"
    assert paths.sender_dir("/d", "sess_a") == "/d/messages/by-sender/sess_a"
    assert paths.outbox_dir("/d") == "/d/outbox"


def test_the_endpoints_file_is_read_line_by_line() -> None:
    text = "router=ipc:///run/a=b.sock\n# a comment\n\n pid = 7 \nepoch="
    assert paths.parse_endpoints(text) == {"router": "ipc:///run/a=b.sock", "pid": "7", "epoch": ""}
    assert paths.parse_endpoints("") == {}


def test_it_imports_little() -> None:
    code = """
import sys
before = set(sys.modules)
import maestro_runtime.paths
heavy = {"platformdirs", "pathlib", "pwd", "hashlib", "msgspec", "json", "zmq"}
print(sorted(heavy & (set(sys.modules) - before)))
"""
    # -S, because the site-packages of an editable install import some of these themselves.
    environ = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(paths.__file__))}
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, env=environ)
    assert done.stdout.strip() == "[]"
