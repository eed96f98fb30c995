"""Post: the broker, as the gateway reaches it.

Rule: one client for all requests. A broker that is away is an error at once (503), never a wait; meanwhile it is
looked for, and started where MAESTRO_AUTOSTART allows it, as any command would.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING

from maestro_clients.async_client import AsyncClient
from maestro_clients.processes.broker_process import ensure, find, may_autostart
from maestro_runtime import paths
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Mapping

_log = logging.getLogger(__name__)

_TIMEOUT_S = 5.0
_LOOK_EVERY_S = 0.25


class BrokerLink:
    """The way to the broker of `data`. `client`: for all tasks. `notices`: the address of its notices."""

    def __init__(self, data: str, environ: Mapping[str, str]) -> None:
        self._data = data
        self._environ = environ
        self._search: asyncio.Task[None] | None = None
        # Where a broker of this directory will listen, should there be none now.
        directory = paths.runtime_dir(data, environ)
        router, self.notices = (
            f"ipc://{os.path.join(directory, name)}" for name in (paths.ROUTER_SOCKET, paths.NOTICE_SOCKET)
        )
        self.client = AsyncClient(router, timeout_s=_TIMEOUT_S)

    def search(self) -> None:
        """A request found nobody: look for the broker, unless somebody does already."""
        if self._search is None or self._search.done():
            self._search = asyncio.get_running_loop().create_task(self._look())

    async def aclose(self) -> None:
        """Let go of the broker."""
        if self._search is not None:
            self._search.cancel()
        await self.client.aclose()

    async def _look(self) -> None:
        while (found := find(self._data)) is None:
            if may_autostart(self._environ):
                try:
                    await asyncio.to_thread(ensure, self._data, self._environ, autostart=True)
                except MaestroError as error:
                    _log.warning("no broker can be started: %s", error.message)
            await asyncio.sleep(_LOOK_EVERY_S)
        self.notices = found.notices
        if found.router != self.client.address:
            self.client.move(found.router)
