"""docs/durability.md: every test that it names exists, and every promise names one."""

from __future__ import annotations

import ast
import os
import re

import pytest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 3))
PROMISES = 8

with open(os.path.join(ROOT, "docs", "durability.md"), encoding="utf-8") as _file:
    PAGE = _file.read()
NAMED = re.findall(r"(tests/[\w/]+\.py)::(\w+)", PAGE)


def _names(path: str) -> set[str]:
    """The functions and variables at a module's top."""
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        body = ast.parse(file.read()).body
    functions = {node.name for node in body if isinstance(node, ast.FunctionDef)}
    assigned = {
        target.id for node in body if isinstance(node, ast.Assign) for target in node.targets
        if isinstance(target, ast.Name)
    }  # fmt: skip
    return functions | assigned


@pytest.mark.parametrize("path", sorted({path for path, _ in NAMED}))
def test_the_named_tests_exist(path: str) -> None:
    assert os.path.exists(os.path.join(ROOT, path)), f"{path} is not there"
    assert {name for found, name in NAMED if found == path} <= _names(path)


def test_every_promise_has_a_test() -> None:
    parts = re.split(r"^### (\d)\. ", PAGE.split("\n## Figures")[0], flags=re.MULTILINE)[1:]
    promises = dict(zip(parts[::2], parts[1::2], strict=True))
    assert list(promises) == [str(number) for number in range(1, PROMISES + 1)]
    assert [number for number, text in promises.items() if "::test_" not in text] == []


def test_its_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", PAGE)
    assert links
    assert [link for link in links if not os.path.exists(os.path.join(ROOT, "docs", link))] == []
