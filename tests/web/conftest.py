"""Fixtures of the page's tests: one browser for a module, one team for a test."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from support.browser import Chromium
from support.team import SETTINGS, Team

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.gateways import Gateway
    from support.post_office import PostOffice


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    """The browser; each test opens windows of its own. It ends with the module: while it is there, playwright runs an
    event loop in this thread, and no test of asyncio can begin one of its own."""
    with Chromium() as browser:
        yield browser


@pytest.fixture
def agent_pid() -> Iterator[int]:
    """The process that the agents of a team are."""
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    yield process.pid
    assert process.stdin is not None
    process.stdin.close()
    process.wait(20)


@pytest.fixture
def team(post_office: PostOffice, agent_pid: int) -> Iterator[Team]:
    """`lead` and its workers, with a running broker, and without mail."""
    post_office.start(**SETTINGS)
    made = Team(post_office, agent_pid)
    made.gather()
    yield made
    made.close()


@pytest.fixture
def window_gateway(team: Team) -> Iterator[Gateway]:
    """An HTTP gateway in front of the team."""
    from support.gateways import Gateway

    with Gateway(team.office) as gateway:
        yield gateway
