"""Data removal: only names of the post office go, and no link is followed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from maestro_cli.setup import data_removal

if TYPE_CHECKING:
    from pathlib import Path


def test_only_our_names_go(tmp_path: Path) -> None:
    data, outside = tmp_path / "data", tmp_path / "outside"
    for name in ("messages/by-receiver/bob", "outbox", "photos"):
        (data / name).mkdir(parents=True)
    outside.mkdir()
    (outside / "kept").write_text("mine")
    os.symlink(outside, data / "logs")
    (data / "format").write_text("maestro-data 3\n")
    (data / "heads").write_text("")
    (data / "thesis.txt").write_text("mine")
    assert data_removal.foreign_names(str(data)) == ["photos", "thesis.txt"]
    data_removal.remove_data(str(data))
    assert sorted(os.listdir(data)) == ["photos", "thesis.txt"]
    assert os.listdir(outside) == ["kept"]
    assert data_removal.names_in(str(tmp_path / "none")) == []


def test_a_person_s_files_in_directories_of_our_names_stay(tmp_path: Path) -> None:
    data = tmp_path / "shop"
    own = (
        "hooks/maestro-hook",
        "hooks/state/s",
        "logs/broker.log.1",
        "index/search-1.sqlite3-wal",
        "sessions/ann.json",
    )
    foreign = ("hooks/useCart.ts", "logs/2026.log", "index/index.html", "keys/house.txt", "groups/mine/a.txt")
    for name in (*own, *foreign):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text("text")
    assert data_removal.foreign_names(str(data)) == sorted(
        ["hooks/useCart.ts", "logs/2026.log", "index/index.html", "keys/house.txt", "groups/mine"]
    )
    data_removal.remove_data(str(data))
    left = [path.relative_to(data).as_posix() for path in data.rglob("*") if path.is_file()]
    assert sorted(left) == sorted(foreign)


def test_a_directory_without_a_sign_of_a_post_office_is_a_person_s(tmp_path: Path) -> None:
    for name in ("hooks", "messages", "sessions"):
        (tmp_path / name).mkdir()
    assert not data_removal.is_post_office(str(tmp_path))
    assert data_removal.foreign_names(str(tmp_path)) == ["hooks", "messages", "sessions"]
    (tmp_path / "installed").write_text("")
    assert data_removal.is_post_office(str(tmp_path))
    assert data_removal.foreign_names(str(tmp_path)) == []


def test_no_link_leads_to_another_post_office(tmp_path: Path) -> None:
    outside, data = tmp_path / "outside", tmp_path / "data"
    (outside / "far").mkdir(parents=True)
    (data / "remote" / "near").mkdir(parents=True)
    os.symlink(outside / "far", data / "remote" / "far")
    assert data_removal.post_offices(str(data)) == [str(data), str(data / "remote" / "near")]
    linked = tmp_path / "linked"
    linked.mkdir()
    os.symlink(outside, linked / "remote")
    assert data_removal.post_offices(str(linked)) == [str(linked)]


def test_folders_go_innermost_first_and_only_where_they_are_empty(tmp_path: Path) -> None:
    inner, full = tmp_path / "a" / "b", tmp_path / "full"
    inner.mkdir(parents=True)
    (full / "b").mkdir(parents=True)
    (full / "file").write_text("")
    link = tmp_path / "link"
    os.symlink(inner.parent, link)
    asked = [str(inner.parent), str(inner), str(full), str(full / "b"), str(link), str(tmp_path / "gone")]
    gone = data_removal.remove_folders(asked)
    assert gone == {str(inner.parent), str(inner), str(full / "b"), str(tmp_path / "gone")}
    assert sorted(os.listdir(tmp_path)) == ["full", "link"]


def test_the_directory_of_the_sockets_goes_but_not_one_that_a_person_named(tmp_path: Path) -> None:
    from maestro_runtime import paths

    data = str(tmp_path / "data")
    for environ, stays in (
        ({"MAESTRO_RUNTIME_DIR": str(tmp_path / "run")}, True),
        ({"XDG_RUNTIME_DIR": str(tmp_path)}, False),
    ):
        directory = paths.runtime_dir(data, environ)
        os.makedirs(directory)
        open(os.path.join(directory, paths.ROUTER_SOCKET), "w").close()
        data_removal.remove_sockets(data, environ)
        assert not os.path.exists(directory)
        assert os.path.exists(os.path.dirname(directory)) == stays
        data_removal.remove_sockets(data, environ)
