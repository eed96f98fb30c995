"""A client that stays awake for an answer: what it sends and gets is what every client sends and gets."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from fault.injection import require_strace
from maestro_clients.client import Client
from maestro_clients.processes import broker_process
from maestro_clients.protocol.new_ids import new_message_id
from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import SPIN_US_MAX

if TYPE_CHECKING:
    from types import FrameType

    from support.post_office import PostOffice

_SENDS = 60
_PROGRAM = f"""
import sys
from maestro_clients.client import Client
from maestro_clients.protocol.callers import Caller
spin = {{"spin_us": int(sys.argv[2])}} if len(sys.argv) > 2 else {{}}
with Client(sys.argv[1], Caller("ann"), **spin) as client:
    client.hello()
    for number in range({_SENDS}):
        assert client.send("bob", "x")["status"] == 201
"""


@pytest.mark.parametrize("spin_us", [1, 300, SPIN_US_MAX])
def test_it_answers_right(open_office: PostOffice, spin_us: int) -> None:
    """One by one, a refusal among them, and in a pipeline; in order, each once."""
    ann = open_office.client("ann", spin_us=spin_us)
    ids = [ann.send("bob", f"number {number}")["id"] for number in range(20)]
    with pytest.raises(MaestroError) as raised:
        ann.send("nowhere", "x")
    assert raised.value.code == "RECEIVER_NOT_FOUND"
    outgoing = [{"id": new_message_id(), "to": "bob", "message": "x"} for _ in range(20)]
    ids += [result["id"] for result in ann.pipeline(outgoing, in_flight=4)]  # type: ignore[arg-type]
    assert [message["id"] for message in open_office.client("bob", spin_us=spin_us).inbox()["messages"]] == ids


def test_a_late_answer_is_waited_for_asleep(open_office: PostOffice) -> None:
    """The longest spin is over long before the broker goes on; the wait takes next to no CPU time."""
    ann = open_office.client("ann", timeout_s=60.0, spin_us=SPIN_US_MAX)
    ann.send("bob", "before")
    open_office.pause()
    resuming = threading.Timer(0.5, open_office.resume)
    resuming.start()
    began_s, used_s = time.monotonic(), time.thread_time()
    assert ann.send("bob", "during")["status"] == 201
    waited_s, used_s = time.monotonic() - began_s, time.thread_time() - used_s
    resuming.join()
    assert waited_s > 10 * SPIN_US_MAX / 1_000_000
    assert used_s < waited_s / 4


@pytest.mark.parametrize("timeout_s", [0.002, 0.05])
def test_the_deadline_is_kept(open_office: PostOffice, timeout_s: float) -> None:
    """Before the spin is over, and after it; then the client still works."""
    ann = open_office.client("ann", spin_us=SPIN_US_MAX)
    ann.send("bob", "before")
    open_office.pause()
    try:
        began_s = time.monotonic()
        with pytest.raises(MaestroError) as raised:
            ann.sharing(timeout_s=timeout_s).send("bob", "during")
        assert time.monotonic() - began_s >= timeout_s
    finally:
        open_office.resume()
    assert raised.value.code == "TIMEOUT"
    assert ann.send("bob", "after")["status"] == 201


def test_a_broker_that_dies_ends_the_spin(open_office: PostOffice) -> None:
    ann = open_office.client("ann", spin_us=SPIN_US_MAX)
    ann.send("bob", "before")
    open_office.kill()
    with pytest.raises(MaestroError) as raised:
        ann.send("bob", "during")
    assert raised.value.code == "BROKER_UNREACHABLE"


class Interrupted(Exception):  # noqa: N818 - it is no error
    """What the signal's handler raises."""


def test_a_signal_interrupts_the_spin(open_office: PostOffice) -> None:
    """Its handler runs at once, though the call neither sleeps nor ends by itself; then the client still works."""
    ann = open_office.client("ann", timeout_s=60.0, spin_us=SPIN_US_MAX)
    ann.send("bob", "before")

    def interrupt(_: int, frame: FrameType | None) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, interrupt)
    open_office.pause()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.002)
        with pytest.raises(Interrupted):
            ann.send("bob", "during")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        open_office.resume()
    assert ann.send("bob", "after")["status"] == 201


@pytest.mark.parametrize("spin_us", [-1, SPIN_US_MAX + 1])
def test_the_range_is_checked_before_anything_is_sent(spin_us: int) -> None:
    with pytest.raises(MaestroError) as raised:
        Client("ipc:///nowhere", spin_us=spin_us)
    assert raised.value.code == "INVALID"
    assert (raised.value.limit, raised.value.actual) == (SPIN_US_MAX, spin_us)


def test_connect_hands_it_on(open_office: PostOffice) -> None:
    with pytest.raises(MaestroError) as raised:
        broker_process.connect(open_office.data, open_office.environ, autostart=False, spin_us=SPIN_US_MAX + 1)
    assert raised.value.code == "INVALID"
    with broker_process.connect(open_office.data, open_office.environ, autostart=False, spin_us=300) as client:
        assert client.stats()["messages"]["accepted"] == 0


def test_by_default_a_send_is_three_system_calls(open_office: PostOffice) -> None:
    """To the broker and back: one send, one poll that sleeps, one recv. With a spin some polls return at once."""
    require_strace()
    asleep, awake = _calls(open_office), _calls(open_office, SPIN_US_MAX)
    for calls in (asleep, awake):
        assert _SENDS <= calls["sendto"] <= _SENDS * 1.1 + 3  # the opening, READY and hello
        assert _SENDS <= calls["recvfrom"] <= _SENDS * 1.1 + 6
    assert asleep["poll at once"] == 0
    assert _SENDS <= asleep["poll"] <= _SENDS * 1.1 + 6
    assert awake["poll at once"] >= _SENDS


def _calls(office: PostOffice, *arguments: int) -> Counter[str]:
    """The system calls of a program that sends one by one."""
    command = ["strace", "-qq", "-e", "trace=sendto,poll,recvfrom", "-o", "/dev/stdout"]
    command += [sys.executable, "-c", _PROGRAM, office.router(), *map(str, arguments)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    calls = Counter(line.partition("(")[0] for line in lines)
    calls["poll at once"] = sum(bool(re.match(r"poll\(.*\], 1, 0\)", line)) for line in lines)
    return calls
