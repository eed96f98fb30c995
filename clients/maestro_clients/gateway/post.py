"""Post: the broker, as the gateway reaches it.

Rule: one client for all requests. A broker that is away is an error at once (503), never a wait; meanwhile it is
looked for, and started where MAESTRO_AUTOSTART allows it, as any command would.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING

from maestro_clients.asynchronous import AsyncClient
from maestro_clients.broker_process import ensure, find, may_autostart
from maestro_schemas import paths
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Mapping

_log = logging.getLogger(__name__)

_TIMEOUT_S = 5.0
_LOOK_EVERY_S = 0.25


class Post:
    """The way to the broker of `data`. `client` is for every task at once."""

    def __init__(self, data: str, environ: Mapping[str, str]) -> None:
        self._data = data
        self._environ = environ
        # Where a broker of this directory will listen, should there be none now.
        router = os.path.join(paths.runtime_dir(data, environ), paths.ROUTER_SOCKET)
        found = find(data)
        self.address = found.router if found is not None else f"ipc://{router}"
        self.notices = (
            found.notices
            if found is not None
            else f"ipc://{os.path.join(os.path.dirname(router), paths.NOTICE_SOCKET)}"
        )
        self.client = AsyncClient(self.address, timeout_s=_TIMEOUT_S)
        self._search: asyncio.Task[None] | None = None
        self._retired: list[AsyncClient] = []

    def lost(self) -> None:
        """A request found nobody: look for the broker, unless somebody does already."""
        if self._search is None or self._search.done():
            self._search = asyncio.get_running_loop().create_task(self._look())

    async def aclose(self) -> None:
        """Let go of the broker."""
        if self._search is not None:
            self._search.cancel()
        for client in (*self._retired, self.client):
            await client.aclose()

    async def _look(self) -> None:
        while (found := find(self._data)) is None:
            if may_autostart(self._environ):
                try:
                    await asyncio.to_thread(ensure, self._data, self._environ, autostart=True)
                except MaestroError as error:
                    _log.warning("no broker can be started: %s", error.message)
            await asyncio.sleep(_LOOK_EVERY_S)
        if found.router != self.address:
            # What waits on the old one ends in its own time.
            self._retired.append(self.client)
            self.address, self.notices = found.router, found.notices
            self.client = AsyncClient(self.address, timeout_s=_TIMEOUT_S)
