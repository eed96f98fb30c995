"""Broker link: the gateway's connection to the broker.

Rule: one client for all requests. While the broker is away, a request is an error at once (503) and never waits. The
link meanwhile looks for the broker, and starts it where MAESTRO_AUTOSTART allows that, as any command would.
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

    from maestro_clients.processes.broker_process import Endpoints

_log = logging.getLogger(__name__)

_TIMEOUT_S = 5.0
# A request meets a broker that restarts, or that is busy for a moment, without an error for its caller. Not longer: a
# caller learns at once that no broker is there, and repeats by itself (503 with Retry-After).
_RETRY_WITHIN_S = 0.25
_LOOK_EVERY_S = 0.25


class BrokerLink:
    """The connection to the broker of one data directory."""

    def __init__(self, data: str, environ: Mapping[str, str]) -> None:
        self._data = data
        self._environ = environ
        self._search: asyncio.Task[None] | None = None
        # The addresses at which a broker of this directory will listen, if none runs now.
        directory = paths.runtime_dir(data, environ)
        router, self.notices = (
            f"ipc://{os.path.join(directory, name)}" for name in (paths.ROUTER_SOCKET, paths.NOTICE_SOCKET)
        )
        # For all tasks.
        self.client = AsyncClient(router, timeout_s=_TIMEOUT_S, retry_within_s=_RETRY_WITHIN_S)

    def search(self) -> None:
        """Look for the broker, because a request did not reach it. A search that runs already goes on."""
        if self._search is None or self._search.done():
            self._search = asyncio.get_running_loop().create_task(self._find_broker())

    def search_after(self, error: MaestroError) -> None:
        """Search if the error says that the broker was not reached, or that another user's process was."""
        if error.kind == "unreachable" or error.code == "NOT_PRIVATE":
            self.search()

    async def aclose(self) -> None:
        """Close the connection."""
        if self._search is not None:
            self._search.cancel()
        await self.client.aclose()

    async def _find_broker(self) -> None:
        while (found := self._running()) is None:
            if may_autostart(self._environ):
                try:
                    await asyncio.to_thread(ensure, self._data, self._environ, autostart=True)
                except MaestroError as error:
                    _log.warning("no broker can be started: %s", error.message)
            await asyncio.sleep(_LOOK_EVERY_S)
        self.notices = found.notices
        if found.router != self.client.address:
            self.client.move(found.router)

    def _running(self) -> Endpoints | None:
        try:
            return find(self._data)
        except MaestroError as error:
            # Another user's process is at the socket: a broker of this user may be started elsewhere.
            _log.warning("no broker of this user listens: %s", error.message)
            return None
