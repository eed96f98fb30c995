"""Clients of the broker.

Rule: nothing is imported before it is used, so that a command pays only for its own part. The public names below are
imported on first access (PEP 562).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .async_client import AsyncClient
    from .client import Client
    from .mailbox.watcher import Watcher
    from .processes.broker_process import connect
    from .processes.broker_process import ensure as ensure_broker
    from .protocol.callers import Caller

__all__ = ["AsyncClient", "Caller", "Client", "Watcher", "connect", "ensure_broker"]

# Public name -> module and name.
_PUBLIC = {
    "AsyncClient": ("async_client", "AsyncClient"),
    "Caller": ("protocol.callers", "Caller"),
    "Client": ("client", "Client"),
    "Watcher": ("mailbox.watcher", "Watcher"),
    "connect": ("processes.broker_process", "connect"),
    "ensure_broker": ("processes.broker_process", "ensure"),
}


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    module, attribute = _PUBLIC[name]
    return getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
