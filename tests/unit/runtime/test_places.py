"""Places: what is at a path, how a file is opened, and how a fault is said."""

from __future__ import annotations

import os
import socket
import stat
from typing import TYPE_CHECKING

import pytest

from maestro_runtime import places
from maestro_schemas.limits import CWD_CHARS_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.users import OtherUser


def put(path: str, kind: str) -> None:
    """Make something at a path."""
    if kind == places.FILE:
        with open(path, "w", encoding="ascii") as file:
            file.write("12345")
    elif kind == places.DIRECTORY:
        os.mkdir(path)
    elif kind == "a FIFO":
        os.mkfifo(path)
    elif kind == "a socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path)
    else:
        os.symlink("/nonexistent/there", path)


WRONG_FILES = (places.DIRECTORY, "a FIFO", "a socket")
LINK = "a link to /nonexistent/there, where nothing is"


@pytest.fixture
def umask_of_nothing() -> Iterator[None]:
    before = os.umask(0)
    try:
        yield
    finally:
        os.umask(before)


# --- opening -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", WRONG_FILES)
@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_RDWR | os.O_CREAT, os.O_WRONLY | os.O_CREAT | os.O_APPEND])
def test_only_a_file_is_opened_and_nothing_is_waited_for(tmp_path: Path, kind: str, flags: int) -> None:
    path = str(tmp_path / "place")
    put(path, kind)
    opened = len(os.listdir("/proc/self/fd"))
    with pytest.raises(places.MisplacedError) as caught:
        places.open_file(path, flags)
    assert (caught.value.filename, caught.value.found, caught.value.wanted) == (path, kind, places.FILE)
    assert len(os.listdir("/proc/self/fd")) == opened


def test_a_device_is_no_file() -> None:
    with pytest.raises(places.MisplacedError, match="a device"):
        places.open_file("/dev/null", os.O_RDONLY)


def test_a_file_is_read_up_to_a_bound(tmp_path: Path) -> None:
    path = str(tmp_path / "place")
    put(path, places.FILE)
    assert places.read(path, 100) == b"12345"
    assert places.read(path, 3) == b"123"
    with open(path, "wb") as file:
        file.write(b"x" * 200_000)
    assert len(places.read(path, 1 << 20)) == 200_000
    with pytest.raises(FileNotFoundError):
        places.read(str(tmp_path / "missing"), 1)


def test_an_error_while_reading_has_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "place")
    put(path, places.FILE)

    def fail(_fd: int, _count: int) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "read", fail)
    with pytest.raises(OSError, match="Input/output error") as caught:
        places.read(path, 1)
    assert caught.value.filename == path


@pytest.mark.usefixtures("umask_of_nothing")
def test_each_directory_that_is_made_is_private(tmp_path: Path) -> None:
    places.make_directory(str(tmp_path / "a" / "b" / "c"))
    for name in ("a", "a/b", "a/b/c"):
        assert stat.S_IMODE(os.stat(tmp_path / name).st_mode) == 0o700
    places.make_directory(str(tmp_path / "a" / "b" / "c"))
    # One that is there keeps its mode.
    os.chmod(tmp_path / "a", 0o755)
    places.make_directory(str(tmp_path / "a"))
    assert stat.S_IMODE(os.stat(tmp_path / "a").st_mode) == 0o755


@pytest.mark.parametrize("kind", [places.FILE, "a FIFO", "a socket", LINK])
@pytest.mark.parametrize("below", ["", "x", "x/y"])
def test_what_stands_in_a_directory_s_place_is_named(tmp_path: Path, kind: str, below: str) -> None:
    place = str(tmp_path / "place")
    put(place, kind)
    with pytest.raises(OSError, match="place") as caught:
        places.make_directory(os.path.join(place, below) if below else place)
    assert places.explained(caught.value) == (
        f"{place} is {kind}, and must be a directory",
        f"Move it away: mv {place} {place}.old.",
    )


def test_a_missing_root_is_an_error_and_no_endless_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(FileNotFoundError):
        places.make_directory("x")
    assert places.current_directory() is None
    monkeypatch.chdir(tmp_path)
    assert places.current_directory() == str(tmp_path)


# --- words -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (b"/srv/mail", "/srv/mail"),
        ("/srv/Bücher/日本".encode(), "/srv/Bücher/日本"),
        (b"/srv/\xff\xfe", "/srv/\\xff\\xfe"),
        (b"/a\nb\tc\x1b[2J", "/a\\nb\\tc\\x1b[2J"),
        ("/a\u202eb\U000e0041\ufe0f\U000e0101".encode(), "/a\\u202eb\\U000e0041\\ufe0f\\U000e0101"),
    ],
)
def test_a_path_is_shown_on_one_line_of_plain_text(path: bytes, shown: str) -> None:
    assert places.shown(os.fsdecode(path)) == shown
    assert places.label(os.fsdecode(path)) == shown


def test_half_of_a_pair_is_shown_too() -> None:
    assert places.shown("/\ud800") == "/\\ud800"


def test_a_label_has_a_bound() -> None:
    assert places.label(None) is None
    assert places.label("") is None
    assert places.label("x" * CWD_CHARS_MAX) == "x" * CWD_CHARS_MAX
    assert places.label("x" * (CWD_CHARS_MAX + 1)) is None


def test_what_is_below() -> None:
    assert places.is_below("/a/b", "/a")
    assert places.is_below("/a", "/a/")
    assert places.is_below("/a", "/")
    assert not places.is_below("/ab", "/a")


@pytest.mark.parametrize("kind", [places.FILE, places.DIRECTORY, "a FIFO", "a socket", LINK])
def test_each_kind_has_a_name(tmp_path: Path, kind: str) -> None:
    put(str(tmp_path / "place"), kind)
    assert places.kind_at(str(tmp_path / "place")) == kind
    os.symlink("place", tmp_path / "link")
    if kind != LINK:
        assert places.kind_at(str(tmp_path / "link")) == kind


def said(error: OSError) -> str:
    """The error in words."""
    found = places.refusal("DATA_DIR_UNUSABLE", "it fails", error, "Or use another.")
    assert found.hint.endswith("Or use another.")
    return f"{found.message} | {found.hint}"


def fault_of(function: object, *arguments: object) -> OSError:
    """The error that a function raises."""
    assert callable(function)
    try:
        function(*arguments)
    except OSError as error:
        return error
    raise AssertionError("nothing was raised")


def test_a_rename_to_a_directory_names_the_directory(tmp_path: Path) -> None:
    put(str(tmp_path / "aside"), places.FILE)
    (tmp_path / "target" / "x").mkdir(parents=True)
    words = said(fault_of(os.rename, str(tmp_path / "aside"), str(tmp_path / "target")))
    assert f"{tmp_path}/target is a directory, and must be a file" in words
    assert f"mv {tmp_path}/target {tmp_path}/target.old" in words


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    put(str(tmp_path / "place"), LINK)
    words = said(fault_of(places.read, str(tmp_path / "place"), 1))
    assert f"{tmp_path}/place is {LINK} | Remove the link (rm {tmp_path}/place), or make what it names." in words


def test_a_circle_of_links_is_named(tmp_path: Path) -> None:
    os.symlink("b", tmp_path / "a")
    os.symlink("a", tmp_path / "b")
    assert f"{tmp_path}/a is a link to b, where nothing is" in said(fault_of(places.read, str(tmp_path / "a"), 1))


def test_an_error_without_a_fault_of_the_path_keeps_its_words(tmp_path: Path) -> None:
    missing = fault_of(places.read, str(tmp_path / "missing"), 1)
    assert places.explained(missing) is None
    assert said(missing) == f"it fails: {tmp_path}/missing: No such file or directory | Or use another."
    assert said(OSError("odd")) == "it fails: odd | Or use another."
    assert places.explained(OSError(28, "No space left on device", "/srv/x")) is None
    assert places.explained(OSError(17, "File exists", str(tmp_path))) is None
    assert places.explained(OSError(13, "Permission denied", 3)) is None


def test_bytes_in_an_error_are_shown(tmp_path: Path) -> None:
    place = os.path.join(os.fsencode(tmp_path), b"p\xff")
    os.mkfifo(place)
    words = said(fault_of(places.read, os.fsdecode(place), 1))
    assert "p\\xff is a FIFO, and must be a file" in words


def _closed_folder(path: str) -> OSError:
    return fault_of(os.mkdir, os.path.join(path, "closed", "x"))


def _closed_file(path: str) -> OSError:
    return fault_of(places.read, os.path.join(path, "own"), 1)


def _another_ones(path: str) -> OSError:
    return fault_of(os.mkdir, os.path.join(path, "x"))


def _explain(name: str, path: str) -> tuple[str, str] | None:
    """Cause an error and explain it, in the process of another user."""
    causes = {"folder": _closed_folder, "file": _closed_file, "foreign": _another_ones, "behind": _behind}
    return places.explained(causes[name](path))


def _behind(path: str) -> OSError:
    return fault_of(places.read, os.path.join(path, "root", "x"), 1)


def test_a_place_that_may_not_be_used_is_said_with_its_mode_and_owner(other_user: OtherUser) -> None:
    home = other_user.home
    os.mkdir(os.path.join(home, "closed"), 0o500)
    os.chown(os.path.join(home, "closed"), other_user.uid, other_user.gid)
    put(os.path.join(home, "own"), places.FILE)
    os.chown(os.path.join(home, "own"), other_user.uid, other_user.gid)
    os.chmod(os.path.join(home, "own"), 0)
    os.mkdir(os.path.join(home, "root"), 0o700)
    assert other_user.call(_explain, "folder", home) == (
        f"{home}/closed may not be used: its mode is 0500",
        f"Run: chmod u+rwx {home}/closed.",
    )
    assert other_user.call(_explain, "file", home) == (
        f"{home}/own may not be used: its mode is 0000",
        f"Run: chmod u+rw {home}/own.",
    )
    why = f"it belongs to uid 0, its mode is 0700, and you are uid {other_user.uid}"
    assert other_user.call(_explain, "behind", home) == (
        f"{home}/root may not be entered: {why}",
        "Use a path that is yours.",
    )
    foreign = other_user.call(_explain, "foreign", "/usr")
    assert foreign[0].startswith("/usr may not be used: it belongs to uid 0, its mode is 0755")
