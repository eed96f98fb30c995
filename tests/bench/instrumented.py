"""Instrumented broker: one whose program is a script of this directory that adds clocks to the broker's.

Rule: the script takes `--out FILE` and then the broker's own arguments. A line on its standard input is an order:
`begin` forgets what was found so far, `write` writes it to the file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from maestro_clients.client import Client
from maestro_clients.processes import broker_process

if TYPE_CHECKING:
    from collections.abc import Mapping

    from maestro_clients.processes.broker_process import Endpoints

_START_S = 20.0
_END_S = 60.0


class InstrumentedBroker:
    """One process, with its data in `directory`."""

    def __init__(self, script: str, directory: str, environ: Mapping[str, str]) -> None:
        self.data = os.path.join(directory, "data")
        os.makedirs(directory)
        self._out = os.path.join(directory, "found.json")
        command = [sys.executable, script, "--out", self._out, "--data-dir", self.data]
        environ = {**environ, "MAESTRO_DATA_DIR": self.data}
        self._process = subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, text=True)
        self.endpoints = self._endpoints()
        self.operator = Client(self.endpoints.router)

    def _endpoints(self) -> Endpoints:
        until_s = time.monotonic() + _START_S
        while (found := broker_process.find(self.data)) is None:
            if self._process.poll() is not None or time.monotonic() > until_s:
                self._process.kill()
                raise RuntimeError("the broker with clocks does not start")
            time.sleep(0.02)
        return found

    def begin(self) -> None:
        """Forget what was found so far."""
        self._tell("begin")

    def found(self) -> dict[str, Any]:
        """What was found since `begin`."""
        self._tell("write")
        while not os.path.exists(self._out):
            assert self._process.poll() is None, "the broker with clocks has ended"
            time.sleep(0.01)
        with open(self._out, encoding="utf-8") as file:
            found: dict[str, Any] = json.load(file)
        os.unlink(self._out)
        return found

    def _tell(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()

    def stop(self) -> None:
        """End it in order."""
        self.operator.shutdown()
        self.operator.close()
        self._process.wait(_END_S)
        assert self._process.stdin is not None
        self._process.stdin.close()
