"""Gateway front: what `maestro up` does about the HTTP gateway.

Rule: the post office works without it. What keeps it from starting is said, with the next step, and is no failure
of the command. Flags come before MAESTRO_HTTP (0: none), MAESTRO_HTTP_PORT and MAESTRO_HTTP_HOST, and those before
[http] in the config file.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NamedTuple

from maestro_cli.output import streams
from maestro_clients.processes import gateway_process
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from maestro_cli.context import CommandContext
    from maestro_clients.processes.gateway_process import RunningGateway

_PORT_MAX = 65_535


class GatewayRequest(NamedTuple):
    """Where the gateway is to listen, as far as somebody said so; `named` says whether anybody did."""

    host: str
    port: int
    named: bool


def wish(context: CommandContext, *, http: bool | None, host: str | None, port: int | None) -> GatewayRequest | None:
    """From the flags, the environment and the config file; None for no gateway. Raises MaestroError BAD_SETTING."""
    from maestro_runtime import config
    from maestro_schemas import http_limits

    if http is False:
        return None
    front, origins = http_limits.front(context.environ, config.read(context.environ).section("http"))
    if http is None and not front["enabled"]:
        return None
    if port is not None and not 0 <= port <= _PORT_MAX:
        raise MaestroError(
            "BAD_SETTING",
            f"the port of the HTTP gateway can't be {port}",
            f"Give a number from 0 (any free one) to {_PORT_MAX}.",
            limit=_PORT_MAX,
        )
    named = host is not None or port is not None or {origins["host"], origins["port"]} != {"default"}
    return GatewayRequest(host or str(front["host"]), int(front["port"]) if port is None else port, named)


def ensure(context: CommandContext, wanted: GatewayRequest) -> RunningGateway | None:
    """The gateway of the data directory, started if need be; None where it can't be, which is told."""
    running = gateway_process.find(context.data)
    if running is not None:
        if wanted.named and not _fits(running, wanted):
            streams.note(f"note: the gateway (pid {running.pid}) runs already, at {running.url}, and stays there.")
            streams.note("  next: `maestro down`, then this command again.")
        return running
    try:
        url = gateway_process.start(
            context.data,
            context.environ,
            host=wanted.host,
            port=wanted.port,
            tell=lambda warning: streams.note(f"note: other machines can reach the gateway: {warning}."),
        )
    except MaestroError as error:
        streams.note(f"warning: no HTTP gateway: {error.message}")
        streams.note(f"  next: {error.hint}")
        return None
    found = gateway_process.find(context.data)
    return found._replace(url=url) if found is not None else None


def accompany(context: CommandContext, wanted: GatewayRequest) -> None:
    """Start a gateway that lives as long as this process, and what takes its place, does: it holds one end of a
    pipe, and this process the other."""
    if gateway_process.find(context.data) is not None:
        return
    import subprocess

    ours, theirs = os.pipe()
    os.set_inheritable(theirs, True)  # noqa: FBT003 - the standard library's signature
    os.makedirs(context.data, mode=0o700, exist_ok=True)
    command = [sys.executable, "-m", "maestro_gateway", "--data-dir", context.data, "--life-fd", str(ours)]
    command += ["--host", wanted.host, "--port", str(wanted.port)]
    # Its complaints go to this terminal, like the broker's.
    subprocess.Popen(command, pass_fds=(ours,), stdin=subprocess.DEVNULL, start_new_session=True)
    os.close(ours)


def _fits(running: RunningGateway, wanted: GatewayRequest) -> bool:
    url = running.url or ""
    at_host = f"//{wanted.host}:" in url or f"//[{wanted.host}]:" in url
    return at_host and (wanted.port == 0 or url.endswith(f":{wanted.port}"))
