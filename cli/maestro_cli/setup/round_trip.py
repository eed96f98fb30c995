"""Round trip: a message of the operator to itself, which is taken out of its inbox again.

Rule: it goes the way of all mail, to disk and back. It is deleted, also where something failed on the way; the
timeline keeps that it came and went.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from maestro_clients.client import Client
from maestro_clients.protocol.callers import Caller
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import OPERATOR

if TYPE_CHECKING:
    from maestro_clients.processes.broker_process import Endpoints

_TEXT = "maestro setup: a message to itself."


def run(broker: Endpoints) -> float:
    """Send the message, and look for it in the inbox. Returns the milliseconds that took. Raises MaestroError."""
    began_s = time.perf_counter()
    with Client(broker.router, Caller(OPERATOR)) as client:
        sent = client.send(OPERATOR, _TEXT, metadata={"priority": "low"})
        try:
            arrived = client.message(sent["id"])
            took_ms = (time.perf_counter() - began_s) * 1000
            # Figures must not count it as mail that was never seen.
            client.confirm([sent["id"]], "read", via="cli")
        finally:
            client.delete([sent["id"]])
    if arrived["message"] != _TEXT:
        raise MaestroError("INTERNAL", "the message to itself came back with another text", "maestro doctor")
    return took_ms
