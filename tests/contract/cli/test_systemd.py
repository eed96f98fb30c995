"""The service: its units are readable for systemd, and a client's first connection starts the broker."""

from __future__ import annotations

import configparser
import os
import plistlib
import select
import shutil
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Self

import pytest

from maestro_broker.transport import socket_activation
from maestro_cli.processes import systemd_units
from maestro_clients.client import Client
from maestro_clients.processes.broker_process import ensure, find
from maestro_clients.protocol.callers import Caller
from maestro_runtime import paths
from maestro_schemas.errors import MaestroError
from support.cli_shell import open_shell
from support.post_office import STOP_S

if TYPE_CHECKING:
    from pathlib import Path

    from support.post_office import PostOffice


class Systemd:
    """A stand-in for systemd: it holds the two sockets of one post office, and starts a broker at a connection."""

    def __init__(self, office: PostOffice) -> None:
        self._office = office
        runtime = paths.runtime_dir(office.data, office.environ)
        os.makedirs(office.data, 0o700, exist_ok=True)
        os.makedirs(runtime, 0o700)
        self.paths = [os.path.join(runtime, name) for name in (paths.ROUTER_SOCKET, paths.NOTICE_SOCKET)]
        self._sockets = []
        for path in self.paths:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(path)
            listener.listen(1024)
            self._sockets.append(listener)
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(os.path.join(office.root, "notify"))
        router, notices = self.paths
        with open(paths.endpoints_file(office.data), "w", encoding="ascii") as file:
            file.write(f"router=ipc://{router}\nnotices=ipc://{notices}\npid=0\nepoch=\nversion=x\n")
        self._broker: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._broker is not None:
            self._broker.kill()
            self._broker.wait(STOP_S)
        for listener in (*self._sockets, self._notify):
            listener.close()

    def wake(self) -> None:
        """Wait for the first connection, start a broker for it, and wait until the broker reports READY."""
        assert select.select(self._sockets, [], [], 20)[0], "no client connected"
        first, second = (listener.fileno() for listener in self._sockets)
        # $$ is the pid, which exec keeps, as LISTEN_PID must be.
        script = f'exec 3<&{first} 4<&{second}; LISTEN_PID=$$ exec "$@"'
        command = [sys.executable, "-m", "maestro_broker", "--data-dir", self._office.data, "--foreground"]
        self._broker = subprocess.Popen(
            ["bash", "-c", script, "bash", *command],
            env={
                **self._office.environ,
                "LISTEN_FDS": "2",
                "NOTIFY_SOCKET": os.path.join(self._office.root, "notify"),
            },
            pass_fds=(first, second),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._notify.settimeout(20)
        assert self._notify.recv(100) == b"READY=1"

    def await_end(self) -> None:
        """Wait until the broker has stopped."""
        assert self._broker is not None
        assert self._notify.recv(100) == b"STOPPING=1"
        assert self._broker.wait(STOP_S) == 0
        self._broker = None


def test_the_first_client_is_answered(post_office: PostOffice) -> None:
    with Systemd(post_office) as systemd:
        statuses: list[int] = []

        def work() -> None:
            # As every client does. No client may start a second broker beside the service.
            endpoints = ensure(post_office.data, post_office.environ, autostart=True)
            with Client(endpoints.router, timeout_s=20.0) as operator:
                operator.start_session("ann", role="orchestrator")
                operator.start_session("bob")
            with Client(endpoints.router, Caller("ann"), timeout_s=20.0) as ann:
                statuses.append(ann.send("bob", "the first")["status"])

        client = threading.Thread(target=work)
        client.start()
        systemd.wake()
        client.join(30)
        assert statuses == [201]
        found = find(post_office.data)
        assert found is not None
        assert found.pid > 0
        # The broker stops, but the sockets and the endpoints file stay.
        with post_office.client() as operator:
            operator.shutdown()
        systemd.await_end()
        assert all(map(os.path.exists, systemd.paths))
        asleep = find(post_office.data)
        assert asleep is not None
        assert asleep.pid == 0
        seen: list[str] = []

        def read() -> None:
            endpoints = ensure(post_office.data, post_office.environ, autostart=True)
            with Client(endpoints.router, Caller("bob"), timeout_s=20.0) as bob:
                seen.extend(message["message"] for message in bob.inbox()["messages"])

        reader = threading.Thread(target=read)
        reader.start()
        systemd.wake()
        reader.join(30)
        assert seen == ["the first"]


def test_a_command_starts_the_broker_too(post_office: PostOffice) -> None:
    with Systemd(post_office) as systemd:
        ran: list[subprocess.CompletedProcess[str]] = []

        def work() -> None:
            ran.append(
                subprocess.run(
                    [sys.executable, "-m", "maestro_cli", "status", "--json"],
                    env=post_office.environ, capture_output=True, text=True, timeout=60, check=False,
                )
            )  # fmt: skip

        command = threading.Thread(target=work)
        command.start()
        systemd.wake()
        command.join(60)
        assert ran[0].returncode == 0, ran[0].stderr


def test_inherited_sockets_are_checked() -> None:
    assert socket_activation.inherited_sockets({}, 1) is None
    assert socket_activation.inherited_sockets({"LISTEN_PID": "2", "LISTEN_FDS": "2"}, 1) is None
    with pytest.raises(MaestroError, match="passed 1 sockets"):
        socket_activation.inherited_sockets({"LISTEN_PID": "1", "LISTEN_FDS": "1"}, 1)
    with pytest.raises(MaestroError, match="passed 9 sockets"):
        socket_activation.inherited_sockets({"LISTEN_PID": "1", "LISTEN_FDS": "9"}, 1)


def test_a_missing_notify_socket_is_no_fault(tmp_path: Path) -> None:
    socket_activation.notify({}, "READY=1")
    socket_activation.notify({"NOTIFY_SOCKET": "relative"}, "READY=1")
    socket_activation.notify({"NOTIFY_SOCKET": str(tmp_path / "absent")}, "READY=1")
    socket_activation.notify({"NOTIFY_SOCKET": "@absent-socket"}, "READY=1")


def parsed(text: str) -> configparser.RawConfigParser:
    found = configparser.RawConfigParser(strict=False, delimiters=("=",), comment_prefixes=("#",))
    found.optionxform = str  # type: ignore[assignment,method-assign]
    found.read_string(text)
    return found


def test_the_units(tmp_path: Path) -> None:
    data = str(tmp_path / 'a "data" 100% $dir')
    environ = {"HOME": str(tmp_path), "MAESTRO_RUNTIME_DIR": str(tmp_path / "r"), "MAESTRO_DATA_DIR": data}
    units = systemd_units.systemd(data, environ, http=True)
    assert units.name.startswith("maestro-")
    socket_unit, service_unit = (parsed(text) for text in units.files.values())
    assert socket_unit["Socket"]["ListenStream"].endswith("/notices.sock")
    first = next(iter(units.files.values()))
    assert first.index("broker.sock") < first.index("notices.sock")
    service = service_unit["Service"]
    assert service["Type"] == "notify"
    assert service["ExecStart"].startswith(f'"{sys.executable}" -P -m maestro_broker --data-dir ')
    assert "100%%" in service["ExecStart"]
    assert '\\"data\\"' in service["ExecStart"]
    assert "$$dir" in service["ExecStart"]
    assert "ExecStartPost" in service
    bare = systemd_units.systemd(data, environ, http=False)
    assert "ExecStartPost" not in "".join(bare.files.values())
    usual = systemd_units.systemd(paths.data_dir({"HOME": str(tmp_path)}), {"HOME": str(tmp_path)}, http=False)
    assert usual.start == "maestro.socket"
    [plist] = systemd_units.launchd(data, environ).files.values()
    job = plistlib.loads(plist.encode())
    assert job["ProgramArguments"][-2:] == [data, "--foreground"]
    assert job["KeepAlive"] == {"SuccessfulExit": False}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "MAESTRO_RUNTIME_DIR": str(tmp_path / "r")}
    units = systemd_units.systemd(str(tmp_path / "data"), environ, http=True)
    for path, text in units.files.items():
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", *units.files], capture_output=True, text=True, timeout=60, check=False
    )
    assert [line for line in done.stderr.splitlines() if "maestro" in line] == []


def test_the_commands(tmp_path: Path) -> None:
    with open_shell(
        HOME=str(tmp_path), XDG_CONFIG_HOME="", XDG_RUNTIME_DIR="", DBUS_SESSION_BUS_ADDRESS=""
    ) as person:
        shown = person.done("service", "install", "--print").out
        assert "ListenStream=" in shown
        assert "not installed" in person.done("service", "status").out
        installed = person.done("service", "install")
        assert installed.out.count("Wrote ") == 2
        assert "systemctl --user" in installed.out + installed.err
        person.done("service", "install")
        status = person.done("service", "status", "--json").json()
        assert status["installed"]
        unit = next(line for line in installed.out.splitlines() if line.endswith(".service."))[6:-1]
        with open(unit, "a", encoding="utf-8") as file:
            file.write("# mine\n")
        refused = person.run("service", "install")
        assert refused.code == 2
        assert "was edited" in refused.err
        person.done("service", "install", "--force", "--no-http")
        with open(unit, "w", encoding="utf-8") as file:
            file.write("[Unit]\n")
        assert "another program" in person.run("service", "install").err
        assert person.run("service", "uninstall").code == 2
        removed = person.done("service", "uninstall", "--force").out
        assert removed.count("Removed ") == 2
        assert "No service" in person.done("service", "uninstall").out
