"""Gateways: a real gateway process before a post office.

Rule: as `post_office`: ended by its pid and waited for; its port is the kernel's choice, on loopback.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Self

from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

START_S = 20.0
STOP_S = 20.0


class Gateway:
    """`url`: where it listens, once it was started; `ws_url` for WebSocket. Use it as a context manager."""

    def __init__(self, data: str, environ: Mapping[str, str], *arguments: str) -> None:
        self._command = [sys.executable, "-m", "maestro_clients.gateway", "--data-dir", data, "--port", "0"]
        self._command += arguments
        self._environ = dict(environ)
        self._out = os.path.join(os.path.dirname(data), "gateway.out")
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
    def ws_url(self) -> str:
        """The same place for WebSocket."""
        return self.url.replace("http://", "ws://", 1)

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it listens. Raises the MaestroError that it ends with."""
        read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
        try:
            with open(self._out, "ab") as out:
                self._process = subprocess.Popen(
                    [*self._command, "--ready-fd", str(write_fd)],
                    env=self._environ,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    pass_fds=(write_fd,),
                )
            os.close(write_fd)
            word, _, rest = _read_line(read_fd).partition(" ")
        finally:
            os.close(read_fd)
        if word != "ready":
            self.stop()
            raise MaestroError.from_body(json.loads(rest or "null"))
        self.url = rest

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int | None:
        """End it and wait; its exit status, None where none ran."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.send_signal(number)
        try:
            return process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_S)
            raise

    def kill(self) -> None:
        """SIGKILL, as a crash is."""
        self.stop(signal.SIGKILL)


def _read_line(fd: int) -> str:
    give_up_s = time.monotonic() + START_S
    heard = b""
    while not heard.endswith(b"\n"):
        readable = select.select([fd], [], [], max(0.0, give_up_s - time.monotonic()))[0]
        assert readable, f"the gateway is not ready: {heard!r}"
        some = os.read(fd, 4_096)
        if not some:
            break
        heard += some
    return heard.decode().strip()
