"""Doctor findings: the results of `maestro doctor`, and of its repairs.

Rule: a finding is one line, and a finding that is not `ok` names the next step where there is one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

State = Literal["ok", "warning", "failed"]


class DoctorFinding(NamedTuple):
    """One result. The field names are also those of `maestro doctor --json`."""

    # The thing that was checked.
    name: str
    state: State
    # What was found.
    what: str
    # The next step; empty where none is needed.
    repair: str = ""


class Repair(NamedTuple):
    """One that is planned."""

    # As the finding is called.
    name: str
    # What is done, as an order: `chmod 700 /x`.
    what: str
    make: Callable[[], object]


class RepairOutcome(NamedTuple):
    """What became of one. The field names are also those of `maestro doctor --fix --json`."""

    name: str
    state: Literal["fixed", "planned", "failed"]
    what: str
    # The next step; empty where none is needed.
    repair: str = ""


def worst(findings: Iterable[DoctorFinding]) -> State:
    """The worst state of all findings; `ok` for none."""
    states = {finding.state for finding in findings}
    return "failed" if "failed" in states else "warning" if "warning" in states else "ok"
