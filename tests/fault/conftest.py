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
    """A post office on an ext4 file system in memory if possible, else in the scratch directory.

    A killed process loses nothing of the page cache, so the medium below it does not matter to a kill. Removing tens
    of thousands of files from a slow disk would take longer than the test.
    """
    if disks.missing_for_a_disk() is not None:
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
