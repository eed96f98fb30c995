"""Bars: what is required of one run, what it showed, and what remains, from its figures alone.

Rule: a bar that the run did not measure is said to be so; it is never held by default. The names are those of the
figures in run.json, so that one look at the top of the page says which part to read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bench.findings import Findings, Table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bench.findings import Cell

PART = "bars"
# Before a part's name, among the figures: its minutes.
MINUTES = "minutes_"
_REQUIRED = "What is required, and what this run showed"
_REMAINS = "What remains to 1.0 beside Redis, with 64 singles in flight"
_MINUTES_KEY = "minutes by part"
# The figures of the part `commands`, and the command.
_EVERYDAY = {
    "send": "send",
    "reply": "reply",
    "inbox_quiet": "inbox --quiet",
    "inbox_one": "inbox",
    "read": "read",
    "receipt": "message receipt",
    "who": "who",
    "log": "log",
    "session_list": "session list",
}
# Curves of the parts `scale` and `million`, but that by the length of a text, which may well cost more.
_CURVES = (
    "stored_messages",
    "connected_sessions",
    "watchers",
    "watchers_of_one_session",
    "receivers_of_a_message",
)
_LEAST_RATIOS = {1: 0.75, 16: 0.9, 64: 0.75, 256: 0.9}
_SLOPES_OF = {
    "p50": "time (send p50)",
    "loop": "CPU of the main loop",
    "writer": "CPU of the spool writer",
    "cpu": "CPU",
}
# Stages of the table of the main loop, and what a reader calls them.
_STAGES = {
    "receive": "receive and cut the frames",
    "decode": "decode the request",
    "decide": "decide",
    "journal: encode": "encode the record",
    "journal: pack, CRC": "pack the record, CRC",
    "journal: write": "write the record",
    "journal: sync": "sync (one a commit, of what arrived together)",
    "reply: encode": "encode the reply",
    "reply: frames": "frame the reply",
    "reply: send": "send the reply",
    "count": "count",
    "hand over to the spool writer": "hand over to the filer, and forget what it filed",
    "the loop itself": "the loop itself",
}


class Bar(NamedTuple):
    """One requirement. `found` is None where the run has not measured it."""

    what: str
    found: float | None
    bar: float
    # Whether the bar is the least, else it is the most.
    is_least: bool = False
    unit: str = ""

    def row(self) -> list[Cell]:
        """For the table."""
        edge = f"at {'least' if self.is_least else 'most'} {self.bar:,g} {self.unit}".rstrip()
        if self.found is None:
            return [self.what, None, edge, "not measured"]
        held = self.found >= self.bar if self.is_least else self.found <= self.bar
        return [self.what, f"{_number(self.found)} {self.unit}".rstrip(), edge, "held" if held else "**not held**"]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def measured(findings: Findings) -> set[str]:
    """The parts of a run that are whole."""
    timed = {name.removeprefix(MINUTES) for name in findings.figures if name.startswith(MINUTES)}
    return timed or {shown.part for shown in findings.shown}


def add(findings: Findings) -> None:
    """Put the tables of the bars before all others, in place of those that were there."""
    rest = [shown for shown in findings.shown if shown.part != PART]
    rows = [bar.row() for bar in bars(findings.figures)]
    required = Table(PART, _REQUIRED, ["what", "found", "bar", "held"], rows)
    findings.shown[:] = [required, *_remains(findings), *rest]
    minutes = {name.removeprefix(MINUTES): value for name, value in findings.figures.items() if MINUTES in name}
    listed = ", ".join(f"{name} {value:.1f}" for name, value in minutes.items())
    findings.run[_MINUTES_KEY] = f"{listed}; in all {sum(minutes.values()):.0f}"


def bars(figures: Mapping[str, float]) -> Iterator[Bar]:
    """All of them, in the order of the page."""
    get = figures.get
    yield Bar("the main loop's warm CPU a message, 64 singles in flight", get("warm_loop_64_us"), 10.5, unit="us")
    limited = "the same, with the default rate limit and loop guard"
    yield Bar(limited, get("warm_loop_limited_64_us"), 10.5, unit="us")
    yield Bar("the client's warm CPU a message, 64 singles in flight", get("warm_client_64_us"), 9.0, unit="us")
    for depth, least in _LEAST_RATIOS.items():
        what = f"singles on one connection / Redis, {depth} in flight"
        yield Bar(what, _beside(figures, "singles", "redis", depth), least, is_least=True)
    several = _ratio(get("several_maestro_per_s"), get("several_redis_per_s"))
    yield Bar("4 processes x 16 singles / Redis", several, 0.75, is_least=True)
    spun = _ratio(get("spinning_1_per_s"), get("spinning_redis_1_per_s"))
    yield Bar("singles with a client that spins / Redis, 1 in flight", spun, 1.0, is_least=True)
    for mode in ("tasks", "batches"):
        for depth in _LEAST_RATIOS:
            what = f"{'asyncio tasks' if mode == 'tasks' else mode} / Redis, {depth} in flight"
            yield Bar(what, _beside(figures, mode, "redis", depth), 1.0, is_least=True)
    yield Bar("p99 of all sends at half the peak, open loop", get("half_send_p99_ms"), 20.0, unit="ms")
    for depth in (16, 64, 256):
        ratio = _ratio(get(f"sustained_maestro_{depth}_per_s"), get(f"sustained_nats_{depth}_per_s"))
        yield Bar(f"sustained with filing / NATS, {depth} in flight", ratio, 2.0, is_least=True)
    filer = [figures[name] for depth in (16, 64, 256) if (name := f"sustained_filer_{depth}_us") in figures]
    yield Bar("the spool writer's CPU a message, sustained", max(filer, default=None), 45.0, unit="us")
    yield from _commands(figures)
    for curve in _CURVES:
        for measure, of in _SLOPES_OF.items():
            found = get(f"scale_{curve}_{measure}_slope")
            yield Bar(f"slope of a delivery's {of} by {curve.replace('_', ' ')}", found, 0.1)
    resident = get("million_accepting_resident_max_mb")
    yield Bar("resident memory while a million is accepted", resident, 300.0, unit="MB")
    yield Bar("a full sweep of a million, run to its end (1 is yes)", get("million_sweep_whole"), 1.0, is_least=True)
    added = get("million_sweep_added_worst_ms", get("sweep_added_worst_ms"))
    yield Bar("what a sweep adds to the worst send", added, 20.0, unit="ms")
    yield from _web(figures)


def _commands(figures: Mapping[str, float]) -> Iterator[Bar]:
    get = figures.get
    bare = get("whole_bare_ms")
    for name, words in _EVERYDAY.items():
        found = get(f"whole_{name}_ms")
        above = None if found is None or bare is None else found - bare
        yield Bar(f"`{words}`, above bare Python", above, 15.0, unit="ms")
    yield Bar("`--help`", get("whole_help_ms"), 120.0, unit="ms")
    hook = _ratio(get("whole_hook_ms"), get("whole_shell_ms"))
    yield Bar("the hook without mail / `sh -c :`", hook, 2.0)
    hcom = get("messengers_send_hcom_p50_ms")
    ours = _ratio(get("messengers_send_maestro_p50_ms"), hcom)
    yield Bar("`send` as a wheel installs it, whole process / hcom's", ours, 2.0)
    floor = _ratio(get("messengers_send_python3_c_pass_p50_ms"), hcom)
    yield Bar("its floor: `python3 -c pass` there / hcom's send", floor, 2.0)


def _web(figures: Mapping[str, float]) -> Iterator[Bar]:
    get = figures.get
    yield Bar("WebSockets that got all events once and in order, of 200", get("ws_crowd_whole"), 200.0, is_least=True)
    yield Bar("the gateway's CPU a frame / a bare server's", get("ws_crowd_cpu_ratio"), 2.0)
    yield Bar("until the last of 200 has the last of 1,000 / a bare server", get("ws_crowd_time_ratio"), 2.0)
    yield Bar("first page with 100,000 stored, its calls, cold", get("page_calls_cold_ms"), 300.0, unit="ms")
    yield Bar("the same, warm", get("page_calls_warm_ms"), 300.0, unit="ms")
    drawn = get("page_first_rows_from_the_address_ms")
    yield Bar("until its rows are drawn in Chromium, warm", drawn, 300.0, unit="ms")
    yield Bar("index, built over 100,000 messages / bare FTS5", get("index_build_ratio"), 3.0)
    yield Bar("index, CPU a message / bare FTS5", get("index_cpu_ratio"), 3.0)
    yield Bar("a search of a word, warm, p50", get("search_a_rare_word_ms"), 50.0, unit="ms")
    yield Bar("a search of a common word, warm, p99", get("search_a_common_word_p99_ms"), 50.0, unit="ms")


def _ratio(one: float | None, other: float | None) -> float | None:
    return None if one is None or not other else one / other


def _beside(figures: Mapping[str, float], mode: str, peer: str, depth: int) -> float | None:
    return _ratio(figures.get(f"{mode}_maestro_{depth}_per_s"), figures.get(f"{mode}_{peer}_{depth}_per_s"))


def _remains(findings: Findings) -> Iterator[Table]:
    """Where the time of a single send goes, beside Redis's whole time for it."""
    figures = findings.figures
    ours, theirs = figures.get("singles_maestro_64_per_s"), figures.get("singles_redis_64_per_s")
    profile = next((shown for shown in findings.shown if shown.part == "profile" and isinstance(shown, Table)), None)
    if not ours or not theirs or profile is None:
        return
    column = next((at for at, name in enumerate(profile.columns) if name.startswith("64 in flight")), None)
    if column is None:
        return
    stages = {str(row[0]): float(row[column] or 0.0) for row in profile.rows}
    whole = stages.pop("in all", 0.0)
    rows: list[list[Cell]] = [[words, stages.pop(name)] for name, words in _STAGES.items() if name in stages]
    rows.sort(key=lambda row: -float(row[1] or 0.0))
    rows += [["the rest", sum(stages.values())], ["the main loop, in all, with the clocks of this table", whole]]
    rows += [[f"the client, warm CPU{_beside_it(figures)}", figures.get("warm_client_64_us")]]
    rows += [
        ["Maestro, measured from outside", 1e6 / ours],
        ["Redis, measured from outside", 1e6 / theirs],
        ["what remains to 1.0", max(0.0, 1e6 / ours - 1e6 / theirs)],
    ]
    text = (
        "Of each message, in the order of their size. The main loop and the client work at the same time, on two "
        "CPUs: the slower of the two sets the rate."
    )
    yield Table(PART, _REMAINS, ["stage", "us a message"], rows, text)


def _beside_it(figures: Mapping[str, float]) -> str:
    loop = figures.get("warm_loop_64_us")
    return "" if loop is None else f" (the main loop's, warm: {loop:.1f} us)"
