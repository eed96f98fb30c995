"""Findings: what one run of the benchmark found, as tables and plots in the order of the run.

Rule: it holds numbers and texts and neither draws nor prints. A run is kept as JSON and can be shown again from it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Cell = str | int | float | None


@dataclass(frozen=True)
class Table:
    """One table."""

    # The name of the part of the run, as in `run.PARTS`.
    part: str
    title: str
    columns: list[str]
    # A cell for each column; None means "not measured", and `text` says why.
    rows: list[list[Cell]]
    text: str = ""
    kind: Literal["table"] = "table"

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{self.title}: {len(row)} cells for {len(self.columns)} columns")


@dataclass(frozen=True)
class Plot:
    """One picture with lines."""

    part: str
    # The name of the picture's file, without its ending.
    name: str
    title: str
    # The labels of the axes.
    x: str
    y: str
    # Points (x, y) by the label of the line.
    lines: dict[str, list[tuple[float, float]]]
    text: str = ""
    log_x: bool = False
    log_y: bool = False
    kind: Literal["plot"] = "plot"


@dataclass
class Findings:
    """All results of one run."""

    # Machine, versions, seeds, command and time.
    run: dict[str, Cell] = field(default_factory=dict)
    # Single numbers by name, for comparison with other runs.
    figures: dict[str, float] = field(default_factory=dict)
    shown: list[Table | Plot] = field(default_factory=list)

    def add(self, shown: Table | Plot) -> None:
        """Append a table or plot."""
        self.shown.append(shown)

    def as_json(self) -> dict[str, Any]:
        """The run as JSON values, for `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Findings:
        """The inverse of `as_json`. Raises TypeError or KeyError for other values."""
        kinds = {"table": Table, "plot": Plot}
        return cls(kept["run"], kept["figures"], [kinds[entry["kind"]](**entry) for entry in kept["shown"]])
