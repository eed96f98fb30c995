"""Gateways: a real HTTP gateway process beside a test's post office.

Rule: as for brokers: ended by its pid and waited for, and nothing outlives a test.
"""

from __future__ import annotations

import http.client
import json
import os
import select
import subprocess
import sys
import urllib.parse
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self

START_S = 20.0
STOP_S = 20.0

# For `Gateway(first=...)`: a system whose kernel does not say who has connected.
WITHOUT_OWNERS = """
import builtins, socket
del socket.AF_NETLINK
_open = builtins.open
def _without_tables(name, *rest, **named):
    if str(name).startswith("/proc/net/"):
        raise FileNotFoundError(name)
    return _open(name, *rest, **named)
builtins.open = _without_tables
"""


class Answer(NamedTuple):
    """One HTTP answer; header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


class Office(Protocol):
    """Whose gateway it is: a post office or a shell."""

    data: str
    environ: dict[str, str]


class Gateway:
    """A gateway for `office`, used with `with`. `options`: more of its command line, such as `--host`. `first`:
    Python that its process runs before, to take from it what another system would not have."""

    def __init__(self, office: Office, *options: str, first: str = "") -> None:
        self._office = office
        self._options = options
        self._first = first
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process is not None
        return self._process.pid

    @property
    def ws_url(self) -> str:
        """The same place for WebSocket."""
        return self.url.replace("http://", "ws://", 1)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port, for a raw socket."""
        parts = urllib.parse.urlsplit(self.url)
        assert parts.hostname is not None
        assert parts.port is not None
        return parts.hostname, parts.port

    def start(self) -> str:
        """Start it and wait until it serves; its URL. Raises the MaestroError that it ends with."""
        ours, theirs = os.pipe()
        module = ["-m", "maestro_gateway"]
        if self._first:
            run = "import runpy\nrunpy.run_module('maestro_gateway', run_name='__main__', alter_sys=True)"
            module = ["-c", f"{self._first}\n{run}"]
        command = [sys.executable, *module, "--data-dir", self._office.data, "--port", "0"]
        command += [*self._options, "--ready-fd", str(theirs)]
        self._process = subprocess.Popen(
            command, env=self._office.environ, pass_fds=(theirs,), stdin=subprocess.DEVNULL, start_new_session=True
        )
        os.close(theirs)
        with os.fdopen(ours, "rb") as pipe:
            assert select.select([pipe], [], [], START_S)[0], "the gateway says nothing"
            word, _, rest = pipe.readline().decode().strip().partition(" ")
        if word != "ready":
            self._process.wait(STOP_S)
            raise MaestroError.from_body(json.loads(rest) if rest else None)
        self.url = rest.split()[0]
        return self.url

    def stop(self) -> int | None:
        """Stop it, if it runs; its exit status."""
        if self._process is None:
            return None
        self._process.terminate()
        return self._process.wait(STOP_S)

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_S)

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 20.0,
    ) -> Answer:
        """One request on a connection of its own. `body`: a value for JSON, or bytes to be sent as they are."""
        host, port = self.address
        connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
        try:
            return send(connection, method, path, body, headers=headers)
        finally:
            connection.close()


def send(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: Any = None,
    *,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request on an open connection."""
    raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    kind = {} if raw is None else {"Content-Type": "application/json"}
    connection.request(method, path, raw, {**kind, **(headers or {})})
    got = connection.getresponse()
    return Answer(got.status, {name.lower(): value for name, value in got.getheaders()}, got.read())
