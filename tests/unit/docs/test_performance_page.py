"""docs/performance.md is what the kept run says, and nothing else."""

from __future__ import annotations

import os

import pytest

from bench import report
from bench.findings import Plot

DOCS = os.path.abspath(os.path.join(os.path.dirname(__file__), *[os.pardir] * 3, "docs"))


def test_the_page_is_the_datas() -> None:
    found = report.read(os.path.join(DOCS, report.DATA))
    with open(os.path.join(DOCS, report.PAGE), encoding="utf-8") as file:
        assert file.read() == report.page(found), "just bench --from docs/performance/run.json"


def test_every_picture_is_there() -> None:
    found = report.read(os.path.join(DOCS, report.DATA))
    names = [shown.name for shown in found.shown if isinstance(shown, Plot)]
    assert sorted(f"{name}.svg" for name in names) == sorted(
        name for name in os.listdir(os.path.join(DOCS, "performance")) if name.endswith(".svg")
    )


@pytest.mark.parametrize("what", ["machine", "versions", "command", "seeds"])
def test_it_can_be_repeated(what: str) -> None:
    assert report.read(os.path.join(DOCS, report.DATA)).run[what]
