"""Fixtures of the agents' tests."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def shell_environ() -> dict[str, str]:
    """The shipped settings, so that the agents run under the limits that users have."""
    return {}
