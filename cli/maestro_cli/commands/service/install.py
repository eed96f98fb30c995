"""`maestro service install`: let the user's service manager run the broker.

Rule: the files first and then the manager, which may be absent; a file that is not ours stays as it is.
"""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

from maestro_cli.context import CommandContext
from maestro_cli.output import streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Annotated

    from maestro_cli.options import Option
    from maestro_cli.processes.systemd_units import SystemdUnits

DETAILS = """\
On Linux: a systemd user unit and a socket unit. systemd holds the broker's
sockets, so that the first client that connects is answered, whether a broker
runs or not. `maestro up` stays the simple way and needs no service.

Examples:
  maestro service install --now
  maestro service install --print
  maestro service install --no-http"""

_LINGER = "To have it run while you are not logged in: loginctl enable-linger"


def run(
    *,
    now: Annotated[bool, Option(help="Start it now, in place of a running broker.")] = False,
    print_only: Annotated[bool, Option(name="--print", help="Only show what would be written.")] = False,
    http: Annotated[
        bool,
        Option(name="--http", negative="--no-http", help="Whether it starts the HTTP gateway, too. Default: yes."),
    ] = True,
    force: Annotated[bool, Option(help="Replace a unit, even if it was edited or made by another program.")] = False,
    as_json: Annotated[
        bool, Option(name="--json", help='Print {"units", "written", "started", "next"} as JSON.')
    ] = False,
) -> int:
    """Install the service."""
    from maestro_cli.processes import systemd_units

    context = CommandContext.here()
    context.check_local("install")
    if sys.platform == "darwin":
        units = systemd_units.launchd(context.data, context.environ)
    else:
        units = systemd_units.systemd(context.data, context.environ, http=http)
    if not print_only:
        _write(units, context.data, force=force)
    outcome = _Outcome() if print_only else _handed_over(context, units, now=now)
    if as_json:
        report = {"written": not print_only, "started": outcome.started, "next": outcome.next}
        streams.say_json({"units": units.files, **report})
        return 0
    for path, text in units.files.items():
        streams.say(f"# {path}\n{text}" if print_only else f"Wrote {path}.")
    for line in outcome.lines:
        streams.say(line)
    return 0


class _Outcome(NamedTuple):
    """What became of the units: `next`, the command that is left to the person, and lines for that person."""

    started: bool = False
    next: str | None = None
    lines: tuple[str, ...] = ()


def _write(units: SystemdUnits, data: str, *, force: bool) -> None:
    from maestro_cli.processes import systemd_units
    from maestro_cli.processes.systemd_units import MARK
    from maestro_runtime import user_files
    from maestro_runtime.traces import footprints
    from maestro_schemas.errors import MaestroError

    for path, text in units.files.items():
        old = user_files.read(path, systemd_units.BYTES_MAX)
        if old is not None and not force and (MARK not in old or old != text):
            why = (
                "was made by another program"
                if MARK not in old
                else "differs from what this command writes: it was edited"
            )
            raise MaestroError("INVALID", f"{path} {why}", "Look at it; --force replaces it.")
    footprints.note_folders(data, units.files)
    for path, text in units.files.items():
        user_files.write(path, text)


def _handed_over(context: CommandContext, units: SystemdUnits, *, now: bool) -> _Outcome:
    from maestro_cli.processes.systemctl import systemctl

    if sys.platform == "darwin":
        load = f"launchctl load -w {units.start}"
        return _Outcome(next=load, lines=(f"Load it: {load}",))
    reloaded = systemctl("daemon-reload")
    enable = f"systemctl --user enable --now {units.start}"
    if not reloaded.reached:
        commands = f"systemctl --user daemon-reload && {enable}"
        streams.note(
            f"maestro: the user's systemd can't be reached here ({reloaded.text})\n  next: where it runs: {commands}"
        )
        return _Outcome(next=commands)
    if not now:
        return _Outcome(next=enable, lines=(f"Start it, and at each login: {enable}", _LINGER))
    if context.running() is not None:
        # The sockets are its own; systemd can't listen there while it does.
        from maestro_cli.commands import down

        down.stop_gateway(context)
        down.stop_broker(context)
    started = systemctl("enable", "--now", units.start)
    if not started.done:
        from maestro_schemas.errors import MaestroError

        raise MaestroError(
            "INTERNAL",
            f"systemd did not start {units.start}: {started.text}",
            f"systemctl --user status {units.start}",
        )
    _tell_clients(context)
    return _Outcome(started=True, lines=(f"{units.start} listens; the first client wakes the broker.", _LINGER))


def _tell_clients(context: CommandContext) -> None:
    """The sockets of systemd, for clients that connect before the first broker; each broker rewrites the file."""
    from maestro_runtime import atomic_file, ownership, paths, places
    from maestro_schemas import __version__

    runtime = paths.runtime_dir(context.data, context.environ)
    lines = {
        "router": f"ipc://{os.path.join(runtime, paths.ROUTER_SOCKET)}",
        "notices": f"ipc://{os.path.join(runtime, paths.NOTICE_SOCKET)}",
        "pid": 0,
        "epoch": "",
        "version": __version__,
    }
    ownership.check_data_dir(context.data)
    places.make_directory(context.data)
    content = "".join(f"{name}={value}\n" for name, value in lines.items()).encode()
    try:
        atomic_file.create(paths.endpoints_file(context.data), content, durable=False)
    except FileExistsError:
        return  # a broker is up already
