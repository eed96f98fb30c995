"""Gateway front: what `maestro up` does about the HTTP gateway.

Rule: the post office works without it. What keeps it from starting is said, with the next step, and is no failure
of the command.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from maestro_cli import output
from maestro_clients import gateway_process
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from maestro_cli.desk import Desk
    from maestro_clients.gateway_process import GatewayPlace

_HOST = "127.0.0.1"
_PORT = 4568


def ensure(desk: Desk, host: str | None, port: int | None) -> GatewayPlace | None:
    """The gateway of the data directory, started if need be; None where it can't be, which is told."""
    running = gateway_process.find(desk.data)
    if running is not None:
        if (host is not None or port is not None) and not _fits(running, host, port):
            output.note(f"note: the gateway (pid {running.pid}) runs already, at {running.url}, and stays there.")
            output.note("  next: `maestro down`, then this command again.")
        return running
    if not _is_installed():
        return None
    try:
        url = gateway_process.start(
            desk.data,
            desk.environ,
            host=host or _HOST,
            port=_PORT if port is None else port,
            tell=lambda warning: output.note(f"note: other machines can reach the gateway: {warning}."),
        )
    except MaestroError as error:
        output.note(f"warning: no HTTP gateway: {error.message}")
        output.note(f"  next: {error.hint}")
        return None
    found = gateway_process.find(desk.data)
    return found._replace(url=url) if found is not None else None


def accompany(desk: Desk, host: str | None, port: int | None) -> None:
    """Start a gateway that lives as long as this process, and what takes its place, does: it holds one end of a
    pipe, and this process the other."""
    if gateway_process.find(desk.data) is not None or not _is_installed():
        return
    import subprocess

    ours, theirs = os.pipe()
    os.set_inheritable(theirs, True)  # noqa: FBT003 - the standard library's signature
    os.makedirs(desk.data, mode=0o700, exist_ok=True)
    command = [sys.executable, "-m", "maestro_clients.gateway", "--data-dir", desk.data, "--life-fd", str(ours)]
    command += ["--host", host or _HOST, "--port", str(_PORT if port is None else port)]
    # Its complaints go to this terminal, like the broker's.
    subprocess.Popen(command, pass_fds=(ours,), stdin=subprocess.DEVNULL, start_new_session=True)
    os.close(ours)


def _fits(running: GatewayPlace, host: str | None, port: int | None) -> bool:
    url = running.url or ""
    return (host is None or f"//{host}:" in url or f"//[{host}]:" in url) and (
        port in (None, 0) or url.endswith(f":{port}")
    )


def _is_installed() -> bool:
    missing = gateway_process.missing_packages()
    if missing:
        output.note(f"note: no HTTP gateway: {', '.join(missing)} is not installed.")
        output.note("  next: pip install 'maestro-messaging[http]', or --no-http to leave it out.")
    return not missing
