"""Client process: one client in a process of its own, which a test can stop, kill, or give another clock.

Rule: it prints a line for each reply or message after it has received it, and ends when its work is done. Its tasks:
`send ROUTER SESSION TO PREFIX COUNT`; `send-new ROUTER SESSION TO COUNT` (the library makes the ids);
`fan-out ROUTER SESSION TO PREFIX COUNT` (TO is a list with commas; each send is repeated until it has an answer);
`queue DATA SESSION TO PREFIX COUNT`; `fill FOLDER COUNT` (empty entries); `watch DATA SESSION LEASE_MS`;
`take DATA SESSION LEASE_MS CONFIRMED HELD` (CONFIRMED messages that it confirms, then HELD that it does not).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import IO, TYPE_CHECKING, Any, Self

from maestro_clients.client import Client
from maestro_clients.mailbox.watcher import Watcher
from maestro_clients.outbox import outbox_files
from maestro_clients.protocol.callers import Caller
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import canonical_id, mark_of
from maestro_schemas.outbox_entry import OutboxEntry, file_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

# Between two tries to reach a broker that was killed.
_AGAIN_S = 0.02


def text_of(message_id: str) -> str:
    """The text that a client process sends with an id."""
    return f"the text of {message_id}"


class ClientProcess:
    """A running client process. A context manager, which kills it at the end."""

    def __init__(self, environ: Mapping[str, str], *arguments: str) -> None:
        command = [sys.executable, os.path.abspath(__file__), *arguments]
        self._process = subprocess.Popen(command, env=dict(environ), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._out.close()

    @property
    def _out(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    def lines(self) -> Iterator[list[str]]:
        """The words of each line, as it is printed, until the process ends. An incomplete last line is left out."""
        for line in self._out:
            if line.endswith(b"\n"):
                yield line.decode().split()

    def kill(self) -> None:
        """Send SIGKILL, and wait for the end. Its output can still be read."""
        self._process.kill()
        self._process.wait()

    def wait(self) -> int:
        """Wait until it ends by itself. Returns its exit code. Read its lines first."""
        return self._process.wait(60.0)


def _send(router: str, session: str, to: str, prefix: str, count: str) -> None:
    with Client(router, Caller(session), timeout_s=60.0, patient=True) as client:
        for number in range(int(count)):
            message_id = canonical_id(f"{prefix}-{number}", mark_of(session))
            result = client.send(to, text_of(message_id), message_id=message_id)
            print(message_id, result["seq"], flush=True)


def _send_new(router: str, session: str, to: str, count: str) -> None:
    with Client(router, Caller(session)) as client:
        for _ in range(int(count)):
            result = client.send(to, "a text")
            print(result["id"], result["seq"], flush=True)


def _fan_out(router: str, session: str, to: str, prefix: str, count: str) -> None:
    """Prints the id, the status, how many requests it took, and the receivers with their numbers."""
    number = requests = 0
    client = Client(router, Caller(session), timeout_s=5.0)
    while number < int(count):
        requests += 1
        outgoing = {"id": f"{prefix}-{number}", "to": to.split(","), "message": "to all", "confirm": True}
        try:
            reply: Any = client.call("send", {"messages": [outgoing]})
        except MaestroError as error:
            if not error.retryable:
                raise
            client.close()
            time.sleep(_AGAIN_S)
            client = Client(router, Caller(session), timeout_s=5.0)
            continue
        [result] = reply["results"]
        reached = [f"{each['to']}={each['seq']}" for each in result["recipients"]]
        print(result["id"], result["status"], requests, *reached, flush=True)
        number, requests = number + 1, 0
    client.close()


def _watch(data: str, session: str, lease_ms: str) -> None:
    with Watcher(data, os.environ, Caller(session), lease_ms=int(lease_ms)) as watcher:
        print("watching", flush=True)
        for message in watcher:
            print(message["id"], message["seq"], flush=True)


def _take(data: str, session: str, lease_ms: str, confirmed: str, held: str) -> None:
    with Watcher(data, os.environ, Caller(session), lease_ms=int(lease_ms)) as watcher:
        for count in (confirmed, held):
            if count is held:
                watcher.flush()
            for _ in range(int(count)):
                print(next(watcher)["id"], flush=True)
        print("holding", flush=True)
        signal.pause()


def _fill(folder: str, count: str) -> None:
    print("filling", flush=True)
    for number in range(int(count)):
        entry = OutboxEntry(number, "ann", None, {"id": f"msg_1700000000000_{number % 7}{number:08d}"})
        with open(f"{folder}.new", "wb"):
            pass
        os.rename(f"{folder}.new", os.path.join(folder, file_name(entry)))


def _queue(data: str, session: str, to: str, prefix: str, count: str) -> None:
    for number in range(int(count)):
        message_id = canonical_id(f"{prefix}-{number}", mark_of(session))
        now_ms = time.time_ns() // 1_000_000
        outbox_files.queue(
            data, Caller(session), {"id": message_id, "to": to, "message": text_of(message_id)}, now_ms
        )
        print(message_id, flush=True)


if __name__ == "__main__":
    tasks: dict[str, Callable[..., None]] = {
        "send": _send,
        "send-new": _send_new,
        "fan-out": _fan_out,
        "queue": _queue,
        "fill": _fill,
        "watch": _watch,
        "take": _take,
    }
    tasks[sys.argv[1]](*sys.argv[2:])
