"""Mail with an index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.indexed_mail import IndexedMail

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=[True, False], ids=["full text", "LIKE"])
def mail(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[IndexedMail]:
    """With FTS5 and without."""
    made = IndexedMail(str(tmp_path), full_text=request.param)
    yield made
    made.close()
