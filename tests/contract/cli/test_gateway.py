"""`maestro up`, `down` and `status` with the HTTP gateway."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING

import pytest

from maestro_clients.processes import broker_process, gateway_process
from support.post_office import eventually

if TYPE_CHECKING:
    from support.cli_shell import Shell


@pytest.fixture(scope="module")
def shell_environ() -> dict[str, str]:
    return {"MAESTRO_HTTP": "1", "MAESTRO_HTTP_PORT": "0"}


def get(url: str) -> int:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return int(answer.status)


def test_up_starts_it_once_and_down_stops_it(person: Shell) -> None:
    first = person.done("up")
    url = next(line for line in first.out.splitlines() if line.startswith("HTTP: ")).split()[1].rstrip(";")
    assert get(f"{url}/health") == 200
    with open(os.path.join(person.data, "server-url"), encoding="utf-8") as file:
        assert file.read() == f"{url}\n"
    again = person.done("up", "--json").json()
    assert (again["started"], again["http"]) == (False, url)
    assert person.done("status", "--json").json()["http"]["url"] == url
    assert url in person.done("status").out
    down = person.done("down").out
    assert "The HTTP gateway (pid" in down
    assert "The broker (pid" in down
    assert not os.path.exists(os.path.join(person.data, "server-url"))
    assert gateway_process.find(person.data) is None
    assert person.done("down").out.startswith("No broker runs")


def test_a_broker_without_a_gateway(person: Shell) -> None:
    assert "HTTP" not in person.done("up", "--no-http").out
    assert person.done("status", "--json").json()["http"] == {"running": False}
    # A later `up` starts it.
    assert "HTTP: http://" in person.done("up").out


def test_a_taken_port_is_a_warning_that_names_it(person: Shell) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ran = person.done("up", "--http-port", str(port))
    assert "Started the broker" in ran.out
    assert f"port {port} of 127.0.0.1 is taken" in ran.err
    assert "--http-port" in ran.err
    assert person.done("status", "--json").json()["http"] == {"running": False}


def test_a_gateway_that_runs_at_another_port_is_kept_and_reported(person: Shell) -> None:
    person.done("up")
    ran = person.done("up", "--http-port", "1")
    assert "runs already, at http://127.0.0.1:" in ran.err


@pytest.mark.parametrize("flag", [("--http-port", "70000"), ("--http-port", "-1"), ("--http-port", "x")])
def test_an_invalid_port(person: Shell, flag: tuple[str, str]) -> None:
    ran = person.run("up", *flag)
    assert ran.code == 2
    assert ran.err
    assert not os.path.exists(os.path.join(person.data, "endpoints")), "nothing was started"


def test_an_invalid_port_in_the_environment(person: Shell) -> None:
    ran = person.run("up", environ={"MAESTRO_HTTP_PORT": "http"})
    assert (ran.code, "MAESTRO_HTTP_PORT can't be 'http'" in ran.err) == (2, True)


def test_an_unknown_host(person: Shell) -> None:
    ran = person.done("up", "--http-host", "no.such.host.invalid")
    assert "warning: no HTTP gateway" in ran.err


def test_in_the_foreground_it_ends_with_the_broker(person: Shell) -> None:
    broker = person.start("up", "--foreground")
    eventually(lambda: (found := gateway_process.find(person.data)) is not None and found.url is not None, "it runs")
    place = gateway_process.find(person.data)
    assert place is not None
    assert place.url is not None
    eventually(lambda: get(f"{place.url}/health/live") == 200, "it answers")
    # The gateway, a separate process, may serve before the broker does.
    eventually(lambda: broker_process.find(person.data) is not None, "the broker serves")
    broker.send_signal(signal.SIGINT)
    assert broker.wait(20) == 0
    eventually(lambda: gateway_process.find(person.data) is None, "the gateway has ended")


def test_a_second_gateway_is_refused(person: Shell) -> None:
    person.done("up")
    command = [sys.executable, "-m", "maestro_gateway", "--data-dir", person.data, "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=person.environ, timeout=60)
    assert done.returncode == 1
    assert "a gateway runs already" in done.stderr


def test_a_killed_gateway_is_started_again(person: Shell) -> None:
    person.done("up")
    place = gateway_process.find(person.data)
    assert place is not None
    os.kill(place.pid, signal.SIGKILL)
    eventually(lambda: gateway_process.find(person.data) is None, "it is gone")
    assert person.done("status", "--json").json()["http"] == {"running": False}
    assert "HTTP: http://" in person.done("up").out
