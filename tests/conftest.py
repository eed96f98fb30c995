"""Fixtures for every test.

Rule: a fixture ends what it began, within bounds, whatever the test did.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.gateways import Gateway
from support.post_office import scratch

# Its scenes assert, and a failure has to say what was there instead.
pytest.register_assert_rewrite("agents")

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.post_office import PostOffice


@pytest.fixture
def post_office() -> Iterator[PostOffice]:
    """A scratch post office without a rate limit; no broker runs until the test starts one."""
    made = scratch()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def open_office(post_office: PostOffice) -> PostOffice:
    """The same with a running broker and the sessions `ann` and `bob`."""
    post_office.start()
    post_office.sessions("ann", "bob")
    return post_office


@pytest.fixture
def gateway(open_office: PostOffice) -> Iterator[Gateway]:
    """An HTTP gateway before `open_office`."""
    with Gateway(open_office) as made:
        yield made
