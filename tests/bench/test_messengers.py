"""The benchmark's part about messengers, in short: that it counts every message. No figure is judged here."""

from __future__ import annotations

import math
import os

import pytest

from bench.disk_calls import NotMeasuredError, Syncs, counted
from bench.findings import Plot, Table
from bench.mailboxes import PACKAGES, missing
from bench.messengers import messengers
from bench.peers import path_of
from bench.run import Bench


def test_the_whole_part() -> None:
    """Every message of every messenger that is installed is counted; the others have a row that says why not."""
    bench = Bench(None, seconds=1.0, burst=0, messages=0)
    try:
        messengers(bench, sends=3, reads=2, pushes=2, kills=1)
    finally:
        bench.stop()
        bench.remove()
    assert not os.path.exists(bench.scratch)
    send, read, push, plot, guarantees = bench.findings.shown
    assert isinstance(send, Table)
    assert isinstance(read, Table)
    assert isinstance(push, Table)
    assert isinstance(plot, Plot)
    assert isinstance(guarantees, Table)
    everybody = {"Maestro", *PACKAGES}
    installed = everybody - set(missing())
    for table in (send, read, push, guarantees):
        assert everybody <= {str(row[0]) for row in table.rows}
        assert all(len(row) == len(table.columns) for row in table.rows)
        for name in missing():
            (cells,) = [row for row in table.rows if row[0] == name]
            assert str(cells[1]).startswith("not measured: ")
    assert _column(send, installed | {"Maestro, editable install"}) == {"3 of 3, once, in order"}
    assert _column(read, installed | {"Maestro, editable install"}) == {"2 of 2"}
    assert _column(push, installed) == {"2 of 2"}
    assert {row[4] for row in guarantees.rows if row[0] == "Maestro"} == {"1 of 1"}
    assert set(plot.lines) == installed
    assert bench.figures["messengers_whole"] == 1.0
    assert all(math.isfinite(figure) for figure in bench.figures.values())


def test_a_messenger_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every table says how to install it; Maestro is measured all the same."""
    monkeypatch.setattr("bench.mailboxes.path_of", lambda program: path_of(program) if program == "maestro" else None)
    bench = Bench(None, seconds=1.0, burst=0, messages=0)
    try:
        messengers(bench, sends=1, reads=1, pushes=1, kills=1)
    finally:
        bench.stop()
        bench.remove()
    assert not os.path.exists(bench.scratch)
    for table in bench.findings.shown:
        if isinstance(table, Table):
            cells = {str(row[0]): str(row[1]) for row in table.rows}
            assert {cells[package] for package in PACKAGES} == {"not measured: pip install -e '.[peers]'"}
            assert not cells["Maestro"].startswith("not measured")
    assert bench.figures["messengers_whole"] == 1.0


def _column(table: Table, names: set[str]) -> set[object]:
    return {row[1] for row in table.rows if row[0] in names}


def test_the_syncs_before_the_answer() -> None:
    """Of all processes; a call that failed or is under way does not count, nor does a write elsewhere."""
    trace = [
        '20 execve("/bin/send", ["send"], 0x1 /* 3 vars */) = 0',
        "10 fdatasync(4)                      = 0",
        '20 write(2, "a warning", 9)          = 9',
        '10 write(1, "not the sender", 14)    = 14',
        "20 fsync(5)                          = -1 EIO (Input/output error)",
        "10 fdatasync(4 <unfinished ...>",
        "20 fsync(5)                          = 0",
        '20 write(1, "sent\\n", 5)            = 5',
        "10 <... fdatasync resumed>)          = 0",
        "20 +++ exited with 0 +++",
    ]
    assert counted(trace) == Syncs(before=2, after=1)
    with pytest.raises(NotMeasuredError, match="said nothing"):
        counted(trace[:7])
