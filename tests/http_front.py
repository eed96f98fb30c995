"""HTTP front: a real gateway process before a scratch post office.

Rule: as `post_office`: what was started is ended by its pid and waited for.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Self

import httpx

if TYPE_CHECKING:
    from types import TracebackType

    from post_office import PostOffice

START_S = 20.0
STOP_S = 20.0


class HttpFront:
    """`url`: where it listens. `client`: asks it, under no session."""

    def __init__(self, office: PostOffice) -> None:
        self._office = office
        ready_fd, told_fd = os.pipe2(os.O_CLOEXEC)
        life_fd, self._life_fd = os.pipe2(os.O_CLOEXEC)
        command = [sys.executable, "-m", "maestro_clients.gateway", "--data-dir", office.data, "--port", "0"]
        command += ["--ready-fd", str(told_fd), "--life-fd", str(life_fd)]
        with open(os.path.join(office.root, "gateway.out"), "ab") as out:
            self._process = subprocess.Popen(
                command,
                env={**office.environ, "MAESTRO_AUTOSTART": "0"},
                cwd=office.root,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                pass_fds=(told_fd, life_fd),
            )
        os.close(told_fd)
        os.close(life_fd)
        self.url = self._await_ready(ready_fd)
        self.client = httpx.Client(base_url=self.url, timeout=20.0, trust_env=False)

    def _await_ready(self, ready_fd: int) -> str:
        give_up_s = time.monotonic() + START_S
        heard = b""
        try:
            while not heard.endswith(b"\n"):
                left_s = max(0.0, give_up_s - time.monotonic())
                assert select.select([ready_fd], [], [], left_s)[0], f"the gateway is not ready: {heard!r}"
                some = os.read(ready_fd, 4_096)
                assert some, f"the gateway ended: {heard!r}"
                heard += some
        finally:
            os.close(ready_fd)
        word, _, url = heard.decode().strip().partition(" ")
        assert word == "ready", heard
        return url

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def output(self) -> str:
        """What it has written to its standard output and error."""
        with open(os.path.join(self._office.root, "gateway.out"), encoding="utf-8") as file:
            return file.read()

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        session: str | None = None,
        token: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """One request; `body` as JSON where there is one."""
        sent = dict(headers or {})
        if session is not None:
            sent["X-Session-ID"] = session
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        content = None
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
            content = json.dumps(body).encode()
        return self.client.request(method, path, content=content, headers=sent)

    def close(self) -> None:
        """End it, and wait for that."""
        self.client.close()
        os.close(self._life_fd)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_S)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
