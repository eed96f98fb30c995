"""Report: docs/performance.md and its pictures, from one run's data.

Rule: the page contains only what `docs/performance/run.json` contains; a test renders it again and compares, so that
no figure is edited by hand. Pictures are SVG without dates, and identical for the same data.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from bench.findings import Findings, Plot, Table

if TYPE_CHECKING:
    from bench.findings import Cell

DATA = os.path.join("performance", "run.json")
PAGE = "performance.md"

_ABOUT = """\
# Performance

`just bench` made this page from one run (`docs/performance/run.json`). Do not edit it: `just bench --from
docs/performance/run.json` writes it again. Other programs shared the machine during the run, so absolute times vary:
compare the figures of measurements that ran in turns. A bar is a required figure.
"""

# The heading of each part of the run.
_HEADINGS = {
    "bars": "The bars",
    "warm": "CPU of a single send, warm",
    "machine": "The machine",
    "commands": "Whole commands",
    "throughput": "Throughput, compared with Redis and NATS JetStream",
    "sustained_beside": "Throughput, sustained",
    "latency": "Latency of one send",
    "push": "Push",
    "poll": "Polling",
    "rest": "Over HTTP",
    "burst": "A burst from four processes",
    "sustained": "A minute from four processes",
    "gateway_events": "Events over HTTP",
    "percentiles": "Percentiles, idle, loaded and during background work",
    "scale": "Cost by size",
    "messengers": "Compared with agent messengers",
    "profile": "The cost of one send, step by step",
    "fan_outs": "The cost of a message to several sessions",
    "million": "A million messages",
    "disk_use": "Space on disk",
    "sweep": "Latency during a sweep",
    "search": "Searching",
    "window": "The page",
    "log": "The log",
    "mcp": "The MCP server",
}


def keep(findings: Findings, docs: str) -> None:
    """Write only the data into the directory `docs`."""
    os.makedirs(os.path.join(docs, "performance"), exist_ok=True)
    with open(os.path.join(docs, DATA), "w", encoding="utf-8") as file:
        json.dump(findings.as_json(), file, indent=1, ensure_ascii=False)
        file.write("\n")


def write(findings: Findings, docs: str) -> None:
    """Write data, pictures and page into the directory `docs`. Raises ImportError without matplotlib."""
    keep(findings, docs)
    for shown in findings.shown:
        if isinstance(shown, Plot):
            _draw(shown, os.path.join(docs, "performance", f"{shown.name}.svg"))
    with open(os.path.join(docs, PAGE), "w", encoding="utf-8") as file:
        file.write(page(findings))


def read(path: str) -> Findings:
    """Read what `write` kept. Raises OSError, ValueError, TypeError or KeyError."""
    with open(path, encoding="utf-8") as file:
        return Findings.from_json(json.load(file))


def page(findings: Findings) -> str:
    """The page's Markdown."""
    parts = [_ABOUT]
    parts.append("\n".join(f"- **{name}**: {_text(value)}" for name, value in findings.run.items()) + "\n")
    heading = None
    for shown in findings.shown:
        if shown.part != heading:
            heading = shown.part
            parts.append(f"## {_HEADINGS.get(heading, heading)}\n")
        parts.append(f"**{shown.title}**" + (f". {shown.text}" if shown.text else "") + "\n")
        parts.append(
            _markdown(shown) if isinstance(shown, Table) else f"![{shown.title}](performance/{shown.name}.svg)\n"
        )
    return "\n".join(parts)


def _markdown(table: Table) -> str:
    lines = [table.columns, ["---"] * len(table.columns)]
    lines += [[_text(cell) for cell in row] for row in table.rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _text(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 1_000 else f"{cell:.3g}" if abs(cell) < 10 else f"{cell:.1f}"
    return " ".join(cell.replace("|", "/").split())


def _draw(plot: Plot, path: str) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "maestro"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7.5, 4.2))
    for label, points in plot.lines.items():
        axes.plot([x for x, _ in points], [y for _, y in points], marker="o", markersize=3, label=label)
    if plot.log_x:
        axes.set_xscale("log")
    if plot.log_y:
        axes.set_yscale("log")
    axes.set_xlabel(plot.x)
    axes.set_ylabel(plot.y)
    axes.set_title(plot.title, fontsize=10)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
