"""`maestro demo` passes in time and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from maestro_cli import exit_codes
from support.cli_shell import Lines, open_shell


def processes_of(root: str) -> list[str]:
    """Command lines of the processes whose environment names the directory."""
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                environ = file.read()
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                command = file.read().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if root.encode() in environ and command:
            found.append(command)
    return found


def root_of(out: str) -> str:
    found = re.search(r"^A post office in (\S+) ", out)
    assert found is not None, out
    return found[1]


def test_the_demo_passes_in_time_and_clears_up() -> None:
    began = time.monotonic()
    with open_shell() as person:
        # The demo must ignore the person's session and settings.
        ran = person.run("demo", environ={"MAESTRO_SESSION_ID": "sess_x", "MAESTRO_RATE_LIMIT": "1"})
        assert not os.path.exists(person.data)
    took_s = time.monotonic() - began
    assert ran.code == exit_codes.DONE, ran
    assert took_s < 20
    root = root_of(ran.out)
    assert not os.path.exists(root)
    assert processes_of(root) == []
    for said in (
        "wendy's `maestro inbox --watch` printed it",
        "he has it",
        "in the thread of msg_",
        "ended with the receipt",
        "exit code 4",
        "exit code 5",
        "killed pid",
        "all 400 ids are there once",
        '"status": "delivered"',
        "All of it happened",
    ):
        assert said in ran.out, ran.out
    assert ran.err == ""


def test_the_demo_keeps_the_directory_when_asked() -> None:
    with open_shell() as person:
        ran = person.done("demo", "--keep")
        root = root_of(ran.out)
        try:
            assert os.path.isdir(os.path.join(root, "data", "messages", "by-receiver"))
            assert processes_of(root) == []
        finally:
            subprocess.run(["rm", "-rf", root], check=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_clears_up_when_it_is_interrupted(number: signal.Signals) -> None:
    with open_shell() as person:
        process = person.start("demo")
        lines = Lines(process)
        root = root_of(lines.wait_for(lambda line: line.startswith("A post office in ")))
        lines.wait_for(lambda line: "accepted, which means on disk" in line)
        process.send_signal(number)
        assert process.wait(30) == 128 + number
        assert not os.path.exists(root)
        assert processes_of(root) == []


def test_the_demo_fails_when_a_step_does_not_happen() -> None:
    """The broker has too high a limit, so the demo must not report that it refused the message."""
    broken = (
        "import sys, maestro_cli.demo.play as play\n"
        "play._LIMIT = 9\n"
        "from maestro_cli.main import main\n"
        "sys.exit(main(['demo']))\n"
    )
    with open_shell() as person:
        ran = subprocess.run(
            [sys.executable, "-c", broken],
            env=person.environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ran.returncode == exit_codes.FAILED
    assert "maestro: the demo failed: the message over the limit was not refused" in ran.stderr
    assert "All of it happened" not in ran.stdout
