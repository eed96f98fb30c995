"""The state of the search index in words."""

from __future__ import annotations

from typing import Any

import pytest

from maestro_cli.commands.index import status

WHOLE = {"bytes": 189_336, "running": True, "starts": 1, "upTo": 9, "messages": 4, "fullText": True, "head": 9}


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (WHOLE, ["The index has all mail: 4 messages, 184.9 KiB."]),
        (
            {**WHOLE, "head": 10},
            [
                "The index has all but the newest record, which the next search reads: 4 messages, 184.9 KiB.",
            ],
        ),
        (
            {**WHOLE, "head": 19, "rebuilding": 0.42},
            [
                "The index has all but the newest 10 records, which the next search reads: 4 messages, 184.9 KiB.",
                "It is being made again: 42% are done.",
            ],
        ),
        (
            {"bytes": 2_048, "running": False, "starts": 1, "fullText": False},
            [
                "The index is there, 2 KiB; its process runs again with the next search.",
                "It is without full text, since SQLite has no FTS5 here: searches for words take longer.",
            ],
        ),
        ({"bytes": 0, "running": False, "starts": 0}, ["There is no index yet; the first search makes it."]),
    ],
)
def test_lines(state: dict[str, Any], said: list[str]) -> None:
    assert status.lines(state) == said
