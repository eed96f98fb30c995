"""Footprints: what is noted, once, and forgotten when it is gone."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from maestro_runtime.traces import footprints
from maestro_runtime.traces.footprints import Footprint
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_noted_is_read_back_once(tmp_path: Path) -> None:
    data = str(tmp_path / "share" / "data")
    link = Footprint("link", "/bin/a", before="")
    server = Footprint("server", "/home/ü/\udcff.json", "codex", "x", 'y"\n')
    footprints.note(data, [link, server, link])
    footprints.note(data, [server])
    above = [Footprint("folder", os.path.dirname(data)), Footprint("folder", data)]
    assert footprints.read(data) == [*above, link, server]
    assert os.stat(footprints.path_of(data)).st_mode & 0o777 == 0o600
    footprints.forget(data, [*above, link])
    assert footprints.read(data) == [server]
    footprints.forget(data, [server])
    assert os.listdir(data) == []
    footprints.forget(data, [server])


def test_a_directory_that_is_there_is_not_noted(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    os.mkdir(data)
    footprints.note(data)
    assert os.listdir(data) == []
    footprints.note_folders(data, [str(tmp_path / "a" / "b" / "file"), str(tmp_path / "a" / "c")])
    assert [one.path for one in footprints.read(data)] == [str(tmp_path / "a"), str(tmp_path / "a" / "b")]


def test_lines_that_can_t_be_read_are_left_out(tmp_path: Path) -> None:
    lines = (
        "not JSON",
        '["a list"]',
        '{"kind": "folder"}',
        '{"kind": "folder", "path": "relative"}',
        '{"kind": "other", "path": "/a"}',
        '{"kind": "link", "path": 1}',
        '{"kind": "link", "path": "/a\\u0000b"}',
        '{"kind": "link", "path": "/a\\ud800b"}',
        "[" * 100_000,
        '{"kind": "link", "path": "/a", "later": "x"}',
        '{"kind": "link", "path": "/ok"}',
    )
    (tmp_path / "installed").write_text("\n".join(lines))
    assert footprints.read(str(tmp_path)) == [Footprint("link", "/ok")]


def test_what_stands_in_its_place_is_named(tmp_path: Path) -> None:
    os.mkdir(tmp_path / "installed")
    for call in (footprints.read, footprints.note):
        with pytest.raises(MaestroError, match="can't be read") as caught:
            call(str(tmp_path))
        assert str(tmp_path / "installed") in str(caught.value)


def test_a_directory_that_others_may_write_to_gets_no_note(tmp_path: Path) -> None:
    os.chmod(tmp_path, 0o777)
    with pytest.raises(MaestroError, match="may be written to by other users"):
        footprints.note(str(tmp_path), [Footprint("link", "/a")])
    assert os.listdir(tmp_path) == []
