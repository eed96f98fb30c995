"""MCP: what the server of an agent costs when it starts, beside a bare interpreter, and what its tools cost a model.

Rule: real processes, one of each in turn, so that other load on the machine slows both; medians. The server's memory
is what the kernel says after its first answer.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from maestro_clients.mcp import json_rpc, tool_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.run import Bench

ROUNDS = 30
START_BAR_MS = 60.0
MEMORY_BAR_BYTES = 15 << 20
# English and JSON have about four bytes a token.
BYTES_A_TOKEN = 4
TOKENS_BAR = 900
_HELLO = {
    "protocolVersion": json_rpc.VERSIONS[0],
    "capabilities": {},
    "clientInfo": {"name": "bench", "version": "1"},
}


def mcp(bench: Bench) -> None:
    """The part."""
    found = started(bench.environ)
    bench.figures |= found
    bare, start = found["mcp_bare_ms"], found["mcp_start_ms"]
    note = f"+ {start - bare:.1f} ms; bar + {START_BAR_MS:g} ms"
    bench.row("maestro mcp, from its start to `initialize` answered, p50", f"{start:.1f} ms", note)
    memory = found["mcp_resident_bytes"] / (1 << 20)
    bare_memory = found["mcp_bare_resident_bytes"] / (1 << 20)
    bench.row("its resident memory then", f"{memory:.1f} MiB", f"bare: {bare_memory:.1f} MiB; bar 15 MiB")
    tools, instructions = costs()
    bench.figures["mcp_tokens"] = (tools + instructions) / BYTES_A_TOKEN
    note = f"({tools:,} bytes of tools/list + {instructions} of instructions) / {BYTES_A_TOKEN}; bar {TOKENS_BAR}"
    bench.row("its five tools in a model's context", f"{bench.figures['mcp_tokens']:.0f} tokens", note)


def costs() -> tuple[int, int]:
    """The bytes of the list of tools, and those of the instructions."""
    listed = json.dumps({"tools": tool_table.listed()}, separators=(",", ":"))
    return len(listed.encode()), len(json_rpc.INSTRUCTIONS.encode())


def started(environ: Mapping[str, str], rounds: int = ROUNDS) -> dict[str, float]:
    """Start each ROUNDS times; the medians."""
    maestro = os.path.join(os.path.dirname(sys.executable), "maestro")
    # It answers one line as well, so that both times end with the first answer.
    line = "import sys; sys.stdin.readline(); print('answer', flush=True); sys.stdin.readline()"
    commands = {"bare": [sys.executable, "-c", line], "server": [maestro, "mcp"]}
    plain = {name: value for name, value in environ.items() if name not in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH")}
    times: dict[str, list[float]] = {name: [] for name in commands}
    memory: dict[str, list[float]] = {name: [] for name in commands}
    asked = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": _HELLO}).encode() + b"\n"
    for number in range(rounds + 1):
        for name, command in commands.items():
            began = time.perf_counter()
            with subprocess.Popen(command, env=plain, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write(asked)
                process.stdin.flush()
                answer = process.stdout.readline()
                took_ms = (time.perf_counter() - began) * 1000
                if name == "server" and b'"serverInfo"' not in answer:
                    raise RuntimeError(f"the server answered {answer!r}")
                if number:  # the first of each writes the bytecode
                    times[name].append(took_ms)
                    memory[name].append(_resident_bytes(process.pid))
                process.stdin.close()
                process.wait(20)
    return {
        "mcp_bare_ms": statistics.median(times["bare"]),
        "mcp_start_ms": statistics.median(times["server"]),
        "mcp_bare_resident_bytes": statistics.median(memory["bare"]),
        "mcp_resident_bytes": statistics.median(memory["server"]),
    }


def _resident_bytes(pid: int) -> int:
    """All of it, with the files that it maps (proc(5))."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
