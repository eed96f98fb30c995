"""Every known session gets a mark of its own, the same at each run."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from maestro_broker.migration.marks import Marks, assign_marks
from maestro_schemas.names import NO_MARK, OPERATOR, SYSTEM_SENDER, mark_of
from support.format_1 import Format1

if TYPE_CHECKING:
    from pathlib import Path

# Found by trying: the sessions of each pair have one mark.
PAIRS = (("s362547", "s405241"), ("s377890", "s885390"))


def test_nearly_all_sessions_have_the_mark_without_a_salt() -> None:
    marks = Marks()
    assert marks.of("ann") == mark_of("ann")
    assert marks.salt("ann") == 0


def test_reserved_marks_are_never_given() -> None:
    """Those of the post office, of the operator, and of no session."""
    marks = Marks()
    for name in (SYSTEM_SENDER, OPERATOR):
        assert marks.of(name) == mark_of(name)
        assert marks.assign(f"{name}", 0) == 1
    assert NO_MARK in marks._taken


def test_a_session_that_is_only_a_folder_keeps_the_mark_without_a_salt(tmp_path: Path) -> None:
    """It has no file that could keep one; the session with a file gets the salt."""
    first, second = PAIRS[0]
    old = Format1(str(tmp_path / "data"))
    old.mail("x", second, "ben")
    old.session(first, "ben")
    marks = assign_marks(old.data)
    assert (marks.salt(second), marks.salt(first)) == (0, 1)
    assert marks.of(first) == mark_of(first, 1)


def test_a_salt_that_was_given_is_kept(tmp_path: Path) -> None:
    """A second run, after a kill, gives every session its mark of before."""
    old = Format1(str(tmp_path / "data"))
    old.session(*PAIRS[0], *PAIRS[1])
    before = {name: assign_marks(old.data).of(name) for pair in PAIRS for name in pair}
    # As if the other one had been first.
    path = os.path.join(old.data, "sessions", f"{PAIRS[0][0]}.json")
    old.write(f"sessions/{PAIRS[0][0]}.json", json.dumps({**old.stored(PAIRS[0][0]), "salt": 3}).encode())
    again = assign_marks(old.data)
    assert again.of(PAIRS[0][0]) == mark_of(PAIRS[0][0], 3)
    assert again.of(PAIRS[0][1]) == before[PAIRS[0][1]]
    assert len({again.of(name) for pair in PAIRS for name in pair}) == 4
    with open(path, encoding="utf-8") as file:
        assert json.load(file)["salt"] == 3


def test_files_that_hold_no_session_are_passed_over(tmp_path: Path) -> None:
    """The next start quarantines them. None of them stops the migration."""
    old = Format1(str(tmp_path / "data"))
    old.session("ann")
    old.write("sessions/torn.json", b'{"session":')
    old.write("sessions/list.json", b"[]")
    old.write("sessions/odd.json", b'{"salt":"x"}')
    old.write("sessions/.ann.json.tmp", b"")
    os.mkdir(os.path.join(old.data, "sessions", "folder.json"))
    os.mkfifo(os.path.join(old.data, "sessions", "pipe.json"))
    marks = assign_marks(old.data)
    assert marks.of("ann") == mark_of("ann")
