"""The table of docs/guide/rights.md: each row names a test that exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
ROWS = re.findall(
    r"^\| ([^|]+) \| [^|]+ \| [^|]+ \| `([^`]+)::([^`]+)` \|$",
    (ROOT / "docs/guide/rights.md").read_text("utf-8"),
    re.MULTILINE,
)


@pytest.mark.parametrize(("path", "name"), [row[1:] for row in ROWS])
def test_the_test_of_a_row_exists(path: str, name: str) -> None:
    tree = ast.parse((ROOT / "tests" / path).read_text("utf-8"))
    assert name in {each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)}


def test_each_kind_of_caller_has_rows() -> None:
    assert {row[0] for row in ROWS} == {
        "another user of the machine",
        "root",
        "the same user",
        "a key of another machine",
        "a web page",
        "a remote HTTP caller",
        "a documented REST call",
        "a worker",
        "an orchestrator",
        "the operator",
    }
