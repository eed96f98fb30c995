"""The stdio server where the system refuses it something."""

from __future__ import annotations

import _thread
import json
import os
from typing import TYPE_CHECKING

from maestro_cli import exit_codes
from maestro_cli.mcp.stdio_server import StdioServer
from maestro_clients.mcp import json_rpc

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_without_a_thread_a_call_is_refused_and_the_server_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> int:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", refused)
    source, asks = os.pipe()
    answers, sink = os.pipe()
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "sessions"}}
    # The same id again: the first call is no longer under way.
    for request in (call, call, {"jsonrpc": "2.0", "id": 2, "method": "ping"}):
        os.write(asks, json.dumps(request).encode() + b"\n")
    os.close(asks)
    assert StdioServer(str(tmp_path), source, sink).serve() == exit_codes.DONE
    os.close(sink)
    with open(answers, encoding="ascii") as file:
        first, again, ping = map(json.loads, file)
    assert first == again
    assert (first["id"], first["error"]["code"]) == (1, json_rpc.INTERNAL_ERROR)
    assert "no thread" in first["error"]["message"]
    assert ping == {"jsonrpc": "2.0", "id": 2, "result": {}}
    os.close(source)
