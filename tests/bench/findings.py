"""Findings: what one run of the benchmark found, as tables and plots in the order of the run.

Rule: numbers and their words, nothing that draws or prints; a run can be kept as JSON and shown again from it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Cell = str | int | float | None


@dataclass(frozen=True)
class Table:
    """`rows` have a cell for each of `columns`; None is "not measured", and `text` says why."""

    part: str
    title: str
    columns: list[str]
    rows: list[list[Cell]]
    text: str = ""
    kind: Literal["table"] = "table"

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{self.title}: {len(row)} cells for {len(self.columns)} columns")


@dataclass(frozen=True)
class Plot:
    """`lines`: by their label, points (x, y). `name`: of the picture's file, without its ending."""

    part: str
    name: str
    title: str
    x: str
    y: str
    lines: dict[str, list[tuple[float, float]]]
    text: str = ""
    log_x: bool = False
    log_y: bool = False
    kind: Literal["plot"] = "plot"


@dataclass
class Findings:
    """`run`: machine, versions, seeds, the command, when. `figures`: single numbers by name, for comparison."""

    run: dict[str, Cell] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=dict)
    shown: list[Table | Plot] = field(default_factory=list)

    def add(self, shown: Table | Plot) -> None:
        """The next table or plot."""
        self.shown.append(shown)

    def as_json(self) -> dict[str, Any]:
        """What `from_json` takes."""
        return asdict(self)

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Findings:
        """The inverse of `as_json`. Raises TypeError or KeyError for what is none."""
        kinds = {"table": Table, "plot": Plot}
        return cls(kept["run"], kept["figures"], [kinds[entry["kind"]](**entry) for entry in kept["shown"]])
