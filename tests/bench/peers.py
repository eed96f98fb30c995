"""Peers: Redis and NATS JetStream, as durable as they can be set, with one client process each.

Rule: each peer gets its own fastest public way for the same work, and less of it where that is simplest (no id, no
sender: the text alone). Every server listens on loopback or a Unix socket, keeps its files beside ours, says how
durable it is set, and ends with its bench.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

TEXT = "x" * 512
RECEIVERS = 64
# As many as our client's `pipeline` sends of a list by one system call.
_PACKED = 8
# How one client process has several messages in flight, and what that is called in the tables.
MODES = {
    "tasks": "one a request, from as many asyncio tasks, each of which waits for its answer",
    "singles": "one a request on one connection (ours writes up to eight by one system call, Redis's each)",
    "batches": "many a request",
}


class Load(NamedTuple):
    """What one client process did: messages acknowledged, when it began and ended (monotonic)."""

    accepted: int
    began_s: float
    ended_s: float


class Peer(Protocol):
    """A server. `load` is a function of a module, for it runs in processes of its own too."""

    name: str
    address: str

    def stop(self) -> None:
        """End it."""

    def held(self) -> int:
        """How many messages it holds."""

    def durability(self) -> str:
        """How it is set, asked of itself."""


# --- Redis ---------------------------------------------------------------------------------------------------------


class Redis:
    """Debian's redis-server: a stream a receiver, an append-only file that is fsynced before each answer."""

    name = "Redis"

    def __init__(self, directory: str) -> None:
        folder = os.path.join(directory, "redis")
        os.makedirs(folder)
        # A path of at most 107 bytes, as every Unix socket's.
        self.address = os.path.join(folder, "s")
        command = [_found("redis-server"), "--port", "0", "--unixsocket", self.address, "--dir", folder]
        command += ["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--loglevel", "warning"]
        command += ["--auto-aof-rewrite-percentage", "0"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _until(lambda: self._client().ping(), self._process)

    def _client(self) -> Any:
        import redis

        return redis.Redis(unix_socket_path=self.address)

    def stop(self) -> None:
        """As Peer."""
        _end(self._process)

    def held(self) -> int:
        """As Peer."""
        client = self._client()
        return sum(int(client.xlen(f"load_{number}")) for number in range(RECEIVERS))

    def durability(self) -> str:
        """As Peer."""
        found = self._client().config_get("append*")
        version = self._client().info("server")["redis_version"]
        return f"redis-server {version}, appendonly {found['appendonly']}, appendfsync {found['appendfsync']}"


def redis_load(address: str, mode: str, depth: int, count: int, seconds: float) -> Load:
    """As MODES has it. `batches`: pipelines of `depth` commands. `singles`: below redis-py's public calls, on one of
    its connections. `packed`: the same with up to eight commands a system call."""
    if mode == "tasks":
        return asyncio.run(_redis_tasks(address, depth, count, seconds))
    import redis

    client: Any = redis.Redis(unix_socket_path=address)
    client.ping()
    accepted = number = 0
    began = time.monotonic()
    until = began + seconds if seconds else float("inf")
    if mode == "batches":
        while number < count and time.monotonic() < until:
            pipeline = client.pipeline(transaction=False)
            piece = min(depth, count - number)
            for place in range(number, number + piece):
                pipeline.xadd(f"load_{place % RECEIVERS}", {"message": TEXT})
            accepted += len(pipeline.execute())
            number += piece
    else:
        connection = client.connection_pool.get_connection()
        waiting = 0
        most = _PACKED if mode == "packed" else 1
        while True:
            while waiting < depth and number < count and time.monotonic() < until:
                piece = min(most, depth - waiting, count - number)
                some = range(number, number + piece)
                commands = [("XADD", f"load_{place % RECEIVERS}", "*", "message", TEXT) for place in some]
                if piece == 1:
                    connection.send_command(*commands[0])
                else:
                    connection.send_packed_command(connection.pack_commands(commands))
                number += piece
                waiting += piece
            if not waiting:
                break
            connection.read_response()
            accepted += 1
            waiting -= 1
    ended = time.monotonic()
    client.close()
    return Load(accepted, began, ended)


async def _redis_tasks(address: str, depth: int, count: int, seconds: float) -> Load:
    import redis.asyncio

    client: Any = redis.asyncio.Redis(unix_socket_path=address, max_connections=depth)
    await asyncio.gather(*(client.ping() for _ in range(depth)))  # connections are made when they are needed

    async def put(number: int) -> None:
        await client.xadd(f"load_{number % RECEIVERS}", {"message": TEXT})

    load = await in_tasks(put, depth, count, seconds)
    await client.aclose()
    return load


async def in_tasks(put: Callable[[int], Awaitable[None]], depth: int, count: int, seconds: float) -> Load:
    """`depth` tasks, each of which sends a message and waits for its answer, over and over."""
    began = time.monotonic()
    until = began + seconds if seconds else float("inf")
    numbers = iter(range(count))

    async def one_after_the_other() -> int:
        done = 0
        for number in numbers:
            await put(number)
            done += 1
            if time.monotonic() >= until:
                break
        return done

    accepted = sum(await asyncio.gather(*(one_after_the_other() for _ in range(depth))))
    return Load(accepted, began, time.monotonic())


# --- NATS ----------------------------------------------------------------------------------------------------------


class Nats:
    """JetStream: one stream of files, synced at every message."""

    name = "NATS"

    def __init__(self, directory: str) -> None:
        folder = os.path.join(directory, "nats")
        os.makedirs(folder)
        port = _free_port()
        self.address = f"nats://127.0.0.1:{port}"
        config = os.path.join(folder, "nats.conf")
        with open(config, "w", encoding="utf-8") as file:
            file.write(
                f'listen: "127.0.0.1:{port}"\nserver_name: bench\n'
                f'jetstream {{ store_dir: "{folder}", sync_interval: always, max_file_store: 20GB }}\n'
            )
        log = os.path.join(folder, "log")
        self._process = subprocess.Popen([_found("nats-server"), "-c", config, "-l", log])
        _until(lambda: asyncio.run(self._make()), self._process)

    async def _make(self) -> None:
        import nats

        client = await nats.connect(self.address, connect_timeout=1, allow_reconnect=False)
        await client.jetstream().add_stream(name="bench", subjects=["load.*"])
        await client.close()

    def stop(self) -> None:
        """As Peer."""
        _end(self._process)

    def _asked(self, subject: str) -> dict[str, Any]:
        async def ask() -> dict[str, Any]:
            import nats

            client = await nats.connect(self.address)
            answer = await client.request(subject, b"", timeout=10)
            await client.close()
            found: dict[str, Any] = json.loads(answer.data)
            return found

        return asyncio.run(ask())

    def held(self) -> int:
        """As Peer."""
        return int(self._asked("$JS.API.STREAM.INFO.bench")["state"]["messages"])

    def durability(self) -> str:
        """As Peer. (A stream's configuration does not say it; the server reads it from its own.)"""
        storage = self._asked("$JS.API.STREAM.INFO.bench")["config"]["storage"]
        said = subprocess.run([_found("nats-server"), "--version"], capture_output=True, text=True, check=True).stdout
        return f"{said.strip()}, storage {storage}, sync_interval always"


def nats_load(address: str, mode: str, depth: int, count: int, seconds: float) -> Load:
    """As MODES has it; but JetStream's clients have no batches: `publish_async` is the nearest, and their way for
    `singles` as well."""
    return asyncio.run(_nats_load(address, mode, depth, count, seconds))


async def _nats_load(address: str, mode: str, depth: int, count: int, seconds: float) -> Load:
    import nats

    client = await nats.connect(address)
    stream: Any = client.jetstream(publish_async_max_pending=max(depth, 2))
    data = TEXT.encode()
    await stream.publish("load.0", data)

    async def put(number: int) -> None:
        await stream.publish(f"load.{number % RECEIVERS}", data, timeout=60)

    if mode == "tasks":
        load = await in_tasks(put, depth, count, seconds)
        await client.close()
        return load
    accepted = 0
    began = time.monotonic()
    until = began + seconds if seconds else float("inf")
    waiting: deque[asyncio.Future[Any]] = deque()
    for number in range(count):
        waiting.append(await stream.publish_async(f"load.{number % RECEIVERS}", data, wait_stall=60))
        while len(waiting) >= depth or (waiting and waiting[0].done()):
            await waiting.popleft()
            accepted += 1
        if time.monotonic() >= until:
            break
    for future in waiting:
        await future
        accepted += 1
    ended = time.monotonic()
    await client.close()
    return Load(accepted, began, ended)


# --- what is here --------------------------------------------------------------------------------------------------

LOADS: dict[str, Callable[[str, str, int, int, float], Load]] = {"Redis": redis_load, "NATS": nats_load}


def missing() -> dict[str, str]:
    """By the peer's name, what is not installed."""
    needs = {"Redis": ("redis-server", "redis", "hiredis"), "NATS": ("nats-server", "nats")}
    found = {}
    for name, (server, *modules) in needs.items():
        lacking = [module for module in modules if importlib.util.find_spec(module) is None]
        lacking += [server] if path_of(server) is None else []
        if lacking:
            found[name] = ", ".join(lacking)
    return found


def path_of(program: str) -> str | None:
    """Where a program is: beside this interpreter, or on the PATH."""
    beside = os.path.dirname(sys.executable)
    return shutil.which(program, path=os.pathsep.join([beside, os.environ.get("PATH", "")]))


def _found(program: str) -> str:
    path = path_of(program)
    if path is None:
        raise RuntimeError(f"{program} is not installed")
    return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _until(answers: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    """Wait for a server's first answer."""
    for _ in range(200):
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        with contextlib.suppress(Exception):  # any error by which the peer's client says "not ready yet"
            answers()
            return
        time.sleep(0.05)
    _end(process)
    raise RuntimeError(f"{process.args!r} does not answer")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
