"""Screen cast: what terminals showed, as one SVG that plays by itself.

Rule: no script, no font and no picture from elsewhere, so that a README can show it. Each row is drawn once for as
long as it stays the same. Who wants no motion sees the last moment, and who sees nothing has the description.
"""

from __future__ import annotations

import html
import itertools
from typing import NamedTuple

from .terminal_cells import DARK, Run

_CELL, _LINE, _FONT, _PAD, _BAR = 8.4, 18, 14, 12, 30
_SCHEME = DARK


class Moment(NamedTuple):
    """What is to be seen from `at_s` on: the rows of the terminal, and the clock in its title."""

    at_s: float
    clock: str
    rows: list[list[Run]]


class _Drawn(NamedTuple):
    """Moments between which an element stays: the first, and the one after the last."""

    first: int
    end: int


def shortened(times_s: list[float], total_s: float) -> list[float]:
    """The times of a cast of about this length: all waits are bounded by the same time, and what is quick stays."""
    gaps = [0.0, *(after - before for before, after in itertools.pairwise(times_s))]
    low_s, high_s = 0.05, max(gaps, default=0.0) + 0.05
    for _ in range(40):
        bound_s = (low_s + high_s) / 2
        if sum(min(gap, bound_s) for gap in gaps) > total_s:
            high_s = bound_s
        else:
            low_s = bound_s
    at_s, found = 0.0, []
    for gap in gaps:
        at_s += min(gap, low_s)
        found.append(at_s)
    return found


def svg(moments: list[Moment], *, columns: int, rows: int, title: str, description: str, end_s: float) -> str:
    """The SVG; `end_s`: when it begins again."""
    width, height = columns * _CELL + 2 * _PAD, rows * _LINE + 2 * _PAD + _BAR
    elements: dict[_Drawn, list[str]] = {}
    for row in range(rows):
        shown = [_row(moment.rows[row], row) if row < len(moment.rows) else "" for moment in moments]
        _add(elements, shown)
    clocks = [
        f'<text x="{width - _PAD:g}" y="20" class="c" text-anchor="end">{html.escape(moment.clock)}</text>'
        for moment in moments
    ]
    _add(elements, clocks)
    style, body = _animated(elements, moments, end_s)
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img" \
aria-labelledby="t d" xml:space="preserve">
<title id="t">{html.escape(title)}</title>
<desc id="d">{html.escape(description)}</desc>
<style>
text{{font:{_FONT}px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;\
fill:{_SCHEME.text};white-space:pre}}
.b{{font-weight:bold}}.d{{opacity:.65}}.i{{font-style:italic}}.c{{fill:#8b949e;font-size:12px}}
{style}@media (prefers-reduced-motion:reduce){{.a{{animation:none!important}}.z{{visibility:visible}}}}
</style>
<rect width="100%" height="100%" rx="8" fill="{_SCHEME.ground}" stroke="#30363d"/>
<text x="{_PAD}" y="20" class="c">{html.escape(title)}</text>
<path d="M0 {_BAR}H{width:g}" stroke="#30363d"/>
{body}</svg>
"""


def _add(elements: dict[_Drawn, list[str]], shown: list[str]) -> None:
    """Each text once for each time that it stays without a change."""
    first = 0
    for index in range(1, len(shown) + 1):
        if index == len(shown) or shown[index] != shown[first]:
            if shown[first]:
                elements.setdefault(_Drawn(first, index), []).append(shown[first])
            first = index


def _animated(elements: dict[_Drawn, list[str]], moments: list[Moment], end_s: float) -> tuple[str, str]:
    style = [f".a{{visibility:hidden;animation:{end_s:g}s step-end infinite}}\n"]
    body = []
    for number, (drawn, texts) in enumerate(sorted(elements.items())):
        content = "".join(texts)
        if drawn == _Drawn(0, len(moments)):
            body.append(f"<g>{content}</g>\n")
            continue
        steps = ["0%{visibility:hidden}"] if drawn.first else []
        steps.append(f"{_percent(moments[drawn.first].at_s, end_s)}{{visibility:visible}}")
        if drawn.end < len(moments):
            steps.append(f"{_percent(moments[drawn.end].at_s, end_s)}{{visibility:hidden}}")
        style.append(f"@keyframes k{number}{{{''.join(steps)}}}.k{number}{{animation-name:k{number}}}\n")
        last = " z" if drawn.end == len(moments) else ""
        body.append(f'<g class="a k{number}{last}">{content}</g>\n')
    return "".join(style), "".join(body)


def _percent(at_s: float, end_s: float) -> str:
    return f"{100 * at_s / end_s:.2f}".rstrip("0").rstrip(".") + "%"


def _row(runs: list[Run], row: int) -> str:
    top = _BAR + _PAD + row * _LINE
    found = []
    for run in runs:
        front, behind = _SCHEME.of_run(run)
        x, width = _PAD + run.column * _CELL, run.width * _CELL
        if behind is not None:
            found.append(f'<path d="M{x:g} {top}h{width:g}v{_LINE}h-{width:g}z" fill="{behind}"/>')
        text = run.text.rstrip()
        if not text:
            continue
        style = run.style
        kinds = "".join(name for name, is_on in (("b", style.bold), ("d", style.dim), ("i", style.italic)) if is_on)
        more = f' class="{" ".join(kinds)}"' if kinds else ""
        more += f' style="fill:{front}"' if front != _SCHEME.text else ""
        length = (run.width - (len(run.text) - len(text))) * _CELL
        more += f' textLength="{length:g}" lengthAdjust="spacingAndGlyphs"' if len(text) > 1 else ""
        found.append(f'<text x="{x:g}" y="{top + _FONT}"{more}>{html.escape(text, quote=False)}</text>')
    return "".join(found)
