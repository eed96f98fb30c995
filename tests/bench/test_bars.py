"""The bars: what is held, what is not, and what was not measured is said."""

from __future__ import annotations

from bench import bars, report
from bench.findings import Findings, Table

HELD = {
    "warm_loop_64_us": 10.4,
    "warm_client_64_us": 9.5,
    "singles_maestro_64_per_s": 76_000.0,
    "singles_redis_64_per_s": 100_000.0,
    "several_maestro_per_s": 74.0,
    "several_redis_per_s": 100.0,
    "half_send_p99_ms": 20.0,
    "whole_bare_ms": 10.0,
    "whole_send_ms": 24.0,
    "whole_inbox_one_ms": 25.5,
    "scale_watchers_cpu_slope": 0.11,
    "minutes_warm": 1.25,
    "minutes_throughput": 3.0,
}
PROFILE = Table(
    "profile",
    "the main loop",
    ["stage", "1 in flight", "64 in flight, one a request"],
    [["decide", 9.0, 4.0], ["journal: sync", 100.0, 5.0], ["an unknown stage", 1.0, 1.5], ["in all", 110.0, 10.5]],
)


def test_a_bar_is_held_missed_or_not_measured() -> None:
    rows = {str(bar.what): bar.row()[3] for bar in bars.bars(HELD)}
    assert rows["the main loop's warm CPU a message, 64 singles in flight"] == "held"
    assert rows["the client's warm CPU a message, 64 singles in flight"] == "**not held**"
    assert rows["singles on one connection / Redis, 64 in flight"] == "held"
    assert rows["4 processes x 16 singles / Redis"] == "**not held**"
    assert rows["p99 of all sends at half the peak, open loop"] == "held"
    assert rows["`send`, above bare Python"] == "held"
    assert rows["`inbox`, above bare Python"] == "**not held**"
    assert rows["slope of a delivery's CPU by watchers"] == "**not held**"
    assert rows["`--help`"] == "not measured"


def test_the_page_begins_with_them_once() -> None:
    """Adding the tables again, as after each part, replaces them."""
    findings = Findings({"command": "x"}, dict(HELD), [PROFILE])
    bars.add(findings)
    bars.add(findings)
    page = report.page(findings)
    assert page.count("**What is required, and what this run showed**") == 1
    assert page.index("What is required") < page.index("the main loop**")
    assert "- **minutes by part**: warm 1.2, throughput 3.0; in all 4" in page
    remains = findings.shown[1]
    assert isinstance(remains, Table)
    # The stages by size, then the unknown ones, then what was measured from outside.
    assert [row[0] for row in remains.rows][:3] == [
        "sync (one a commit, of what arrived together)",
        "decide",
        "the rest",
    ]
    assert [row[1] for row in remains.rows][:3] == [5.0, 4.0, 1.5]
    assert remains.rows[-1][0] == "what remains to 1.0"
    assert round(float(remains.rows[-1][1] or 0.0), 2) == 3.16


def test_a_run_goes_on_after_its_whole_parts() -> None:
    assert bars.measured(Findings({}, dict(HELD), [PROFILE])) == {"warm", "throughput"}
    assert bars.measured(Findings({}, {}, [PROFILE])) == {"profile"}
