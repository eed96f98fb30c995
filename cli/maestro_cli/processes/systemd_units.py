"""Systemd units: what systemd, or launchd, has to know to run the post office for a user.

Rule: text from arguments, written nowhere here. systemd holds the two sockets, so that whoever connects first, before
any broker runs or after it has stopped, is answered; launchd starts the broker at login. A mark in the text says that
a file is ours.
"""

from __future__ import annotations

import os
import plistlib
import sys
from typing import TYPE_CHECKING, NamedTuple

from maestro_runtime import paths

if TYPE_CHECKING:
    from collections.abc import Mapping

MARK = "Made by `maestro service install`"
_PASSED_ON = ("MAESTRO_CONFIG", "MAESTRO_RUNTIME_DIR", "XDG_RUNTIME_DIR", "MAESTRO_TCP")


class SystemdUnits(NamedTuple):
    """`name`: without its suffix. `files`: path to content. `start`: what systemctl (launchctl) is told to start."""

    name: str
    files: dict[str, str]
    start: str


def name_of(data: str, environ: Mapping[str, str]) -> str:
    """`maestro` for the usual data directory, and with the socket directory's digits for any other."""
    usual = paths.data_dir({key: value for key, value in environ.items() if key != "MAESTRO_DATA_DIR"})
    if os.path.realpath(data) == os.path.realpath(usual):
        return "maestro"
    return f"maestro-{os.path.basename(paths.runtime_dir(data, environ))}"


def systemd_dir(environ: Mapping[str, str]) -> str:
    """Where a user's own units are (systemd.unit(5))."""
    config = environ.get("XDG_CONFIG_HOME", "")
    base = config if os.path.isabs(config) else os.path.join(environ.get("HOME", "/"), ".config")
    return os.path.join(base, "systemd", "user")


def systemd(data: str, environ: Mapping[str, str], *, http: bool) -> SystemdUnits:
    """A socket unit and the service that it wakes."""
    name = name_of(data, environ)
    runtime = paths.runtime_dir(data, environ)
    directory = systemd_dir(environ)
    listen = "\n".join(
        f"ListenStream={_escaped(os.path.join(runtime, s))}" for s in (paths.ROUTER_SOCKET, paths.NOTICE_SOCKET)
    )
    told = {"MAESTRO_DATA_DIR": data, **{key: environ[key] for key in _PASSED_ON if environ.get(key)}}
    environment = "\n".join(f"Environment={_quoted(f'{key}={value}')}" for key, value in told.items())
    python = _quoted(sys.executable)
    up = f"ExecStartPost=-{python} -m maestro_cli up"
    gateway = f"\n# The HTTP gateway; without it (-) the broker serves all the same.\n{up}"
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
ExecStart={python} -m maestro_broker --data-dir {_quoted(data)} --foreground{gateway if http else ""}
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
    """A plist for ~/Library/LaunchAgents (launchd.plist(5)); written for macOS, and untested there."""
    name = f"messaging.{name_of(data, environ)}"
    path = os.path.join(environ.get("HOME", "/"), "Library", "LaunchAgents", f"{name}.plist")
    plist = {
        "Label": name,
        "ProgramArguments": [sys.executable, "-m", "maestro_broker", "--data-dir", data, "--foreground"],
        "EnvironmentVariables": {
            "MAESTRO_DATA_DIR": data, **{key: environ[key] for key in _PASSED_ON if environ.get(key)}
        },
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "StandardErrorPath": os.path.join(data, "logs", "service.log"),
        "Comment": MARK,
    }  # fmt: skip
    return SystemdUnits(name, {path: plistlib.dumps(plist).decode()}, path)


def _escaped(text: str) -> str:
    """A percent sign begins a specifier in a unit (systemd.unit(5))."""
    return text.replace("%", "%%")


def _quoted(text: str) -> str:
    escaped = _escaped(text).replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{escaped}"'
