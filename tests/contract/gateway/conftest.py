"""Fixtures of the gateway's contract tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.gateways import Gateway
from support.post_office import scratch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.post_office import PostOffice


@pytest.fixture(scope="module")
def office() -> Iterator[PostOffice]:
    """A running broker with the sessions `ann` and `bob`, shared by the tests of a module."""
    made = scratch()
    try:
        made.start()
        made.sessions("ann", "bob")
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def standing(office: PostOffice) -> Iterator[Gateway]:
    """A gateway in front of `office`, for the tests of a module that leave nothing behind."""
    with Gateway(office) as gateway:
        yield gateway


@pytest.fixture
def alone(open_office: PostOffice) -> Iterator[Gateway]:
    """A gateway in front of `open_office` that starts no broker, because the test itself stops and starts it."""
    open_office.environ["MAESTRO_AUTOSTART"] = "0"
    with Gateway(open_office) as made:
        yield made
