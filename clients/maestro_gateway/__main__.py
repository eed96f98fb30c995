"""`python -m maestro_gateway`: one HTTP gateway process.

Rule: it reports on the given pipe where it listens, or why it can't start. A lock allows one gateway for each data
directory. When it ends, it first removes its address.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import fcntl
import functools
import json
import logging
import os
import resource
import signal
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING

import uvicorn

from maestro_clients.processes import login_codes
from maestro_runtime import atomic_file, config, logs, ownership, paths, places
from maestro_runtime.traces import ready_pipe
from maestro_schemas import http_limits
from maestro_schemas.errors import MaestroError

from . import app
from .http.guard import Guard
from .http.peers import Peers
from .http.routing import changing_paths
from .http.server import REFUSED_CONNECTIONS_MAX, ConnectionGuard, ConnectionTable
from .options import DEFAULT_HOST, DEFAULT_PORT, GatewayOptions
from .routes import CALLS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.applications import Starlette

    from .context import GatewayContext

_STOP_S = 3
_BACKLOG = 1_024
# A process that looks whether a gateway runs also takes the lock for a moment.
_LOCK_S = 0.1
_LOCK_RETRY_S = 0.005
_PING_S = 20.0
# Clients send small frames over WebSocket; the longest is a list of sessions.
_WS_BYTES_MAX = 1 << 17
# File descriptors for other uses than connections: the log, the broker's sockets, the loop's.
_OTHER_FILES = 200
_EXPOSED = (
    "traffic is not encrypted, and every call must carry a session's token (X-Session-ID, Authorization: Bearer)"
)

# Not `__name__`, which is `__main__` here.
_log = logging.getLogger("maestro_gateway")


def main() -> int:
    """Run the process; its exit code."""
    parser = argparse.ArgumentParser(prog="maestro_gateway", description="The gateway; `maestro up` starts it.")
    parser.add_argument("--data-dir", help="default: MAESTRO_DATA_DIR, else the user's data directory")
    parser.add_argument("--host", default=DEFAULT_HOST)
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 picks a free one")
    parser.add_argument(
        "--ready-fd", type=int, help="a pipe for the report: `ready URL` and a warning, or `error` and why"
    )
    parser.add_argument("--life-fd", type=int, help="a pipe; the gateway ends when its other end is closed")
    arguments = parser.parse_args()
    os.umask(0o077)
    try:
        data = os.path.abspath(arguments.data_dir) if arguments.data_dir else paths.data_dir(os.environ)
        settings = config.read(os.environ).section("http")
        bounds = _affordable(http_limits.resolve(os.environ, settings))
        front, _ = http_limits.front(os.environ, settings)
        origins = http_limits.parse_origins("origins", str(front["origins"]))
        options = GatewayOptions(data, os.environ, arguments.host, arguments.port, bounds, origins)
        with _lock(options.data):
            # A gateway that was killed has left it.
            _forget_address(options.data)
            # Before the address is known: who knows it may make a code for this gateway.
            login_codes.forget(options.data)
            with _listen(options) as listener:
                _serve(options, listener, arguments.ready_fd, arguments.life_fd)
    except MaestroError as error:
        ready_pipe.report(arguments.ready_fd, f"error {json.dumps(error.body())}")
        print(f"maestro gateway: {error.message}\n  next: {error.hint}", file=sys.stderr)
        return 1
    except OSError as error:
        if places.explained(error) is None:
            raise
        fault = places.refusal("DATA_DIR_UNUSABLE", "the gateway can't use a path", error, "Then start it again.")
        ready_pipe.report(arguments.ready_fd, f"error {json.dumps(fault.body())}")
        print(f"maestro gateway: {fault.message}\n  next: {fault.hint}", file=sys.stderr)
        return 1
    return 0


def _serve(options: GatewayOptions, listener: socket.socket, ready_fd: int | None, life_fd: int | None) -> None:
    logs.start(options.data, "gateway", "maestro_gateway", foreground=False)
    # Without a handler uvicorn would log its peers' faults to standard error, a file without a size limit.
    framework = logging.getLogger("uvicorn")
    framework.setLevel(logging.ERROR)
    for handler in logging.getLogger("maestro_gateway").handlers:
        framework.addHandler(handler)
    peers = Peers()
    connections = ConnectionTable(options.limits, peers)
    application = app.make(options)
    config = uvicorn.Config(
        Guard(application, options, changing_paths(CALLS)),
        loop="asyncio",
        # uvicorn calls it like the class.
        http=functools.partial(ConnectionGuard, shared=connections),  # type: ignore[arg-type]
        ws="websockets-sansio",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        # X-Forwarded-For, by which any peer could claim another address.
        proxy_headers=False,
        backlog=_BACKLOG,
        # After the guard's own timers, which close an idle and a refused connection.
        timeout_keep_alive=max(options.limits.keep_alive_ms, options.limits.linger_ms) // 1000 + 2,
        timeout_graceful_shutdown=_STOP_S,
        # A client that vanished is disconnected after both.
        ws_ping_interval=_PING_S,
        ws_ping_timeout=_PING_S,
        ws_max_size=_WS_BYTES_MAX,
        # On one machine it saves nothing, and costs a compression for each frame and client.
        ws_per_message_deflate=False,
    )
    server = _Server(config, application, connections)

    def end(_number: int, _frame: object) -> None:
        server.should_exit = True

    # Set before the address is known, because a signal may come from then on. While uvicorn runs it has handlers of
    # its own, and afterwards raises the signal again: the default handler would end the process before the clean-up.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    if life_fd is not None:
        threading.Thread(target=_end_with, args=(life_fd, server), daemon=True).start()
    try:
        _announce(options, _url(options, listener), peers.source, ready_fd)
        server.run(sockets=[listener])
    finally:
        _forget_address(options.data)
        peers.close()


def _announce(options: GatewayOptions, url: str, source: str, ready_fd: int | None) -> None:
    """Publish the address. The socket listens already, so a client that connects now waits until the loop runs."""
    atomic_file.replace(paths.server_url_file(options.data), f"{url}\n".encode(), durable=False)
    _log.info("listens at %s; owners of connections by %s", url, source)
    if options.origins:
        _log.info("pages of these origins may use it: %s", ", ".join(options.origins))
    if options.is_loopback:
        ready_pipe.report(ready_fd, f"ready {url}")
        return
    _log.warning("other machines can reach %s: %s", url, _EXPOSED)
    ready_pipe.report(ready_fd, f"ready {url} {_EXPOSED}")
    if ready_fd is None:
        print(f"note: other machines can reach the gateway: {_EXPOSED}.", file=sys.stderr)


def _forget_address(data: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(paths.server_url_file(data))


def _affordable(wanted: http_limits.HttpLimits) -> http_limits.HttpLimits:
    """Limit the connections to the file descriptors that the process may have; raise that limit as far as allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    other_files = _OTHER_FILES + REFUSED_CONNECTIONS_MAX
    needed = wanted.connections_max + other_files
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        wanted = wanted._replace(connections_max=max(1, min(wanted.connections_max, soft - other_files)))
    return wanted._replace(idle_connections_max=min(wanted.idle_connections_max, wanted.connections_max))


class _Server(uvicorn.Server):
    """Ends the streams of events first; uvicorn would wait for them until its grace period is over."""

    def __init__(self, config: uvicorn.Config, application: Starlette, connections: ConnectionTable) -> None:
        super().__init__(config)
        self._application = application
        self._connections = connections

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        gateway: GatewayContext = self._application.state.gateway
        gateway.feed.stop()
        self._connections.close_refused()
        # The streams run once and send the reason, before their connections are closed.
        await asyncio.sleep(0)
        await super().shutdown(sockets)


def _end_with(life_fd: int, server: uvicorn.Server) -> None:
    """End the server when the other end of the pipe is closed, also by the death of its process."""
    os.read(life_fd, 1)
    server.should_exit = True


@contextlib.contextmanager
def _lock(data: str) -> Iterator[None]:
    """Hold the lock of the data directory; its file has the gateway's pid. Raises MaestroError NOT_PRIVATE,
    DATA_DIR_UNUSABLE or DATA_DIR_LOCKED."""
    ownership.check_data_dir(data)
    try:
        fd = places.open_file(paths.gateway_lock_file(data), os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise places.refusal(
            "DATA_DIR_UNUSABLE",
            f"the data directory {places.shown(data)} can't be used",
            error,
            "Start the broker first: `maestro up`.",
        ) from None
    try:
        _take(fd, data)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(fd)


def _take(fd: int, data: str) -> None:
    give_up_s = time.monotonic() + _LOCK_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= give_up_s:
                raise MaestroError(
                    "DATA_DIR_LOCKED",
                    f"a gateway runs already for {data}",
                    "`maestro status` shows its address.",
                ) from None
            time.sleep(_LOCK_RETRY_S)
        else:
            return


def _listen(options: GatewayOptions) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    # The protocol is named: asyncio turns Nagle's algorithm off only for a socket that it knows to be TCP. Otherwise
    # an answer in two pieces would wait 40 ms for the client's delayed acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((options.host, options.port))
        listener.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        raise MaestroError(
            "BAD_SETTING",
            f"port {options.port} of {options.host} is taken by another program"
            if taken
            else f"{options.host}:{options.port} can't be listened on: {error}",
            "Choose another with --http-port, or 0 for any free one; --no-http goes without.",
        ) from None
    return listener


def _url(options: GatewayOptions, listener: socket.socket) -> str:
    host = f"[{options.host}]" if ":" in options.host else options.host
    return f"http://{host}:{listener.getsockname()[1]}"


if __name__ == "__main__":
    sys.exit(main())
