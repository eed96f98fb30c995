"""The file with the facts of a wake: what is torn, foreign, too long or misplaced counts as none; no reader waits."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from maestro_runtime import wake_facts
from maestro_runtime.wake_facts import BYTES_MAX, WakeFacts
from support import components

if TYPE_CHECKING:
    from pathlib import Path

FACTS = WakeFacts(
    "codex:queue",
    77,
    "boot/1/2",
    thread="01a22be6-fce2-78d2-8e80-9473d6f1ee81",
    program="/opt/codex",
    home="/home/ann/.codex",
    database="/srv/db",
    file="/run/in",
    socket="/run/tmux",
    pane="%3",
)
WHOLE: dict[str, Any] = {"by": "tmux:keys", "pid": 5, "pidStart": "boot/1/2", "socket": "/run/tmux", "pane": "%1"}


def put(data: Path, content: bytes, session: str = "bob") -> str:
    file = wake_facts.path(str(data), session)
    os.makedirs(os.path.dirname(file), exist_ok=True)
    with open(file, "wb") as opened:
        opened.write(content)
    os.chmod(file, 0o600)
    return file


def test_facts_are_read_as_they_were_written_and_are_private(tmp_path: Path) -> None:
    data = str(tmp_path)
    assert wake_facts.read(data, "bob") is None
    assert wake_facts.sessions(data) == []
    wake_facts.write(data, "bob", FACTS)
    assert wake_facts.read(data, "bob") == FACTS
    file = wake_facts.path(data, "bob")
    assert os.stat(file).st_mode & 0o777 == 0o600
    assert os.stat(os.path.dirname(file)).st_mode & 0o777 == 0o700
    shorter = WakeFacts("tmux:keys", 5, None, socket="/run/tmux", pane="%1")
    wake_facts.write(data, "bob", shorter)
    assert wake_facts.read(data, "bob") == shorter
    assert wake_facts.sessions(data) == ["bob"]
    wake_facts.remove(data, "bob")
    wake_facts.remove(data, "bob")
    assert wake_facts.read(data, "bob") is None


@pytest.mark.parametrize("before", [None, FACTS])
def test_a_write_is_undone(tmp_path: Path, before: WakeFacts | None) -> None:
    data = str(tmp_path)
    if before is not None:
        wake_facts.write(data, "bob", before)
    wake_facts.restore(data, "bob", before)
    assert wake_facts.read(data, "bob") == before
    wake_facts.write(data, "bob", WakeFacts("tmux:keys", 5, None, socket="/run/tmux", pane="%1"))
    wake_facts.restore(data, "bob", before)
    assert wake_facts.read(data, "bob") == before


@pytest.mark.parametrize("session", ["", "..", "a/b", "../bob"])
def test_a_session_that_is_no_id_has_no_file(tmp_path: Path, session: str) -> None:
    put(tmp_path, json.dumps(WHOLE).encode())
    assert wake_facts.read(str(tmp_path), session) is None
    wake_facts.remove(str(tmp_path), session)
    with pytest.raises(ValueError, match="no facts"):
        wake_facts.write(str(tmp_path), session, FACTS)
    assert wake_facts.sessions(str(tmp_path)) == ["bob"]


@pytest.mark.parametrize(
    "changed",
    [
        {"by": "telepathy"},
        {"by": None},
        {"pid": 0},
        {"pid": -1},
        {"pid": True},
        {"pid": "5"},
        {"pidStart": 5},
        {"pane": ""},
        {"pane": "%1\n"},
        {"program": "codex"},
        {"home": "./home"},
        {"file": "in"},
        {"database": ["/srv"]},
    ],
)
def test_one_wrong_fact_makes_the_file_worthless(tmp_path: Path, changed: dict[str, Any]) -> None:
    put(tmp_path, json.dumps(WHOLE).encode())
    assert wake_facts.read(str(tmp_path), "bob") is not None
    put(tmp_path, json.dumps({**WHOLE, **changed}).encode())
    assert wake_facts.read(str(tmp_path), "bob") is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 5_000,
        json.dumps(WHOLE).encode()[:-1],
        json.dumps({**WHOLE, "more": "x" * BYTES_MAX}).encode(),
    ],
)
def test_what_is_no_object_or_too_long_counts_as_none(tmp_path: Path, content: bytes) -> None:
    put(tmp_path, content)
    assert wake_facts.read(str(tmp_path), "bob") is None


def test_an_unknown_fact_of_a_later_version_is_no_fault(tmp_path: Path) -> None:
    put(tmp_path, json.dumps({**WHOLE, "later": 1}).encode())
    assert wake_facts.read(str(tmp_path), "bob") is not None


def test_facts_that_could_not_be_read_are_not_written(tmp_path: Path) -> None:
    for wrong in (FACTS._replace(program="codex"), FACTS._replace(pid=0), FACTS._replace(pane="\udcff")):
        with pytest.raises(ValueError, match="no facts"):
            wake_facts.write(str(tmp_path), "bob", wrong)
    assert wake_facts.sessions(str(tmp_path)) == []


def test_what_is_no_private_file_is_not_read_and_not_waited_for(tmp_path: Path) -> None:
    file = put(tmp_path, json.dumps(WHOLE).encode())
    os.chmod(file, 0o620)
    assert wake_facts.read(str(tmp_path), "bob") is None, "its group may change it"
    os.chmod(file, 0o644)
    assert wake_facts.read(str(tmp_path), "bob") is not None
    real = f"{file}.real"
    os.rename(file, real)
    os.symlink(real, file)
    assert wake_facts.read(str(tmp_path), "bob") is None, "a link may lead to a file of others"
    os.unlink(file)
    os.mkfifo(file, 0o600)
    assert wake_facts.read(str(tmp_path), "bob") is None
    os.unlink(file)
    os.mkdir(file)
    assert wake_facts.read(str(tmp_path), "bob") is None


def test_a_file_of_another_user_is_not_read(tmp_path: Path) -> None:
    components.require_root("making a file of another user")
    os.chown(put(tmp_path, json.dumps(WHOLE).encode()), 65_534, 65_534)
    assert wake_facts.read(str(tmp_path), "bob") is None


def test_files_that_no_one_wrote_for_a_month_are_deleted(tmp_path: Path) -> None:
    data = str(tmp_path)
    old = put(tmp_path, json.dumps(WHOLE).encode(), "old")
    os.utime(old, (5, 5))
    wake_facts.write(data, "bob", FACTS)
    assert wake_facts.sessions(data) == ["bob"]
