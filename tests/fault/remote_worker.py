"""Remote worker: a process that does a worker's job on another machine: `send` or `watch` COUNT messages.

Rule: it prints each id after the broker has accepted or delivered the message, and waits up to 100 s for the broker.
"""

from __future__ import annotations

import os
import sys

from maestro_clients.client import Client
from maestro_clients.mailbox.watcher import Watcher
from maestro_clients.processes.broker_process import ensure
from maestro_clients.protocol.callers import Caller
from maestro_runtime import paths
from maestro_schemas.names import canonical_id, mark_of

_IN_FLIGHT = 8
_PATIENCE_S = 100.0


def main(task: str, count: int) -> None:
    data, caller = paths.data_dir(os.environ), Caller.from_environ(os.environ)
    if task == "watch":
        with Watcher(data, os.environ, caller, on_state=lambda state: print(state, file=sys.stderr)) as watcher:
            for _ in range(count):
                message = watcher.next_message(_PATIENCE_S)
                assert message is not None
                print(message["message"], flush=True)
        return
    router = ensure(data, os.environ, autostart=False).router
    with Client(router, caller, timeout_s=_PATIENCE_S, patient=True) as client:
        ids = [canonical_id(f"far_{number}", mark_of("bob")) for number in range(count)]
        outgoing = [{"id": each, "to": "ann", "message": each} for each in ids]
        for result in client.pipeline(outgoing, in_flight=_IN_FLIGHT):  # type: ignore[arg-type] # plain dicts
            assert "error" not in result, result
            print(result["id"], flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
