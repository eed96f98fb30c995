"""`just bench --only window`, with few messages: each row is there. No figure is judged here."""

from __future__ import annotations

import shutil

from bench.run import Bench
from bench.window import window
from support import components


def test_the_rows() -> None:
    if shutil.which("chromium") is None:
        components.missing("chromium is not installed (apt-get install chromium)")
    bench = Bench(None, 1.0, 0, 400)
    try:
        window(bench, rounds=2)
    finally:
        bench.stop()
        bench.remove()
    assert [row[0] for row in bench.rows] == [
        "page: its first 7 calls, cold / warm",
        "page: first rows, from the address",
        "page: first rows, from the answer",
        "page: one more row, the work of its frame",
        "page: `maestro send`, from acceptance to its row",
        "page: `maestro send`, from its start to its row",
        "page: a search, from the last letter to its rows",
    ]
    assert all(figure > 0 for name, figure in bench.figures.items() if name.startswith("page_"))
    assert len([name for name in bench.figures if name.startswith("page_")]) == 8
