"""Rebuild: the search index is made again, and how far that is.

Rule: the broker's process makes it; this command only asks, and waits. An interrupt ends the wait, and nothing else.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from maestro_cli.output.progress import progress

if TYPE_CHECKING:
    from maestro_clients.one_shot_client import AnyClient
    from maestro_schemas.documents import IndexStateDoc

_LOOK_EVERY_S = 0.2


def run(client: AnyClient) -> IndexStateDoc:
    """Have the index made again, and wait until it is whole; its state then. Raises MaestroError."""
    state = client.rebuild_index()["index"]
    with progress("index, per cent") as show:
        while "rebuilding" in state or state["upTo"] < state["head"]:
            show("", round(100 * state.get("rebuilding", 1.0)), 100)
            time.sleep(_LOOK_EVERY_S)
            # A search reads on before it answers, so that its word on the index is the newest.
            state = client.search("", limit=1)["index"]
    return state
