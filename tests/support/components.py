"""Components: what a test needs of the machine beside Python.

Rule: a missing component fails the test with CI=true; elsewhere it skips the test and the report says so.
"""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """End the test, because `what` is missing."""
    if os.environ.get("CI"):
        pytest.fail(f"{what}, and CI has to run this test")
    pytest.skip(f"NOT tested here: {what}")


def require_tools(*tools: str) -> None:
    """Go on only where each of these programs is installed."""
    absent = [tool for tool in tools if shutil.which(tool) is None]
    if absent:
        missing(f"{', '.join(absent)} is not installed")


def require_root(reason: str) -> None:
    """Go on only as root; `reason` says what takes it."""
    if os.geteuid() != 0:
        missing(f"{reason} takes root")
