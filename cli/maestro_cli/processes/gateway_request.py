"""Gateway request: whether and where `maestro up` starts the HTTP gateway, and how it starts it.

Rule: the post office works without the gateway. If the gateway can't start, the command prints the reason and the
next step, and still succeeds. Flags override MAESTRO_HTTP (0: no gateway), MAESTRO_HTTP_PORT and MAESTRO_HTTP_HOST,
and these override [http] in the config file.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NamedTuple

from maestro_cli.output import streams
from maestro_clients.processes import gateway_process
from maestro_runtime import places
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from maestro_cli.context import CommandContext
    from maestro_clients.processes.gateway_process import RunningGateway

_PORT_MAX = 65_535


class GatewayRequest(NamedTuple):
    """Where the gateway should listen."""

    host: str
    # 0 for any free port.
    port: int
    # Whether a flag, a variable or the config file sets the host or the port.
    is_explicit: bool


def resolve(
    context: CommandContext, *, http: bool | None, host: str | None, port: int | None
) -> GatewayRequest | None:
    """Combine the flags, the environment and the config file; None for no gateway. Raises MaestroError
    BAD_SETTING."""
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
    is_explicit = host is not None or port is not None or {origins["host"], origins["port"]} != {"default"}
    return GatewayRequest(host or str(front["host"]), int(front["port"]) if port is None else port, is_explicit)


def ensure(context: CommandContext, request: GatewayRequest) -> RunningGateway | None:
    """The gateway of the data directory, started if none runs; None where it can't start. Prints why not."""
    running = gateway_process.find(context.data)
    if running is not None:
        if request.is_explicit and not _fits(running, request):
            streams.note(f"note: the gateway (pid {running.pid}) runs already, at {running.url}, and stays there.")
            streams.note("  next: `maestro down`, then this command again.")
        return running
    try:
        url = gateway_process.start(
            context.data,
            context.environ,
            host=request.host,
            port=request.port,
            tell=lambda warning: streams.note(f"note: other machines can reach the gateway: {warning}."),
        )
    except MaestroError as error:
        streams.note(f"warning: no HTTP gateway: {error.message}")
        streams.note(f"  next: {streams.step(error)}")
        return None
    found = gateway_process.find(context.data)
    return gateway_process.RunningGateway(found.pid, url) if found is not None else None


def start_attached(context: CommandContext, request: GatewayRequest) -> None:
    """Start a gateway that ends with this process, or with the program that this process executes.

    Each holds one end of a pipe. The gateway ends when the other end closes.
    """
    if gateway_process.find(context.data) is not None:
        return
    import subprocess

    from maestro_clients.processes import spawn

    gateway_end, own_end = os.pipe()
    os.set_inheritable(own_end, True)  # noqa: FBT003 - the standard library's signature
    places.make_directory(context.data)
    command = [sys.executable, "-P", "-m", "maestro_gateway", "--data-dir", context.data]
    command += ["--life-fd", str(gateway_end), "--host", request.host, "--port", str(request.port)]
    # The gateway prints its errors to this terminal, as the broker does.
    subprocess.Popen(
        command,
        pass_fds=(gateway_end,),
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        cwd=spawn.DIRECTORY,
        env=spawn.environment(context.environ),
    )
    os.close(gateway_end)


def _fits(running: RunningGateway, request: GatewayRequest) -> bool:
    url = running.url or ""
    at_host = f"//{request.host}:" in url or f"//[{request.host}]:" in url
    return at_host and (request.port == 0 or url.endswith(f":{request.port}"))
