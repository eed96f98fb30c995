"""Ownership: what is made is this user's alone, and what is another user's is refused in words."""

from __future__ import annotations

import _socket
import contextlib
import os
import shlex
import socket
from typing import TYPE_CHECKING

import pytest

from maestro_runtime import ownership, places
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.users import OtherUser


def mode_of(path: object) -> int:
    return os.stat(str(path)).st_mode & 0o7777


# --- made -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0, 0o022, 0o077, 0o177, 0o777])
def test_a_directory_and_its_parents_are_private_under_any_umask(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "a" / "b" / "c"
    before = os.umask(umask)
    try:
        places.make_directory(str(path))
        places.make_directory(str(path))
    finally:
        os.umask(before)
    assert [mode_of(one) for one in (path, path.parent, path.parent.parent)] == [0o700] * 3


# --- checked ----------------------------------------------------------------------------------------------


def refusal(data: str) -> MaestroError:
    with pytest.raises(MaestroError) as caught:
        ownership.check_data_dir(data)
    assert caught.value.code == "NOT_PRIVATE"
    assert data in caught.value.message
    return caught.value


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o755, 0o500])
def test_a_directory_that_others_may_only_read_is_taken(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    ownership.check_data_dir(str(tmp_path))


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702, 0o1777, 0o720])
def test_a_directory_that_others_may_write_to_is_refused_with_the_repair(tmp_path: Path, mode: int) -> None:
    data = tmp_path / "with a blank"
    data.mkdir()
    data.chmod(mode)
    found = refusal(str(data))
    assert f"{mode:04o}" in found.message
    assert found.hint.endswith(f"chmod go-w {shlex.quote(str(data))}")
    os.system(found.hint.partition("then: ")[2])
    ownership.check_data_dir(str(data))


def test_a_link_leads_to_the_directory_that_is_checked(tmp_path: Path) -> None:
    link, data = tmp_path / "link", tmp_path / "data"
    link.symlink_to(data)
    ownership.check_data_dir(str(link))  # it is missing
    data.mkdir()
    ownership.check_data_dir(str(link))
    data.chmod(0o777)
    refusal(str(link))


def test_another_users_directory_is_refused(other_users: list[OtherUser]) -> None:
    ann, ben = other_users
    os.chmod(ann.home, 0o755)
    with pytest.raises(MaestroError) as caught:
        ben.call(_check, ann.home)
    found = caught.value
    assert found.code == "NOT_PRIVATE"
    assert f"belongs to uid {ann.uid}, and you are uid {ben.uid}" in found.message
    assert "MAESTRO_DATA_DIR" in found.hint


def test_another_users_link_to_a_directory_of_ones_own_is_refused(other_users: list[OtherUser]) -> None:
    """Its owner could make it lead elsewhere later."""
    ann, ben = other_users
    os.chmod(ann.home, 0o755)
    data = ben.path("data")
    ben.call(os.mkdir, data, 0o700)
    ann.call(os.symlink, data, ann.path("link"))
    with pytest.raises(MaestroError) as caught:
        ben.call(_check, ann.path("link"))
    assert (caught.value.code, caught.value.details) == ("NOT_PRIVATE", {"path": ann.path("link"), "uid": ann.uid})


def test_root_is_sent_to_the_user(other_user: OtherUser) -> None:
    """Also where the directory would only be made: its files would lock the user out."""
    for path in (other_user.home, other_user.path("data"), other_user.path("a", "b", "c")):
        found = refusal(path)
        assert f"sudo -u '#{other_user.uid}' maestro" in found.hint
        assert "you are root" in found.message
    other_user.call(_check, other_user.home)
    other_user.call(_check, other_user.path("a", "b"))


def test_a_user_with_a_name_is_named(other_user: OtherUser) -> None:
    os.chown(other_user.home, 1, 1)
    assert "sudo -u daemon maestro" in refusal(other_user.home).hint


def test_a_directory_that_cannot_be_looked_at_is_left_to_its_reader(other_users: list[OtherUser]) -> None:
    ann, ben = other_users
    ben.call(_check, ann.path("data"))


def _check(path: str) -> None:
    # `pwd` is imported now, since a call imports nothing.
    ownership.check_data_dir(path)


@contextlib.contextmanager
def held(directory: str) -> Iterator[int]:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)


# --- the other end ----------------------------------------------------------------------------------------


def test_ones_own_process_is_taken(tmp_path: Path) -> None:
    one, other = socket.socketpair()
    with one, other:
        ownership.check_peer(one, "here")
        assert ownership.peer_uid(one) == os.geteuid()
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        ownership.check_socket_place(path)
        with held(str(tmp_path)) as directory:
            ownership.check_socket_file(path, directory)
            ownership.check_socket_file(path + "missing", directory)
            ownership.check_socket_place(path, os.fstat(directory))
    ownership.check_socket_place("\0abstract")


def test_where_the_kernel_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = socket.socketpair()
    with one, other:
        monkeypatch.delattr(_socket, "SO_PEERCRED")
        assert ownership.peer_uid(one) is None
        ownership.check_peer(one, "here")


def test_another_users_process_and_file_are_refused(other_user: OtherUser) -> None:
    path = other_user.path("s")
    script = (
        f"import socket; s = socket.socket(socket.AF_UNIX); s.bind({path!r}); s.listen(); print(flush=True); input()"
    )
    listener = other_user.start(other_user.python, "-c", script, stdin=-1)
    assert listener.stdout is not None
    assert listener.stdout.readline() == b"\n"
    with socket.socket(socket.AF_UNIX) as connected:
        connected.connect(path)
        with pytest.raises(MaestroError) as caught:
            ownership.check_peer(connected, path)
    assert f"belongs to uid {other_user.uid}" in caught.value.message
    assert "Nothing was sent" in caught.value.message
    with held(other_user.home) as directory:
        for check, more in (
            (ownership.check_socket_file, [directory]),
            (ownership.check_socket_place, [os.fstat(directory)]),
            (ownership.check_socket_place, []),
        ):
            with pytest.raises(MaestroError) as caught:
                check(path, *more)
            assert caught.value.code == "NOT_PRIVATE"
            assert other_user.home in caught.value.message
