"""The benchmark's part about stages, in short: that it measures what it says. No figure is judged here."""

from __future__ import annotations

from bench.findings import Table
from bench.run import Bench
from bench.stages import SCENES, stages


def test_the_whole_part() -> None:
    """Every stage of a send is seen, in the loop and in the spool writer, and the parts make the whole."""
    bench = Bench(None, seconds=1.0, burst=400, messages=0)
    try:
        stages(bench)
    finally:
        bench.stop()
        bench.remove()
    loop, writer = (shown for shown in bench.findings.shown if isinstance(shown, Table))
    seen = {str(row[0]): row[1:] for row in loop.rows}
    for stage in ("decode", "decide", "journal: sync", "journal: write", "reply: send", "publish", "receive"):
        assert float(seen[stage][0] or 0) > 0, stage
    assert float(seen["publish"][1] or 0) == 0, "there are no subscribers in the second scene"
    for table in (loop, writer):
        *parts, whole = table.rows
        for place in range(1, len(SCENES) + 1):
            assert abs(sum(float(row[place] or 0) for row in parts) - float(whole[place] or 0)) < 0.01
    assert {"file: the message", "file: the sender's link", "file: the audit"} <= {str(row[0]) for row in writer.rows}
