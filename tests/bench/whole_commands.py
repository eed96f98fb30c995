"""Whole commands: how long an agent waits for one, beside a bare interpreter.

Rule: real processes, one of each in turn, so that other load on the machine slows all of them; medians, and each
one's difference from `python3 -c pass` in the same run. The interpreter may keep its bytecode, as an installed one
does.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from maestro_clients.client import Client

ROUNDS = 30
QUICK_BAR_MS = 5.0
MAIL_BAR_MS = 10.0
HELP_BAR_MS = 200.0


def whole_commands(
    environ: Mapping[str, str], client: Callable[[str | None], Client], row: Callable[[str, str, str], None]
) -> dict[str, float]:
    """Run each command ROUNDS times; the medians in ms, by name. `row` gets each of them."""
    maestro = os.path.join(os.path.dirname(sys.executable), "maestro")
    with client(None) as operator:
        for session in ("whole_a", "whole_b", "whole_c"):
            operator.start_session(session, role="orchestrator")
    send = [maestro, "session", "send", "--to", "whole_b", "--message", "Review PR in task_456"]
    commands = {
        "bare": [sys.executable, "-c", "pass"],
        "inbox_quiet": [maestro, "inbox", "--quiet"],
        "send": send,
        "inbox_one": [maestro, "inbox"],
        "status": [maestro, "status"],
        "help": [maestro, "--help"],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    plain = {name: value for name, value in environ.items() if name not in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH")}
    for number in range(ROUNDS + 1):
        for name, command in commands.items():
            speaker = "whole_c" if name == "inbox_one" else "whole_a"
            if name == "inbox_one":
                with client("whole_a") as sender:
                    sender.send("whole_c", "one message")
            began = time.perf_counter()
            subprocess.run(
                command, env={**plain, "MAESTRO_SESSION_ID": speaker}, stdout=subprocess.DEVNULL, check=True
            )
            if number:  # the first of each writes the bytecode
                times[name].append((time.perf_counter() - began) * 1000)
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    bare = medians["bare"]
    bars = {
        "inbox_quiet": f"; bar + {QUICK_BAR_MS:g} ms",
        "send": f"; bar + {QUICK_BAR_MS:g} ms",
        "inbox_one": f"; bar + {MAIL_BAR_MS:g} ms",
        "help": f"; bar {HELP_BAR_MS:g} ms",
    }
    for name, command in commands.items():
        words = "python3 -c pass" if name == "bare" else " ".join(["maestro", *command[1:3]])
        words += " (1 message)" if name == "inbox_one" else ""
        note = f"+ {medians[name] - bare:.1f} ms, {medians[name] / bare:.2f} x bare{bars.get(name, '')}"
        row(f"whole process: {words}", f"{medians[name]:.1f} ms", "" if name == "bare" else note)
    return {f"whole_{name}_ms": median for name, median in medians.items()}
