"""Components: what a test needs of the machine beside Python.

Rule: a missing component fails the test with CI=true; elsewhere it skips the test and the report says so.
"""

from __future__ import annotations

import glob
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


def faketime_library() -> str:
    """The path of libfaketime for programs with threads; go on only where it is installed.

    The `faketime` command is not used to find it. It makes a semaphore that is named after its pid and ends with 1 if
    one exists, and a process that was killed under libfaketime leaves its own behind.
    """
    found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    if not found:
        missing("libfaketime is not installed (apt-get install faketime)")
    return found[0]
