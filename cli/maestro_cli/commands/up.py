"""`maestro up`: start the broker, unless it runs already.

Rule: settings are read when a broker starts. Given for a running broker they are refused, not ignored.
"""

from __future__ import annotations

import os
import sys

from maestro_cli.context import CommandContext
from maestro_cli.output import streams
from maestro_cli.processes import gateway_request
from maestro_schemas.errors import MaestroError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Annotated

    from maestro_cli.options import PORTS, Option
    from maestro_clients.processes.broker_process import Endpoints


DETAILS = """\
Every command that needs a broker starts one by itself (unless
MAESTRO_AUTOSTART=0). This command is for settings, for --foreground, and to
make sure that one runs. `maestro status --all` lists every setting. After an
upgrade it waits until the data directory is up to date.

Examples:
  maestro up
  maestro up --set rate_limit=600 --set retention=30d
  maestro up --http-port 0
  maestro up --foreground --no-http
  maestro up --tcp 0.0.0.0:5570      then: maestro keys new --help"""


def run(
    *,
    foreground: Annotated[bool, Option(help="Stay in this terminal, with the log on it; Ctrl-C stops it.")] = False,
    settings: Annotated[
        list[str] | None,
        Option(name="--set", metavar="NAME=VALUE", help="A setting for this run of the broker; may be repeated."),
    ] = None,
    http: Annotated[
        bool | None, Option(name="--http", negative="--no-http", help="Whether to start the HTTP gateway, too.")
    ] = None,
    http_port: Annotated[
        int | None,
        Option(numbers=PORTS, help="The gateway's port; 0 picks a free one. Default: MAESTRO_HTTP_PORT, else 4568."),
    ] = None,
    http_host: Annotated[
        str | None,
        Option(help="The gateway's address; with any but a loopback one, every session needs a token."),
    ] = None,
    tcp: Annotated[
        str | None,
        Option(
            metavar="HOST:PORT",
            help="Serve other machines too, encrypted (CURVE), with one key for each; uses the next port as well. "
            "MAESTRO_TCP does the same.",
        ),
    ] = None,
    as_json: Annotated[
        bool, Option(name="--json", help='Print {"started": true|false, "pid": N, "http": URL, ...} as JSON.')
    ] = False,
) -> int:
    """Start the broker, and the HTTP gateway."""
    from maestro_clients.processes.broker_process import ensure

    context = CommandContext.here()
    context.check_local("start")
    wanted = gateway_request.resolve(context, http=http, host=http_host, port=http_port)
    chosen = _chosen(settings or [])
    running = _running(context)
    if running is not None and (chosen or foreground or tcp is not None):
        raise MaestroError(
            "DATA_DIR_LOCKED",
            f"a broker (pid {running.pid}) runs already for {context.data}, and "
            + (
                "settings are read only at a start"
                if chosen or tcp is not None
                else "it does not run in this terminal"
            ),
            "Run `maestro down` first, then this command again.",
        )
    if foreground:
        if wanted is not None:
            gateway_request.start_attached(context, wanted)
        _become_the_broker(context, chosen, tcp)
    from maestro_cli.output.progress import progress

    with progress("start") as show:

        def tell(says: str) -> None:
            show(says)
            streams.note(f"The broker brings its files up to date: {says}.")

        broker = running or ensure(context.data, context.environ, autostart=True, settings=chosen, tcp=tcp, tell=tell)
    if not as_json:
        word = "Started the broker" if running is None else "The broker runs already"
        streams.tell(f"{word}: pid {broker.pid}, files in {context.data}.")
        if running is None and (far := tcp or context.environ.get("MAESTRO_TCP")):
            streams.say(_for_other_machines(far.removeprefix("tcp://")))
    gateway = gateway_request.ensure(context, wanted) if wanted is not None else None
    if as_json:
        report = {"started": running is None, "pid": broker.pid, "version": broker.version, "dataDir": context.data}
        streams.say_json(report | ({"http": gateway.url} if gateway is not None else {}))
    elif gateway is not None:
        streams.tell(f"HTTP: {gateway.url} (pid {gateway.pid}); {gateway.url}/docs describes it.")
    return 0


def _running(context: CommandContext) -> Endpoints | None:
    """The user's own broker. Another user's process at its socket is none: the new broker listens elsewhere, or says
    why it can't."""
    try:
        return context.running()
    except MaestroError as error:
        if error.code != "NOT_PRIVATE":
            raise
        return None


def _chosen(settings: list[str]) -> dict[str, str]:
    """Name to value; checked here, so that a wrong one is reported before anything starts. Raises MaestroError
    BAD_SETTING."""
    from maestro_schemas.limits import resolve

    chosen = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise MaestroError(
                "BAD_SETTING", f"--set {setting}: a setting is NAME=VALUE", "For example: --set rate_limit=600"
            )
        chosen[name.strip()] = value.strip()
    resolve({}, {}, chosen)
    return chosen


def _for_other_machines(address: str) -> str:
    import socket

    host, _, port = address.rpartition(":")
    named = socket.gethostname() if host in ("0.0.0.0", "*", "[::]") else host  # noqa: S104 - a comparison
    return (
        f"Other machines: {address} (and the port after it), encrypted, with one key for each. On this machine:\n"
        "  maestro keys new NAME --out maestro.key    and copy that file to the other machine, in private. There:\n"
        f"  export MAESTRO_BROKER=tcp://{named}:{port} MAESTRO_KEY_FILE=$PWD/maestro.key"
    )


def _become_the_broker(context: CommandContext, settings: Mapping[str, str], tcp: str | None) -> None:
    from maestro_clients.processes import spawn

    environ = spawn.environment(context.environ)
    command = [sys.executable, "-P", "-m", "maestro_broker", "--data-dir", context.data, "--foreground"]
    for name, value in settings.items():
        command += ["--set", f"{name}={value}"]
    if tcp is not None:
        command += ["--tcp", tcp]
    sys.stdout.flush()
    os.chdir(spawn.DIRECTORY)
    os.execve(sys.executable, command, environ)  # noqa: S606 - no shell: the broker replaces this process
