"""`maestro down`: stop the broker and wait until it is gone.

Rule: gone means that its process has ended, so that the next `maestro up` finds the data directory free.
"""

from __future__ import annotations

import os
from typing import Annotated

from cyclopts import App, Parameter

from maestro_cli import output
from maestro_cli.desk import Desk
from maestro_schemas.errors import MaestroError

down = App(
    name="down",
    help_epilogue="""\
Nothing is lost: what was accepted is on disk. With none running it says so,
exit code 0.

Examples:
  maestro down
  maestro down && maestro up --set rate_limit=600""",
)

_PATIENCE_S = 30.0
_LOOK_EVERY_S = 0.02


@down.default
def run(
    *, as_json: Annotated[bool, Parameter(name="--json", help='Print {"stopped": true, "pid": N} as JSON.')] = False
) -> int:
    """Stop the broker."""
    from maestro_clients.blocking import Client

    desk = Desk.here()
    endpoints = desk.running()
    if endpoints is None:
        output.say(output.json_line({"stopped": False}) if as_json else f"No broker runs for {desk.data}.")
        return 0
    pid = endpoints.pid
    ended = _open_process(pid)
    try:
        try:
            with Client(endpoints.router, desk.as_operator().caller, timeout_s=_PATIENCE_S) as client:
                pid = client.shutdown()
        except MaestroError:
            # An end without an answer is an end all the same.
            if desk.running() is not None:
                raise
        _wait(desk, pid, ended)
    finally:
        if ended is not None:
            os.close(ended)
    output.say(output.json_line({"stopped": True, "pid": pid}) if as_json else f"The broker (pid {pid}) has stopped.")
    return 0


def _open_process(pid: int) -> int | None:
    """A descriptor that becomes readable when the process ends; taken before it is told to, so that no other
    process can have got its number. None where the system has no such thing, or the process is gone."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def _wait(desk: Desk, pid: int, ended: int | None) -> None:
    import select
    import time

    if ended is not None:
        if select.select([ended], [], [], _PATIENCE_S)[0]:
            return
    else:
        give_up = time.monotonic() + _PATIENCE_S
        while time.monotonic() < give_up:
            if desk.running() is None:
                return
            time.sleep(_LOOK_EVERY_S)
    raise MaestroError(
        "TIMEOUT",
        f"the broker (pid {pid}) was told to stop and has not ended within {_PATIENCE_S:g} s",
        f"Its log in {desk.data} says what it is doing; `kill {pid}` asks again.",
    )
