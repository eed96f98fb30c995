"""Doctor findings: the results of `maestro doctor`.

Rule: a finding is one line, and a finding that is not `ok` names the next step where there is one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

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


def worst(findings: Iterable[DoctorFinding]) -> State:
    """The worst state of all findings; `ok` for none."""
    states = {finding.state for finding in findings}
    return "failed" if "failed" in states else "warning" if "warning" in states else "ok"
