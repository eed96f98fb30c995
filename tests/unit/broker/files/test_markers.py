"""Markers: they are there whatever the file system can do, and whatever stands in their way."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from maestro_broker.files.markers import Markers, MarkerThread

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# ext4's; other file systems allow fewer or more.
_LINKS_MAX = 65_000


class Place:
    """The `messages` folder of a data directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.markers = Markers(str(root))

    def marker(self, session: str) -> Path:
        return self.root / "by-receiver" / session / ".pending"

    @property
    def empty(self) -> Path:
        return self.root / ".pending"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def _failing(number: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_all_markers_are_one_file(place: Place) -> None:
    assert not place.markers.has("bob")
    for session in ("bob", "bob", "cyd"):
        assert place.markers.add(session)
    assert place.markers.has("bob")
    assert place.marker("bob").samefile(place.marker("cyd"))
    assert place.empty.stat().st_nlink == 3
    assert (place.empty.stat().st_size, place.empty.stat().st_mode & 0o777) == (0, 0o600)
    for _ in range(2):
        place.markers.remove("bob")
    assert not place.markers.has("bob")
    assert place.markers.has("cyd")


def test_what_an_earlier_broker_left_is_not_used(place: Place) -> None:
    """It may be another program's file or a link by now; its markers stay."""
    place.markers.add("bob")
    place.empty.unlink()
    (place.root / "elsewhere").write_text("a text")
    place.empty.symlink_to("elsewhere")
    later = Markers(str(place.root))
    assert later.has("bob")
    assert later.add("cyd")
    assert not place.empty.is_symlink()
    assert place.marker("cyd").samefile(place.empty)
    assert (place.root / "elsewhere").read_text() == "a text"


def test_a_file_that_was_removed_is_made_again(place: Place) -> None:
    place.markers.add("bob")
    place.empty.unlink()
    assert place.markers.add("cyd")
    assert place.marker("cyd").samefile(place.empty)
    (place.root / "by-receiver" / "bob" / ".pending").unlink()
    (place.root / "by-receiver" / "bob").rmdir()
    assert place.markers.add("bob")
    assert place.marker("bob").samefile(place.empty), "a missing folder is no reason for another file"


def test_a_file_system_without_links(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", _failing(errno.EPERM))
    assert place.markers.add("bob")
    monkeypatch.undo()
    assert place.markers.add("cyd")
    assert [place.marker(session).stat().st_nlink for session in ("bob", "cyd")] == [1, 1], "it is not tried again"
    assert place.markers.add("bob")


def test_a_folder_in_the_place_of_the_file(place: Place) -> None:
    place.empty.mkdir()
    assert place.markers.add("bob")
    assert place.marker("bob").is_file()
    assert place.empty.is_dir()


def test_as_many_links_as_a_file_may_have(place: Place) -> None:
    """Real links, up to the limit of the file system."""
    place.markers.add("bob")
    try:
        most = os.pathconf(place.empty, "PC_LINK_MAX")
    except OSError:
        most = 0
    if not 0 < most <= _LINKS_MAX:
        pytest.skip(f"a file may have {most:,} links here")
    many = place.root / "many"
    many.mkdir()
    for number in range(most - place.empty.stat().st_nlink):
        os.link(place.empty, many / str(number))
    with pytest.raises(OSError, match="Too many links"):
        os.link(place.empty, many / "one more")
    for session in ("cyd", "dee"):
        assert place.markers.add(session)
    assert place.marker("dee").samefile(place.empty)
    assert not place.marker("bob").samefile(place.empty)


@pytest.mark.parametrize("place_of_error", ["link", "open"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk(place: Place, monkeypatch: pytest.MonkeyPatch, place_of_error: str, number: int) -> None:
    """No error: the mail is safe, and the caller tries again."""
    monkeypatch.setattr(os, place_of_error, _failing(number))
    assert not place.markers.add("bob")
    assert place.markers.add_all(["bob", "cyd"]) == {"bob", "cyd"}
    monkeypatch.undo()
    assert place.markers.add_all(["bob", "cyd"]) == set()
    assert place.marker("bob").samefile(place.marker("cyd"))


def test_another_error_is_raised(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.markers.add("bob")
    monkeypatch.setattr(os, "link", _failing(errno.EIO))
    monkeypatch.setattr(os, "open", _failing(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        place.markers.add("cyd")


def test_the_thread(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reports what is not set, and what failed."""
    thread = MarkerThread(place.markers)
    sessions = [f"s{number}" for number in range(64)]
    for _ in range(2):
        thread.begin(sessions)
        assert thread.finish() == set()
        assert all(map(place.markers.has, sessions))
    for session in sessions:
        place.markers.remove(session)
    monkeypatch.setattr(os, "link", _failing(errno.ENOSPC))
    thread.begin(sessions)
    assert thread.finish() == set(sessions)
    monkeypatch.setattr(os, "link", _failing(errno.EIO))
    monkeypatch.setattr(os, "open", _failing(errno.EIO))
    thread.begin(sessions)
    with pytest.raises(OSError, match="Input/output"):
        thread.finish()
    monkeypatch.undo()
    thread.begin(sessions)
    assert thread.finish() == set(), "an error ends no thread"
