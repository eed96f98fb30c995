"""Fixtures of the fault suite."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fault import disks
from support.post_office import scratch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.post_office import PostOffice

_SIZE_BYTES = 8 << 30


@pytest.fixture
def fault_office() -> Iterator[PostOffice]:
    """A post office on an ext4 file system in memory where there can be one, else in the scratch directory.

    A killed process loses nothing of the page cache, so what is below it does not matter to a kill; removing tens of
    thousands of files from a slow disk would take longer than the test.
    """
    if disks.lacking() is not None:
        made = scratch()
        try:
            yield made
        finally:
            made.close()
        return
    with disks.Disk(_SIZE_BYTES) as disk:
        made = scratch(f"{disk.path}/data")
        try:
            yield made
        finally:
            made.close()
