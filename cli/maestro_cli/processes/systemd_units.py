"""Service units: the files with which systemd, or launchd, runs the post office for a user.

Rule: pure; other modules write the files. systemd holds the two sockets, so a client that connects while no broker
runs starts one and is answered. launchd starts the broker at login. A mark in the text shows that a file is ours.
"""

from __future__ import annotations

import os
import plistlib
import sys
from typing import TYPE_CHECKING, NamedTuple

from maestro_runtime import paths, places
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Mapping

MARK = "Made by `maestro service install`"
# A unit file is 1 KiB.
BYTES_MAX = 1 << 20
_PASSED_ON = ("MAESTRO_CONFIG", "MAESTRO_RUNTIME_DIR", "XDG_RUNTIME_DIR", "MAESTRO_TCP")


class SystemdUnits(NamedTuple):
    """The units of one data directory."""

    # The unit's name without suffix.
    name: str
    # Path -> content.
    files: dict[str, str]
    # The argument with which systemctl (launchctl) starts it.
    start: str


def name_of(data: str, environ: Mapping[str, str]) -> str:
    """The units' name: `maestro` for the default data directory; for another, with its socket directory's digits."""
    usual = paths.data_dir({key: value for key, value in environ.items() if key != "MAESTRO_DATA_DIR"})
    if os.path.realpath(data) == os.path.realpath(usual):
        return "maestro"
    return f"maestro-{os.path.basename(paths.runtime_dir(data, environ))}"


def systemd_dir(environ: Mapping[str, str]) -> str:
    """The directory of a user's own units (systemd.unit(5))."""
    config = environ.get("XDG_CONFIG_HOME", "")
    base = config if os.path.isabs(config) else os.path.join(paths.home(environ), ".config")
    return os.path.join(base, "systemd", "user")


def systemd(data: str, environ: Mapping[str, str], *, http: bool) -> SystemdUnits:
    """A socket unit, and the service that it starts."""
    name = name_of(data, environ)
    runtime = paths.runtime_dir(data, environ)
    directory = systemd_dir(environ)
    listen = "\n".join(
        f"ListenStream={_escaped(os.path.join(runtime, s))}" for s in (paths.ROUTER_SOCKET, paths.NOTICE_SOCKET)
    )
    variables = {"MAESTRO_DATA_DIR": data, **{key: environ[key] for key in _PASSED_ON if environ.get(key)}}
    environment = "\n".join(f"Environment={_quoted(f'{key}={value}')}" for key, value in variables.items())
    python = _quoted(sys.executable)
    up = f"ExecStartPost=-{python} -P -m maestro_cli up"
    gateway = f"\n# The HTTP gateway; if it fails (-), the broker still runs.\n{up}"
    socket_unit = f"""\
# {MARK}.
[Unit]
Description=Maestro messaging: the sockets of {_escaped(data)}

[Socket]
{listen}
SocketMode=0600
DirectoryMode=0700
Backlog=1024
RemoveOnStop=yes

[Install]
WantedBy=sockets.target
"""
    service_unit = f"""\
# {MARK}.
[Unit]
Description=Maestro messaging: the broker of {_escaped(data)}
Requires={name}.socket
After={name}.socket
StartLimitIntervalSec=60
StartLimitBurst=5

[Service]
Type=notify
WorkingDirectory=/
ExecStart={python} -P -m maestro_broker --data-dir {_quoted(data)} --foreground{gateway if http else ""}
{environment}
Restart=on-failure
RestartSec=1
TimeoutStopSec=30
UMask=0077
NoNewPrivileges=yes
RestrictRealtime=yes
LockPersonality=yes

[Install]
Also={name}.socket
"""
    files = {
        os.path.join(directory, f"{name}.socket"): socket_unit,
        os.path.join(directory, f"{name}.service"): service_unit,
    }
    return SystemdUnits(name, files, f"{name}.socket")


def launchd(data: str, environ: Mapping[str, str]) -> SystemdUnits:
    """A plist for ~/Library/LaunchAgents (launchd.plist(5)). It is not tested on macOS."""
    name = f"messaging.{name_of(data, environ)}"
    path = os.path.join(paths.home(environ), "Library", "LaunchAgents", f"{name}.plist")
    plist = {
        "Label": name,
        "ProgramArguments": [sys.executable, "-P", "-m", "maestro_broker", "--data-dir", data, "--foreground"],
        "EnvironmentVariables": {
            "MAESTRO_DATA_DIR": data, **{key: environ[key] for key in _PASSED_ON if environ.get(key)}
        },
        "WorkingDirectory": "/",
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "StandardErrorPath": os.path.join(data, "logs", "service.log"),
        "Comment": MARK,
    }  # fmt: skip
    return SystemdUnits(name, {path: plistlib.dumps(plist).decode()}, path)


def _escaped(text: str) -> str:
    """Escape percent signs: in a unit they begin a specifier (systemd.unit(5))."""
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    if places.shown(text) != text:
        raise MaestroError(
            "INVALID",
            f"a unit can't name {places.shown(text)}: a byte of it is no UTF-8, or a character can't be seen",
            "Set MAESTRO_DATA_DIR to a plainer path.",
        )
    escaped = _escaped(text).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{escaped}"'
